"""The READMEs stay true: their tables, commands, links and paths.

``python tests/test_readme.py`` writes the tables anew from the results in ``reports/measured/``.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

from hdbench.cli.main import cli
from hdbench.evaluation.confusion import scores_of
from hdbench.library import METHODS, Library
from hdbench.reporting.measured import Measured, row_beside
from hdbench.reporting.score_table import score_table, with_rows
from hdbench.reporting.tables import render
from hdbench.schema.report import Report, Row
from hdbench.schema.result import NATIVE_ORACLE, ORACLE, Result
from hdbench.workflows.report_scores import always_shown
from hdbench.workspace.results import load_result

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "reports" / "measured"
#: Of results; `tests/test_numbers.py` reads the other records.
RECORDS = sorted(
    path
    for pattern in ("*/*.json", "*/second/*.json")
    for path in MEASURED.glob(pattern)
    if path.parent.name not in ("coverage", "editing", "styles")
    and not path.name.startswith("quickstart.")
)
#: Every file that is checked here, by its path in the repository.
DOCUMENTS = {
    str(path.relative_to(ROOT)): path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(
            path
            for folder in ("models", "protocols", "reports", "tests")
            for path in sorted((ROOT / folder).rglob("README.md"))
        ),
    )
}
LIBRARY = Library()
#: A table between its marks: benchmark, report, perhaps another convention than its own, text.
TABLE = re.compile(
    r"(?P<mark><!-- measured/(?P<benchmark>[\w-]+)/(?P<report>[\w-]+)"
    r"(@(?P<scoring>[\w-]+))?:.*?-->\n)"
    r"(?P<text>.*?)(?P<end><!-- end -->)",
    re.DOTALL,
)
#: The packet in the examples.
PACKET = "hdbench-runs/studies/unlimited"
#: In place of a table.
NOT_MEASURED = "*Not measured yet: the folder has no result of the oracle.*"


def committed(folder: str, scoring: str) -> list[Result]:
    """The results in a folder of ``reports/measured`` under one convention.

    ``streets/second`` holds those by the second segmenter. The oracle at native size has no row.
    """
    results = [load_result(path) for path in RECORDS if path.parent == MEASURED / folder]
    return [
        result for result in results if result.scoring == scoring and result.method != NATIVE_ORACLE
    ]


def measured_in(folder: str, scoring: str) -> dict[str, Measured]:
    """What is committed of a benchmark, by method, with all of its seeds."""
    own, second = committed(folder, scoring), committed(f"{folder}/second", scoring)
    order = list(LIBRARY.entries(METHODS))
    return {
        name: Measured(
            by_seed(own, name),
            by_seed(second, name),
            LIBRARY.method(name).is_trained,
            images_seen(folder, by_seed(own, name)[0]),
        )
        for name in sorted({result.method for result in own}, key=order.index)
    }


def by_seed(results: list[Result], method: str) -> tuple[Result, ...]:
    own = [result for result in results if result.method == method]
    return tuple(sorted(own, key=lambda result: result.seed))


def images_seen(benchmark: str, result: Result) -> int | None:
    facts = result.provenance.training
    return facts and facts.steps * LIBRARY.benchmark(benchmark).budget.batch_size


def table_of(name: str, report: Report, scoring: str | None) -> str:
    """What ``hdbench report`` prints of the committed results."""
    benchmark = LIBRARY.benchmark(name)
    scoring = scoring or benchmark.scoring
    assert scoring is not None
    measured = measured_in(name, scoring)
    if ORACLE not in measured:
        return NOT_MEASURED
    rows = [Row(title=LIBRARY.method(one).title, method=one) for one in measured]
    for method, one in measured_in(benchmark.beside, scoring).items() if benchmark.beside else ():
        # A fresh workspace has of the other benchmark what ships.
        ships = tuple(one for one in one.results if of_shipped(one))
        if ships:
            assert benchmark.beside is not None
            row = row_beside(LIBRARY.method(method), benchmark.beside)
            seeds = {result.seed for result in ships}
            second = tuple(result for result in one.second if result.seed in seeds)
            measured[row.method or ""] = replace(one, results=ships, second=second)
            rows.append(row)
    table = score_table(with_rows(report, always_shown(LIBRARY), rows), measured, benchmark.title)
    return render(table.shown, "markdown", table.best)


def of_shipped(result: Result) -> bool:
    return result.provenance.training is not None and result.provenance.training.ships is not None


def with_tables(text: str) -> str:
    """A document with the tables between its marks written anew."""

    def written(found: re.Match[str]) -> str:
        report = LIBRARY.report(found["report"])
        table = table_of(found["benchmark"], report, found["scoring"])
        return f"{found['mark']}{table}\n{found['end']}"

    return TABLE.sub(written, text)


def test_there_are_committed_results() -> None:
    assert RECORDS


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: str(path.relative_to(MEASURED)))
def test_committed_scores_follow_from_their_matrices(path: Path) -> None:
    result = load_result(path)
    scores = scores_of(result.matrices.sum(axis=0), LIBRARY.scoring(result.scoring).counting)
    assert result.scores.pixel_accuracy == scores.pixel_accuracy
    assert result.scores.mean_iou == scores.mean_iou
    assert len(result.matrices) == len(result.scenes) == len(result.images)
    assert np.all(result.matrices >= 0)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_tables_are_what_was_measured(name: str) -> None:
    text = DOCUMENTS[name].read_text()
    assert text == with_tables(text), "run 'python tests/test_readme.py'"


def test_every_folder_of_results_has_its_table() -> None:
    shown = {
        found["benchmark"]
        for path in DOCUMENTS.values()
        for found in TABLE.finditer(path.read_text())
    }
    assert shown == {path.relative_to(MEASURED).parts[0] for path in RECORDS}


def shell_commands() -> list[tuple[str, str]]:
    """Each command in a block of shell lines: its document and its line."""
    return [
        (name, line)
        for name, path in DOCUMENTS.items()
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(), flags=re.DOTALL)
        for line in block.splitlines()
        if line.startswith("hdbench ")
    ]


@pytest.mark.parametrize(("name", "line"), shell_commands())
def test_every_command_is_one_that_hdbench_knows(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PACKET).mkdir(parents=True)  # some verbs want it to be there
    monkeypatch.chdir(tmp_path)
    verb, arguments = found_verb(shlex.split(line, comments=True))
    verb.make_context(verb.name, arguments)  # parses options; raises on one that does not exist


def found_verb(words: list[str]) -> tuple[click.Command, list[str]]:
    """The verb of a command, and the words after its name; KeyError if there is no such verb."""
    verb: click.Command = cli
    arguments = words[1:]
    while isinstance(verb, click.Group) and arguments:
        verb = verb.commands[arguments.pop(0)]
    return verb, arguments


def test_every_verb_has_an_example_in_the_readme() -> None:
    named = {
        found_verb(shlex.split(line, comments=True))[0]
        for name, line in shell_commands()
        if name == "README.md"
    }
    measures = cli.commands["measure"]
    assert isinstance(measures, click.Group)
    assert verbs_in(cli) - named <= set(measures.commands.values())


def verbs_in(group: click.Group) -> set[click.Command]:
    found: set[click.Command] = set()
    for command in group.commands.values():
        found |= verbs_in(command) if isinstance(command, click.Group) else {command}
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_in_the_text_have_verbs_and_options_that_exist(name: str) -> None:
    for code in inline_code(name):
        if code.startswith("hdbench ") and not code.startswith("hdbench --"):
            verb, arguments = found_verb(shlex.split(code))
            known = {option for parameter in verb.params for option in parameter.opts}
            asked = {word for word in arguments if word.startswith("--")}
            assert asked <= known | {"--help"}, code


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    path = DOCUMENTS[name]
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_in_the_repository_that_is_named_exists(name: str) -> None:
    for code in inline_code(name):
        found = re.fullmatch(r"(hdbench|models|protocols|reports|tests)/[\w./-]*", code)
        if found and not code.startswith("hdbench/_library"):
            assert (ROOT / code).exists(), code


def inline_code(name: str) -> list[str]:
    """What a document sets in backticks, without its blocks."""
    text = re.sub(r"```.*?```", "", DOCUMENTS[name].read_text(), flags=re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


if __name__ == "__main__":
    for document in DOCUMENTS.values():
        document.write_text(with_tables(document.read_text()))
