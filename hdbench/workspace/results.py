"""The result record: one run's images scored under one convention, and its fingerprint."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdbench.errors import HdbenchError
from hdbench.provenance import digest
from hdbench.storage import write_atomically

SCHEMA = 1
#: The method whose images are the dataset's own photographs.
ORACLE = "oracle"
#: The same at their own size: a result beside the table, under a fingerprint of its own.
NATIVE_ORACLE = "oracle-native"


@dataclass(frozen=True)
class Result:
    """Scores with everything they can be recomputed from and compared by.

    ``matrices`` is int64 N x (K+1) x K, one confusion matrix per image: truth in rows, the last
    of them void; prediction in columns.
    """

    method: str
    benchmark: str
    seed: int
    scoring: str
    #: Every choice that changes the number; its digest is the fingerprint.
    choices: dict[str, Any]
    #: Digest of the identity of the run that made the images; None for photographs.
    run: str | None
    scenes: list[str]
    #: SHA-256 of each image file, in the order of ``scenes``.
    images: list[str]
    classes: list[str]
    #: ``pixel_accuracy``, ``mean_iou`` and ``class_iou`` (by name; None where undefined).
    scores: dict[str, Any]
    provenance: dict[str, Any]
    matrices: NDArray[np.int64] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the choices; only results that share it may be ranked."""
        return digest(self.choices)


def matrices_path(path: Path) -> Path:
    """Return the file beside a result that holds its matrices."""
    return path.with_suffix(".matrices.npz")


def save_result(path: Path, result: Result) -> None:
    """Write a result and, before it, its matrices; each whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, matrices=result.matrices)
    write_atomically(matrices_path(path), buffer.getvalue())
    record = asdict(result)
    del record["matrices"]
    record = {
        "schema": SCHEMA,
        "fingerprint": result.fingerprint,
        "matrices": hashlib.sha256(buffer.getvalue()).hexdigest(),
        **record,
    }
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def load_result(path: Path) -> Result:
    """Return a stored result.

    Raises:
        HdbenchError: a file is missing or damaged, or was edited by hand.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        stored = matrices_path(path).read_bytes()
        with np.load(io.BytesIO(stored)) as arrays:
            matrices = arrays["matrices"]
        schema, fingerprint = record.pop("schema"), record.pop("fingerprint")
        belongs = record.pop("matrices") == hashlib.sha256(stored).hexdigest()
        result = Result(**record, matrices=matrices)
    except FileNotFoundError as error:
        raise HdbenchError(f"{error.filename}: no such result; run 'hdbench evaluate'") from None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise HdbenchError(
            f"{path}: not a readable result ({error}); delete it and run 'hdbench evaluate' again"
        ) from None
    if schema != SCHEMA or fingerprint != result.fingerprint or not belongs:
        raise HdbenchError(
            f"{path}: its choices or matrices are not those that it was written with; "
            "delete it and run 'hdbench evaluate' again"
        )
    return result


def oracle_ratio(result: Result, oracle: Result) -> float | None:
    """Return a result's mean IoU over the oracle's, or None if they may not be compared."""
    if result.fingerprint != oracle.fingerprint or not oracle.scores["mean_iou"]:
        return None
    value = result.scores["mean_iou"]
    return None if value is None else value / oracle.scores["mean_iou"]
