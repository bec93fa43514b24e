"""Reading weights files of other projects, without running their code unless the user agrees."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hdbench.errors import CheckpointError, listing

#: Under which key training code keeps the weights in its checkpoints.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
#: What data-parallel training puts before every name.
_PREFIX = "module."


def read_state_dict(path: Path, trust: bool) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    A ``.safetensors`` file holds tensors and nothing else. Any other file is read as PyTorch's
    pickle with ``weights_only=True``, which builds tensors and plain containers and refuses the
    rest; a pickle may otherwise name any function of this machine, which is then called. What
    wraps the weights in a checkpoint (``state_dict``, ``model``) and the prefix ``module.`` are
    taken off.

    Args:
        path: the file.
        trust: read it whole, also where that runs code of whoever made the file.

    Raises:
        CheckpointError: the file is missing or damaged, asks for code and ``trust`` is off, or
            holds no tensors by name.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; expected weights (.safetensors, .pth or .bin)"
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: damaged or not safetensors ({error})") from None
    return _unwrapped(path, _unpickled(path, trust))


def _unpickled(path: Path, trust: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = _asked_for(path, str(error))
        if not asked:
            raise _damaged(path, error) from None
        if not trust:
            raise CheckpointError(
                f"{path}: not only tensors; it asks for\n{listing(asked)}\n"
                "A pickle can call any function when it is read, with your rights on this machine, "
                "so hdbench reads tensors alone.\n"
                "Next: get the weights as .safetensors, or pass --trust if you know who made the "
                "file and would run their programs"
            ) from None
    except Exception as error:  # torch, pickle and zip files fail in a dozen unrelated ways
        raise _damaged(path, error) from None
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # the file's own code may raise anything
        raise CheckpointError(
            f"{path}: cannot be read even when trusted ({type(error).__name__}: "
            f"{str(error)[:160]}); the packages that it was saved with are probably missing here"
        ) from None


def _asked_for(path: Path, message: str) -> list[str]:
    """Return the functions and classes that a pickle names and that plain weights do not need."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (ValueError, RuntimeError, OSError, zipfile.BadZipFile, pickle.UnpicklingError):
        # The format before PyTorch 1.6 cannot be listed; the error names the first one.
        return re.findall(r"(?:GLOBAL|global|class|function) ([\w.]+\.[\w.]+)", message)[:1]


def _damaged(path: Path, error: Exception) -> CheckpointError:
    kind = "a TorchScript archive" if _is_torchscript(path) else "damaged, or no weights of PyTorch"
    return CheckpointError(f"{path}: {kind} ({type(error).__name__}: {str(error)[:160]})")


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _unwrapped(path: Path, content: Any) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
        )
    ):
        raise CheckpointError(
            f"{path}: holds no state dict; expected tensors by name, or a checkpoint with them "
            f"under one of {', '.join(_WRAPPERS)}"
        )
    return {name.removeprefix(_PREFIX): value for name, value in content.items()}


def differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return one line for each tensor that is missing, unknown, or of another shape.

    Args:
        state: what a file holds.
        expected: what the network holds; its values are not looked at.
    """
    lines = [f"{name}: missing in the file" for name in expected if name not in state]
    lines += [f"{name}: not in this network" for name in state if name not in expected]
    lines += [
        f"{name}: file {list(state[name].shape)}, this network {list(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    return lines


def with_batch_counters(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return a state dict with batch norm's step counters as zeros where it has none.

    Files from before PyTorch 0.4.1, and some sync batch norms, do not store them; nothing that is
    computed in evaluation mode depends on them.
    """
    counters = {
        name: torch.zeros_like(value, device="cpu")
        for name, value in expected.items()
        if name.endswith("num_batches_tracked") and name not in state
    }
    return {**state, **counters}
