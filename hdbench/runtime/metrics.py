"""The metrics of a job: one JSON object per line, on disk before each checkpoint."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hdbench.storage import write_atomically


class MetricsLog:
    """Appends one row per step; a resumed job drops the rows after its checkpoint."""

    def __init__(self, path: Path, step: int) -> None:
        """Open the log after the completed steps of the checkpoint that the job resumes from."""
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(path, text.encode())
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: dict[str, Any]) -> None:
        """Write one row and flush it."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Flush every row to the disk, before a checkpoint of its step is saved."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file; a last line that a crash cut off is dropped."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
