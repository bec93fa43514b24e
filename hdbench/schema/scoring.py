"""Scoring files (``protocols/scoring/*.toml``): how pixels are counted, every choice named."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hdbench.schema.base import LabelSpaceName, LibraryFile, Table


class SegmenterInput(Table):
    """What the segmenter is given and what happens to its answer."""

    #: ``generator``: images enter at the benchmark's size; photographs are resized to it (bicubic).
    image_size: Literal["generator"]
    #: ``whole``: the image in one pass, no sliding window.
    window: Literal["whole"]
    #: Logits are brought to the label map's size by this operator, before the arg max.
    logits: Literal["bilinear"]
    #: Average the logits with those of the mirrored image.
    flip: bool


class Labels(Table):
    """The ground truth."""

    #: ``native``: label maps as they are on disk, never resized.
    size: Literal["native"]
    #: 0: every pixel counts. n: only the n pixels on each side of an edge of the instance map (of
    #: the label map where a dataset has none), at the label map's size; no matrix holds the others.
    edge_band: Annotated[int, Field(ge=0)]


class Counting(Table):
    """From integer confusion matrices (void row included) to numbers."""

    #: Void pixels in pixel accuracy: left out, or counted as errors.
    void_in_accuracy: Literal["ignored", "errors"]
    #: Void pixels in the union of IoU: left out, or counted as false positives.
    void_in_iou: Literal["ignored", "false-positives"]
    #: A class in neither truth nor prediction: left out of the mean, or counted as 0 or 1.
    absent_class: Literal["left-out", "zero", "one"]
    #: ``dataset``: matrices are summed over all images before any ratio is taken.
    accumulation: Literal["dataset"]


class Scoring(LibraryFile):
    """One scoring convention; once released it is never edited, a change is a new version."""

    #: The label space whose classes are scored.
    label_space: LabelSpaceName
    segmenter: SegmenterInput
    labels: Labels
    counting: Counting
