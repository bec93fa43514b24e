"""Digests of files, computed again only if a file changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hdbench.provenance import file_digest
from hdbench.runtime.progress import progress
from hdbench.storage import write_atomically


class FileDigests:
    """Digests of files by path, size and modification time, cached in a JSON file."""

    def __init__(self, memory: Path) -> None:
        """Read the cache, which may be deleted at any time."""
        self._memory = memory
        self._known: dict[str, list[Any]] = {}
        if memory.is_file():
            try:
                self._known = json.loads(memory.read_text())
            except ValueError:  # a damaged cache costs time, nothing else
                self._known = {}

    def of(
        self,
        paths: Iterable[Path],
        compute: Callable[[Path], str] = file_digest,
        fresh: bool = False,
    ) -> list[str]:
        """Return the digest of each file, reading only those that changed.

        ``compute`` is a module's function; the digests of each function are cached under its name.
        If it raises an error, the digests before that are cached. ``fresh`` reads every file again.
        """
        digests: list[str] = []
        changed = False
        try:
            for path in progress(list(paths), desc="hashing", unit="file", delay=2):
                stat = path.stat()
                key = f"{compute.__name__} {path.resolve()}"
                # A program may set the modification time; the change time shows that it did.
                stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
                known = self._known.get(key)
                if fresh or known is None or known[:-1] != stamp:
                    known = [*stamp, compute(path)]
                    self._known[key] = known
                    changed = True
                digests.append(known[-1])
        finally:
            if changed:
                write_atomically(self._memory, json.dumps(self._known).encode())
        return digests
