"""The feature encoder of pix2pixHD (Sec. 3.4 of the paper): from photographs to styles.

Shapes: B batch, H x W photograph, S channels of a style (3 in the paper); base n = 16 in the paper.

    FeatureEncoder  c7s1-n, d2n, d4n, d8n, d16n, u8n, u4n, u2n, un, c7s1-S, tanh, then the mean over
                    each instance
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hdbench.networks.generator import convolution, down, require_divisible, to_output, up
from hdbench.networks.layers import initialise
from hdbench.networks.placement import in_memory


class FeatureEncoder(nn.Module):
    """E: one style for each instance of a photograph.

    The paper has 16 ``base_channels``, 4 ``downsamplings`` (H and W must divide by 2 to this power)
    and 3 channels of a style.
    """

    def __init__(
        self,
        base_channels: int,
        downsamplings: int,
        style_channels: int,
        upsample: str = "transposed",
    ) -> None:
        super().__init__()
        channels = base_channels
        layers = convolution(3, channels)
        for _ in range(downsamplings):
            layers += down(channels)
            channels *= 2
        for _ in range(downsamplings):
            layers += up(channels, upsample)
            channels //= 2
        self.divisor = 2**downsamplings
        self.style_channels = style_channels
        self.body = nn.Sequential(*layers)
        self.to_style = to_output(channels, out_channels=style_channels)
        initialise(self)

    def forward(self, image: Tensor, regions: Tensor) -> Tensor:
        """Return styles ``B x S x H x W`` in [-1, 1], the same at every pixel of an instance.

        Args:
            image: photographs in [-1, 1], ``B x 3 x H x W``.
            regions: ids of instances, ``B x H x W``; of classes where a dataset has no instances.

        Raises:
            ValueError: H or W does not divide by ``divisor``.
        """
        require_divisible(image, self.divisor, type(self).__name__)
        return instance_average(self.to_style(self.body(image)), regions)


def instance_average(features: Tensor, regions: Tensor) -> Tensor:
    """Return features whose value at a pixel is the mean over the pixel's instance (Sec. 3.4).

    Instances of two images of a batch are two instances, also where they have the same id.

    Args:
        features: ``B x C x H x W``.
        regions: integer ids ``B x H x W`` of at most 32 bits.
    """
    return _InstanceAverage.apply(features, *_runs(regions))


def _runs(regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the runs of equal ids in a batch of maps, read row by row.

    Instances are connected for the most part, so there are far fewer runs than pixels, and only
    runs need sorting. Returned are, as int64, the length of each run, the instance of each run,
    and the pixels of each instance.
    """
    ids = regions.flatten(1)
    starts = _starts(ids)
    lengths = starts.diff(append=starts.new_full((1,), ids.numel()))
    # Ids of 32 bits, negative ones too, stay apart from those of the next image.
    of_image = (starts // ids.shape[1]) << 32
    instances, instance_of_run = torch.unique(
        ids.flatten()[starts].long() + of_image, return_inverse=True
    )
    pixels = torch.zeros(len(instances), dtype=torch.int64, device=regions.device)
    return lengths, instance_of_run, pixels.index_add_(0, instance_of_run, lengths)


class _InstanceAverage(torch.autograd.Function):
    """The mean over instances; it is its own adjoint, so the gradient takes the same way."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, *runs: Tensor) -> Tensor:
        ctx.save_for_backward(*runs)
        return _average(features, *runs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        runs = ctx.saved_tensors
        return _average(gradient, *runs), *(None for _ in runs)


def _average(features: Tensor, lengths: Tensor, instance_of_run: Tensor, pixels: Tensor) -> Tensor:
    by_channel = features.transpose(0, 1).flatten(1)
    wide = by_channel if by_channel.dtype == torch.float64 else by_channel.float()
    sums = torch.zeros(len(wide), len(pixels), dtype=torch.float64, device=features.device)
    sums.index_add_(1, instance_of_run, _summed(wide, lengths).double())
    of_runs = (sums / pixels).to(wide.dtype).index_select(1, instance_of_run)
    batch, channels, height, width = features.shape
    spread = _repeated(of_runs, lengths, batch * height * width).to(features.dtype)
    return spread.view(channels, batch, height, width).transpose(0, 1)


def _starts(ids: Tensor) -> Tensor:
    """Return the first pixel of each run of ``B x pixels``, counted through all images."""
    begins = torch.ones_like(ids, dtype=torch.bool)  # as each image does
    torch.ne(ids[:, 1:], ids[:, :-1], out=begins[:, 1:])
    if in_memory(ids):
        return torch.from_numpy(np.flatnonzero(begins.numpy()))
    return begins.flatten().nonzero().flatten()


def _summed(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the sums of ``C x pixels`` over runs, ``C x runs``."""
    if in_memory(values):  # NumPy takes a third of the time
        starts = lengths.cumsum(0) - lengths
        return torch.from_numpy(np.add.reduceat(values.numpy(), starts.numpy(), axis=1))
    return torch.stack([torch.segment_reduce(one, "sum", lengths=lengths) for one in values])


def _repeated(values: Tensor, lengths: Tensor, pixels: int) -> Tensor:
    """Return each of ``C x runs`` as often as its run is long, ``C x pixels``."""
    if in_memory(values):
        return torch.from_numpy(np.repeat(values.numpy(), lengths.numpy(), axis=1))
    return values.repeat_interleave(lengths, dim=1, output_size=pixels)
