"""The coarse-to-fine generator of pix2pixHD (Sec. 3.2 and Appendix B of the paper).

Shapes: B batch, C input channels (labels, boundary), H x W image; base n = 64 in the paper.

    GlobalGenerator  c7s1-n, d2n, d4n, d8n, d16n, R16n x 9, u8n, u4n, u2n, un, c7s1-3
    LocalEnhancer    at twice the resolution: c7s1-n/2, dn, [+ last feature map of the level below],
                     Rn x 3, un/2, c7s1-3
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hdbench.networks.layers import (
    ConditionConv2d,
    DeepConv2d,
    InstanceNorm2d,
    NarrowConv2d,
    ReflectedConvTranspose2d,
    halved,
    initialise,
)

#: What PyTorch calls the paddings of method files.
_MODES: dict[str, Literal["zeros", "reflect"]] = {"zeros": "zeros", "reflection": "reflect"}


def convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    """c7s1-k: reflection padding, 7x7 convolution, instance norm, ReLU."""
    return [
        nn.ReflectionPad2d(3),
        ConditionConv2d(channels_in, channels_out, kernel_size=7),
        InstanceNorm2d(),
        nn.ReLU(),
    ]


def down(channels: int, padding: str = "zeros") -> list[nn.Module]:
    """dk: 3x3 convolution with stride 2 to twice the channels."""
    mode = _MODES[padding]
    return [
        nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1, padding_mode=mode),
        InstanceNorm2d(),
        nn.ReLU(),
    ]


def up(channels: int, upsample: str, padding: str = "zeros") -> list[nn.Module]:
    """uk: twice the size and half the channels, by one of two ways (``Generator.upsample``)."""
    half = channels // 2
    if upsample == "nearest":
        enlarge: list[nn.Module] = [
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(channels, half, kernel_size=3, padding=1, padding_mode=_MODES[padding]),
        ]
    elif padding == "reflection":
        enlarge = [ReflectedConvTranspose2d(channels, half)]
    else:
        enlarge = [
            nn.ConvTranspose2d(channels, half, kernel_size=3, stride=2, padding=1, output_padding=1)
        ]
    return [*enlarge, InstanceNorm2d(), nn.ReLU()]


def to_output(channels: int, padding: str = "reflection", out_channels: int = 3) -> nn.Sequential:
    """c7s1-3 with tanh: features to an image, or to a style, in [-1, 1]."""
    pad = nn.ReflectionPad2d(3) if padding == "reflection" else nn.ZeroPad2d(3)
    return nn.Sequential(pad, NarrowConv2d(channels, out_channels, kernel_size=7), nn.Tanh())


class ResidualBlock(nn.Module):
    """Rk: two 3x3 convolutions with reflection padding, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1),
            DeepConv2d(channels, channels, kernel_size=3),
            InstanceNorm2d(),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            DeepConv2d(channels, channels, kernel_size=3),
            InstanceNorm2d(),
        )
        #: Whether a training keeps only the block's input, and computes it again for gradients.
        self.recompute = False

    def forward(self, x: Tensor) -> Tensor:
        """Return input plus residual."""
        if self.recompute and torch.is_grad_enabled():
            inner = checkpoint(self.block, x, use_reentrant=False, preserve_rng_state=False)
            return x + inner
        return x + self.block(x)


def recompute_blocks(network: nn.Module) -> int:
    """Let all residual blocks keep their input alone in training; return how many there are."""
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    for block in blocks:
        block.recompute = True
    return len(blocks)


