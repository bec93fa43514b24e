"""Benchmark files (``protocols/benchmarks/*.toml``): data, sizes, budget, judge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hdbench.schema.base import LabelSpaceName, LibraryFile, Positive, Rate, Table, Weight
from hdbench.schema.split import Split


class Data(Table):
    """Which scenes, and how their files are laid out."""

    #: How the folders are arranged (``hdbench/data/layouts.py``).
    layout: Literal["camvid", "cityscapes", "pix2pixhd"]
    #: What the label ids mean (``hdbench/data/labels.py``).
    label_space: LabelSpaceName
    #: The split that methods and segmenter learn from; ``train[:16]`` is its first 16 scenes.
    train: str
    #: The split that is synthesized and scored; never trained on.
    test: str

    @model_validator(mode="after")
    def _splits_can_be_read(self) -> Data:
        for key, text in (("train", self.train), ("test", self.test)):
            try:
                Split.parse(text)
            except ValueError as error:
                raise ValueError(f"{key} = {error}") from None
        return self


class Size(Table):
    """The size of synthesized images, in pixels; photographs and labels are resized to it."""

    width: Positive
    height: Positive


class Budget(Table):
    """How long and how large methods are trained: the same for every method of the benchmark."""

    #: Multiplies ``base_channels`` of generator and discriminators; 1.0 is the paper's.
    width: Annotated[float, Field(gt=0, le=4)]
    #: Epochs at the full learning rate.
    epochs: Annotated[int, Field(ge=0)]
    #: Epochs of linear decay to 0 after them.
    decay_epochs: Annotated[int, Field(ge=0)]
    #: Scenes per step.
    batch_size: Positive
    #: Flip scenes horizontally with probability one half.
    flip: bool
    #: Arithmetic of the forward pass; weights and optimiser stay fp32.
    precision: Literal["fp32", "bf16"]

    @model_validator(mode="after")
    def _trains_at_all(self) -> Budget:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs and decay_epochs are both 0; nothing would be trained")
        return self


class SegmenterTraining(Table):
    """The PSPNet that judges images on this benchmark, and how it is trained."""

    #: Encoder of segmentation-models-pytorch, trained from scratch.
    encoder: str
    #: Passes over the training split.
    epochs: Positive
    #: Scenes per step.
    batch_size: Positive
    #: Peak of AdamW's one-cycle schedule.
    learning_rate: Rate
    #: AdamW's decoupled weight decay.
    weight_decay: Weight
    #: Weight of the auxiliary segmentation loss on the encoder's stage before last.
    auxiliary_weight: Weight
    #: Random scale, lower end; images are scaled, then cropped or padded to the full size.
    scale_min: Rate
    #: Random scale, upper end.
    scale_max: Rate
    #: Flip horizontally with probability one half.
    flip: bool
    #: Arithmetic of the forward pass.
    precision: Literal["fp32", "bf16"]

    @model_validator(mode="after")
    def _scales_are_a_range(self) -> SegmenterTraining:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is above scale_max {self.scale_max}")
        return self


class Benchmark(LibraryFile):
    """One benchmark."""

    data: Data
    size: Size
    budget: Budget
    segmenter: SegmenterTraining
    #: The scoring convention, by name.
    scoring: str
