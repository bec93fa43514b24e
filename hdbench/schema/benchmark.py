"""Benchmark files (``protocols/benchmarks/*.toml``): data, image size, budget, networks."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from hdbench.errors import UsageError
from hdbench.schema.base import AddedLater, LibraryFile, Positive, Rate, Table, Weight
from hdbench.schema.image_input import ImageInput
from hdbench.schema.label_space import LabelSpaceFile
from hdbench.schema.split import Split
from hdbench.schema.streets import require_streets_size

#: The name of a segmenter or perceptual network that every workspace trains for itself.
OWN = "own"
#: The perceptual network of the paper.
VGG19_IMAGENET = "vgg19-imagenet"
#: What a benchmark's second segmenter is called where one is chosen (``--segmenter second``).
SECOND: Literal["second"] = "second"
#: The label space of a dataset without label maps.
NO_LABELS = "none"


class Data(Table):
    """Which scenes, and how their files are laid out."""

    #: How the folders are arranged (``hdbench/data/layouts.py``).
    layout: Literal[
        "ade20k",
        "camvid",
        "celebamask-hq",
        "cityscapes",
        "coco-stuff",
        "folder",
        "helen",
        "images",
        "photographs",
        "pix2pixhd",
        "streets",
    ]
    #: What the label ids mean. The file states a name of ``protocols/label-spaces/``, of which
    #: ``none`` says that there are no label maps, or the path of one's own file; the library puts
    #: that file's content here.
    label_space: SerializeAsAny[LabelSpaceFile]
    #: The split that methods learn from; ``train[:16]`` is its first 16 scenes.
    train: str
    #: The split that is synthesized and scored; never trained on.
    test: str

    @property
    def built_in(self) -> bool:
        """Whether hdbench draws the scenes itself."""
        return self.layout == "streets"

    @property
    def labelled(self) -> bool:
        """Whether the scenes have label maps."""
        return bool(self.label_space.classes)

    @model_validator(mode="after")
    def _fits_together(self) -> Data:
        train, test = _require_split("train", self.train), _require_split("test", self.test)
        if train.name == test.name:
            raise ValueError(
                f"train = '{self.train}' and test = '{self.test}' are of one split; "
                "no method is scored on what it was trained on"
            )
        if self.built_in and self.label_space.name != "cityscapes":
            raise ValueError(
                f"label_space = '{self.label_space.name}'; layout '{self.layout}' is drawn with "
                "labels of 'cityscapes'"
            )
        return self


class Size(Table):
    """The size of synthesized images, in pixels."""

    width: Positive
    height: Positive


class Budget(Table):
    """Training length and network size, the same for every method."""

    #: Multiplies ``base_channels`` of generator and discriminators; 1.0 is the paper's.
    width: Annotated[float, Field(gt=0, le=4)]
    #: The most downsamplings before residual blocks; a method may have fewer. The
    #: paper's 4 reduce 1024x512 to 64x32, and so do 2 for 256x128. Channels double at each
    #: downsampling, so one less also halves the channels of the residual blocks.
    downsamplings: Positive
    #: Multiplies the generators' learning rate; 1.0 is the paper's. Narrow generators and short
    #: runs may need more. The discriminators keep their rate: when it was raised too, they became
    #: too strong and the generator drew grids.
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
    #: Decay of the moving average of the generator's weights, with which images are made; 0 means
    #: no average, as in the paper. At step t the decay is at most (1 + t) / (10 + t), so that the
    #: average soon forgets the first weights.
    ema: Annotated[float, Field(ge=0, lt=1)]
    #: ``fp16`` rounds the generator's parameters to half precision after training, which halves the
    #: file; images are computed with the rounded parameters in fp32.
    storage: Literal["fp32", "fp16"]

    @model_validator(mode="after")
    def _trains_at_all(self) -> Budget:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs and decay_epochs are both 0; nothing would be trained")
        return self


class PixelTraining(Table):
    """How a network is trained to label pixels, whatever its architecture."""

    #: The training split; never the test split.
    split: str
    #: Passes over its split.
    epochs: Positive
    #: Scenes per step.
    batch_size: Positive
    #: The largest rate of the schedule.
    learning_rate: Rate
    #: AdamW's decoupled weight decay, or the L2 penalty of SGD.
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
    #: ``fp16`` rounds the parameters to half precision after training, which halves the file; they
    #: are used in fp32.
    storage: Literal["fp32", "fp16"]

    @model_validator(mode="after")
    def _has_a_split_and_scales(self) -> Self:
        _require_split("split", self.split)
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min {self.scale_min} is above scale_max {self.scale_max}")
        return self


class SegmenterTraining(PixelTraining):
    """How a segmenter is trained."""

    #: ``pspnet``: pyramid pooling over features at 1/8 of the image size
    #: (``hdbench/networks/pspnet.py``). ``unet``: a decoder with skip connections up to the image
    #: size (``hdbench/networks/unet.py``).
    architecture: Literal["pspnet", "unet"]
    #: Encoder of segmentation-models-pytorch.
    encoder: str
    #: Initial weights of the encoder: ``none`` is random; ``imagenet`` is torchvision's, which
    #: ``hdbench segmenter train`` reads from a local file and never downloads.
    encoder_weights: Literal["none", "imagenet"]
    #: How many of the encoder's five stages are used; fewer make a smaller network.
    depth: Literal[3, 4, 5]
    #: By how much images are enlarged before the encoder reads them: the features of a ``pspnet``
    #: are at 1/8 of that size, which is too coarse for thin objects in small images. 1 for
    #: ``unet``.
    enlarge: Literal[1, 2, 4]
    #: ``adamw``, or ``sgd``: stochastic gradient descent with momentum.
    optimizer: Literal["adamw", "sgd"]
    #: ``one-cycle``: the rate rises to ``learning_rate`` and falls to nearly 0. ``poly``: it falls
    #: as (1 - step / steps) ** ``poly_power`` from the first step (PSPNet, Sec. 5.1).
    schedule: Literal["one-cycle", "poly"]
    #: Momentum of ``sgd``, which requires it; ``adamw`` does not use it.
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    #: Exponent of ``poly``, which requires it; ``one-cycle`` does not use it.
    poly_power: Rate | None = None
    #: Weight of the auxiliary segmentation loss on the encoder's last but one stage, which
    #: ``pspnet`` requires; ``unet`` does not use it.
    auxiliary_weight: Weight | None = None
    #: Arithmetic of the forward pass.
    precision: Literal["fp32", "bf16"]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
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
                f"architecture = 'unet' predicts at the size of its input, so enlarge = "
                f"{self.enlarge} does not fit it; use 1"
            )
        return self


class PerceptualTraining(PixelTraining):
    """How a perceptual network is trained: a VGG-like network that learns to segment.

    A segmentation head on all five blocks is used in training only, and batch norm is folded into
    the convolutions afterwards. The schedule is AdamW's one-cycle.
    """

    #: Channels of the five blocks; 64, 128, 256, 512, 512 in VGG-19.
    channels: Annotated[list[Positive], Field(min_length=5, max_length=5)]
    #: 3x3 convolutions of the blocks; 2, 2, 4, 4, 2 in VGG-19 up to relu5_2.
    convolutions: Annotated[list[Positive], Field(min_length=5, max_length=5)]


class Perceptual(Table):
    """The network whose features the perceptual loss compares; part of a run's identity."""

    #: ``vgg19-imagenet``, the paper's, from a local file; ``own``, which ``hdbench perceptual
    #: train`` trains in the workspace; or the name or path of a folder like those of
    #: ``models/weights/``. Never a segmenter: no method may learn from a network that scores it.
    name: str
    #: How ``own`` is, or the network of that name was, trained; ``vgg19-imagenet`` needs none.
    training: PerceptualTraining | None = None

    @model_validator(mode="after")
    def _is_trained_or_not(self) -> Perceptual:
        if self.name == OWN and self.training is None:
            raise ValueError(
                f'name = "{OWN}" needs the table [perceptual.training], and label maps to learn '
                f"from; without labels use '{VGG19_IMAGENET}' or a folder of models/weights/"
            )
        return self


