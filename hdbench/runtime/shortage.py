"""Running out of memory, on a GPU or a CPU, told as an error that says what to lower."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from hdbench.errors import MemoryShortage
from hdbench.runtime.checkpoint import Checkpoints

#: What PyTorch's errors say where the memory of a CPU does not suffice: its allocator's words on
#: Linux and elsewhere, and oneDNN's.
_CPU_WORDS = (
    "can't allocate memory",
    "not enough memory",
    "could not create a memory",
)


def is_shortage(error: BaseException) -> bool:
    """Return whether an error says that memory does not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _CPU_WORDS)


@contextlib.contextmanager
def shortage_explained(
    what: str, advice: Callable[[], str], folder: Path | None = None
) -> Iterator[None]:
    """Turn a shortage of memory into an error for the user.

    Args:
        what: what was tried: method, size, precision, batch, device.
        advice: returns what to lower, in order; called only after a shortage.
        folder: of the job whose checkpoints stay, if it has any.

    Raises:
        MemoryShortage: memory did not suffice.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        said = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        # The frames of the traceback hold the tensors that filled the memory.
        error.__traceback__ = error.__context__ = error.__cause__ = None
    else:
        return
    lines = [f"out of memory: {what}", f"  {said}", _given(advice)]
    if folder is not None:
        saved = Checkpoints(folder / "checkpoints").paths()
        kept = f"{saved[-1]} is kept" if saved else f"{folder} has no checkpoint yet"
        lines.append(f"{kept}; with more memory free, the same command resumes")
    raise MemoryShortage("\n".join(lines))


def _given(advice: Callable[[], str]) -> str:
    try:
        return advice()
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        return "no memory is left for an estimate; end other programs and try again"


def lower(*steps: str) -> Callable[[], str]:
    """Return advice that lists what to lower, in order."""
    listed = "\n".join(f"  {n}. {step}" for n, step in enumerate(steps, start=1))
    return lambda: f"Next, in this order:\n{listed}"
