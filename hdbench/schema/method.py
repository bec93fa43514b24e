"""Method files (``models/*.toml``): how images are made from labels."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from hdbench.errors import UsageError
from hdbench.schema.base import AddedLater, LibraryFile, NotCompared, Positive, Rate, Table, Weight

#: Follows a method's name where the best generator of its run is meant.
BEST_SUFFIX = "@best"
#: The fewest downsamplings of a U-Net: three decoder layers drop values, and one more does not.
UNET_LEAST = 4


class Input(Table):
    """The generator's input."""

    #: ``instances-or-labels``: boundaries of instances, and of label regions where a dataset has
    #: no instance maps. ``none``: labels only.
    boundaries: Literal["instances-or-labels", "none"]


class CoarseToFine(Table):
    """The coarse-to-fine generator of pix2pixHD (Sec. 3.2)."""

    #: Which network (``ARCHITECTURES`` in ``hdbench/networks/builder.py``); the other keys are its.
    network: Annotated[Literal["coarse-to-fine"], AddedLater("coarse-to-fine")]
    #: Channels at the full resolution of the global generator, multiplied by the benchmark's
    #: ``budget.width``; they double at each downsampling.
    base_channels: Positive
    #: Downsamplings before the residual blocks, at most the benchmark's ``budget.downsamplings``.
    downsamplings: Positive
    #: Residual blocks of the global generator.
    residual_blocks: Positive
    #: Local enhancers above the global generator; 0 is the global generator alone.
    enhancers: Annotated[int, Field(ge=0)]
    #: Residual blocks of each enhancer.
    enhancer_blocks: Positive
    #: How features are enlarged: ``transposed``, a transposed convolution with stride 2 (the
    #: paper's); ``nearest``, nearest-neighbour enlargement and a 3x3 convolution, which draws no
    #: grid (Odena et al., Distill 2016).
    upsample: Literal["transposed", "nearest"]
    #: What the 7x7 convolution to the image sees beyond the border: features mirrored there
    #: (``reflection``, the paper's), or ``zeros``.
    output_padding: Annotated[Literal["reflection", "zeros"], AddedLater("reflection")]
    #: The same for the convolutions that shrink and enlarge features: ``zeros`` is the paper's;
    #: ``reflection`` is what the official authors advise against light spots in the images.
    resampling_padding: Annotated[Literal["zeros", "reflection"], AddedLater("zeros")]


class UNet(Table):
    """The U-Net of pix2pix (Isola et al., CVPR 2017, Sec. 3.2.1)."""

    network: Literal["unet"]
    #: Channels after the first downsampling, multiplied by the benchmark's ``budget.width``; they
    #: double at each downsampling up to eight times as many.
    base_channels: Positive
    #: At most as often as both sides of the benchmark's images can be halved.
    downsamplings: Annotated[int, Field(ge=UNET_LEAST)]
    #: Probability with which the three innermost decoder layers drop a value, in training and in
    #: synthesis: the noise of pix2pix.
    dropout: Annotated[float, Field(ge=0, lt=1)]

    enhancers: ClassVar[int] = 0
    upsample: ClassVar[Literal["transposed"]] = "transposed"


class CascadedRefinement(Table):
    """The cascaded refinement network (Chen and Koltun, ICCV 2017, Sec. 3.2)."""

    network: Literal["cascaded-refinement"]
    #: Channels of each module, from the finest to the coarsest, multiplied by the benchmark's
    #: ``budget.width``. The coarsest modules are left out while the shorter side of their map
    #: would be less than 4.
    channels: Annotated[list[Positive], Field(min_length=2)]
    #: Images of one label map; with more than one, the loss takes the nearest for each class
    #: (Sec. 3.4 there), and the first is the one that is shown and scored.
    images: Positive

    enhancers: ClassVar[int] = 0
    upsample: ClassVar[Literal["transposed"]] = "transposed"


#: A generator's table is that of the ``network`` that it names.
Generator = CoarseToFine | UNet | CascadedRefinement


