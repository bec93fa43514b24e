"""The least time that this machine needs: operations over its rate, bytes over its bandwidth."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

#: Sides of the square matrices that are multiplied, and bytes of the array that is copied.
SIDE = 2048
BYTES = 256 * 2**20


def seconds(compute: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest of some runs, after one that warms up."""
    compute()
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        compute()
        best = min(best, time.perf_counter() - began)
    return best


def matrix_rate(dtype: torch.dtype) -> float:
    """Return the measured operations per second of a matrix product, an addition being one."""
    one, other = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    return 2 * SIDE**3 / seconds(lambda: one @ other)


def bandwidth() -> float:
    """Return the measured bytes per second of a copy, read and written bytes together."""
    source = torch.ones(BYTES // 4)
    target = torch.empty_like(source)
    return 2 * BYTES / seconds(lambda: target.copy_(source))
