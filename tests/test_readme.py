"""The product's face stays true: its table, its commands, its links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from hdbench.cli.main import cli
from hdbench.evaluation.confusion import scores_of
from hdbench.library import Library
from hdbench.reporting.build import build_table
from hdbench.reporting.tables import render
from hdbench.results import Result, load_result

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
MEASURED = ROOT / "reports" / "measured"
RECORDS = sorted(MEASURED.glob("*/*.json"))


def committed(benchmark: str, scoring: str) -> dict[str, Result]:
    results = [load_result(path) for path in RECORDS if path.parent.name == benchmark]
    return {result.method: result for result in results if result.scoring == scoring}


def test_there_are_committed_results() -> None:
    assert RECORDS


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_scores_follow_from_their_matrices(path: Path) -> None:
    result = load_result(path)
    scores = scores_of(result.matrices.sum(axis=0), Library().scoring(result.scoring).counting)
    assert result.scores["pixel_accuracy"] == scores.pixel_accuracy
    assert result.scores["mean_iou"] == scores.mean_iou
    assert len(result.matrices) == len(result.scenes) == len(result.images)
    assert np.all(result.matrices >= 0)


def test_the_tables_are_what_was_measured() -> None:
    library = Library()
    marked = re.findall(
        r"<!-- measured/([\w-]+)/([\w-]+):.*?-->\n(.*?)\n<!-- end -->", README, flags=re.DOTALL
    )
    assert {benchmark for benchmark, _, _ in marked} == {path.parent.name for path in RECORDS}
    for name, report, text in marked:
        benchmark = library.benchmark(name)
        results = committed(name, benchmark.scoring)
        assert len({result.fingerprint for result in results.values()}) == 1
        table = build_table(library.report(report), benchmark, results)
        assert text == render(table, "markdown")


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("hdbench ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_one_that_hdbench_knows(words: list[str]) -> None:
    verb: click.Command = cli
    arguments = words[1:]
    while isinstance(verb, click.Group):
        verb = verb.commands[arguments.pop(0)]
    verb.make_context(verb.name, arguments)  # parses options; raises on one that does not exist


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
