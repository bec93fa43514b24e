"""From a method file and a benchmark's budget to networks."""

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
from hdbench.errors import UsageError
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.encoder import FeatureEncoder
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer
from hdbench.schema.benchmark import Budget
from hdbench.schema.image_input import ImageInput
from hdbench.schema.method import Encoder, GeneratorMethod, Input, Pix2PixHD


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

    #: From the method, the channels of the condition and the budget to fresh weights. The network
    #: makes ``B x 3 x H x W`` in [-1, 1] of a condition ``B x C x H x W``.
    generator: Callable[[Any, int, Budget], nn.Module]
    #: From the method and the budget to what both sides of an image must divide by.
    divisor: Callable[[Any, Budget], int]
    #: From the method and the budget to the shortest side of an image that passes.
    smallest: Callable[[Any, Budget], int]
    #: From the method and the budget to what a training's summary says of the network.
    words: Callable[[Any, Budget], str]


def build_generator(method: GeneratorMethod, condition_channels: int, budget: Budget) -> nn.Module:
    """Return the generator of a method with fresh weights.

    Its input is a condition of ``condition_channels``, and styles where the method has an encoder.
    """
    channels = condition_channels + style_channels(method)
    return _architecture(method).generator(method, channels, _limits(method, budget))


def build_encoder(method: GeneratorMethod, budget: Budget) -> FeatureEncoder | None:
    """Return the feature encoder of a method with fresh weights; None if it has no styles."""
    spec = method.encoder
    if spec is None:
        return None
    budget = _limits(method, budget)
    base, strided = scaled(spec.base_channels, budget.width), _encoder_downsamplings(spec, budget)
    return FeatureEncoder(base, strided, spec.style_channels, method.generator.upsample)


def style_channels(method: GeneratorMethod) -> int:
    """Return the channels of a method's styles, which the generator gets after the condition."""
    return 0 if method.encoder is None else method.encoder.style_channels


def side_divisor(method: GeneratorMethod, budget: Budget) -> int:
    """Return what both sides of an image must divide by to pass generator and encoder."""
    limits = _limits(method, budget)
    divisor = _architecture(method).divisor(method, limits)
    return math.lcm(divisor, _encoder_divisor(method, limits))


def smallest_side(method: GeneratorMethod, budget: Budget) -> int:
    """Return the shortest side of an image that generator and encoder take."""
    limits = _limits(method, budget)
    smallest = _architecture(method).smallest(method, limits)
    return max(smallest, 2 * _encoder_divisor(method, limits))


def generator_words(method: GeneratorMethod, budget: Budget) -> str:
    """Return the method's generator in words."""
    return _architecture(method).words(method, _limits(method, budget))


def _architecture(method: GeneratorMethod) -> Architecture:
    return ARCHITECTURES[method.generator.network]


def _encoder_divisor(method: GeneratorMethod, budget: Budget) -> int:
    if method.encoder is None:
        return 1
    return 2 ** _encoder_downsamplings(method.encoder, budget)


def _encoder_downsamplings(spec: Encoder, budget: Budget) -> int:
    return min(spec.downsamplings, budget.downsamplings)


def downsamplings(method: Pix2PixHD, budget: Budget) -> int:
    """Return how often the global generator halves its input before its residual blocks."""
    return min(method.generator.downsamplings, budget.downsamplings)


def _coarse_to_fine(
    method: Pix2PixHD, in_channels: int, budget: Budget
) -> GlobalGenerator | LocalEnhancer:
    spec, strided = method.generator, downsamplings(method, budget)
    # G1 is as wide with enhancers as without, so that it can be trained before them.
    widest = scaled(spec.base_channels, budget.width)
    base = widest // 2**spec.enhancers
    if base == 0:
        raise UsageError(
            f"method '{method.name}': [generator] enhancers = {spec.enhancers}; each halves the "
            f"{widest} channels that base_channels = {spec.base_channels} and the benchmark's "
            f"[budget] width = {budget.width:g} leave, so at most {widest.bit_length() - 1} fit"
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


def _coarse_to_fine_divisor(method: Pix2PixHD, budget: Budget) -> int:
    return 2 ** (downsamplings(method, budget) + method.generator.enhancers)


def _coarse_to_fine_smallest(method: Pix2PixHD, budget: Budget) -> int:
    return 2 * _coarse_to_fine_divisor(method, budget)  # a map of one pixel cannot be mirrored


def _coarse_to_fine_words(method: Pix2PixHD, budget: Budget) -> str:
    return f"{downsamplings(method, budget)} downsamplings"


#: The generator networks by their name in method files (``[generator] network``).
ARCHITECTURES = {
    "coarse-to-fine": Architecture(
        _coarse_to_fine,
        _coarse_to_fine_divisor,
        _coarse_to_fine_smallest,
        _coarse_to_fine_words,
    )
}

#: In place of a benchmark's budget: networks have the channels and the downsamplings that their
#: method states, as those of imported weights do.
AS_STATED = Budget.model_construct(width=1.0, downsamplings=sys.maxsize)


def _limits(method: GeneratorMethod, budget: Budget) -> Budget:
    """Return the budget that limits a method's networks: none limits those of imported weights."""
    return AS_STATED if method.images_from == "weights" else budget


def build_discriminator(
    method: Pix2PixHD, in_channels: int, budget: Budget
) -> MultiscaleDiscriminator:
    """Return fresh discriminators of a method, for condition and image of ``in_channels``."""
    spec = method.discriminator
    base = scaled(spec.base_channels, budget.width)
    return MultiscaleDiscriminator(in_channels, base, spec.layers, spec.scales)


def scaled(channels: float, width: float) -> int:
    """Return channels times width, a multiple of 4 and at least 4."""
    return max(4, 4 * round(channels * width / 4))