class Encoder(Table):
    """The feature encoder, which gives each instance a style (Sec. 3.4 of the paper)."""

    #: Channels at the full resolution, multiplied by the benchmark's ``budget.width``; they double
    #: at each downsampling.
    base_channels: Positive
    #: At most the benchmark's ``budget.downsamplings``.
    downsamplings: Positive
    #: Channels of a style.
    style_channels: Positive


class Discriminator(Table):
    """The multi-scale PatchGAN discriminators."""

    #: Discriminators at scales 1, 1/2, 1/4, ...
    scales: Positive
    #: Channels of the first layer, multiplied by the benchmark's ``budget.width``.
    base_channels: Positive
    #: Strided layers.
    layers: Positive
    #: Zeros around the maps that each convolution reads: 2 is pix2pixHD's, 1 pix2pix's.
    padding: Annotated[Literal[1, 2], AddedLater(2)]
    #: ``instance``: without learnt scale and shift (pix2pixHD's); ``batch``: with both (pix2pix's).
    norm: Annotated[Literal["instance", "batch"], AddedLater("instance")]


class Loss(Table):
    """The weights of the objective."""

    #: ``lsgan``: least squares, targets 1 and 0; ``log``: the log loss of Eq. 2; ``none``: there is
    #: no discriminator.
    gan: Literal["lsgan", "log", "none"]
    #: Weight of the discriminator feature matching (Eq. 4); 0 leaves it out.
    feature_matching: Weight
    #: Weight of the perceptual loss, which compares features of the benchmark's perceptual network
    #: (VGG-19 in the paper); 0 leaves it out.
    perceptual: Weight
    #: What the perceptual loss compares. ``pix2pixhd``: the first map of each block, weighted 1/32
    #: to 1. ``crn``: pixels and the second map of each block, each divided by its running mean, so
    #: that all contribute alike (Chen and Koltun, ICCV 2017, Sec. 3.3).
    perceptual_form: Annotated[Literal["pix2pixhd", "crn"], AddedLater("pix2pixhd")]
    #: Weight of the L1 distance of the pixels, in [-1, 1] (pix2pix); 0 leaves it out.
    l1: Annotated[Weight, AddedLater(0.0)]


class Optimizer(Table):
    """Adam, for generator and discriminators alike."""

    #: Step size during the constant part of the schedule; the generator's is multiplied by the
    #: benchmark's ``budget.generator_rate``.
    learning_rate: Rate
    #: Decay of the first moment.
    beta1: Annotated[float, Field(ge=0, lt=1)]
    #: Decay of the second moment.
    beta2: Annotated[float, Field(ge=0, lt=1)]


class Stage(Table):
    """One stage of a coarse-to-fine training (Sec. 3.2 of the paper); stages follow each other.

    A stage starts with the weights of the one before. Its images are halved once for each enhancer
    that the generator does not have yet, and it has one discriminator less for each.
    """

    #: Enhancers of the generator in this stage.
    enhancers: Annotated[int, Field(ge=0)]
    #: ``all``: the whole generator learns. ``newest-enhancer``: what came before it is fixed.
    trains: Literal["all", "newest-enhancer"]
    #: Epochs at the full learning rate. The epochs of all stages are multiplied by one factor, so
    #: that together they last as long as the benchmark's budget.
    epochs: Annotated[int, Field(ge=0)]
    #: Epochs of linear decay to 0 after them.
    decay_epochs: Annotated[int, Field(ge=0)]
    #: Multiplies the method's learning rate.
    rate: Rate

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("epochs and decay_epochs are both 0; leave the stage out")
        if self.trains == "newest-enhancer" and self.enhancers == 0:
            raise ValueError("trains = 'newest-enhancer' needs enhancers = 1 or more")
        return self


class Start(Table):
    """The weights that a training starts from; ``hdbench train --from`` writes this table."""

    #: The folder of the generator. Identities depend on its weights, not on its place.
    folder: Annotated[str, NotCompared()]
    #: Digest of the generator's weights, as its card states it.
    weights: str
    #: Digest of the feature encoder's; without the key the encoder's weights are fresh.
    encoder: str | None = None
    #: Digest of the discriminators', from the last checkpoint beside the generator; without the key
    #: theirs are fresh.
    discriminator: str | None = None
    #: The label space that these networks have learnt.
    label_space: str
    #: Classes whose partner in that label space has another name, and that name.
    classes: dict[str, str]


