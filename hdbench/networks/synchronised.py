"""Batch norm whose statistics are those of a whole batch that several ranks share.

PyTorch's ``SyncBatchNorm`` is for GPUs alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from hdbench.errors import UsageError
from hdbench.runtime.ranks import ALONE, Ranks, SumOverRanks

_RANKS = ContextVar("ranks of a training step", default=ALONE)


@contextlib.contextmanager
def statistics_over(ranks: Ranks) -> Iterator[None]:
    """Let the batch norms of ``synchronised`` networks use the images of all ranks meanwhile.

    All ranks must call the same networks. Outside, as when one rank draws samples, each process
    uses the images at hand.
    """
    token = _RANKS.set(ranks)
    try:
        yield
    finally:
        _RANKS.reset(token)


def synchronised(network: nn.Module, ranks: Ranks) -> nn.Module:
    """Replace a network's batch norms by synchronised ones with the same tensors and names.

    Raises:
        UsageError: a batch norm is of a kind that is not known here.
    """
    if ranks.count > 1:
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, _SynchronisedBatchNorm2d(child))
    return network


class _SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that takes over another one's tensors, and the layers that follow inside it."""

    def __init__(self, other: nn.BatchNorm2d) -> None:
        super().__init__(
            other.num_features,
            other.eps,
            other.momentum,
            other.affine,
            other.track_running_stats,
        )
        self.weight, self.bias = other.weight, other.bias
        for name, buffer in other.named_buffers():
            setattr(self, name, buffer)
        self.training = other.training
        for name, child in other.named_children():
            self.add_module(name, child)
        if type(other).forward is not nn.BatchNorm2d.forward and not _is_known(other):
            raise UsageError(
                f"{type(other).__name__}: this batch norm cannot be shared by ranks; "
                "train in one process, or with an encoder that has PyTorch's BatchNorm2d"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Return ``B x C x H x W`` normalised by the mean and variance of all ranks' images."""
        ranks = _RANKS.get()
        by_batch = self.training or self.running_mean is None
        if ranks.count == 1 or not by_batch:
            return self._finished(super().forward(input))
        dtype = torch.promote_types(input.dtype, torch.float32)
        x = input.to(dtype)
        count = x.numel() // x.shape[1] * ranks.count
        mean = SumOverRanks.apply(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = SumOverRanks.apply(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / max(1, count - 1))
        x = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            x = x * self.weight[:, None, None] + self.bias[:, None, None]
        return self._finished(x.to(input.dtype))

    def _finished(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, as PyTorch does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:  # a mean over all steps
            share = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def _is_known(other: nn.BatchNorm2d) -> bool:
    """Return whether this is timm's batch norm, which ends with dropout and an activation."""
    return [name for name, _ in other.named_children()] == ["drop", "act"]
