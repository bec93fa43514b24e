"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hdbench.errors import DataError, StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there, also after a crash or a power cut.

    Like everything here it raises StorageError if the folder cannot be written or the disk is full.
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


def read_bytes(path: Path) -> bytes:
    """Return a file's content; raises DataError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, in one piece; readers leave out one that was cut short.

    Several processes may append to one file.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            fcntl.lockf(file, fcntl.LOCK_EX)  # network file systems have no atomic appends
            file.seek(0, os.SEEK_END)
            # A line of its own also after one that a kill cut short.
            file.write(b"\n" + line.encode() + b"\n")
    except OSError as error:
        raise cannot_write(path, error) from error


@contextlib.contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Give a folder to be filled, which takes its name when all is in it, also after a power cut.

    Nothing may be at ``path`` yet. Until the end the folder lies hidden beside its place; if it is
    left half filled, it is thrown away, at the latest when the same folder is written again.

    Raises:
        StorageError: it cannot be written, or the disk is full.
    """
    staging = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.unfinished"):
            if left == staging or not _is_running(left.name.split(".")[-2]):
                shutil.rmtree(left)
        staging.mkdir()
        yield staging
        os.sync()  # once for thousands of files; an fsync of each takes minutes on a busy disk
        staging.replace(path)
        os.sync()
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the error that says which file could not be written, why, and what to do."""
    return StorageError(
        f"{path}: cannot be written ({error.strerror}); "
        "check permissions and free space, or choose another folder (--output or --workspace)"
    )
