"""From a method file, and what a benchmark allows, to networks."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hdbench.data.inputs import scaled_input
from hdbench.data.scene import Batch, boundary_map, one_hot
from hdbench.errors import UsageError, counted
from hdbench.networks.cascaded_refinement import CascadedRefinementNetwork, modules_within
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.encoder import FeatureEncoder
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer
from hdbench.networks.unet_generator import UNetGenerator, halvings
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.schema.image_input import ImageInput
from hdbench.schema.method import (
    UNET_LEAST,
    CascadedRefinement,
    CoarseToFine,
    Encoder,
    GeneratorMethod,
    Input,
    UNet,
)


@dataclass(frozen=True)
class Limits:
    """What limits the size of the networks that a method file states."""

    #: Multiplies their channels.
    width: float
    #: The most downsamplings before residual blocks.
    downsamplings: int
    #: Of the images, which a deep network halves again and again; None: as deep as it is stated.
    size: Size | None


#: Networks have the channels and the depth that their method states, as imported weights do.
AS_STATED = Limits(1.0, sys.maxsize, None)


def limits_of(benchmark: Benchmark) -> Limits:
    """Return what a benchmark allows the networks that are trained on it."""
    budget = benchmark.budget
    return Limits(budget.width, budget.downsamplings, benchmark.size)


@dataclass(frozen=True)
class Conditioning:
    """What generator and discriminators are told about a scene."""

    #: Channels of the one-hot labels.
    label_channels: int
    #: Whether the boundary map is among the channels.
    boundaries: bool
    #: The input image, which takes the place of the labels; None where there is none.
    image: ImageInput | None = None

    @property
    def channels(self) -> int:
        """Channels of the condition."""
        first = self.label_channels if self.image is None else self.image.channels
        return first + self.boundaries

    def __call__(self, batch: Batch) -> Tensor:
        """Return float B x channels x H x W: labels or input image, then the boundary map.

        Labels are one-hot; an input image is scaled from its range to [-1, 1].
        """
        if self.image is None:
            maps = [one_hot(batch.label, self.label_channels)]
        else:
            assert batch.input is not None
            maps = [scaled_input(batch.input, self.image)]
        if self.boundaries:
            maps.append(boundary_map(batch.regions))
        return torch.cat(maps, dim=1)


def conditioning(
    method: GeneratorMethod, label_channels: int, image: ImageInput | None = None
) -> Conditioning:
    """Return the conditioning that a method file asks for, given what a benchmark's inputs are."""
    return Conditioning(label_channels, has_boundaries(method.input, image), image)


def has_boundaries(given: Input, image: ImageInput | None) -> bool:
    """Return whether a boundary map is part of the condition: method and input must allow it."""
    return given.boundaries == "instances-or-labels" and (image is None or image.boundaries)


@dataclass(frozen=True)
class Architecture:
    """How one generator network is built; a new one is a row of ``ARCHITECTURES``."""

    #: From its table, the channels of the condition and the limits to fresh weights. The network
    #: makes ``B x 3N x H x W``, N images that are in [-1, 1], of a condition ``B x C x H x W``.
    generator: Callable[[Any, int, Limits], nn.Module]
    #: From its table and the limits to what both sides of an image must divide by.
    divisor: Callable[[Any, Limits], int]
    #: From its table and the limits to the shortest side of an image that passes.
    smallest: Callable[[Any, Limits], int]
    #: From its table and the limits to what a training's summary says of the network.
    words: Callable[[Any, Limits], str]
    #: From its table and the limits to the table of the network that is built.
    stated: Callable[[Any, Limits], Any]


def build_generator(method: GeneratorMethod, condition_channels: int, limits: Limits) -> nn.Module:
    """Return the generator of a method with fresh weights.

    Its input is a condition of ``condition_channels``, and styles where the method has an encoder.

    Raises:
        UsageError: so many enhancers leave no channels.
    """
    channels = condition_channels + style_channels(method)
    try:
        return _architecture(method).generator(method.generator, channels, _for(method, limits))
    except UsageError as error:
        raise UsageError(f"method '{method.name}': {error}") from None


