"""Metrics of a job as one JSON object per line, consistent with its checkpoints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hdbench.storage import write_atomically


class MetricsLog:
    """Appends one row per step; rows after the step that a job resumes from are dropped.

    Args:
        path: the ``.jsonl`` file.
        step: completed steps of the checkpoint that the job goes on from.
    """

    def __init__(self, path: Path, step: int) -> None:
        """Open the log for the rows after ``step``."""
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(path, text.encode())
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: dict[str, Any]) -> None:
        """Write one row, visible to readers at once."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Bring every row to the disk; no checkpoint is newer than the metrics beside it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file; a last line cut by a crash is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
