"""The product's face stays true: its table, its commands, its links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from conftest import changed

from hdbench.cli.main import cli
from hdbench.evaluation.confusion import scores_of
from hdbench.library import Library
from hdbench.reporting.build import build_table
from hdbench.reporting.tables import render, row_beside, with_rows
from hdbench.schema.method import Pix2PixHD
from hdbench.schema.report import Report
from hdbench.schema.result import Result
from hdbench.workspace.results import load_result

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
MEASURED = ROOT / "reports" / "measured"
RECORDS = sorted([*MEASURED.glob("*/*.json"), *MEASURED.glob("*/second/*.json")])


def committed(folder: str, scoring: str) -> dict[str, Result]:
    """The results in a folder of ``reports/measured``; under ``second``, the second segmenter's."""
    results = [load_result(path) for path in RECORDS if path.parent == MEASURED / folder]
    return {result.method: result for result in results if result.scoring == scoring}


def table_of(name: str, report: Report) -> str:
    """What ``hdbench report`` printed, from the committed results."""
    library = Library()
    benchmark = library.benchmark(name)
    tables = [committed(f"{name}{part}", benchmark.scoring) for part in ("", "/second")]
    if benchmark.beside is not None:
        for table, part in zip(tables, ("", "/second"), strict=True):
            for method, result in committed(f"{benchmark.beside}{part}", benchmark.scoring).items():
                if isinstance(library.method(method), Pix2PixHD):
                    row = row_beside(library.method(method), benchmark.beside)
                    assert row.method is not None
                    table[row.method] = changed(result, method=row.method)
                    report = with_rows(report, [row])
    results, second = tables
    return render(build_table(report, benchmark, results, second=second), "markdown")


def test_there_are_committed_results() -> None:
    assert RECORDS


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_scores_follow_from_their_matrices(path: Path) -> None:
    result = load_result(path)
    scores = scores_of(result.matrices.sum(axis=0), Library().scoring(result.scoring).counting)
    assert result.scores.pixel_accuracy == scores.pixel_accuracy
    assert result.scores.mean_iou == scores.mean_iou
    assert len(result.matrices) == len(result.scenes) == len(result.images)
    assert np.all(result.matrices >= 0)


def test_the_tables_are_what_was_measured() -> None:
    library = Library()
    marked = re.findall(
        r"<!-- measured/([\w-]+)/([\w-]+):.*?-->\n(.*?)\n<!-- end -->", README, flags=re.DOTALL
    )
    folders = {path.relative_to(MEASURED).parts[0] for path in RECORDS}
    shown = {benchmark for benchmark, _, _ in marked}
    assert shown | {library.benchmark(name).beside or name for name in shown} == folders
    for name, report, text in marked:
        assert text == table_of(name, library.report(report))


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
