"""What is measured of the methods that a report of scores shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdbench.errors import HdbenchError
from hdbench.library import METHODS, REPORTS, Library
from hdbench.reporting.document import Section
from hdbench.reporting.measured import Elsewhere, Measured, row_beside
from hdbench.reporting.scenes import Gallery
from hdbench.reporting.score_sections import Beside, score_sections
from hdbench.reporting.score_table import with_rows
from hdbench.schema.method import Method
from hdbench.schema.report import Report, Row
from hdbench.schema.result import Result
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.metrics import current_metrics
from hdbench.workspace.results import (
    benchmark_words,
    current_native_oracle,
    current_runs,
    evaluate_command,
)
from hdbench.workspace.runs import image_files, seed_of

#: Methods whose images stand side by side on the page.
_SHOWN = 2


@dataclass(frozen=True)
class Entry:
    """A measured method as a report shows it."""

    method: Method
    #: Its row, where the report has none for it.
    row: Row
    measured: Measured
    #: Folders of its runs, by seed.
    runs: Mapping[int, Path]
    #: The image of each test scene, made with its first seed.
    images: list[Path]

    @property
    def is_made(self) -> bool:
        """Whether a run made its images: neither photographs nor a floor's."""
        return self.measured.ranked


def scored_sections(
    bench: Bench,
    report: Report,
    methods: Sequence[str],
    seeds: Sequence[int] | None,
    segmenter: Segmenter,
    second: Segmenter | None,
    extra: Sequence[Elsewhere],
    scenes: int,
) -> tuple[list[Section], dict[str, Measured]]:
    """Return the sections of a report's rows, and what is measured by method; without any, none.

    Each of ``methods`` gets a row, and so do the oracle, the floors, the results from elsewhere
    (``extra``), and in a report of every method all others that are measured, with the trained
    methods of the benchmark that this one names in ``beside``. The page shows ``scenes`` scenes.

    Raises:
        HdbenchError: one of ``methods`` is not measured, a result is stale, or fingerprints differ.
    """
    always = always_shown(bench.library)
    in_rows = [row.method for row in report.rows if row.method is not None]
    named = [*methods, *in_rows, *(row.method for row in always if row.method)]
    entries = entries_of(bench, _names(bench, named, report.every_method), seeds, segmenter, second)
    for name in methods:
        if bench.library.method(name).name not in entries:
            raise HdbenchError(
                f"'{name}' is not measured on '{bench.benchmark.name}' yet.\n"
                f"Next: 'hdbench evaluate --method {name}'"
            )
    beside = _beside(bench, seeds, segmenter, second) if report.every_method else {}
    measured = {name: entry.measured for name, entry in (entries | beside).items()}
    measured |= {one.row.method or "": one.measured for one in extra}
    if not measured:
        return [], {}
    asked = {bench.library.method(name).name for name in methods}
    rows = [entry.row for name, entry in entries.items() if name in asked]
    others = [entry.row for entry in (entries | beside).values()]
    shown = with_rows(report, [*always, *rows, *(one.row for one in extra)], others)
    # In a method's own name, as the measures' records have it, and of this benchmark alone.
    own = [result for entry in entries.values() for result in entry.measured.results]
    sections = score_sections(
        shown,
        bench.benchmark,
        measured,
        Beside(
            {
                name: reproduce_command(bench, report, name)
                for name in shown.methods
                if name not in measured
            },
            current_native_oracle(bench, segmenter.card),
            current_metrics(bench, own, segmenter.card),
            _curves(entries | beside),
            _pictures(bench, entries | beside, segmenter, scenes),
        ),
    )
    return sections, measured


def always_shown(library: Library) -> list[Row]:
    """Return the rows that stand in every table of scores: the oracle's and the floors'."""
    methods = [library.method(name) for name in library.entries(METHODS)]
    photographs = [one for one in methods if one.shows_photographs]
    floors = [one for one in methods if one.images_from == "floor"]
    return [Row(title=one.title, method=one.name) for one in [*photographs, *reversed(floors)]]