class SegmenterChoice(Table):
    """A segmenter that scores images."""

    #: ``own``, which ``hdbench segmenter train`` trains in the workspace, or the name or path of a
    #: folder like those of ``models/weights/``.
    name: str
    #: How ``own`` is, or the segmenter of that name was, trained.
    training: SegmenterTraining


class Validation(Table):
    """Scenes that are synthesized and scored while a method is trained.

    A cheap segmenter scores them: the second one, so that no training is chosen by the segmenter
    that ranks; the first where a benchmark has no other. Nothing that is trained depends on it.
    """

    #: Never the test split: the best of many generators on the scenes that are scored would be
    #: chosen by what it is judged by. Where a dataset has no third split these are scenes of the
    #: training split; then the scores say how far a training is, not how well it will do on others.
    split: str
    #: How many of its scenes, spread evenly over them.
    scenes: Positive
    #: Epochs from one validation to the next.
    epochs: Positive


class Benchmark(LibraryFile):
    """One benchmark."""

    data: Data
    #: What scenes are made from, where these are images; without this table, label maps.
    input: Annotated[ImageInput | None, AddedLater(None)] = None
    size: Size
    budget: Budget
    perceptual: Perceptual
    #: The segmenter whose scores rank methods; none without label maps.
    segmenter: SegmenterChoice | None = None
    #: A segmenter of another architecture and encoder, whose scores are shown beside the first
    #: one's and never rank: methods that suit only one family of networks differ between the two.
    second_segmenter: SegmenterChoice | None = None
    #: The scoring convention, by name; none without label maps.
    scoring: str | None = None
    #: How trainings are watched; None: they have no validation scores.
    validation: Validation | None = None
    #: Another benchmark with the same test scenes, size, segmenter and scoring but other training:
    #: reports on this benchmark also show the trained methods of that one.
    beside: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Benchmark:
        self._require_what_labels_allow()
        if self.segmenter is not None:
            self._require_unseen_test("segmenter.training", self.segmenter.training)
        if self.second_segmenter is not None:
            self._require_unseen_test("second_segmenter.training", self.second_segmenter.training)
            self._require_another_family(self.second_segmenter)
        if self.perceptual.training is not None:
            self._require_unseen_test("perceptual.training", self.perceptual.training)
        if self.validation is not None:
            self._require_other_than_test(self.validation)
        if self.data.built_in:
            try:
                require_streets_size(self.size.width, self.size.height)
            except ValueError as error:
                raise ValueError(f"[size] {error}") from None
        return self

    @property
    def required_segmenter(self) -> SegmenterChoice:
        """The segmenter whose scores rank methods.

        Raises:
            UsageError: the benchmark has no label maps.
        """
        if self.segmenter is None:
            raise self.needs_labels("a segmenter learns from them, and scores compare with them")
        return self.segmenter

    def needs_labels(self, reason: str) -> UsageError:
        """Return the error for what a benchmark without label maps cannot do."""
        return UsageError(
            f"benchmark '{self.name}' has no label maps ([data] label_space = '{NO_LABELS}'): "
            f"{reason}.\nNext: 'hdbench synthesize --method NAME --sheet FILE' shows images"
        )

    def require_label_input(self, what: str) -> None:
        """Check that scenes are made from label maps.

        Args:
            what: what reads nothing else, to begin the message.

        Raises:
            UsageError: they are made from input images.
        """
        if self.input is not None:
            raise UsageError(
                f"{what} reads label maps, and benchmark '{self.name}' makes scenes from images "
                "([input]); choose a benchmark without [input]"
            )

    def _require_what_labels_allow(self) -> None:
        named = {
            "segmenter": self.segmenter,
            "second_segmenter": self.second_segmenter,
            "scoring": self.scoring,
        }
        if self.data.labelled:
            for key in ("segmenter", "scoring"):
                if named[key] is None:
                    raise ValueError(
                        f"key '{key}' is missing; files have no hidden defaults, so state it"
                    )
            return
        if self.input is None:
            raise ValueError(
                f"[data] label_space = '{NO_LABELS}' and no table [input]: methods would be told "
                "nothing; state what the input images are"
            )
        for key, value in named.items():
            if value is not None:
                raise ValueError(
                    f"key '{key}' needs label maps, and [data] label_space = '{NO_LABELS}'; "
                    "leave it out"
                )
        if self.input.boundaries:
            raise ValueError(
                "[input] boundaries = true needs label maps, and [data] label_space = "
                f"'{NO_LABELS}'; use false"
            )
        if self.perceptual.name == OWN:
            raise ValueError(
                f"[perceptual] name = '{OWN}' learns from label maps, and [data] label_space = "
                f"'{NO_LABELS}'; use '{VGG19_IMAGENET}' or a folder of models/weights/"
            )

    def _require_unseen_test(self, table: str, recipe: PixelTraining) -> None:
        if Split.parse(recipe.split).name == Split.parse(self.data.test).name:
            raise ValueError(
                f"[{table}] split = '{recipe.split}' and [data] test = '{self.data.test}' are of "
                "one split; no network that scores images or gives a loss may learn from it"
            )

    def _require_other_than_test(self, validation: Validation) -> None:
        if _require_split("split", validation.split).name == Split.parse(self.data.test).name:
            raise ValueError(
                f"[validation] split = '{validation.split}' and [data] test = '{self.data.test}' "
                "are of one split; the best generator must not be chosen on the scenes that are "
                "scored"
            )

    def _require_another_family(self, second: SegmenterChoice) -> None:
        first = self.required_segmenter
        if second.name == first.name != OWN:
            raise ValueError(
                f"[second_segmenter] name = '{second.name}' is that of [segmenter] too; name "
                "another segmenter"
            )
        for key in ("architecture", "encoder"):
            value = getattr(second.training, key)
            if value == getattr(first.training, key):
                raise ValueError(
                    f"[second_segmenter.training] {key} = '{value}' is that of "
                    "[segmenter.training] too; networks of one family make similar errors, so "
                    "state another"
                )

    def with_recipe(self, recipe: SegmenterTraining) -> Benchmark:
        """Return the benchmark with another ``[segmenter.training]``."""
        segmenter = self.required_segmenter.model_copy(update={"training": recipe})
        return self.model_copy(update={"segmenter": segmenter})


def _require_split(key: str, text: str) -> Split:
    try:
        return Split.parse(text)
    except ValueError as error:
        raise ValueError(f"{key} = {error}") from None