def build_encoder(method: GeneratorMethod, limits: Limits) -> FeatureEncoder | None:
    """Return the feature encoder of a method with fresh weights; None if it has no styles."""
    if method.encoder is None:
        return None
    spec = stated_encoder(method.encoder, _for(method, limits))
    widths = spec.base_channels, spec.downsamplings, spec.style_channels
    return FeatureEncoder(*widths, method.generator.upsample)


def build_discriminator(
    method: GeneratorMethod, in_channels: int, limits: Limits
) -> MultiscaleDiscriminator:
    """Return fresh discriminators of a method that has some, for ``in_channels``.

    These are the channels of condition and image together.
    """
    spec = method.discriminator
    assert spec is not None
    base = scaled(spec.base_channels, _for(method, limits).width)
    return MultiscaleDiscriminator(
        in_channels, base, spec.layers, spec.scales, spec.padding, spec.norm
    )


def stated_generator(method: GeneratorMethod, limits: Limits) -> Any:
    """Return the table of the network that ``build_generator`` builds."""
    return _architecture(method).stated(method.generator, _for(method, limits))


def stated_encoder(spec: Encoder, limits: Limits) -> Encoder:
    """Return the table of the encoder that ``build_encoder`` builds."""
    update = {
        "base_channels": scaled(spec.base_channels, limits.width),
        "downsamplings": min(spec.downsamplings, limits.downsamplings),
    }
    return spec.model_copy(update=update)


def style_channels(method: GeneratorMethod) -> int:
    """Return the channels of a method's styles, which the generator gets after the condition."""
    return 0 if method.encoder is None else method.encoder.style_channels


def side_divisor(method: GeneratorMethod, limits: Limits) -> int:
    """Return what both sides of an image must divide by to pass generator and encoder."""
    limits = _for(method, limits)
    divisor = _architecture(method).divisor(method.generator, limits)
    return math.lcm(divisor, _encoder_divisor(method, limits))


def smallest_side(method: GeneratorMethod, limits: Limits) -> int:
    """Return the shortest side of an image that generator and encoder take."""
    limits = _for(method, limits)
    smallest = _architecture(method).smallest(method.generator, limits)
    return max(smallest, 2 * _encoder_divisor(method, limits))


def generator_words(method: GeneratorMethod, limits: Limits) -> str:
    """Return the method's generator in words."""
    return _architecture(method).words(method.generator, _for(method, limits))


def _architecture(method: GeneratorMethod) -> Architecture:
    return ARCHITECTURES[method.generator.network]


def _for(method: GeneratorMethod, limits: Limits) -> Limits:
    """Return what limits a method's networks: nothing limits those of imported weights."""
    return AS_STATED if method.images_from == "weights" else limits


def _encoder_divisor(method: GeneratorMethod, limits: Limits) -> int:
    if method.encoder is None:
        return 1
    return 2 ** stated_encoder(method.encoder, limits).downsamplings


def _downsamplings(spec: CoarseToFine, limits: Limits) -> int:
    return min(spec.downsamplings, limits.downsamplings)


def _coarse_to_fine(
    spec: CoarseToFine, in_channels: int, limits: Limits
) -> GlobalGenerator | LocalEnhancer:
    strided = _downsamplings(spec, limits)
    # G1 is as wide with enhancers as without, so that it can be trained before them.
    widest = scaled(spec.base_channels, limits.width)
    base = widest // 2**spec.enhancers
    if base == 0:
        raise UsageError(
            f"[generator] enhancers = {spec.enhancers}; each halves the "
            f"{widest} channels that base_channels = {spec.base_channels} and the benchmark's "
            f"[budget] width = {limits.width:g} leave, so at most {widest.bit_length() - 1} fit"
        )
    ways = (spec.upsample, spec.output_padding, spec.resampling_padding)
    if spec.enhancers == 0:
        return GlobalGenerator(in_channels, base, strided, spec.residual_blocks, *ways)
    return LocalEnhancer(
        in_channels,
        base,
        strided,
        spec.residual_blocks,
        spec.enhancers,
        spec.enhancer_blocks,
        *ways,
    )