class MethodFile(LibraryFile):
    """The keys and properties that every method has."""

    #: Where the method's images come from: a ``generator`` that hdbench trains; ``weights`` of a
    #: generator that was trained elsewhere; a ``floor``, a trivial baseline that learns nothing;
    #: the ``dataset``, whose photographs they are; or an ``import`` of images.
    images_from: ClassVar[Literal["generator", "weights", "floor", "dataset", "import"]]

    @property
    def is_trained(self) -> bool:
        """Whether ``hdbench train`` trains it; only then do runs differ by their seed."""
        return self.images_from == "generator"

    @property
    def shows_photographs(self) -> bool:
        """Whether its images are the dataset's own photographs."""
        return self.images_from == "dataset"


class Pix2PixHD(MethodFile):
    """A method that hdbench trains: pix2pixHD, a variant of it, or one of its baselines.

    One loop trains them all. The tables say everything that differs between them.
    """

    images_from: ClassVar[Literal["generator"]] = "generator"
    #: The method that it is, or is a variant of; nothing depends on it.
    kind: Literal["pix2pixhd", "pix2pix", "crn"]
    input: Input
    generator: Annotated[Generator, Field(discriminator="network")]
    #: Trained together with the generator, which gets the styles as further channels of its input;
    #: None: images have no styles.
    encoder: Annotated[Encoder | None, AddedLater(None)] = None
    #: None where ``gan`` is ``none``.
    discriminator: Discriminator | None = None
    loss: Loss
    optimizer: Optimizer
    #: ``[[stage]]`` tables; without any, the whole generator is trained at once for the benchmark's
    #: epochs.
    stage: Annotated[list[Stage], AddedLater([])] = Field(default_factory=list[Stage])
    #: None: all weights are fresh.
    start: Annotated[Start | None, AddedLater(None)] = None

    @property
    def is_best(self) -> bool:
        """Whether its images are made by the best generator of a run instead of the last."""
        return self.name.endswith(BEST_SUFFIX)

    def at_best(self) -> Self:
        """Return the same method with the best generator of its runs (``ours@best``)."""
        return self.model_copy(
            update={"name": self.name + BEST_SUFFIX, "title": f"{self.title}, best in validation"}
        )

    def at_last(self) -> Self:
        """Return the method whose runs these are."""
        return self.model_copy(update={"name": self.name.removesuffix(BEST_SUFFIX)})

    @property
    def is_noisy(self) -> bool:
        """Whether images also depend on noise, which is drawn from seeds."""
        return isinstance(self.generator, UNet) and self.generator.dropout > 0

    @property
    def images_per_scene(self) -> int:
        """Images that the generator makes of one scene."""
        spec = self.generator
        return spec.images if isinstance(spec, CascadedRefinement) else 1

    @model_validator(mode="after")
    def _has_what_its_losses_need(self) -> Self:
        loss = self.loss
        if (self.discriminator is None) != (loss.gan == "none"):
            has = "no" if self.discriminator is None else "a"
            raise ValueError(
                f"[loss] gan = '{loss.gan}' with {has} [discriminator]; expected gan = 'none' "
                "without that table, and another one with it"
            )
        if self.discriminator is None and loss.feature_matching > 0:
            raise ValueError(
                f"[loss] feature_matching = {loss.feature_matching:g} without [discriminator], "
                "whose features it compares; expected 0"
            )
        if self.discriminator is None and loss.perceptual == loss.l1 == 0:
            raise ValueError("[loss] has no loss: gan = 'none', perceptual = 0 and l1 = 0")
        alone = self.discriminator is None and loss.l1 == 0 and loss.perceptual_form == "crn"
        if self.images_per_scene > 1 and not alone:
            raise ValueError(
                f"[generator] images = {self.images_per_scene}; several images of a scene are "
                "trained by [loss] perceptual_form = 'crn' alone, with gan = 'none' and l1 = 0"
            )
        return self

    @model_validator(mode="after")
    def _stages_grow(self) -> Self:
        counts = [stage.enhancers for stage in self.stage]
        if not counts:
            return self
        if counts != sorted(counts) or counts[-1] != self.generator.enhancers:
            raise ValueError(
                f"[[stage]] enhancers = {', '.join(map(str, counts))}; expected numbers that do "
                f"not fall and end with the generator's, {self.generator.enhancers}"
            )
        if self.stage[0].trains != "all":
            raise ValueError(
                "[[stage]] entry 1 trains = 'newest-enhancer'; expected 'all', since "
                "nothing was trained before it"
            )
        return self


