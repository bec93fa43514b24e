"""Benchmark files (``protocols/benchmarks/*.toml``): data, sizes, budget, segmenters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hdbench.schema.base import LabelSpaceName, LibraryFile, Positive, Rate, Table, Weight
from hdbench.schema.split import Split
from hdbench.schema.streets import require_streets_size

#: The ``judge`` of a benchmark whose segmenter every workspace trains by itself, and the name of a
#: perceptual network that it trains.
OWN = "own"
#: The perceptual network of the paper.
VGG19_IMAGENET = "vgg19-imagenet"
#: What a benchmark's second segmenter is called where a segmenter is named.
SECOND: Literal["second"] = "second"


class Data(Table):
    """Which scenes, and how their files are laid out."""

    #: How the folders are arranged (``hdbench/data/layouts.py``).
    layout: Literal["camvid", "cityscapes", "pix2pixhd", "streets"]
    #: What the label ids mean (``hdbench/data/labels.py``).
    label_space: LabelSpaceName
    #: The split that methods learn from; ``train[:16]`` is its first 16 scenes.
    train: str
    #: The split that is synthesized and scored; never trained on.
    test: str

    @property
    def built_in(self) -> bool:
        """Whether hdbench draws the scenes itself, so that nothing need be on disk."""
        return self.layout == "streets"

    @model_validator(mode="after")
    def _fits_together(self) -> Data:
        train, test = _require_split("train", self.train), _require_split("test", self.test)
        if train.name == test.name:
            raise ValueError(
                f"train = '{self.train}' and test = '{self.test}' are of one split; "
                "no method is judged by what it was trained on"
            )
        if self.built_in and self.label_space != "cityscapes":
            raise ValueError(
                f"label_space = '{self.label_space}'; layout '{self.layout}' is drawn with "
                "labels of 'cityscapes'"
            )
        return self


class Size(Table):
    """The size of synthesized images, in pixels; photographs and labels are resized to it."""

    width: Positive
    height: Positive


class Budget(Table):
    """How long and how large methods are trained: the same for every method of the benchmark."""

    #: Multiplies ``base_channels`` of generator and discriminators; 1.0 is the paper's.
    width: Annotated[float, Field(gt=0, le=4)]
    #: Halvings before a generator's residual blocks, where its method has more. Small images keep
    #: the paper's grid with fewer: 1024x512 after 4 halvings is 64x32, and so is 256x128 after 2.
    #: Channels double at each halving, so one that is left out also halves the residual blocks'.
    downsamplings: Positive
    #: Multiplies the generators' learning rate; 1.0 is the paper's. A narrow generator moves its
    #: output less with the same step of its weights, and short runs need longer steps; no rule says
    #: how much, those of Streets were chosen by looking at trainings on it. The discriminators
    #: keep their rate: with longer steps they win, and the generator answers with grids.
    generator_rate: Rate
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
    #: Decay of the moving average of the generator's weights, which makes the images; 0 keeps none,
    #: as in the paper. Step t counts with at most (1 + t) / (10 + t), so that the first weights are
    #: soon forgotten.
    ema: Annotated[float, Field(ge=0, lt=1)]
    #: ``fp16``: the generator's parameters are rounded to half precision after training, which
    #: halves the file; images are computed with the rounded ones in fp32.
    storage: Literal["fp32", "fp16"]

    @model_validator(mode="after")
    def _trains_at_all(self) -> Budget:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs and decay_epochs are both 0; nothing would be trained")
        return self


class SegmenterTraining(Table):
    """The recipe of a segmenter that scores images on this benchmark."""

    #: The split that it learns from; never the test split.
    split: str
    #: ``pspnet``: pyramid pooling over features at 1/8 (``hdbench/networks/pspnet.py``).
    #: ``unet``: a decoder that goes back up to the images' size, beside the encoder's features of
    #: each size (``hdbench/networks/unet.py``).
    architecture: Literal["pspnet", "unet"]
    #: Encoder of segmentation-models-pytorch.
    encoder: str
    #: What the encoder starts from: ``none``, random weights, or ``imagenet``, torchvision's, which
    #: ``hdbench segmenter train`` reads from a local file and never downloads.
    encoder_weights: Literal["none", "imagenet"]
    #: How many of its five stages are used; with 4, what is left is smaller and sees less.
    depth: Literal[3, 4, 5]
    #: How much images are enlarged before the encoder reads them: a ``pspnet`` has features at 1/8
    #: of what it reads, and 1/8 of a small image is too coarse for what is thin. 1 for ``unet``.
    enlarge: Literal[1, 2, 4]
    #: Passes over its split.
    epochs: Positive
    #: Scenes per step.
    batch_size: Positive
    #: ``adamw``, or ``sgd``: stochastic gradient descent with momentum.
    optimizer: Literal["adamw", "sgd"]
    #: ``one-cycle``: the rate rises to ``learning_rate`` and falls to nearly 0. ``poly``: it falls
    #: as (1 - step / steps) ** ``poly_power`` from the first step (PSPNet, Sec. 5.1).
    schedule: Literal["one-cycle", "poly"]
    #: The largest rate of the schedule.
    learning_rate: Rate
    #: AdamW's decoupled weight decay, or the L2 penalty of SGD.
    weight_decay: Weight
    #: Momentum of ``sgd``, which must state it; ``adamw`` does not read it.
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    #: Exponent of ``poly``, which must state it; ``one-cycle`` does not read it.
    poly_power: Rate | None = None
    #: Weight of the auxiliary segmentation loss on the encoder's stage before last, which a
    #: ``pspnet`` must state; ``unet`` does not read it.
    auxiliary_weight: Weight | None = None
    #: Random scale, lower end; images are scaled, then cropped or padded to the full size.
    scale_min: Rate
    #: Random scale, upper end.
    scale_max: Rate
    #: Flip horizontally with probability one half.
    flip: bool
    #: Brightness, contrast and saturation are each multiplied by 1 - jitter to 1 + jitter.
    jitter: Annotated[float, Field(ge=0, lt=1)]
    #: Noise of a standard deviation drawn up to this is added, of 255.
    noise: Annotated[float, Field(ge=0, le=64)]
    #: Arithmetic of the forward pass.
    precision: Literal["fp32", "bf16"]
    #: ``fp16``: parameters are rounded to half precision after training, which halves the file;
    #: judging computes with the rounded ones in fp32.
    storage: Literal["fp32", "fp16"]

    @model_validator(mode="after")
    def _fits_together(self) -> SegmenterTraining:
        _require_split("split", self.split)
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is above scale_max {self.scale_max}")
        if self.optimizer == "sgd" and self.momentum is None:
            raise ValueError("optimizer = 'sgd' needs the key 'momentum'; PSPNet's is 0.9")
        if self.schedule == "poly" and self.poly_power is None:
            raise ValueError("schedule = 'poly' needs the key 'poly_power'; PSPNet's is 0.9")
        if self.architecture == "pspnet" and self.auxiliary_weight is None:
            raise ValueError(
                "architecture = 'pspnet' needs the key 'auxiliary_weight'; PSPNet's is 0.4"
            )
        if self.architecture == "unet" and self.enlarge != 1:
            raise ValueError(
                f"architecture = 'unet' answers at the size that it reads, so enlarge = "
                f"{self.enlarge} does not fit it; use 1"
            )
        return self


class PerceptualTraining(Table):
    """The recipe of a perceptual network: a VGG-like network that learns to segment.

    Training appends a head that reads all five blocks and is thrown away afterwards; batch norm,
    with which it trains, is folded into the convolutions.
    """

    #: The split that it learns from; never the test split.
    split: str
    #: Channels of the five blocks; 64, 128, 256, 512, 512 in VGG-19.
    channels: Annotated[list[Positive], Field(min_length=5, max_length=5)]
    #: 3x3 convolutions of the blocks; 2, 2, 4, 4, 1 in VGG-19 up to relu5_1.
    convolutions: Annotated[list[Positive], Field(min_length=5, max_length=5)]
    #: Passes over its split.
    epochs: Positive
    #: Scenes per step.
    batch_size: Positive
    #: The largest rate of AdamW's one-cycle schedule.
    learning_rate: Rate
    #: AdamW's decoupled weight decay.
    weight_decay: Weight
    #: Random scale, lower end; images are scaled, then cropped or padded to the full size.
    scale_min: Rate
    #: Random scale, upper end.
    scale_max: Rate
    #: Flip horizontally with probability one half.
    flip: bool
    #: Brightness, contrast and saturation are each multiplied by 1 - jitter to 1 + jitter.
    jitter: Annotated[float, Field(ge=0, lt=1)]
    #: Noise of a standard deviation drawn up to this is added, of 255.
    noise: Annotated[float, Field(ge=0, le=64)]
    #: ``fp16``: parameters are rounded to half precision after training, which halves the file.
    storage: Literal["fp32", "fp16"]

    @model_validator(mode="after")
    def _fits_together(self) -> PerceptualTraining:
        _require_split("split", self.split)
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is above scale_max {self.scale_max}")
        return self


class Perceptual(Table):
    """Which network's features the perceptual loss compares; part of a run's identity."""

    #: ``vgg19-imagenet``, the paper's, from a local file; ``own``, the network that ``hdbench
    #: perceptual train`` makes in the workspace; or the name (or path) of one that ships, a folder
    #: of ``models/weights/``. Never a segmenter: no method learns from what scores it.
    name: str
    #: How ``own``, or the one that ships, is trained; ``vgg19-imagenet`` needs none.
    training: PerceptualTraining | None = None

    @model_validator(mode="after")
    def _is_trained_or_not(self) -> Perceptual:
        if self.name == OWN and self.training is None:
            raise ValueError(f'name = "{OWN}" needs the table [perceptual.training]')
        return self


class SecondSegmenter(Table):
    """Another segmenter, under which scores show what pleases the judge alone."""

    #: Which one, as ``judge`` says it: ``own``, or the name (or path) of one that ships.
    name: str
    #: How it learns; never with the architecture or the encoder of ``[segmenter]``.
    training: SegmenterTraining


class Benchmark(LibraryFile):
    """One benchmark."""

    data: Data
    size: Size
    budget: Budget
    perceptual: Perceptual
    segmenter: SegmenterTraining
    #: Scores beside the judge where it is there; it never ranks.
    second_segmenter: SecondSegmenter | None = None
    #: Which segmenter judges: ``own``, the one that ``hdbench segmenter train`` makes in the
    #: workspace, or the name (or path) of one that ships, a folder of ``models/weights/``.
    judge: str
    #: The scoring convention, by name.
    scoring: str
    #: Another benchmark with the same test scenes, size, segmenter and scoring, and other training:
    #: reports on this one show that one's trained methods too.
    beside: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Benchmark:
        self._require_unseen_test("segmenter", self.segmenter)
        if self.second_segmenter is not None:
            self._require_unseen_test("second_segmenter.training", self.second_segmenter.training)
            self._require_another_family(self.second_segmenter)
        if self.perceptual.training is not None:
            self._require_unseen_test("perceptual.training", self.perceptual.training)
        if self.data.built_in:
            try:
                require_streets_size(self.size.width, self.size.height)
            except ValueError as error:
                raise ValueError(f"[size] {error}") from None
        return self

    def _require_unseen_test(
        self, table: str, recipe: SegmenterTraining | PerceptualTraining
    ) -> None:
        if Split.parse(recipe.split).name == Split.parse(self.data.test).name:
            raise ValueError(
                f"[{table}] split = '{recipe.split}' and [data] test = '{self.data.test}' are of "
                "one split; nothing that scores or teaches may have learnt from the test split"
            )

    def _require_another_family(self, second: SecondSegmenter) -> None:
        if second.name == self.judge != OWN:
            raise ValueError(
                f"[second_segmenter] name = '{second.name}' is the judge; name another segmenter"
            )
        for key in ("architecture", "encoder"):
            value = getattr(second.training, key)
            if value == getattr(self.segmenter, key):
                raise ValueError(
                    f"[second_segmenter.training] {key} = '{value}' is that of [segmenter] too; "
                    "two of one family err alike, so state another"
                )

    def with_recipe(self, recipe: SegmenterTraining) -> Benchmark:
        """Return the benchmark with another recipe as its ``[segmenter]``, for a training by it."""
        return self.model_copy(update={"segmenter": recipe})


def _require_split(key: str, text: str) -> Split:
    try:
        return Split.parse(text)
    except ValueError as error:
        raise ValueError(f"{key} = {error}") from None