def _coarse_to_fine_divisor(spec: CoarseToFine, limits: Limits) -> int:
    return 2 ** (_downsamplings(spec, limits) + spec.enhancers)


def _coarse_to_fine_smallest(spec: CoarseToFine, limits: Limits) -> int:
    return 2 * _coarse_to_fine_divisor(spec, limits)  # a map of one pixel cannot be mirrored


def _coarse_to_fine_words(spec: CoarseToFine, limits: Limits) -> str:
    enhancers = [counted(spec.enhancers, "enhancer")] if spec.enhancers else []
    parts = [
        f"{scaled(spec.base_channels, limits.width)} channels",
        f"{_downsamplings(spec, limits)} downsamplings",
        counted(spec.residual_blocks, "residual block"),
        *enhancers,
    ]
    return ", ".join(parts)


def _coarse_to_fine_stated(spec: CoarseToFine, limits: Limits) -> CoarseToFine:
    update = {
        "base_channels": scaled(spec.base_channels, limits.width),
        "downsamplings": _downsamplings(spec, limits),
    }
    return spec.model_copy(update=update)


def _levels(spec: UNet, limits: Limits) -> int:
    if limits.size is None:
        return spec.downsamplings
    possible = halvings(limits.size.width, limits.size.height)
    return max(UNET_LEAST, min(spec.downsamplings, possible))


def _unet(spec: UNet, in_channels: int, limits: Limits) -> UNetGenerator:
    base = scaled(spec.base_channels, limits.width)
    return UNetGenerator(in_channels, base, _levels(spec, limits), spec.dropout)


def _unet_stated(spec: UNet, limits: Limits) -> UNet:
    base, levels = scaled(spec.base_channels, limits.width), _levels(spec, limits)
    return spec.model_copy(update={"base_channels": base, "downsamplings": levels})


def _modules(spec: CascadedRefinement, limits: Limits) -> int:
    if limits.size is None:
        return len(spec.channels)
    return min(len(spec.channels), modules_within(limits.size.width, limits.size.height))


def _cascaded_refinement_stated(spec: CascadedRefinement, limits: Limits) -> CascadedRefinement:
    channels = spec.channels[: _modules(spec, limits)]
    return spec.model_copy(update={"channels": [scaled(one, limits.width) for one in channels]})


def _cascaded_refinement(
    spec: CascadedRefinement, in_channels: int, limits: Limits
) -> CascadedRefinementNetwork:
    channels = _cascaded_refinement_stated(spec, limits).channels
    return CascadedRefinementNetwork(in_channels, channels, spec.images)


#: The generator networks by their name in method files (``[generator] network``).
ARCHITECTURES = {
    "coarse-to-fine": Architecture(
        _coarse_to_fine,
        _coarse_to_fine_divisor,
        _coarse_to_fine_smallest,
        _coarse_to_fine_words,
        _coarse_to_fine_stated,
    ),
    "unet": Architecture(
        _unet,
        lambda spec, limits: 2 ** _levels(spec, limits),
        lambda spec, limits: 2 ** _levels(spec, limits),
        lambda spec, limits: f"U-Net of {_levels(spec, limits)} downsamplings",
        _unet_stated,
    ),
    "cascaded-refinement": Architecture(
        _cascaded_refinement,
        lambda spec, limits: 2 ** (_modules(spec, limits) - 1),
        lambda spec, limits: 2 ** (_modules(spec, limits) - 1),
        lambda spec, limits: f"{_modules(spec, limits)} refinement modules",
        _cascaded_refinement_stated,
    ),
}


def scaled(channels: float, width: float) -> int:
    """Return channels times width, a multiple of 4 and at least 4."""
    return max(4, 4 * round(channels * width / 4))
