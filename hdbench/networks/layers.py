"""The layers that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.networks.placement import on_cpu


class InstanceNorm2d(nn.Module):
    """Instance normalisation without affine parameters, with right gradients in any memory format.

    On the CPU each image's channels are the channels of one batch norm, which computes the same and
    is faster. For batch 1 both of PyTorch's CPU kernels read a channels-last gradient in the wrong
    order where the batch dimension's stride, which no element needs, is not the usual one; a
    ``view`` is enough for that, and nothing warns. So input and gradient are made contiguous; a
    single image without gradient keeps its format.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each image, ``B x C x H x W``."""
        if not on_cpu(x):
            return F.instance_norm(x, eps=self.eps)
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        if len(x) == 1 and channels_last and not x.requires_grad:
            return F.batch_norm(x, None, None, training=True, eps=self.eps)
        channels = x.contiguous().view(1, -1, *x.shape[2:])
        normalised = F.batch_norm(channels, None, None, training=True, eps=self.eps)
        if normalised.requires_grad:
            normalised.register_hook(Tensor.contiguous)
        return normalised.view(x.shape)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the images at hand, in synthesis as in training.

    So pix2pix does. Its scales start at N(1, 0.02), as the convolutions start at N(0, 0.02).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)
        nn.init.normal_(self.weight, 1.0, 0.02)


class ConditionConv2d(nn.Conv2d):
    """A convolution over one-hot labels: channels that are zero everywhere are left out.

    A scene holds about half of Cityscapes' labels, so half of the widest layers' work adds zeros.
    Outputs and the weights' gradients are those of ``Conv2d``, up to the order in which floats are
    summed. A channel that is left out gets a gradient of 0 itself, not ``Conv2d``'s: nobody asks
    for that of labels, but a continuous input that is 0 all over could not learn to leave it.

    Where the input is a condition followed by an image, ``of_condition`` and ``with_image`` give
    the sum in two parts, so that images of one scene share the first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of ``B x C x H x W``."""
        return self.of_condition(*without_empty_channels(x))

    def of_condition(self, condition: Tensor, used: Tensor | None) -> Tensor:
        """Return the convolution, bias included, of the input's first channels, ``B x c x H x W``.

        ``used`` says which channels of the input these are; None for the first ``c``.
        """
        if used is None:
            weight = self.weight[:, : condition.shape[1]]
        else:
            weight = self.weight.index_select(1, used)
            if self.weight.is_contiguous(memory_format=torch.channels_last):
                weight = weight.contiguous(memory_format=torch.channels_last)
        return self._conv_forward(condition, weight, self.bias)

    def with_image(self, of_condition: Tensor, image: Tensor) -> Tensor:
        """Add the convolution of the input's last channels, ``B x c x H x W``."""
        weight = self.weight[:, -image.shape[1] :]
        return of_condition + self._conv_forward(image, weight, None)


class NarrowConv2d(nn.Conv2d):
    """A convolution to a few channels, stride 1 and no padding, that fills a CPU's vectors.

    The CPU's kernels compute 16 output channels at a time, and three cost what 16 do. So every row
    of a channel's kernel is given an output channel (21 kernels 1x7 for three 7x7), and a pixel
    sums its kernel's rows from as many rows of the map. In bf16 that sum is taken in fp32.
    """

    #: Input channels from which it pays; a quarter of the paper's width gains nothing by it.
    MANY = 32

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of ``B x C x H x W``."""
        if not on_cpu(x) or self.in_channels < self.MANY:
            return super().forward(x)
        rows = self.kernel_size[0]
        height = x.shape[2] - rows + 1
        weight = self.weight.permute(2, 0, 1, 3)  # rows of the kernel, out, in, columns
        by_row = F.conv2d(x, weight.flatten(0, 1).unsqueeze(2))
        assert self.bias is not None
        wide = torch.promote_types(self.bias.dtype, torch.float32)
        output = self.bias.to(wide)[:, None, None]
        for row, summand in enumerate(by_row.unflatten(1, (rows, -1)).unbind(1)):
            output = output + summand[:, :, row : row + height]
        return output.to(by_row.dtype)


class DeepConv2d(nn.Conv2d):
    """A convolution, stride 1 and no padding, of many channels over a small map.

    In bf16 on a CPU the product of weights and unfolded map is quicker than the kernels for
    convolution, above all in the weights' gradient.
    """

    #: Channels from which the product is quicker; at 128 it takes half as long again.
    MANY = 512

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of ``B x C x H x W``."""
        reduced = on_cpu(x) and torch.is_autocast_enabled("cpu")
        if not reduced or self.in_channels < self.MANY:
            return super().forward(x)
        rows, columns = self.kernel_size
        patches = F.unfold(x, (rows, columns))
        output = torch.matmul(self.weight.flatten(1), patches)
        output = output.unflatten(2, (x.shape[2] - rows + 1, x.shape[3] - columns + 1))
        assert self.bias is not None
        return output + self.bias[:, None, None].to(output.dtype)


class ReflectedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution, 3x3 with stride 2, whose map is mirrored beyond its border.

    The map is enlarged by two. Of what lies beyond it, only the row below and the column at the
    right reach the output; PyTorch takes them as zeros, and knows no other padding here.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, stride=2, padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return ``B x C x 2H x 2W`` for ``B x C x H x W``, H and W at least 2."""
        assert output_size is None
        mirrored = F.pad(x, (0, 1, 0, 1), mode="reflect")
        return super().forward(mirrored)[..., :-1, :-1]


def without_empty_channels(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the channels of ``B x C x H x W`` that are not zero everywhere, and their indices.

    Where none is left out the indices are None; on a GPU, which would have to wait for the
    answer, none ever is.
    """
    if not on_cpu(x):
        return x, None
    least, most = x.detach().amin(dim=(0, 2, 3)), x.detach().amax(dim=(0, 2, 3))
    used = torch.nonzero((least != 0) | (most != 0)).flatten()
    if len(used) in (0, x.shape[1]):
        return x, None
    return x.index_select(1, used), used


def initialise(module: nn.Module) -> None:
    """Draw every convolution's weight from N(0, 0.02), as the official ``weights_init`` does."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)


def halved(x: Tensor) -> Tensor:
    """Return the next level of the input pyramid, ``B x C x H/2 x W/2`` (rounded up).

    Average pooling 3x3, stride 2, padding 1, padding not counted (official implementation).
    """
    return F.avg_pool2d(x, kernel_size=3, stride=2, padding=1, count_include_pad=False)