def entries_of(
    bench: Bench,
    names: Iterable[str],
    seeds: Sequence[int] | None,
    segmenter: Segmenter,
    second: Segmenter | None,
) -> dict[str, Entry]:
    """Return what is measured of methods, by name, in this order."""
    asked: dict[str, str] = {}  # what a method was asked for by, by its own name
    for name in names:
        asked.setdefault(bench.library.method(name).name, name)
    found = current_runs(bench, list(asked.values()), seeds, segmenter.card)
    others: dict[str, list[Result]] = {}
    if second is not None:
        others = current_runs(bench, [asked[name] for name in found], seeds, second.card)
    entries = {}
    for name, results in found.items():
        method = bench.library.method(asked[name])
        runs = [result.seed for result in results]
        entries[name] = Entry(
            method,
            Row(title=method.title, method=name),
            Measured(
                tuple(results),
                tuple(one for one in others.get(name, ()) if one.seed in runs),
                method.images_from in ("generator", "weights", "import"),
                _images_seen(bench, results),
                command=" && ".join(_commands(bench, method, asked[name], runs)),
            ),
            {seed: bench.run_folder(name, seed_of(method, seed)) for seed in runs},
            image_files(bench, method, runs[0]),
        )
    return entries


def reproduce_command(bench: Bench, report: Report, method: str) -> str:
    """Return the command that fills a row of a report."""
    found = bench.library.method(method)
    if found.images_from in ("dataset", "floor"):
        return evaluate_command(bench)
    if report.name in bench.library.entries(REPORTS) and found.is_trained:
        return f"hdbench reproduce {report.name}{benchmark_words(bench)} --method {method}"
    return evaluate_command(bench, method)


def _names(bench: Bench, named: Sequence[str], every: bool | None) -> list[str]:
    return [*named, *(bench.library.entries(METHODS) if every else ())]


def _commands(bench: Bench, method: Method, name: str, seeds: Sequence[int]) -> list[str]:
    """Return what repeats a method's numbers."""
    if method.images_from in ("dataset", "floor"):
        return [evaluate_command(bench)]
    return [evaluate_command(bench, name, seed) for seed in seeds]


def _images_seen(bench: Bench, results: Sequence[Result]) -> int | None:
    """Return how many images a run saw: its steps are those of the benchmark's budget."""
    facts = results[0].provenance.training
    return None if facts is None else facts.steps * bench.benchmark.budget.batch_size


def _beside(
    bench: Bench,
    seeds: Sequence[int] | None,
    segmenter: Segmenter,
    second: Segmenter | None,
) -> dict[str, Entry]:
    """Return the trained methods that are measured on the benchmark beside this one."""
    if bench.benchmark.beside is None:
        return {}
    other = bench.with_benchmark(bench.library.benchmark(bench.benchmark.beside))
    name = other.benchmark.name  # it may be named by a path
    entries = {}
    for entry in entries_of(
        other, other.library.entries(METHODS), seeds, segmenter, second
    ).values():
        if entry.is_made:
            row = row_beside(entry.method, name)
            assert row.method is not None
            entries[row.method] = Entry(entry.method, row, entry.measured, entry.runs, entry.images)
    return entries


def _curves(entries: Mapping[str, Entry]) -> dict[str, Path]:
    """Return the folders of trained runs by the titles of their curves."""
    return {
        f"{name}, seed {seed}" if len(entry.runs) > 1 else name: folder
        for name, entry in entries.items()
        if entry.is_made
        for seed, folder in entry.runs.items()
    }


def _pictures(
    bench: Bench, entries: Mapping[str, Entry], segmenter: Segmenter, scenes: int
) -> Section | None:
    images = {name: entry.images for name, entry in entries.items() if entry.is_made}
    if not images or not scenes:
        return None
    return Gallery(
        bench.dataset.test_scenes,
        bench.space,
        bench.benchmark,
        bench.scoring,
        segmenter,
        dict(list(images.items())[:_SHOWN]),
        scenes,
    ).section()
