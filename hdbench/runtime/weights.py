"""Weight files: written, read without running code, and compared with a network."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from hdbench.errors import CheckpointError, counted, listing
from hdbench.provenance import tensors_digest
from hdbench.storage import write_atomically

#: Keys under which checkpoints of training code hold the weights.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
#: The prefix that data-parallel training adds to every name.
_PREFIX = "module."
_ENHANCER = re.compile(r"enhancers\.(\d+)\.")
_LISTED = 6  # differences that a message shows


# -- hdbench's own files ---------------------------------------------------------------------------


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


def load_weights(path: Path, network: nn.Module, digest: str | None = None) -> None:
    """Load a safetensors file into a network of the same architecture and width.

    ``digest`` is the expected ``weights_digest``; None does not check it. Raises CheckpointError if
    the file is missing or damaged, its digest is another, or its tensors are of another network.
    """
    state = read_weights(path)
    if digest is not None:
        require_digest(path, state_digest(state), digest)
    require_same_shapes(str(path), state, network)
    network.load_state_dict(state)


def require_weights(path: Path, digest: str) -> None:
    """Check that a weights file's tensors have a ``weights_digest``, in whatever precision.

    Raises:
        CheckpointError: the file is missing or damaged, or holds other weights.
    """
    require_digest(path, stored_digest(path), digest)


def stored_digest(path: Path) -> str:
    """Return ``weights_digest`` of what a weights file holds.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    return state_digest(read_weights(path))


def require_digest(path: Path, found: str, expected: str) -> None:
    """Check the digest of a file's content against the card beside it; raises CheckpointError."""
    if found != expected:
        raise CheckpointError(
            f"{path}: its content hashes to {found[:12]}, the card beside it says {expected[:12]}; "
            "one of the two files was replaced.\n"
            "Next: train or import it again; where it came with hdbench, install hdbench again"
        )


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of a network's tensors as fp32, whatever their precision."""
    return state_digest(network.state_dict())


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the ``weights_digest`` of a state dict."""
    return tensors_digest(
        {
            name: value.float() if value.is_floating_point() else value
            for name, value in state.items()
        }
    )


# -- foreign files ---------------------------------------------------------------------------------


def read_weights(path: Path, trust: bool | None = None) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    A ``.safetensors`` file holds only tensors. Any other file is read as PyTorch's pickle with
    ``weights_only=True``, which builds tensors and plain containers; a pickle could otherwise call
    any function on this machine. Wrappers in checkpoints (``state_dict``, ``model``) and the prefix
    ``module.`` are removed. ``trust`` reads the whole pickle, even if that runs code of its author;
    it is None if the user has no such option.

    Raises:
        CheckpointError: the file is missing or damaged, needs code that is not trusted, or holds no
            tensors by name.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; expected weights (.safetensors, .pth or .bin)"
        )
    if path.suffix == ".safetensors":
        try:
            return load_safetensors(path.read_bytes())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: damaged or not safetensors ({error})") from None
    return _unwrapped(path, _unpickled(path, trust))


def _unpickled(path: Path, trust: bool | None) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = _asked_for(path, str(error))
        if not asked:
            raise _damaged(path, error) from None
        if not trust:
            way = "" if trust is None else ", or pass --trust if you know who made the file"
            raise CheckpointError(
                f"{path}: holds more than tensors; it needs\n{listing(asked)}\n"
                "Reading a pickle can call any function with your rights on this machine, so "
                f"hdbench reads only tensors.\nNext: get the weights as .safetensors{way}"
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
    """Return the functions and classes that a pickle names beyond plain weights."""
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


# -- compared with a network -----------------------------------------------------------------------


def differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return one line for each tensor that is missing, unknown, or of another shape."""
    lines = [f"{name}: missing in the file" for name in expected if name not in state]
    lines += [f"{name}: not in this network" for name in state if name not in expected]
    lines += [
        f"{name}: file {_shape(state[name])}, this network {_shape(expected[name])}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    return lines


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def require_same_shapes(where: str, state: Mapping[str, Tensor], network: nn.Module) -> None:
    """Check that stored tensors fit a network; CheckpointError lists the first few differences."""
    lines = differences(state, network.state_dict())
    has, needs = _enhancers(state), _enhancers(network.state_dict())
    if has != needs:
        raise CheckpointError(
            f"{where}: weights of a generator with {counted(has, 'enhancer')}; this method's has "
            f"{needs}\nNext: use the method that it was trained with, or train again; stages of "
            "one training add enhancers ([[stage]] of the method)."
        )
    if lines:
        raise CheckpointError(
            f"{where}: weights of another architecture or width than this method has on this "
            f"benchmark ({counted(len(lines), 'difference')})\n{listing(lines, _LISTED)}\n"
            "Next: use the method and benchmark that it was trained with, or train again."
        )


def _enhancers(state: Mapping[str, Tensor]) -> int:
    """Return how many local enhancers the names of a generator's tensors speak of."""
    return len({found[1] for name in state if (found := _ENHANCER.match(name))})


def fitted(
    where: str, what: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return foreign tensors, by the network's names, after checking that they fit its state dict.

    Batch norm's step counters are added as zeros if the file has none, as in files from before
    PyTorch 0.4.1; evaluation does not use them. CheckpointError lists the first few differences.
    """
    counters = {
        name: torch.zeros_like(value, device="cpu")
        for name, value in expected.items()
        if name.endswith("num_batches_tracked") and name not in state
    }
    full = {**state, **counters}
    refuse(where, what, differences(full, expected))
    return full


def refuse(where: str, what: str, lines: list[str]) -> None:
    """Raise CheckpointError if there are differences from what a network expects."""
    if lines:
        raise CheckpointError(
            f"{where}: not the weights of {what} ({counted(len(lines), 'difference')})\n"
            f"{listing(lines, _LISTED)}"
        )
