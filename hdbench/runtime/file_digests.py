"""Digests of files, each computed once as long as the file stays the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hdbench.provenance import file_digest
from hdbench.runtime.progress import progress
from hdbench.storage import write_atomically


class FileDigests:
    """Digests of files, remembered between calls by path, size and modification time.

    Args:
        memory: JSON file that keeps them; it is only a cache and may be deleted.
    """

    def __init__(self, memory: Path) -> None:
        """Open the memory, or begin an empty one."""
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

        Args:
            paths: the files.
            compute: a module's function from a file to its digest; each function's digests are
                remembered under its own name.
            fresh: read every file again, whatever is remembered.

        Raises:
            Exception: whatever ``compute`` does; the digests before it are remembered.
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
