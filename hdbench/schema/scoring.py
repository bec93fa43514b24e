"""Scoring files (``protocols/scoring/*.toml``): how pixels are counted, every choice named."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hdbench.schema.base import LabelSpaceName, LibraryFile, Rate, Table

#: How images are brought to another size, in 8 bit. Without antialias, shrinking skips pixels.
ImageResize = Literal["bicubic-antialias", "bilinear-antialias", "bicubic", "bilinear"]
_SIZE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}")
#: From window to window of photographs at their own size, as in PSPNet's released evaluation.
_NATIVE_STRIDE = "2/3"
_FRACTION = re.compile(r"[1-9]\d{0,3}/[1-9]\d{0,3}")


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of a size like ``512x256``, which says the width first."""
    width, height = text.split("x")
    return int(height), int(width)


class SegmenterInput(Table):
    """What the segmenter is given and what happens to its answer."""

    #: Images enter at the benchmark's size (photographs as the convention's ``photographs`` says),
    #: and are then resized from there to: nothing further (``generator``), the size of the
    #: label map on disk (``native``), or a size like ``512x256``.
    image_size: str
    #: The operator of every such resize.
    image_resize: ImageResize
    #: ``whole``: the image in one pass. ``training``: windows of the size that the segmenter was
    #: trained at. ``713x713``: windows of that size. What lies at the border is covered by a
    #: window that is moved inwards; a smaller image is padded evenly with the segmenter's mean.
    window: str
    #: From one window to the next: this fraction of its side, rounded up. ``1/1``: no overlap.
    stride: str
    #: Also let the segmenter see the mirrored image, and average.
    flip: bool
    #: The image is seen at each of these sizes, times its own, and the answers are averaged.
    scales: Annotated[list[Rate], Field(min_length=1)]
    #: What is averaged over windows, mirror images and scales.
    average: Literal["logits", "probabilities"]
    #: How answers are brought to the label map's size, before the arg max: ``bilinear-aligned``
    #: aligns the corners' pixel centres; ``nearest`` resizes the arg max, not the answers.
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
    """From integer confusion matrices (void row included) to numbers."""

    #: Void pixels in pixel accuracy: left out, or counted as errors.
    void_in_accuracy: Literal["ignored", "errors"]
    #: Void pixels in the union of IoU: left out, or counted as false positives.
    void_in_iou: Literal["ignored", "false-positives"]
    #: Whether void is one more class of the mean. No segmenter here predicts it, so its IoU is 0
    #: wherever there are void pixels.
    void_class: Literal["left-out", "counted"]
    #: A class in neither truth nor prediction: left out of the mean, or counted as 0 or 1.
    absent_class: Literal["left-out", "zero", "one"]
    #: A class that is predicted but in no label map: its IoU of 0 counts, or is left out.
    predicted_only: Literal["zero", "left-out"]
    #: ``dataset``: matrices are summed over all images before any ratio is taken. ``images``: each
    #: image has its own scores, which are averaged over the images that have one.
    accumulation: Literal["dataset", "images"]


class Reading(Table):
    """What differs from ``[counting]`` where the same matrices are read in another way."""

    void_in_accuracy: Literal["ignored", "errors"] | None = None
    void_in_iou: Literal["ignored", "false-positives"] | None = None
    void_class: Literal["left-out", "counted"] | None = None
    absent_class: Literal["left-out", "zero", "one"] | None = None
    predicted_only: Literal["zero", "left-out"] | None = None
    accumulation: Literal["dataset", "images"] | None = None


class Scoring(LibraryFile):
    """One scoring convention; once released it is never edited, a change is a new version."""

    #: The label space whose classes are scored.
    label_space: LabelSpaceName
    #: The size at which photographs enter: that of a generator's images, to which they are resized
    #: (``generator``), or their own (``native``), under which only the oracle can be scored.
    photographs: Literal["generator", "native"]
    segmenter: SegmenterInput
    labels: Labels
    #: The headline: what tables and rankings show.
    counting: Counting
    #: Further numbers of the same matrices, by name; none where the table is left out.
    readings: dict[str, Reading] = Field(default_factory=dict)

    @property
    def choices(self) -> dict[str, Any]:
        """What of the convention enters a fingerprint, as JSON values.

        ``photographs`` is stated there in words, beside the size that they have.
        """
        return self.model_dump(exclude={"title", "source", "photographs"}, exclude_none=True)

    def with_native_photographs(self) -> Scoring | None:
        """Return the convention for photographs at their own size, or None where it fixes a size.

        Labels and counting stay. A photograph shown whole would be larger than what the segmenter
        was trained at, and it accepts no other size: it sees windows of that one, 2/3 of a side
        apart (Zhao et al., CVPR 2017, released evaluation). A convention that names windows, or
        gives the segmenter the label map's size anyway, keeps its own.
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
        """Return all policies of a reading: those of ``[counting]`` with its own laid over them."""
        return self.counting.model_copy(update=self.readings[reading].model_dump(exclude_none=True))
