"""The multi-scale PatchGAN discriminators of pix2pixHD (Sec. 3.2 and Appendix B).

Shapes: B batch, C condition channels, H x W image. Each scale is C64-C128-C256-C512 and one
convolution to a map of logits, at strides 2, 2, 2, 1, 1 (the official implementation; the
appendix writes stride 2 for C512 too).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.networks.layers import (
    ConditionConv2d,
    InstanceNorm2d,
    halved,
    initialise,
    without_empty_channels,
)

_SLOPE = 0.2  # of LeakyReLU (official implementation)


class PatchDiscriminator(nn.Module):
    """One discriminator: overlapping patches of condition and image to a map of logits.

    ``in_channels`` are those of condition and image together; the paper has 64 ``base_channels`` in
    the first layer and 3 strided ``layers``.
    """

    def __init__(self, in_channels: int, base_channels: int, layers: int) -> None:
        super().__init__()
        widths = [base_channels * 2 ** min(n, 3) for n in range(layers + 1)]
        stages = [_layer(in_channels, widths[0], stride=2, norm=False)]
        for n in range(1, layers + 1):
            stride = 2 if n < layers else 1
            stages.append(_layer(widths[n - 1], widths[n], stride=stride, norm=True))
        stages.append(nn.Sequential(nn.Conv2d(widths[-1], 1, kernel_size=4, padding=2)))
        self.stages = nn.ModuleList(stages)
        initialise(self)

    def forward(self, reading: Tensor, images: Tensor) -> list[Tensor]:
        """Return the intermediate feature maps and, last, the logits ``B x 1 x h x w``.

        ``reading`` is what ``read`` returned for the condition; images are ``B x 3 x H x W`` in
        [-1, 1].
        """
        maps = [F.leaky_relu(self._first.with_image(reading, images), _SLOPE)]
        for stage in list(self.stages)[1:]:
            maps.append(stage(maps[-1]))
        return maps

    def read(self, condition: Tensor, used: Tensor | None) -> Tensor:
        """Return the condition's part of the first convolution (``ConditionConv2d``)."""
        return self._first.of_condition(condition, used)

    @property
    def _first(self) -> ConditionConv2d:
        return cast(ConditionConv2d, cast(nn.Sequential, self.stages[0])[0])


class MultiscaleDiscriminator(nn.Module):
    """The same discriminator at scales 1, 1/2, 1/4, ... (Eq. 3), 3 of them in the paper."""

    def __init__(self, in_channels: int, base_channels: int, layers: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, base_channels, layers) for _ in range(scales)
        )

    def forward(self, readings: Sequence[Tensor], images: Tensor) -> list[list[Tensor]]:
        """Return each scale's feature maps and logits, full resolution first."""
        outputs = []
        for n, (discriminator, reading) in enumerate(zip(self.scales, readings, strict=True)):
            if n:
                images = halved(images)
            outputs.append(discriminator(reading, images))
        return outputs

    def read(self, condition: Tensor) -> list[Tensor]:
        """Return the condition's part of each scale's first convolution, full resolution first."""
        condition, used = without_empty_channels(condition)
        readings = []
        for n, discriminator in enumerate(self.scales):
            assert isinstance(discriminator, PatchDiscriminator)
            if n:
                condition = halved(condition)
            readings.append(discriminator.read(condition, used))
        return readings


def smallest_side(layers: int, scales: int) -> int:
    """Return the shortest side of an image that ``scales`` discriminators of ``layers`` can judge.

    At the coarsest scale every strided layer then has two pixels to halve; in smaller images the
    last layers would read their padding, and normalise maps of a single element.
    """
    return 2 ** (layers + scales - 1)


def _layer(channels_in: int, channels_out: int, stride: int, norm: bool) -> nn.Sequential:
    """Ck: 4x4 convolution with padding 2, instance norm (not on the first), LeakyReLU 0.2."""
    kind = nn.Conv2d if norm else ConditionConv2d  # the first reads the labels
    convolution = kind(channels_in, channels_out, kernel_size=4, stride=stride, padding=2)
    return nn.Sequential(convolution, *([InstanceNorm2d()] if norm else []), nn.LeakyReLU(_SLOPE))
