from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hdbench.errors import CheckpointError, DivergedError, StorageError
from hdbench.provenance import (
    canonical_json,
    derived_seed,
    differing_fields,
    digest,
    file_digest,
    tensors_digest,
)
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.file_digests import FileDigests
from hdbench.runtime.metrics import MetricsLog, read_metrics
from hdbench.storage import folder_atomically, write_atomically


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hdbench.storage.os.fsync", full)
    with pytest.raises(StorageError, match=rf"{path}: .*\(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_only_the_newest_two_checkpoints_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load_latest() is None
    (tmp_path / ".step-00000001.pt.1.tmp").write_bytes(b"of a process that was killed")
    for step in (1, 2, 3):
        checkpoints.save(step, {"weights": torch.full((2,), float(step))})
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-00000002.pt",
        "step-00000003.pt",
    ]
    state = checkpoints.load_latest()
    assert state is not None
    assert state["step"] == 3


def test_a_checkpoint_with_nan_is_refused_by_name(tmp_path: Path) -> None:
    state = {"trainee": {"generator": {"body.1.weight": torch.tensor([1.0, float("nan")])}}}
    with pytest.raises(DivergedError, match=r"trainee\.generator\.body\.1\.weight"):
        Checkpoints(tmp_path).save(5, state)
    assert not list(tmp_path.iterdir())


def test_pickled_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path(tmp_path / "exploded").write_text, ("",))

    torch.save({"step": 1, "trainee": Bomb()}, tmp_path / "step-00000001.pt")
    with pytest.raises(CheckpointError, match=r"step-00000001\.pt: "):
        Checkpoints(tmp_path).load_latest()
    assert not (tmp_path / "exploded").exists()


def test_metrics_go_on_after_the_checkpoints_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in (1, 2, 3):
        log.append({"step": step, "loss": 0.5})
    log.close()
    path.write_text(path.read_text() + '{"step": 4, "lo')  # cut by a crash
    log = MetricsLog(path, 2)
    log.append({"step": 3, "loss": 0.25})
    log.close()
    assert [(row["step"], row["loss"]) for row in read_metrics(path)] == [
        (1, 0.5),
        (2, 0.5),
        (3, 0.25),
    ]


def test_canonical_json_is_one_text_and_refuses_nan() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_a_tensors_digest_depends_on_names_types_and_values_alone() -> None:
    a, b = torch.arange(6.0).view(2, 3), torch.tensor([True])
    first = tensors_digest({"a": a, "b": b})
    assert first == tensors_digest({"b": b.clone(), "a": a.T.contiguous().T})
    assert first != tensors_digest({"a": a.double(), "b": b})
    assert first != tensors_digest({"a": a.view(3, 2), "b": b})
    assert first != tensors_digest({"c": a, "b": b})
    assert first != tensors_digest({"a": a + 1e-6, "b": b})


def test_seeds_differ_by_every_part() -> None:
    seeds = {
        derived_seed(word, n, m) for word in ("order", "augment") for n in (0, 1) for m in (0, 1)
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_differing_fields_name_the_path() -> None:
    ours, theirs = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}}
    assert differing_fields(ours, theirs) == ["a.c: 2 -> 5", "d: 3 -> null"]


def test_file_digests_are_remembered_until_a_file_changes(tmp_path: Path) -> None:
    path, memory = tmp_path / "x", tmp_path / "cache" / "digests.json"
    path.write_bytes(b"one")
    first = FileDigests(memory).of([path])
    known = json.loads(memory.read_text())
    known[f"file_digest {path}"][-1] = "remembered"
    memory.write_text(json.dumps(known))
    assert FileDigests(memory).of([path]) == ["remembered"]
    path.write_bytes(b"another")
    assert FileDigests(memory).of([path]) != first
    memory.write_text("{damaged")
    assert len(FileDigests(memory).of([path])[0]) == 64


def test_digests_before_a_damaged_file_are_remembered(tmp_path: Path) -> None:
    reads: list[str] = []

    def parsed(path: Path) -> str:
        reads.append(path.name)
        return str(int(path.read_text()))

    for name, content in (("good", "1"), ("bad", "?")):
        (tmp_path / name).write_text(content)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            FileDigests(tmp_path / "digests.json").of([tmp_path / "good", tmp_path / "bad"], parsed)
    assert reads == ["good", "bad", "bad"]


def test_each_kind_of_digest_is_remembered_apart(tmp_path: Path) -> None:
    path, memory = tmp_path / "x", tmp_path / "digests.json"
    path.write_bytes(b"one")
    reads: list[Path] = []

    def length(path: Path) -> str:
        reads.append(path)
        return str(len(path.read_bytes()))

    for _ in range(2):
        digests = FileDigests(memory)
        assert digests.of([path], length) == ["3"]
        assert digests.of([path]) == [file_digest(path)]
    assert reads == [path]


def test_what_a_killed_process_left_of_a_folder_is_hidden_and_goes_with_the_next(
    tmp_path: Path,
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "packet")], capture_output=True, check=False
    )
    assert process.returncode == -9
    assert not (tmp_path / "packet").exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".packet.")
    with folder_atomically(tmp_path / "packet") as staging:
        (staging / "file").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["packet"]
    assert (tmp_path / "packet" / "file").read_text() == "whole"


KILLED = """
import os, signal, sys
from pathlib import Path
from hdbench.storage import folder_atomically
with folder_atomically(Path(sys.argv[1])) as staging:
    (staging / "study.json").write_text("{}")
    os.kill(os.getpid(), signal.SIGKILL)
"""
