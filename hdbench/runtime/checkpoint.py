"""Checkpoints of a job, written so that a crash at any moment leaves a readable one."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdbench.errors import CheckpointError, DivergedError, listing
from hdbench.storage import write_atomically

_KEPT = 2  # the newest, and one more in case the newest is damaged
#: After the state: what it is, and the SHA-256 of all bytes before it, in hexadecimal.
_SEAL, _DIGITS = b"\nsha256 ", 64


class Checkpoints:
    """The checkpoints of one job, newest last; older ones are deleted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """Return the checkpoints in the order of their steps."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Save a state atomically, if all weights are finite, and delete all but the newest two.

        Raises:
            DivergedError: a weight is not finite; nothing is written.
            StorageError: the folder cannot be written.
        """
        bad = [name for name, tensor in _tensors(state) if not _finite(tensor)]
        if bad:
            raise DivergedError(
                f"step {step}: weights are not finite, so they were not saved\n{listing(bad, 5)}"
            )
        buffer = io.BytesIO()
        torch.save({"step": step, **state}, buffer)
        path = self.folder / f"step-{step:08d}.pt"
        write_atomically(path, _sealed(buffer.getvalue()))
        for old in self.paths()[:-_KEPT]:
            old.unlink()
        for scratch in self.folder.glob(".step-*.tmp"):  # left by a process that was killed
            scratch.unlink()
        return path

    def load_latest(self) -> dict[str, Any] | None:
        """Return the newest intact state, or None without checkpoints.

        A damaged one is named on standard error, and the one before it is taken. Raises
        CheckpointError if there are checkpoints and none can be read.
        """
        failures: list[str] = []
        for path in reversed(self.paths()):
            try:
                content = io.BytesIO(_unsealed(path.read_bytes()))
                state = torch.load(content, map_location="cpu", weights_only=True)
            except (
                ValueError,
                RuntimeError,
                EOFError,
                OSError,
                pickle.UnpicklingError,
                zipfile.BadZipFile,
            ):
                failures.append(f"{path}: damaged")
                continue
            for failure in failures:
                print(f"hdbench: {failure}; resuming from {path.name}", file=sys.stderr)
            return state
        if failures:
            raise CheckpointError(
                f"{self.folder}: no readable checkpoint\n{listing(failures)}\n"
                "Next: start over with --restart, which moves the old run aside."
            )
        return None


def _sealed(content: bytes) -> bytes:
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def _unsealed(content: bytes) -> bytes:
    """Return a checkpoint's bytes without their digest, if any; ValueError if it is another's."""
    place = len(content) - len(_SEAL) - _DIGITS
    if place < 0 or content[place : place + len(_SEAL)] != _SEAL:
        return content  # of a version that wrote no digest
    if _sealed(content[:place]) != content:
        raise ValueError
    return content[:place]


def _tensors(state: Any, path: str = "") -> list[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        return [(path, state)]
    if isinstance(state, dict):
        return [found for key, value in state.items() for found in _tensors(value, f"{path}.{key}")]
    if isinstance(state, list | tuple):
        return [found for n, value in enumerate(state) for found in _tensors(value, f"{path}.{n}")]
    return []


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
