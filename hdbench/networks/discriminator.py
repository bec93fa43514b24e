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
    BatchNorm2d,
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
    the first layer and 3 strided ``layers``. ``padding`` and ``norm`` are as a method file states
    them (``Discriminator``); by default they are the paper's.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        layers: int,
        padding: int = 2,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        widths = [base_channels * 2 ** min(n, 3) for n in range(layers + 1)]
        # The first reads the labels, and is not normalised.
        first = ConditionConv2d(in_channels, widths[0], kernel_size=4, stride=2, padding=padding)
        stages = [nn.Sequential(first, nn.LeakyReLU(_SLOPE))]
        for n in range(1, layers + 1):
            stride = 2 if n < layers else 1
            stages.append(_layer(widths[n - 1], widths[n], stride, padding, norm))
        stages.append(nn.Sequential(nn.Conv2d(widths[-1], 1, kernel_size=4, padding=padding)))
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

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        layers: int,
        scales: int,
        padding: int = 2,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, base_channels, layers, padding, norm)
            for _ in range(scales)
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


def smallest_side(layers: int, scales: int, padding: int) -> int:
    """Return the shortest side of an image that ``scales`` discriminators of ``layers`` can judge.

    At the coarsest scale every strided layer then has two pixels to halve, and the last ones have
    more than one to normalise; in smaller images they would read their padding alone.
    """
    return 2 ** (layers + scales - 1) * (1 if padding == 2 else 3)


def _layer(
    channels_in: int, channels_out: int, stride: int, padding: int, norm: str
) -> nn.Sequential:
    """Ck: 4x4 convolution, norm, LeakyReLU 0.2."""
    batch = norm == "batch"  # which has a shift of its own in place of the bias
    convolution = nn.Conv2d(
        channels_in, channels_out, 4, stride=stride, padding=padding, bias=not batch
    )
    normalised = BatchNorm2d(channels_out) if batch else InstanceNorm2d()
    return nn.Sequential(convolution, normalised, nn.LeakyReLU(_SLOPE))
