"""Where a card's declared score binds: the same scenes, size and counting under any name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result as CliResult
from conftest import constant_segmenter, made_result

from hdbench.errors import HdbenchError
from hdbench.library import Library
from hdbench.schema.result import Result
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.oracle_gate import gate_notes, measured_on, obstacle, oracle_gate
from hdbench.workspace.bench import Bench
from hdbench.workspace.fingerprint import choices_of
from hdbench.workspace.paths import Workspace

LIBRARY = Library()
CPU = torch.device("cpu")


def bench_of(name: str, folder: Path) -> Bench:
    return Bench(LIBRARY, Workspace(folder, None, name), LIBRARY.benchmark(name))


def segmenter_with(bench: Bench, oracle: dict[str, Any] | None) -> Segmenter:
    size = bench.benchmark.size
    segmenter = constant_segmenter(0, bench.space, size.width, size.height)
    segmenter.card = replace(segmenter.card, oracle=oracle)
    return segmenter


def oracle_on(bench: Bench, scoring: str = "", score: float = 0.7, names: str = "val") -> Result:
    """An oracle's result with the choices of a benchmark, whose scenes are only named."""
    convention = LIBRARY.scoring(scoring or bench.scoring.name)
    scenes = [f"{names}_{n}" for n in range(3)]
    labels = [[name, "a" * 64] for name in scenes]
    choices = choices_of(
        bench.benchmark, convention, bench.space, segmenter_with(bench, None).card, labels
    )
    result = made_result("oracle", np.ones((3, 4, 3), np.int64))
    scores = result.scores.model_copy(update={"pixel_accuracy": score, "mean_iou": score})
    return result.model_copy(
        update={
            "benchmark": bench.benchmark.name,
            "scoring": convention.name,
            "choices": choices,
            "scenes": scenes,
            "scores": scores,
        }
    )


#: What cards said before they said what they were measured on.
def named(benchmark: str, scoring: str) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "scoring": scoring,
        "fingerprint": "0" * 64,
        "pixel_accuracy": 0.7,
        "mean_iou": 0.7,
    }


STREETS = named("streets", "streets-std-v1")


@pytest.mark.parametrize("name", ["streets", "streets-quick"])
@pytest.mark.parametrize("scoring", ["streets-std-v1", "cityscapes-std-v1"])
def test_a_card_that_names_streets_binds_wherever_the_same_is_measured(
    tmp_path: Path, name: str, scoring: str
) -> None:
    bench = bench_of(name, tmp_path)
    segmenter = segmenter_with(bench, STREETS)
    assert obstacle(bench, oracle_on(bench, scoring), segmenter.card) is None
    oracle_gate(bench, oracle_on(bench, scoring, 0.6901), segmenter)
    with pytest.raises(HdbenchError, match=r"pixel_accuracy.*0\.6899.*0\.7000"):
        oracle_gate(bench, oracle_on(bench, scoring, 0.6899), segmenter)


def test_the_card_that_ships_holds_the_quick_benchmark(tmp_path: Path) -> None:
    bench = bench_of("streets-quick", tmp_path)
    card = json.loads(
        (LIBRARY.segmenter(bench.benchmark.required_segmenter.name) / "segmenter.json").read_text()
    )
    segmenter = segmenter_with(bench, card["oracle"])
    assert obstacle(bench, oracle_on(bench), segmenter.card) is None
    with pytest.raises(HdbenchError, match=r"pixel_accuracy.*0\.5000"):
        oracle_gate(bench, oracle_on(bench, score=0.5), segmenter)


@pytest.mark.parametrize(
    ("name", "scoring", "declared", "facts"),
    [
        ("streets-smoke", "", STREETS, ("split: val ", "val[:4]")),
        ("streets-large", "", STREETS, ("256x128", "512x256")),
        ("streets", "streets-edges-v1", STREETS, ("every pixel", "3 pixels")),
        ("cityscapes", "", STREETS, ("dataset: streets ", "cityscapes")),
        ("streets", "", named("mine", "streets-std-v1"), ("'mine'", "'streets-std-v1'")),
        ("streets", "p2phd-table1-v1", named("streets", "mine"), ("'streets'", "'mine'")),
        ("camvid-quick", "", named("camvid", "camvid-std-v1"), ("layout 'camvid'",)),
        ("streets", "", None, ()),
    ],
)
def test_where_it_does_not_bind_the_reason_is_said(
    tmp_path: Path, name: str, scoring: str, declared: dict[str, Any] | None, facts: tuple[str, ...]
) -> None:
    bench = bench_of(name, tmp_path)
    segmenter, result = segmenter_with(bench, declared), oracle_on(bench, scoring, score=0.1)
    oracle_gate(bench, result, segmenter)
    notes = gate_notes(bench, [result], segmenter)
    where, _, reason = notes[0].partition(": ")
    assert f"'{name}'" in where
    assert result.scoring in where
    assert all(fact in reason for fact in facts)
    assert ["'hdbench segmenter check --declare'" in note for note in notes[1:]] == (
        [True] if declared is None else []
    )


def test_one_fingerprint_is_enough(tmp_path: Path) -> None:
    bench = bench_of("camvid-quick", tmp_path)
    result = oracle_on(bench)
    declared = {**named("camvid", "camvid-std-v1"), "fingerprint": result.fingerprint}
    assert obstacle(bench, result, segmenter_with(bench, declared).card) is None


def test_some_scenes_of_the_split_are_not_all(tmp_path: Path) -> None:
    bench = replace(bench_of("streets", tmp_path), subset=("val_0", "val_1", "val_2"))
    found = obstacle(bench, oracle_on(bench), segmenter_with(bench, STREETS).card)
    assert "3 scenes" in str(found)


def test_a_card_that_says_what_it_was_measured_on_needs_no_name(tmp_path: Path) -> None:
    bench = bench_of("camvid", tmp_path)
    first = oracle_on(bench)
    declared = {**named("gone", "gone-v1"), "measured_on": measured_on(first)}
    declared = json.loads(json.dumps(declared))
    for name in ("camvid", "camvid-quick"):
        other = bench_of(name, tmp_path)
        assert obstacle(other, oracle_on(other), segmenter_with(other, declared).card) is None
    others = oracle_on(bench, names="frame")
    found = obstacle(bench, others, segmenter_with(bench, declared).card)
    assert "names of the scenes" in str(found)
    table1 = oracle_on(bench, "camvid-table1-v1")
    notes = gate_notes(bench, [first, table1], segmenter_with(bench, declared))
    assert len(notes) == 1  # the gate held the first
    assert "camvid-table1-v1: " in notes[0]
    assert "void pixels in pixel accuracy: " in notes[0]


# -- on the way of every score --------------------------------------------------------------------


@pytest.mark.slow
def test_evaluate_says_once_that_there_is_no_gate(
    cli: Callable[..., CliResult], trained: Bench, tmp_path: Path
) -> None:
    text = 'name = "edges"\nextends = "camvid-std-v1"\n[labels]\nedge_band = 2\n'
    (tmp_path / "edges.toml").write_text(text)
    result = cli("evaluate", "--scoring", "edges.toml", "--json")
    [note] = [line for line in result.stderr.splitlines() if "edges: " in line]
    assert "'tiny'" in note
    assert "2 pixels" in note
    json.loads(result.stdout)
