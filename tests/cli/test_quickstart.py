"""The whole way in one command, with and without data, interrupted and repeated."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from conftest import write_small_streets

from hdbench import pipeline, synthesis
from hdbench.cli import quickstart as verb
from hdbench.data.streets import files
from hdbench.evaluation import passes
from hdbench.library import Library
from hdbench.segmentation.training import SegmenterTrainer
from hdbench.training.loop import Pix2PixHDTrainer
from hdbench.workflows import quickstart as whole_way
from hdbench.workflows import report

Cli = Callable[..., Result]


def stages(result: Result) -> list[str]:
    return re.findall(r"^\d of \d: .*$", result.stderr, flags=re.MULTILINE)


def page_of(result: Result) -> Path:
    return Path(result.stdout.splitlines()[-1].removeprefix("The page: "))


def scores(workspace: Path) -> dict[str, object]:
    records = (json.loads(path.read_text()) for path in workspace.rglob("results/**/seed0.*.json"))
    return {record["method"]: record["scores"] for record in records}


@pytest.mark.slow
def test_on_a_dataset_of_the_users_own_a_second_one_computes_nothing(
    cli: Cli, tmp_path: Path
) -> None:
    first = cli("quickstart", "--workers", "0")
    assert first.exit_code == 0
    assert page_of(first).is_file()
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    second = cli("quickstart", "--workers", "0")
    assert second.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == stamps


@pytest.mark.slow
def test_without_data_and_with_a_judge_that_ships_no_segmenter_is_trained(
    bare_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_small_streets(tmp_path)
    words = ("--workers", "0", "--device", "cpu")
    trained = bare_cli("segmenter", "train", "--benchmark", own, *words)
    assert trained.exit_code == 0, trained.stderr
    shipped = tmp_path / "weights"
    shutil.move("hdbench-runs/segmenters/small/seed0", shipped)
    shutil.rmtree("hdbench-runs")
    benchmark = write_small_streets(tmp_path, judge=str(shipped))
    wider = benchmark.with_name("wider.toml")
    text = benchmark.read_text().replace('"small"', '"wider"')
    wider.write_text(text.replace("= 64", "= 128").replace("= 32", "= 64"))
    refused = bare_cli("quickstart", "--benchmark", wider, *words)
    assert refused.exit_code == 2
    assert "was trained at 64x32, the benchmark's images are 128x64" in refused.stderr
    assert 'Next: set judge = "own" in the benchmark, then' in refused.stderr
    assert not Path("hdbench-runs").exists()
    loaded: list[Path] = []
    real = pipeline.load_segmenter
    monkeypatch.setattr(pipeline, "load_segmenter", lambda *a: loaded.append(a[0]) or real(*a))
    method = "ours-no-vgg-labels-only"  # report table1 has no row for it
    result = bare_cli("quickstart", "--benchmark", benchmark, "--method", method, *words)
    assert result.exit_code == 0, result.stderr
    assert loaded == [shipped]
    assert [line[:6] for line in stages(result)] == [f"{n} of 5" for n in range(1, 6)]
    assert f"2 of 5: train {method}" in stages(result)
    assert not Path("hdbench-runs/segmenters").exists()
    assert not list(Path("hdbench-runs/data").rglob("judge"))
    assert "oracle" in result.stdout
    assert f"<td>{Library().method(method).title}</td>" in page_of(result).read_text()
    table = bare_cli("report", "--benchmark", benchmark, "--device", "cpu").stdout
    rows = table.partition("\n\n")[0].splitlines()
    assert rows[-1].startswith(Library().method(method).title)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('scoring = "camvid-std-v1"', "labels of 'cityscapes', scoring 'camvid-std-v1' counts"),
        ('scoring = "streets-std-v0"', "did you mean 'streets-std-v1'?"),
        ('judge = "pspnet-v0"', "no segmenter 'pspnet-v0' in models/weights/"),
    ],
)
def test_a_wrong_protocol_is_found_before_anything_is_drawn(
    bare_cli: Cli, tmp_path: Path, line: str, message: str
) -> None:
    benchmark = write_small_streets(tmp_path)
    text = benchmark.read_text().replace('judge   = "own"\n', "")
    own = "" if line.startswith("judge") else 'judge = "own"\n'
    benchmark.write_text(f"{line}\n{own}{text}")
    result = bare_cli("quickstart", "--benchmark", benchmark, "--device", "cpu")
    assert result.exit_code == 2
    assert message in result.stderr
    assert stages(result) == []
    assert not Path("hdbench-runs").exists()


def stop_at(call: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ctrl-C reaches at its n-th call, counted from 0."""
    calls = itertools.count()

    def function(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    return function


@pytest.mark.slow
def test_stopped_at_every_stage_it_goes_on_to_the_same_scores(
    bare_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = write_small_streets(tmp_path)
    words = ("quickstart", "--workers", "0", "--device", "cpu", "--benchmark", benchmark)
    assert bare_cli(*words, "--workspace", "whole").exit_code == 0
    for owner, name, call in (
        (files, "draw_scene", 2),
        (SegmenterTrainer, "step", 1),
        (Pix2PixHDTrainer, "step", 3),
        (synthesis, "png_bytes", 1),
        (passes, "predict", 1),
        (report, "write_report", 0),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, stop_at(call, getattr(owner, name)))
            stopped = bare_cli(*words, "--workspace", "cut")
        assert stopped.exit_code == 130, name
        assert "goes on" in stopped.stderr
    last = bare_cli(*words, "--workspace", "cut")
    assert last.exit_code == 0
    assert scores(Path("cut")) == scores(Path("whole"))
    assert len(scores(Path("cut"))) == 5


@pytest.mark.parametrize(
    ("words", "seen", "opened"),
    [
        ((), True, True),
        ((), False, False),
        (("--open",), False, True),
        (("--no-open",), True, False),
    ],
)
def test_the_page_opens_where_somebody_sees_it(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    seen: bool,
    opened: bool,
) -> None:
    launched: list[str] = []
    monkeypatch.setattr(click, "launch", launched.append)
    monkeypatch.setattr(verb, "_is_seen", lambda: seen)
    page, text = tmp_path / "page.html", tmp_path / "table.txt"
    text.write_text("a table")

    def way(*arguments: Any) -> dict[str, Path]:
        show = arguments[-1]
        show(page)
        show(page)
        return {"page": page, "text": text}

    monkeypatch.setattr(whole_way, "quickstart", way)
    result = cli("quickstart", *words)
    assert result.exit_code == 0
    assert launched == ([str(page)] if opened else [])
