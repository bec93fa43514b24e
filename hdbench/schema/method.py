"""Method files (``models/*.toml``): how images are made from labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hdbench.schema.base import LibraryFile, Positive, Rate, Table, Weight


class Input(Table):
    """What the generator sees."""

    #: ``instances-or-labels``: boundaries of instances, and of label regions where a dataset has
    #: no instance maps. ``none``: labels only.
    boundaries: Literal["instances-or-labels", "none"]


class Generator(Table):
    """The coarse-to-fine generator."""

    #: Channels at the full resolution of the global generator, multiplied by the benchmark's
    #: ``budget.width``; they double at each halving.
    base_channels: Positive
    #: Halvings before the residual blocks, at most the benchmark's ``budget.downsamplings``.
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


class Pix2PixHD(LibraryFile):
    """A method of the pix2pixHD family: trained by ``hdbench train``."""

    kind: Literal["pix2pixhd"]
    input: Input
    generator: Generator
    discriminator: Discriminator
    loss: Loss
    optimizer: Optimizer


class Floor(LibraryFile):
    """A method that learns nothing; what a score must beat to mean anything."""

    kind: Literal["floor"]
    #: Which one (``hdbench/floors.py``).
    floor: Literal["mean-colour", "nearest", "patchwork"]


class Oracle(LibraryFile):
    """The dataset's own photographs, scored on the path of every method."""

    kind: Literal["oracle"]


class Images(LibraryFile):
    """Images that another program made: ``hdbench import-images`` writes such a file."""

    kind: Literal["images"]


Method = Pix2PixHD | Floor | Oracle | Images

#: The model of each ``kind``.
KINDS: dict[str, type[Method]] = {
    "pix2pixhd": Pix2PixHD,
    "floor": Floor,
    "oracle": Oracle,
    "images": Images,
}
