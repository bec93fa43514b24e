"""The processes of one job that ``torchrun`` starts (ranks)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from hdbench.errors import RankError, UsageError

Value = TypeVar("Value")
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Ranks wait for the slowest, and while the first one writes; torchrun ends all if one fails.
_PATIENCE = timedelta(days=7)
_MEETING = timedelta(minutes=10)  # until all have started
#: What PyTorch's errors say when the process at the other end of a connection has ended.
_LOST = ("connection closed by peer", "connection reset", "broken pipe", "connection refused")


@dataclass(frozen=True)
class Ranks:
    """One process of a job; all ranks call the same methods in the same order."""

    #: 0 to ``count - 1``. The first writes files and prints.
    rank: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, work: Sequence[Value]) -> Sequence[Value]:
        """Return this rank's part of a list that is the same on all."""
        return work[self.rank :: self.count]

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Call ``make`` on the first rank alone, and return its value on all ranks.

        Raises:
            RankError: on the other ranks, if ``make`` failed on the first, which raises its error.
        """
        if self.count == 1:
            return make()
        values: list[Any] = [None, False]
        try:
            if self.first:
                values = [make(), True]
        finally:
            distributed.broadcast_object_list(values, src=0)
        value, made = values
        if not made:
            raise RankError(f"rank {self.rank} ends because rank 0 failed; its message says why")
        return value

    def merged(self, mine: dict[int, Value]) -> dict[int, Value]:
        """Return the entries of all ranks, on all ranks."""
        if self.count == 1:
            return mine
        parts: list[Any] = [None] * self.count
        distributed.all_gather_object(parts, mine)
        return {key: value for part in parts for key, value in part.items()}

    def largest(self, number: int) -> int:
        """Return the largest of the numbers of all ranks, on all ranks."""
        if self.count == 1:
            return number
        found = torch.tensor(number)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return int(found)

    def mean(self, values: Tensor) -> Tensor:
        """Return the elementwise mean over ranks of a tensor without gradient."""
        if self.count == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.count

    def means(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean over ranks of each of some scalars."""
        if self.count == 1 or not values:
            return dict(values)
        stacked = torch.stack([value.detach() for value in values.values()])
        return dict(zip(values, self.mean(stacked), strict=True))

    def parallel(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are the means over all ranks; itself on one rank.

        Its forward pass and the backward pass that follows are one pass of all ranks.
        """
        if self.count == 1:
            return module
        return DistributedDataParallel(module, gradient_as_bucket_view=True)

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Run the block on the first rank, then on the others, which find its files.

        Raises:
            RankError: on the other ranks, if the block failed on the first.
        """
        if not self.first:
            self.from_first(lambda: None)
            yield
            return
        made = False
        try:
            yield
            made = True
        finally:
            if self.count > 1:
                distributed.broadcast_object_list([None, made], src=0)


#: A job of one process.
ALONE = Ranks(0, 1)


class SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks, through which gradients flow to all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return the sum."""
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the sum of the ranks' gradients: each rank's tensor is part of every sum."""
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


@contextlib.contextmanager
def joined_ranks(device: torch.device | None = None) -> Iterator[Ranks]:
    """Join the process group of ``torchrun``, if it started this process.

    Tensors on a GPU go through NCCL, those on a CPU through gloo. ``device`` is where this rank
    computes.

    Raises:
        UsageError: some of torchrun's environment variables are missing.
        RankError: another rank has ended.
    """
    given = [name for name in _VARIABLES if name in os.environ]
    if "RANK" not in given or os.environ.get("WORLD_SIZE") == "1":
        yield ALONE
        return
    if len(given) < len(_VARIABLES):
        missing = ", ".join(name for name in _VARIABLES if name not in given)
        raise UsageError(
            f"RANK is set and {missing} is not; start hdbench by "
            "'torchrun --nproc-per-node N -m hdbench ...', or unset RANK"
        )
    on_gpu = device is not None and device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    try:
        store, _, _ = next(rendezvous("env://", rank, count, timeout=_MEETING))
    except distributed.DistError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RankError(
            f"rank {rank} of {count} did not meet the others at {place}: {error}"
        ) from None
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    distributed.init_process_group(
        backend, timeout=_PATIENCE, store=store, rank=rank, world_size=count
    )
    try:
        yield Ranks(rank, count)
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise RankError(
            f"rank {rank} ends because another rank has ended; that rank's message, or torchrun's "
            "below, says which and why. What was saved is kept; the same command resumes"
        ) from None
    finally:
        with contextlib.suppress(RuntimeError):
            distributed.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    if isinstance(error, distributed.DistError):
        return True
    return any(words in str(error).lower() for words in _LOST)


def require_alone(what: str) -> None:
    """Raise UsageError if torchrun started this process for something that one process does."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ:
        raise UsageError(
            f"{what} is not shared among the processes of torchrun; start it without torchrun"
        )
