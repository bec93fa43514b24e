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
from conftest import (
    MACHINE,
    SMALL_STREETS,
    ship,
    trainable,
    write_perceptual,
    write_small_streets,
)

from hdbench import synthesis
from hdbench.cli import quickstart as verb
from hdbench.library import Library
from hdbench.schema.timing import QuickstartTimes
from hdbench.segmentation import passes
from hdbench.streets import files
from hdbench.training.segmentation import SegmentationTrainer
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workflows import quickstart as whole_way
from hdbench.workflows import report, scoring, synthesize, train
from hdbench.workspace import segmenters
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

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
    [recorded] = tmp_path.rglob("quickstart.*.json")
    times = QuickstartTimes.model_validate_json(recorded.read_text())
    assert list(times.stages) == [line.partition(": ")[2] for line in stages(first)]
    assert 0 < times.first_page <= times.total
    before = recorded.read_bytes()

    def stamps() -> dict[Path, int]:
        """Of all images but the report's figures, which each report draws from its numbers."""
        images = (path for path in tmp_path.rglob("*.png") if path.parent.name != "reports")
        return {path: path.stat().st_mtime_ns for path in images}

    made = stamps()
    second = cli("quickstart", "--workers", "0")
    assert second.stdout == first.stdout
    assert recorded.read_bytes() == before
    assert stamps() == made


@pytest.mark.slow
def test_without_data_and_with_a_shipped_segmenter_none_is_trained(
    bare_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_small_streets(tmp_path)
    words = ("--workers", "0", "--device", "cpu")
    trained = bare_cli("segmenter", "train", "--benchmark", own, *words)
    assert trained.exit_code == 0, trained.stderr
    shipped = tmp_path / "weights"
    shutil.move("hdbench-runs/segmenters/small/seed0", shipped)
    shutil.rmtree("hdbench-runs")
    benchmark = write_small_streets(tmp_path, segmenter=str(shipped))
    wider = benchmark.with_name("wider.toml")
    text = benchmark.read_text().replace('"small"', '"wider"')
    wider.write_text(text.replace("= 64", "= 128").replace("= 32", "= 64"))
    refused = bare_cli("quickstart", "--benchmark", wider, *words)
    assert refused.exit_code == 2
    for fact in ("64x32", "128x64", 'name = "own"', "[segmenter]", "'hdbench segmenter train'"):
        assert fact in refused.stderr
    assert not Path("hdbench-runs").exists()
    loaded: list[Path] = []
    real = segmenters.load_segmenter
    monkeypatch.setattr(segmenters, "load_segmenter", lambda *a: loaded.append(a[0]) or real(*a))
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
        ('scoring = "camvid-std-v1"', "'cityscapes'"),
        ('scoring = "streets-std-v0"', "'streets-std-v1'"),
        ('name = "pspnet-v0"', "'pspnet-v0'"),
    ],
)
def test_a_wrong_protocol_is_found_before_anything_is_drawn(
    bare_cli: Cli, tmp_path: Path, line: str, message: str
) -> None:
    benchmark = write_small_streets(tmp_path)
    text = benchmark.read_text()
    if line.startswith("name"):
        text = text.replace('[segmenter]\nname = "own"', f"[segmenter]\n{line}")
    else:
        text = f"{line}\n{text}"
    benchmark.write_text(text)
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
        (SegmentationTrainer, "step", 1),
        (Pix2PixHDTrainer, "step", 3),
        (synthesis, "png_bytes", 1),
        (passes, "predict", 1),
        (report, "write_document", 0),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, stop_at(call, getattr(owner, name)))
            stopped = bare_cli(*words, "--workspace", "cut")
        assert stopped.exit_code == 130, name
        assert "resumes" in stopped.stderr
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
    monkeypatch.setattr(verb, "on_a_desktop", lambda: seen)
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


# -- what ships is shown before anything is trained -----------------------------------------------


