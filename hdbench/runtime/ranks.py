"""The processes of one job that ``torchrun`` starts (ranks)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed

from hdbench.errors import UsageError

Value = TypeVar("Value")
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Ranks wait for the slowest, and while the first one writes; torchrun ends all if one fails.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """One process of a job; all ranks call the same methods in the same order."""

    #: 0 to ``count - 1``. The first writes files and prints.
    rank: int
    count: int

    def share(self, work: Sequence[Value]) -> Sequence[Value]:
        """Return this rank's part of a list that is the same on all."""
        return work[self.rank :: self.count]

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Call ``make`` on the first rank alone, and return its value on all ranks."""
        if self.count == 1:
            return make()
        values: list[Any] = [make() if self.rank == 0 else None]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def merged(self, mine: dict[int, Value]) -> dict[int, Value]:
        """Return the entries of all ranks, on all ranks."""
        if self.count == 1:
            return mine
        parts: list[Any] = [None] * self.count
        distributed.all_gather_object(parts, mine)
        return {key: value for part in parts for key, value in part.items()}

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Run the block on the first rank, then on the others, which find its files."""
        if self.count > 1 and self.rank > 0:
            distributed.barrier()
        yield
        if self.count > 1 and self.rank == 0:
            distributed.barrier()


#: A job of one process.
ALONE = Ranks(0, 1)


@contextlib.contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the process group of ``torchrun``, if it started this process.

    Raises:
        UsageError: some of torchrun's environment variables are missing.
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
    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
