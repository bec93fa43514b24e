"""Checkpoints that survive a crash at any time, and weights files with checked digests."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from hdbench.errors import CheckpointError, DivergedError, counted, listing
from hdbench.provenance import tensors_digest
from hdbench.storage import write_atomically

_KEPT = 2  # the newest, and one more in case the newest is damaged


class Checkpoints:
    """The checkpoints of one job, newest last; older ones are deleted.

    Args:
        folder: their folder, which the first save creates.
    """

    def __init__(self, folder: Path) -> None:
        """Remember the folder."""
        self.folder = folder

    def paths(self) -> list[Path]:
        """Return the checkpoints in the order of their steps."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Save a state atomically and delete all but the newest two.

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
        write_atomically(path, buffer.getvalue())
        for old in self.paths()[:-_KEPT]:
            old.unlink()
        for scratch in self.folder.glob(".step-*.tmp"):  # left by a process that was killed
            scratch.unlink()
        return path

    def load_latest(self) -> dict[str, Any] | None:
        """Return the newest state that can be read, or None if there is none at all.

        Raises:
            CheckpointError: there are checkpoints and none can be read.
        """
        failures: list[str] = []
        for path in reversed(self.paths()):
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile):
                failures.append(f"{path}: damaged")
        if failures:
            raise CheckpointError(
                f"{self.folder}: no readable checkpoint\n{listing(failures)}\n"
                "Next: start over with --restart, which moves the old run aside."
            )
        return None


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


def save_weights(path: Path, network: nn.Module, facts: dict[str, str]) -> None:
    """Write a network's weights as safetensors, with facts about them in the header."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    write_atomically(path, save_safetensors(state, metadata=facts))


def halve_parameters(network: nn.Module) -> None:
    """Round parameters to fp16, in place; buffers keep fp32, as variances may overflow fp16."""
    for parameter in network.parameters():
        parameter.data = parameter.data.half()


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of a network's tensors as fp32, in whatever precision they are stored."""
    return state_digest(network.state_dict())


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return what ``weights_digest`` returns, for a state dict."""
    return tensors_digest(
        {
            name: value.float() if value.is_floating_point() else value
            for name, value in state.items()
        }
    )


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a safetensors file into a network of the same architecture and width.

    Raises:
        CheckpointError: the file is missing or damaged, or its tensors are of another network.
    """
    state = _read_safetensors(path)
    require_same_shapes(str(path), state, network)
    network.load_state_dict(state)


def require_weights(path: Path, expected: str) -> None:
    """Check the digest of a safetensors file's tensors, in whatever precision they are stored.

    Args:
        path: the file.
        expected: what ``weights_digest`` gave for the network that was stored.

    Raises:
        CheckpointError: the file is missing or damaged, or holds other weights.
    """
    found = state_digest(_read_safetensors(path))
    if found != expected:
        raise CheckpointError(
            f"{path}: its tensors hash to {found[:12]}, the card beside it says {expected[:12]}; "
            "one of the two files was replaced.\nNext: install hdbench again, or train it again"
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_safetensors(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged or not safetensors ({error})") from None


def require_same_shapes(where: str, state: dict[str, Any], network: nn.Module) -> None:
    """Check that stored tensors are those of a network.

    Raises:
        CheckpointError: names or shapes differ; the first few differences are listed.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in state.items()}
    differences = [f"{name}: missing in the file" for name in expected if name not in stored]
    differences += [f"{name}: not in this network" for name in stored if name not in expected]
    differences += [
        f"{name}: file {_shape(stored[name])}, this network {_shape(expected[name])}"
        for name in expected
        if name in stored and stored[name] != expected[name]
    ]
    if differences:
        raise CheckpointError(
            f"{where}: weights of another architecture or width than this method has on this "
            f"benchmark ({counted(len(differences), 'difference')})\n{listing(differences, 4)}\n"
            "Next: use the method and benchmark that it was trained with, or train anew."
        )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape) or "scalar"