def write_benchmarks(root: Path) -> None:
    """Add to a library a small benchmark, a longer one beside it, and a network for both."""
    folder = root / "models" / "weights" / "small-perceptual-v1"
    write_perceptual(folder, label_space="cityscapes", window=[64, 32])
    text = SMALL_STREETS.format(segmenter="own")
    own = '[perceptual]\nname = "own"'
    assert own in text
    text = text.replace(own, own.replace("own", "small-perceptual-v1"))
    benchmarks = root / "protocols" / "benchmarks"
    longer = text.replace('"small"', '"longer"').replace("decay_epochs = 1", "decay_epochs = 0")
    (benchmarks / "longer.toml").write_text(longer)
    small = text.replace("\n[data]", 'beside  = "longer"\n\n[data]', 1)
    (benchmarks / "small.toml").write_text(small)


def followed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Go the whole way and return in order what was said, shown, and trained."""
    events: list[tuple[str, str]] = []
    real = train.train_method

    def training(*arguments: Any) -> Path:
        events.append(("train", arguments[1].name))
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(whole_way, "train_method", training)
        whole_way.quickstart(
            bench,
            "ours",
            MACHINE,
            None,
            lambda line: events.append(("say", line)),
            lambda page: events.append(("show", page.read_text())),
        )
    return events


@pytest.mark.slow
def test_what_ships_is_scored_and_shown_before_anything_is_trained(
    tmp_path: Path, own_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_benchmarks(own_library)
    release = open_bench(Workspace(tmp_path / "release", None, "longer"))
    output = train.train_method(release, trainable(release, "ours"), 0, MACHINE)
    ship(output.parent, own_library, "longer-ours-v1")
    bench = open_bench(Workspace(tmp_path / "ws", None, "small"))
    events = followed(bench, monkeypatch)

    said = [text for kind, text in events if kind == "say" and re.match(r"\d of \d: ", text)]
    assert [line[:6] for line in said] == [f"{n} of 7" for n in range(1, 8)]
    for line, name in zip(
        said, ("scenes", "segmenter", "ships", "train ours", "images", "score", "page"), strict=True
    ):
        assert name in line
    order = [kind if kind != "say" else text for kind, text in events]
    first_page = order.index("show")
    assert order.index(said[2]) < first_page < order.index(said[3]) < order.index("train")
    assert order[-2] == "show"  # then only how long it took

    early, late = events[first_page][1], events[-2][1]
    shipped = ("&#39;longer&#39;", "longer-ours-v1", "4 steps", "small-perceptual-v1")
    images = "<figcaption>[^<]* {}<"
    for page in (early, late):
        assert all(fact in page for fact in shipped)
        assert re.search(images.format(r"ours \(longer\)"), page)
    assert not re.search(images.format("ours"), early)
    assert re.search(images.format("ours"), late)
    assert "ours: 8 steps" in late
    assert not bench.workspace.run("longer", "ours", 0).joinpath("checkpoints").exists()

    for owner, name in (
        (files, "draw_scene"),
        (SegmentationTrainer, "step"),
        (Pix2PixHDTrainer, "step"),
        (synthesize, "load_generator"),
        (scoring, "count_images"),
    ):
        monkeypatch.delattr(owner, name)
    again = followed(open_bench(bench.workspace), monkeypatch)
    assert [text for kind, text in again if kind == "say" and text in said] == said
    assert again[-1] == events[-2]


def test_where_no_generator_ships_nothing_is_promised(tmp_path: Path, own_library: Path) -> None:
    write_benchmarks(own_library)
    bench = open_bench(Workspace(tmp_path / "ws", None, "small"))
    way = whole_way.Quickstart(
        bench, trainable(bench, "ours"), "ours", MACHINE, None, lambda line: None, lambda page: None
    )
    titles = [title for title, _ in way.stages()]
    assert len(titles) == 6
    assert not any("ships" in title for title in titles)
