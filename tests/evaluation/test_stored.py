"""The two files of a result: what they may not claim."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import made_result

from hdbench.errors import HdbenchError
from hdbench.evaluation import stored

MATRICES = np.arange(2 * 4 * 3, dtype=np.int64).reshape(2, 4, 3)


def read(record: bytes, matrices: bytes, **options: Any) -> Any:
    return stored.read(record, matrices, "result.json", "measure again", **options)


def archived(name: str, content: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def array_file(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(value), allow_pickle=True)
    return buffer.getvalue()


def with_header(shape: str, descr: str = "'<i8'", values: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values


def belonging(record: bytes, matrices: bytes, **changes: Any) -> bytes:
    """The record as somebody would edit it who knows that it has the digest of the matrices."""
    content = json.loads(record)
    content["matrices"] = hashlib.sha256(matrices).hexdigest()
    return json.dumps({**content, **changes}).encode()


def test_what_is_written_is_read() -> None:
    result = made_result("ours", MATRICES)
    found = read(*stored.written(result))
    assert found.model_dump() == result.model_dump()
    assert np.array_equal(found.matrices, MATRICES)


class _Dangerous:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch pickled",)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(with_header("(1000000, 1000000, 1000)"), id="terabytes"),
        pytest.param(with_header("(2, 4, 3)"), id="no values"),
        pytest.param(with_header("(2, 4, 3)", values=bytes(8 * 25)), id="more values"),
        pytest.param(with_header("(2, 4, 3)", "'|O'", bytes(8 * 24)), id="objects"),
        pytest.param(with_header("(2, 4, 3)", "'<f8'", bytes(8 * 24)), id="floats"),
        pytest.param(with_header("(2, 4, -3)"), id="negative"),
        pytest.param(with_header("(" * 3000 + ")" * 3000), id="nested"),
        pytest.param(with_header("__import__('os').system('touch pickled')"), id="code"),
        pytest.param(array_file([[_Dangerous()]]), id="pickled"),
        pytest.param(array_file(np.zeros((3, 4, 3), np.int64)), id="another number"),
        pytest.param(array_file(np.full((2, 4, 3), -1)), id="negative counts"),
        pytest.param(array_file(np.full((2, 4, 3), 1 << 62)), id="overflowing counts"),
        pytest.param(b"\x93NUMPY\x03\x00" + bytes(100), id="another version"),
        pytest.param(b"", id="empty"),
    ],
)
def test_arrays_that_are_not_counts_are_refused(
    array: bytes, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record, _ = stored.written(made_result("ours", MATRICES))
    matrices = archived("matrices.npy", array)
    with pytest.raises(HdbenchError, match=r"result\.json.*measure again"):
        read(belonging(record, matrices), matrices)
    assert not list(tmp_path.iterdir())


def test_files_around_the_array_are_refused() -> None:
    record, matrices = stored.written(made_result("ours", MATRICES))
    for other in (
        b"",
        b"not a zip",
        matrices[:-1],
        archived("other.npy", array_file(MATRICES)),
        archived("matrices.npy", bytes(1 << 22)),  # 4 MiB of zeros in 4 KiB
    ):
        with pytest.raises(HdbenchError, match=r"result\.json"):
            read(belonging(record, other), other)


def test_more_memory_than_is_given_is_not_taken() -> None:
    record, matrices = stored.written(made_result("ours", MATRICES))
    assert read(record, matrices, most=MATRICES.nbytes)
    with pytest.raises(HdbenchError, match="192"):
        read(record, matrices, most=MATRICES.nbytes - 1)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"scenes": [], "scenes": []}',
        '{"seed": NaN}',
        '{"seed": ' + "9" * 5000 + "}",
        "[]",
        "null",
        "",
        "\xff",
    ],
)
def test_json_that_no_record_has_is_refused(text: str) -> None:
    _, matrices = stored.written(made_result("ours", MATRICES))
    with pytest.raises(HdbenchError, match=r"result\.json"):
        read(text.encode("latin-1"), matrices)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scenes", ["a", "a"]),
        ("images", ["one"]),
        ("images", []),
        ("classes", ["a", "b"]),
        ("schema", 2),
        ("fingerprint", "0" * 64),
        ("method", 1),
        ("choices", []),
    ],
)
def test_records_that_contradict_themselves_are_refused(key: str, value: Any) -> None:
    record, matrices = stored.written(made_result("ours", MATRICES))
    with pytest.raises(HdbenchError, match=r"result\.json"):
        read(belonging(record, matrices, **{key: value}), matrices)
