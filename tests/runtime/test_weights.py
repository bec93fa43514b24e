"""Foreign weights files, and what they may not do."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hdbench.errors import CheckpointError
from hdbench.runtime.weights import (
    differences,
    fitted,
    load_weights,
    read_weights,
    require_weights,
    save_weights,
    weights_digest,
)

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}


class Harmful:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[n], STATE[n]) for n in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "meta": {"CLASSES": ("road", "sidewalk")}},
        {"model": STATE},
        {"state_dict": {f"module.{name}": value for name, value in STATE.items()}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_found_in_what_wraps_them(content, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert same(read_weights(path, trust=False))


def test_safetensors_need_no_pickle(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "x.safetensors")
    assert same(read_weights(tmp_path / "x.safetensors", trust=False))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_runs_only_where_it_is_trusted(zipped: bool, tmp_path: Path) -> None:
    path, victim = tmp_path / "x.pth", tmp_path / "victim"
    content = {"state_dict": STATE, "meta": Harmful(victim)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as error:
        read_weights(path, trust=False)
    assert not victim.exists()
    assert str(path) in str(error.value)
    assert "posix.mkdir" in str(error.value)
    assert "--trust" in str(error.value)
    with pytest.raises(CheckpointError) as error:  # of a verb without that option
        read_weights(path)
    assert "--trust" not in str(error.value)
    assert same(read_weights(path, trust=True))
    assert victim.exists()


@pytest.mark.parametrize(
    ("name", "content", "fact"),
    [
        ("x.pth", b"", "PyTorch"),
        ("x.pth", b"not weights", "PyTorch"),
        ("x.safetensors", b"\x80\x04", "safetensors "),
        ("x.pth", [1, 2], "state_dict"),
        ("x.pth", {"epoch": 3}, "state_dict"),
        ("x.pth", {}, "state_dict"),
    ],
)
@pytest.mark.parametrize("trust", [False, True])
def test_other_files_are_named(name: str, content, fact: str, trust: bool, tmp_path) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=f"^{path}: .*{fact}"):
        read_weights(path, trust)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth: "):
        read_weights(tmp_path / "none.pth", trust=False)


def test_a_torchscript_archive_is_recognised(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(nn.Conv2d(3, 2, 1), torch.zeros(1, 3, 4, 4))
        traced.save(str(tmp_path / "x.pt"))
        with pytest.raises(CheckpointError, match="TorchScript"):
            read_weights(tmp_path / "x.pt", trust=False)


def test_differences_are_listed_and_counters_are_none() -> None:
    expected = nn.BatchNorm2d(2).state_dict()
    old = {name: value for name, value in expected.items() if "num_batches" not in name}
    [lacking] = differences(old, expected)
    assert lacking.startswith("num_batches_tracked: ")
    full = fitted("x.pth", "a batch norm", old, expected)
    assert differences(full, expected) == []
    assert full["num_batches_tracked"] == 0
    other = {**expected, "weight": torch.zeros(3), "more": torch.zeros(1)}
    added, reshaped = differences(other, expected)
    assert added.startswith("more: ")
    assert re.fullmatch(r"weight: \D*3\D*2", reshaped)
    with pytest.raises(CheckpointError) as error:
        fitted("x.pth", "a batch norm", other, expected)
    for fact in ("x.pth", "a batch norm", added, reshaped):
        assert fact in str(error.value)


def test_what_was_saved_is_loaded_where_digest_and_shapes_are_those(tmp_path: Path) -> None:
    path, network = tmp_path / "x.safetensors", nn.Linear(3, 2)
    save_weights(path, network, {})
    digest = weights_digest(network)
    other = nn.Linear(3, 2)
    require_weights(path, digest)
    load_weights(path, other, digest)
    assert weights_digest(other) == digest
    with pytest.raises(CheckpointError) as error:
        load_weights(path, other, "0" * 64)
    for fact in (str(path), digest[:12], "0" * 12):
        assert fact in str(error.value)
    with pytest.raises(CheckpointError) as error:
        load_weights(path, nn.Linear(4, 2), digest)
    assert str(path) in str(error.value)
    assert re.search("weight: .*2x3.*2x4", str(error.value))
