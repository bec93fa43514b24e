"""The matrices of an evaluation under way, so that one that is killed redoes only what is missing.

Beside a result stands, until it is written, a folder with a file of lines for each rank. A line is
whole or ignored, and counts only for the choices and the image that it was made from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdbench.evaluation.confusion import Matrix
from hdbench.storage import append_line


class Parts:
    """The folder of one result's parts; ``fingerprint`` is the digest of their choices."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    def read(self, scenes: Sequence[str], images: Sequence[str], classes: int) -> dict[int, Matrix]:
        """Return the matrices, (K+1) x K, that are there, by the number of their image.

        ``images`` are the digests of the scenes' image files.
        """
        wanted = {
            (scene, image): n for n, (scene, image) in enumerate(zip(scenes, images, strict=True))
        }
        found: dict[int, Matrix] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                record = _whole(line)
                if record is None or record.get("choices") != self.fingerprint:
                    continue
                n = wanted.get((str(record.get("scene")), str(record.get("image"))))
                matrix = np.array(record.get("matrix"), dtype=np.int64)
                if n is not None and matrix.shape == (classes + 1, classes):
                    found[n] = matrix
        return found

    def add(self, rank: int, scene: str, image: str, matrix: Matrix) -> None:
        """Append one image's matrix to a rank's file; it outlives this process's death.

        Raises:
            StorageError: the folder cannot be written, or the disk is full.
        """
        record = {
            "choices": self.fingerprint,
            "scene": scene,
            "image": image,
            "matrix": matrix.tolist(),
        }
        append_line(self.folder / f"rank{rank}.jsonl", json.dumps(record))

    def delete(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _whole(line: bytes) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
