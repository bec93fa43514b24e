"""Method files (``models/*.toml``): how images are made from labels."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from hdbench.errors import UsageError
from hdbench.schema.base import AddedLater, LibraryFile, NotCompared, Positive, Rate, Table, Weight

#: Follows a method's name where the best generator of its run is meant.
BEST_SUFFIX = "@best"


class Input(Table):
    """The generator's input."""

    #: ``instances-or-labels``: boundaries of instances, and of label regions where a dataset has
    #: no instance maps. ``none``: labels only.
    boundaries: Literal["instances-or-labels", "none"]


class Generator(Table):
    """The coarse-to-fine generator."""

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


class Loss(Table):
    """The weights of the objective."""

    #: ``lsgan``: least squares, targets 1 and 0; ``log``: the log loss of Eq. 2.
    gan: Literal["lsgan", "log"]
    #: Weight of the discriminator feature matching (Eq. 4); 0 leaves it out.
    feature_matching: Weight
    #: Weight of the perceptual loss, which compares features of the benchmark's perceptual network
    #: (VGG-19 in the paper); 0 leaves it out.
    perceptual: Weight


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
    """A method of the pix2pixHD family."""

    images_from: ClassVar[Literal["generator"]] = "generator"
    kind: Literal["pix2pixhd"]
    input: Input
    generator: Generator
    #: Trained together with the generator, which gets the styles as further channels of its input;
    #: None: images have no styles.
    encoder: Annotated[Encoder | None, AddedLater(None)] = None
    discriminator: Discriminator
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
    generator: Generator
    #: None where no discriminator was imported.
    discriminator: Discriminator | None = None
    #: None: the generator reads no styles.
    encoder: Encoder | None = None
    digests: Digests


#: The methods that ``hdbench train`` trains. Another generator for the same objective is a table
#: beside ``Generator`` with its own ``network``, a row of ``ARCHITECTURES`` in
#: ``hdbench/networks/builder.py``, and a network.
TrainedMethod = Pix2PixHD
#: The methods whose images a generator makes.
GeneratorMethod = TrainedMethod | Weights
Method = TrainedMethod | Weights | Floor | Oracle | Images

#: The model of each ``kind``.
KINDS: dict[str, type[Method]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(Method)
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
