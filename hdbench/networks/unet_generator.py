"""The U-Net generator of pix2pix (Isola et al., CVPR 2017, Sec. 3.2 and 6.1).

Shapes: B batch, C input channels, H x W image; base n = 64 in the paper, with 8 downsamplings:

    encoder  Cn-C2n-C4n-C8n-C8n-C8n-C8n-C8n   4x4 convolutions, stride 2; LeakyReLU 0.2 before each
    decoder  CD8n-CD8n-CD8n-C8n-C4n-C2n-Cn-3  transposed, after ReLU; D drops values with p = 0.5

Each decoder layer but the first also reads the encoder's map of its size. Batch norm uses the
statistics of the images at hand, in synthesis too; the first encoder layer and the innermost one
have none. No convolution but the last has a bias (the authors' program).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hdbench.networks.generator import require_divisible
from hdbench.networks.layers import BatchNorm2d, ConditionConv2d, initialise
from hdbench.networks.noise import Dropout

#: Decoder layers, from the innermost, that drop values.
_NOISY = 3
_SLOPE = 0.2  # of LeakyReLU


class UNetGenerator(nn.Module):
    """Encoder and decoder with a skip connection at each size.

    The paper has 64 ``base_channels``, which double at each of 8 ``downsamplings`` up to eight
    times as many, and drops values with probability 0.5.
    """

    def __init__(
        self, in_channels: int, base_channels: int, downsamplings: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [base_channels * 2 ** min(level, 3) for level in range(downsamplings)]
        self.divisor = 2**downsamplings
        self.first = ConditionConv2d(in_channels, widths[0], 4, stride=2, padding=1, bias=False)
        down = [
            _down(widths[level - 1], widths[level], norm=level < downsamplings - 1)
            for level in range(1, downsamplings)
        ]
        self.encoder = nn.ModuleList(down)
        up: list[nn.Module] = []
        for number, level in enumerate(range(downsamplings - 1, 0, -1)):
            read = widths[level] * (1 if number == 0 else 2)
            up.append(_up(read, widths[level - 1], dropout if number < _NOISY else 0.0))
        self.decoder = nn.ModuleList(up)
        last = nn.ConvTranspose2d(2 * widths[0], 3, kernel_size=4, stride=2, padding=1)
        self.to_image = nn.Sequential(nn.ReLU(), last, nn.Tanh())
        initialise(self)

    def forward(self, condition: Tensor) -> Tensor:
        """Return images in [-1, 1], ``B x 3 x H x W``, for a condition ``B x C x H x W``.

        Raises:
            ValueError: H or W does not divide by ``divisor``.
        """
        require_divisible(condition, self.divisor, type(self).__name__)
        maps = [self.first(condition)]
        for layer in self.encoder:
            maps.append(layer(maps[-1]))
        x = maps.pop()
        for layer in self.decoder:
            x = torch.cat([layer(x), maps.pop()], dim=1)
        return self.to_image(x)


def halvings(width: int, height: int) -> int:
    """Return how often both sides of an image can be halved."""
    return min((side & -side).bit_length() - 1 for side in (width, height))


def _down(channels_in: int, channels_out: int, norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(
        nn.LeakyReLU(_SLOPE), convolution, *([BatchNorm2d(channels_out)] if norm else [])
    )


def _up(channels_in: int, channels_out: int, dropout: float) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False)
    noise = [Dropout(dropout)] if dropout else []
    return nn.Sequential(nn.ReLU(), convolution, BatchNorm2d(channels_out), *noise)
