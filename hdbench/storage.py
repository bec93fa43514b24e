"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hdbench.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there, also after a crash or a power cut.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the error that says which file could not be written, why, and what to do."""
    return StorageError(
        f"{path}: cannot be written ({error.strerror}); "
        "check permissions and free space, or choose another --workspace"
    )