class Floor(MethodFile):
    """A trivial baseline that learns nothing; a score must beat it to mean anything."""

    images_from: ClassVar[Literal["floor"]] = "floor"
    kind: Literal["floor"]
    #: Which one (``hdbench/floors.py``).
    floor: Literal["mean-colour", "nearest", "patchwork"]

    @property
    def copies_photographs(self) -> bool:
        """Whether its images of the training split are that split's photographs, unchanged."""
        return self.floor != "mean-colour"


class Oracle(MethodFile):
    """The dataset's own photographs, scored in the same way as every method's images."""

    images_from: ClassVar[Literal["dataset"]] = "dataset"
    kind: Literal["oracle"]


class Images(MethodFile):
    """Images that another program made: ``hdbench import-images`` writes such a file."""

    images_from: ClassVar[Literal["import"]] = "import"
    kind: Literal["images"]


class Digests(Table):
    """SHA-256 of imported networks, over all tensors as fp32."""

    generator: str
    #: None where the file was not given.
    discriminator: str | None = None
    encoder: str | None = None


class Weights(MethodFile):
    """A generator that was trained elsewhere: ``hdbench import-weights`` writes such a file.

    Its networks have the channels and downsamplings that the file states: the benchmark's budget
    limits only what hdbench trains. Its images depend on the weights, not on this file's names.
    """

    images_from: ClassVar[Literal["weights"]] = "weights"
    kind: Literal["weights"]
    #: The label space whose ids the generator reads.
    label_space: str
    input: Input
    generator: Annotated[Generator, Field(discriminator="network")]
    #: None where no discriminator was imported.
    discriminator: Discriminator | None = None
    #: None: the generator reads no styles.
    encoder: Encoder | None = None
    digests: Digests


#: The methods that ``hdbench train`` trains. Another generator is a table of ``Generator`` with its
#: own ``network``, a row of ``ARCHITECTURES`` in ``hdbench/networks/builder.py``, and a network.
TrainedMethod = Pix2PixHD
#: The methods whose images a generator makes.
GeneratorMethod = TrainedMethod | Weights
Method = TrainedMethod | Weights | Floor | Oracle | Images

#: The model of each ``kind``.
KINDS: dict[str, type[Method]] = {
    kind: model
    for model in get_args(Method)
    for kind in get_args(model.model_fields["kind"].annotation)
}


def require_trained(method: Method) -> TrainedMethod:
    """Return a method if ``hdbench train`` can train it.

    Raises:
        UsageError: it is of another kind.
    """
    if method.images_from == "generator":
        return method
    kinds = ", ".join(kind for kind, model in KINDS.items() if model.images_from == "generator")
    raise UsageError(
        f"'{method.name}' is of kind '{method.kind}' and learns nothing; expected a method of kind "
        f"{kinds}, such as 'ours'"
    )


def require_generator(method: Method) -> GeneratorMethod:
    """Return a method if a generator makes its images.

    Raises:
        UsageError: it is of another kind.
    """
    if method.images_from == "generator" or method.images_from == "weights":
        return method
    raise UsageError(
        f"'{method.name}' is of kind '{method.kind}' and has no generator; expected a method that "
        "'hdbench train' trains, or one that 'hdbench import-weights' wrote"
    )