class GlobalGenerator(nn.Module):
    """G1: the whole image at the lowest resolution.

    The paper has 64 ``base_channels`` at full resolution, 4 ``downsamplings`` before the residual
    blocks (H and W must divide by 2 to this power), and 9 ``residual_blocks``. ``upsample`` and the
    paddings are as a method file states them (``Generator``); by default they are the paper's.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        downsamplings: int,
        residual_blocks: int,
        upsample: str = "transposed",
        output_padding: str = "reflection",
        resampling_padding: str = "zeros",
    ) -> None:
        super().__init__()
        channels = base_channels
        layers = convolution(in_channels, channels)
        for _ in range(downsamplings):
            layers += down(channels, resampling_padding)
            channels *= 2
        layers += [ResidualBlock(channels) for _ in range(residual_blocks)]
        for _ in range(downsamplings):
            layers += up(channels, upsample, resampling_padding)
            channels //= 2
        self.divisor = 2**downsamplings
        self.body = nn.Sequential(*layers)
        self.to_image = to_output(channels, output_padding)
        initialise(self)

    def features(self, condition: Tensor) -> Tensor:
        """Return the last feature map, ``B x base_channels x H x W``, that enhancers build on."""
        require_divisible(condition, self.divisor, type(self).__name__)
        return self.body(condition)

    def forward(self, condition: Tensor) -> Tensor:
        """Return images in [-1, 1], ``B x 3 x H x W``, for a condition ``B x C x H x W``.

        Raises:
            ValueError: H or W does not divide by ``divisor``.
        """
        return self.to_image(self.features(condition))


class Enhancer(nn.Module):
    """One level of local enhancement: a front-end, then blocks over the sum with the level below.

    ``channels`` are those of the level below; this level outputs half as many.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        residual_blocks: int,
        upsample: str,
        resampling_padding: str,
    ) -> None:
        super().__init__()
        half = channels // 2
        self.front_end = nn.Sequential(
            *convolution(in_channels, half), *down(half, resampling_padding)
        )
        self.blocks = nn.Sequential(
            *[ResidualBlock(channels) for _ in range(residual_blocks)],
            *up(channels, upsample, resampling_padding),
        )

    def forward(self, condition: Tensor, below: Tensor) -> Tensor:
        """Return features ``B x channels/2 x H x W`` from the level below at half the size."""
        return self.blocks(self.front_end(condition) + below)


class LocalEnhancer(nn.Module):
    """{G1, G2, ...}: a global generator with any number of enhancers, each doubling the size.

    ``base_channels`` are those at the highest resolution; the global generator gets ``base_channels
    * 2**enhancers`` (P App. B: 32 and 64 for one enhancer).
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        downsamplings: int,
        residual_blocks: int,
        enhancers: int,
        enhancer_blocks: int,
        upsample: str = "transposed",
        output_padding: str = "reflection",
        resampling_padding: str = "zeros",
    ) -> None:
        super().__init__()
        channels = base_channels * 2**enhancers
        ways = (upsample, output_padding, resampling_padding)
        coarse = GlobalGenerator(in_channels, channels, downsamplings, residual_blocks, *ways)
        self.divisor = coarse.divisor * 2**enhancers
        self.global_body = coarse.body  # G1 without its final 7x7 convolution
        levels = [channels // 2**level for level in range(enhancers)]
        self.enhancers = nn.ModuleList(
            Enhancer(in_channels, width, enhancer_blocks, upsample, resampling_padding)
            for width in levels
        )
        self.to_image = to_output(base_channels, output_padding)
        initialise(self)

    def forward(self, condition: Tensor) -> Tensor:
        """Return images in [-1, 1], ``B x 3 x H x W``, for a condition ``B x C x H x W``.

        Raises:
            ValueError: H or W does not divide by ``divisor``.
        """
        require_divisible(condition, self.divisor, type(self).__name__)
        pyramid = [condition]
        for _ in self.enhancers:
            pyramid.append(halved(pyramid[-1]))
        features = self.global_body(pyramid.pop())
        for enhancer in self.enhancers:
            features = enhancer(pyramid.pop(), features)
        return self.to_image(features)


def require_divisible(x: Tensor, divisor: int, name: str) -> None:
    """Raise ValueError, with the nearest sizes that fit, unless both sides of a map divide."""
    height, width = x.shape[-2:]
    if height % divisor or width % divisor:
        raise ValueError(
            f"{name}: {width}x{height} images do not divide by {divisor}; "
            f"nearest that do: {_nearest(width, divisor)}x{_nearest(height, divisor)}"
        )


def _nearest(side: int, divisor: int) -> int:
    return max(1, round(side / divisor)) * divisor
