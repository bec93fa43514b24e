"""Files that claim to be what they are not: a message each, no traceback, no network."""

from __future__ import annotations

import json
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import evaluated

from hdbench.data.foreign_images import read_foreign_image
from hdbench.data.loading import read_photograph
from hdbench.errors import CheckpointError, DataError, HdbenchError
from hdbench.segmentation.adapters.smp_models import adopt
from hdbench.segmentation.adoption import ImportOptions
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import load_result, result_path
from hdbench.workspace.segmenters import open_segmenter

Cli = Callable[..., Result]
CPU = torch.device("cpu")


def enormous_png(path: Path, side: int = 20000) -> Path:
    """A valid header of side x side RGB pixels, and next to nothing behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    path.write_bytes(start + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    return path


def test_a_png_of_400_million_pixels_is_refused(tmp_path: Path) -> None:
    path = enormous_png(tmp_path / "scene.png")
    for read in (read_photograph, lambda path: read_foreign_image(path, 64, 48)):
        with pytest.raises(DataError) as error:
            read(path)
        assert str(path) in str(error.value)


def test_it_is_refused_among_the_photographs_of_a_benchmark(cli: Cli, trained: Bench) -> None:
    path = enormous_png(trained.dataset.photographs[0])
    checked = cli("evaluate")
    assert checked.exit_code == 1
    assert str(path) in checked.stderr
    assert "Traceback" not in checked.output


def test_an_array_that_claims_terabytes_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scene.npy"
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 3), }"
    header += b" " * (117 - len(header)) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64)
    with pytest.raises(DataError) as error:
        read_foreign_image(path, 64, 48)
    assert str(path) in str(error.value)
    np.save(path, np.zeros((48, 64, 3), np.uint8))
    assert read_foreign_image(path, 64, 48).pixels.shape == (3, 48, 64)


@pytest.mark.slow
def test_a_result_without_scores_is_named(trained: Bench) -> None:
    segmenter = open_segmenter(trained, None, CPU)
    evaluated(trained, [], 0, segmenter, CPU)
    path = result_path(trained, "oracle", 0)
    record = json.loads(path.read_text())
    del record["scores"]
    path.write_text(json.dumps(record))
    with pytest.raises(HdbenchError) as error:
        load_result(path)
    assert str(path) in str(error.value)
    assert "scores" in str(error.value)


@pytest.mark.parametrize("encoder", ["smp-hub:owner/encoder", "tu-hf-hub:owner/model"])
def test_an_encoder_that_is_an_address_is_not_fetched(
    encoder: str, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    source = tmp_path / "smp"
    source.mkdir()
    config = {"_model_class": "Unet", "encoder_name": encoder, "classes": 11}
    (source / "config.json").write_text(json.dumps(config))
    (source / "model.safetensors").write_bytes(b"")
    options = ImportOptions(bench.space, (64, 48), mean=[0.5] * 3, std=[0.25] * 3)
    with pytest.raises(CheckpointError) as error:
        adopt("smp", str(source), tmp_path / "ours", options)
    assert encoder in str(error.value)
