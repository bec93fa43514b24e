"""The folder of a job: reserved for one process, and for one job."""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hdbench.errors import CheckpointError, listing
from hdbench.provenance import differing_fields
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.storage import cannot_write, write_atomically

IDENTITY_FILE = "identity.json"


@contextlib.contextmanager
def claimed(
    folder: Path, identity: dict[str, Any], restart: bool, ranks: Ranks = ALONE
) -> Iterator[None]:
    """Reserve a run's folder for this process and its ranks, and for this job.

    ``identity`` is everything that the outcome depends on, as JSON values. ``restart`` moves the
    folder's content aside first; otherwise CheckpointError is raised if the folder belongs to
    another job, and in any case if another process works there.
    """

    def claim() -> None:
        if restart and folder.exists():
            move_aside(folder)
        if (folder / IDENTITY_FILE).is_file():
            require_identity(folder, identity)
        else:
            write_atomically(folder / IDENTITY_FILE, json.dumps(identity, indent=2).encode())

    with held_by_first(folder, ranks):
        ranks.from_first(claim)
        yield


def finished(output: Path, require_own: Callable[[], None], ranks: Ranks = ALONE) -> bool:
    """Return whether a job's last file is there; ``require_own`` checks that it is of this job.

    All ranks answer as the first one does, and raise what it raises.
    """
    if not ranks.from_first(output.is_file):
        return False
    ranks.from_first(require_own)
    return True


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a folder, which need not exist yet; CheckpointError if another process works there."""
    lock = folder.with_name(f".{folder.name}.lock")  # beside it, so that a restart cannot move it
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise cannot_write(lock, error) from error
    with file:
        try:
            # A record lock ends with its process, however that ends; decoding workers do not
            # inherit it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"{folder}: another hdbench process is working here; "
                "wait for it, stop it, or use another --workspace or --seed"
            ) from None
        yield


@contextlib.contextmanager
def held_by_first(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Lock a folder (``held``) in the first rank, for all of them."""
    with contextlib.ExitStack() as stack:
        ranks.from_first(lambda: stack.enter_context(held(folder)))
        yield


def move_aside(folder: Path) -> None:
    """Rename a folder to ``<name>.before-<time>``."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder.rename(folder.with_name(f"{folder.name}.before-{stamp}"))


def require_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Raise CheckpointError, with the differences, if a folder belongs to another job."""
    try:
        known = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
    except ValueError:
        known = {"damaged": True}
    if known != identity:
        raise CheckpointError(
            f"{folder}: holds another job; what differs (there -> here):\n"
            f"{listing(differing_fields(known, identity))}\n"
            "Next: train with --restart, which moves it aside and starts again; "
            "another --seed or --workspace keeps both."
        )
