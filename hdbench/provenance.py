"""Where numbers come from: hashes of everything they depend on, versions, derived seeds."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdbench import __version__

if TYPE_CHECKING:
    import torch

_PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "numpy", "pillow", "pandas")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: the value holds a NaN or an infinity.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of named tensors: names, dtypes, shapes and exact values, in name order.

    The container (checkpoint, safetensors, device) does not change it.
    """
    import torch

    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def derived_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part; independent streams take other words."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def differing_fields(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Return, as ``path: a -> b`` lines, where two nested JSON values differ."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        lines: list[str] = []
        for key in sorted({*ours, *theirs}):
            where = f"{path}.{key}" if path else str(key)
            lines += differing_fields(ours.get(key), theirs.get(key), where)
        return lines
    if ours == theirs:
        return []
    return [f"{path}: {_short(ours)} -> {_short(theirs)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def versions() -> dict[str, str]:
    """Return the versions of hdbench, Python, the platform and the packages that compute."""
    found = {"hdbench": __version__, "python": platform.python_version()}
    found["platform"] = platform.platform()
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    commit = _commit()
    if commit:
        found["commit"] = commit
    return found


def _commit() -> str | None:
    """Return the commit of hdbench's own checkout, with ``+`` if changed, or None."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
