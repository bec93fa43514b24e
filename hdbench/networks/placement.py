"""Where a tensor's layers are computed: some have forms that are quick on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

_PLANNED_FOR_GPU = ContextVar("planned for a GPU", default=False)


def on_cpu(x: Tensor) -> bool:
    """Return whether a tensor is computed on a CPU, so that layers take the forms for it."""
    return x.device.type == "cpu" and not _PLANNED_FOR_GPU.get()


def in_memory(x: Tensor) -> bool:
    """Return whether NumPy can read a tensor: on a CPU, and not merely planned (``--plan``)."""
    return x.device.type == "cpu" and not isinstance(x, FakeTensor)


@contextlib.contextmanager
def planned_for_gpu() -> Iterator[None]:
    """Let layers take the forms for a GPU, though their tensors, which hold no values, have none.

    ``hdbench train --plan`` adds up the memory of a GPU on machines without one.
    """
    token = _PLANNED_FOR_GPU.set(True)
    try:
        yield
    finally:
        _PLANNED_FOR_GPU.reset(token)
