"""Scoring files (``protocols/scoring/*.toml``): how pixels are counted, every choice named."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hdbench.schema.base import LibraryFile, Rate, Table

#: How images are resized, in 8 bit. Without antialias, reducing an image skips pixels.
ImageResize = Literal["bicubic-antialias", "bilinear-antialias", "bicubic", "bilinear"]
_SIZE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}")
#: The stride of windows over photographs at their own size, as in PSPNet's released evaluation.
_NATIVE_STRIDE = "2/3"
_FRACTION = re.compile(r"[1-9]\d{0,3}/[1-9]\d{0,3}")


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of a size like ``512x256``, which is width x height."""
    width, height = text.split("x")
    return int(height), int(width)


class SegmenterInput(Table):
    """How images enter the segmenter, and how its output is processed."""

    #: The size at which the segmenter sees images: ``generator``, the benchmark's; ``native``, that
    #: of the label map on disk; or a size like ``512x256``. Photographs first enter as the
    #: convention's ``photographs`` says.
    image_size: str
    #: The operator of every such resize.
    image_resize: ImageResize
    #: ``whole``: the image in one pass. ``training``: windows of the size that the segmenter was
    #: trained at. ``713x713``: windows of that size. The last window of a row or column is moved
    #: inwards; a smaller image is padded on all sides with the segmenter's mean.
    window: str
    #: The distance between windows, as a fraction of their side, rounded up. ``1/1``: no overlap.
    stride: str
    #: Average with the prediction on the mirrored image.
    flip: bool
    #: The outputs at these factors of ``image_size`` are averaged.
    scales: Annotated[list[Rate], Field(min_length=1)]
    #: What is averaged over windows, mirror images and scales.
    average: Literal["logits", "probabilities"]
    #: How the output is resized to the label map's size, before the arg max: ``bilinear-aligned``
    #: aligns the centres of the corner pixels; ``nearest`` resizes the arg max, not the logits.
    logits: Literal["bilinear", "bilinear-aligned", "nearest"]

    @model_validator(mode="after")
    def _can_be_read(self) -> SegmenterInput:
        if self.image_size not in ("generator", "native") and not _SIZE.fullmatch(self.image_size):
            raise ValueError(
                f"image_size = '{self.image_size}'; expected generator, native, or a size "
                "like 512x256"
            )
        if self.window not in ("whole", "training") and not _SIZE.fullmatch(self.window):
            raise ValueError(
                f"window = '{self.window}'; expected whole, training, or a size like 713x713"
            )
        if not _FRACTION.fullmatch(self.stride) or Fraction(self.stride) > 1:
            raise ValueError(f"stride = '{self.stride}'; expected a fraction like 2/3, up to 1/1")
        if self.window == "whole" and Fraction(self.stride) != 1:
            raise ValueError(f"stride = '{self.stride}' and window = 'whole'; state stride = '1/1'")
        return self


class Labels(Table):
    """The ground truth."""

    #: ``native``: label maps as they are on disk; or a size like ``512x256``.
    size: str
    #: The operator of that resize, also of instance maps: Pillow's nearest, which is torch's
    #: ``nearest-exact`` (torch's ``nearest`` is another). Ids cannot be interpolated.
    resize: Literal["nearest-exact"]
    #: 0: every pixel counts. n: only the n pixels on each side of an edge of the instance map (of
    #: the label map where a dataset has none), at the label map's size; no matrix holds the others.
    edge_band: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _can_be_read(self) -> Labels:
        if self.size != "native" and not _SIZE.fullmatch(self.size):
            raise ValueError(f"size = '{self.size}'; expected native, or a size like 512x256")
        return self


class Counting(Table):
    """How scores are computed from confusion matrices, whose last row is void."""

    #: Void pixels in pixel accuracy: left out, or counted as errors.
    void_in_accuracy: Literal["ignored", "errors"]
    #: Void pixels in the union of IoU: left out, or counted as false positives.
    void_in_iou: Literal["ignored", "false-positives"]
    #: Whether void is one more class of the mean. No segmenter predicts void, so its IoU is 0
    #: wherever there are void pixels.
    void_class: Literal["left-out", "counted"]
    #: A class in neither ground truth nor prediction: left out of the mean, or counted as 0 or 1.
    absent_class: Literal["left-out", "zero", "one"]
    #: A class that is predicted but in no label map: its IoU of 0 counts, or is left out.
    predicted_only: Literal["zero", "left-out"]
    #: ``dataset``: matrices are summed over all images before scores are computed. ``images``:
    #: scores are computed for each image and averaged over the images in which they are defined.
    accumulation: Literal["dataset", "images"]


class Reading(Table):
    """Further scores from the same matrices: the keys that differ from ``[counting]``."""

    void_in_accuracy: Literal["ignored", "errors"] | None = None
    void_in_iou: Literal["ignored", "false-positives"] | None = None
    void_class: Literal["left-out", "counted"] | None = None
    absent_class: Literal["left-out", "zero", "one"] | None = None
    predicted_only: Literal["zero", "left-out"] | None = None
    accumulation: Literal["dataset", "images"] | None = None


class Scoring(LibraryFile):
    """One scoring convention; a released one is never edited, a change is a new version."""

    #: The label space whose classes are scored, by name; a file may state the path of one's own.
    label_space: str
    #: The size at which photographs enter: that of a generator's images, to which they are resized
    #: (``generator``), or their own (``native``), under which only the oracle can be scored.
    photographs: Literal["generator", "native"]
    segmenter: SegmenterInput
    labels: Labels
    #: What tables and rankings show.
    counting: Counting
    #: Further scores from the same matrices, by name; optional.
    readings: dict[str, Reading] = Field(default_factory=dict)

    @property
    def choices(self) -> dict[str, Any]:
        """The part of the convention that enters a fingerprint, as JSON values.

        ``photographs`` enters in words, beside the photographs' size.
        """
        return self.model_dump(exclude={"title", "source", "photographs"}, exclude_none=True)

    def with_native_photographs(self) -> Scoring | None:
        """Return the convention for photographs at their own size, or None if it fixes a size.

        Labels and counting stay. A whole photograph would be larger than the images the segmenter
        was trained on, which it does not accept, so it sees windows of its training size, 2/3 of a
        side apart (Zhao et al., CVPR 2017, released evaluation). A convention that uses windows or
        the label map's size already keeps its own.
        """
        seen = self.segmenter
        if seen.image_size not in ("generator", "native"):
            return None
        update = {"image_size": "native"}
        if seen.image_size == "generator" and seen.window == "whole":
            update |= {"window": "training", "stride": _NATIVE_STRIDE}
        segmenter = seen.model_copy(update=update)
        return self.model_copy(update={"segmenter": segmenter, "photographs": "native"})

    def counting_of(self, reading: str) -> Counting:
        """Return ``[counting]`` with the keys of a reading replaced."""
        return self.counting.model_copy(update=self.readings[reading].model_dump(exclude_none=True))
