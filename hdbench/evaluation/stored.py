"""The two files of a result as bytes, and back: nothing in them is believed.

The matrices are read only after the record says how many there must be, and no header of theirs
decides how much memory is taken.
"""

from __future__ import annotations

import hashlib
import io
import json
import tokenize

import numpy as np
from pydantic import ValidationError

from hdbench.errors import HdbenchError
from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.scores import recomputed
from hdbench.runtime.archives import DAMAGED, Archive, Limits
from hdbench.schema.record import parse_json
from hdbench.schema.result import OVERALL, SCHEMA, Result, ScoreRecord

#: The member of a file of matrices: NumPy's name for the array ``matrices``.
_MEMBER = "matrices.npy"
#: The most bytes of an array's header (NumPy's own limit, and its first bytes).
_HEADER = 10_000 + 16
#: Bytes of all matrices of a result: more than COCO-Stuff's 5,000 images have.
MOST_MATRICES = 3 << 29
#: Sums of counts stay exact as floats below it.
_MOST_PIXELS = 2.0**53


def written(result: Result) -> tuple[bytes, bytes]:
    """Return the contents of a result's two files: its record, and its matrices."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, matrices=result.matrices)
    record = {
        "schema": SCHEMA,
        "fingerprint": result.fingerprint,
        "matrices": hashlib.sha256(buffer.getvalue()).hexdigest(),
        **result.model_dump(),
    }
    return (json.dumps(record, indent=1) + "\n").encode(), buffer.getvalue()


def read(
    content: bytes, stored: bytes, where: str, again: str, most: int = MOST_MATRICES
) -> Result:
    """Return the result of two files, if they are whole and its scores those of its matrices.

    ``where`` names the record in messages and ``again`` says what to do next; the matrices may take
    ``most`` bytes.

    Raises:
        HdbenchError: a file is damaged, or was edited by hand.
    """
    try:
        record = parse_json(content)
        schema, fingerprint = record.pop("schema"), record.pop("fingerprint")
        belongs = record.pop("matrices") == hashlib.sha256(stored).hexdigest()
        shape = len(record["scenes"]), len(record["classes"]) + 1, len(record["classes"])
        result = Result(**record, matrices=_matrices(stored, shape, most))
        _require_consistent(result)
        expected_fingerprint = result.fingerprint
    except (
        ValidationError,
        KeyError,
        TypeError,
        AttributeError,
        HdbenchError,
        *DAMAGED,
    ) as error:
        raise HdbenchError(f"{where}: not a readable result ({error}); {again}") from None
    if schema != SCHEMA or fingerprint != expected_fingerprint or not belongs:
        raise HdbenchError(
            f"{where}: its choices or matrices are not those that it was written with; {again}"
        )
    expected = recomputed(result)
    if result.scores != expected:
        raise HdbenchError(
            f"{where}: scores = {_overall(result.scores)}, but its matrices give "
            f"{_overall(expected)}; {again}"
        )
    return result


def _matrices(stored: bytes, shape: tuple[int, int, int], most: int) -> Matrix:
    """Return the int64 matrices of a file, which must have this shape."""
    size = 8 * shape[0] * shape[1] * shape[2]
    if size > most:
        raise ValueError(f"matrices of {size:,} bytes; at most {most:,} are read")
    limits = Limits(members=1, member=size + _HEADER, total=size + _HEADER, ratio=None)
    archive = Archive.of_bytes(stored, "matrices", limits)
    if archive.names != [_MEMBER]:
        raise ValueError(f"matrices: expected the one member '{_MEMBER}'")
    file = io.BytesIO(archive.read(_MEMBER))
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("matrices: an array of another version of NumPy's format")
        found, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except (tokenize.TokenError, SyntaxError, MemoryError) as error:
        raise ValueError(f"matrices: {error}") from None
    if found != shape or dtype != np.dtype("<i8"):
        raise ValueError(
            f"matrices: {dtype} of shape {found}; scenes and classes ask for int64 of {shape}"
        )
    values = file.read()
    if len(values) != size:
        raise ValueError(f"matrices: {len(values):,} bytes of values; expected {size:,}")
    return np.frombuffer(values, np.int64).reshape(shape, order="F" if fortran else "C")


def _require_consistent(result: Result) -> None:
    """Check that the parts of a result speak of the same scenes, images and pixels."""
    if len(result.images) != len(result.scenes) or len(set(result.scenes)) < len(result.scenes):
        raise ValueError("scenes, images: expected one image for each of different scenes")
    if result.matrices.size == 0:
        raise ValueError("scenes, classes: there are none")
    if int(result.matrices.min()) < 0 or result.matrices.sum(dtype=np.float64) >= _MOST_PIXELS:
        raise ValueError("matrices: hold numbers that are no counts of pixels")


def _overall(scores: ScoreRecord) -> str:
    return ", ".join(f"{name} {scores.overall(name)}" for name in OVERALL)
