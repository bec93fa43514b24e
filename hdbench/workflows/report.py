"""A report from stored results: which rows it has, and what stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hdbench.errors import HdbenchError
from hdbench.library import METHODS
from hdbench.reporting.build import Gallery, write_report
from hdbench.reporting.tables import row_beside, with_rows
from hdbench.schema.method import Method
from hdbench.schema.report import Report, Row
from hdbench.schema.result import Result
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.metrics import current_metrics
from hdbench.workspace.results import current_native_oracle, current_results
from hdbench.workspace.runs import image_files, seed_of

#: Methods whose images stand side by side on the page.
_SHOWN = 2


@dataclass(frozen=True)
class Entry:
    """A measured method as a report shows it."""

    method: Method
    #: Its row, where the report has none for it.
    row: Row
    #: Under the benchmark's segmenter; its ``method`` is what the row is called.
    result: Result
    #: Under the second segmenter, if it was scored by that one too.
    second: Result | None
    #: The run's folder.
    run: Path
    #: The image of each test scene.
    images: list[Path]

    @property
    def is_made(self) -> bool:
        """Whether a run made its images: neither photographs nor a floor's."""
        return self.method.images_from in ("generator", "weights", "import")


def report_on(
    bench: Bench,
    report: Report,
    methods: Sequence[str],
    seed: int,
    segmenter: Segmenter,
    scenes: int,
    second: Segmenter | None = None,
) -> dict[str, Path]:
    """Write a report from stored results and return its files by format.

    A method of the library that is measured and has no row in the report gets one, and so does each
    of ``methods``, and each trained method that is measured on the benchmark that this one names in
    ``beside``. The oracle at native size, where it is measured, stands below the table. The page
    shows ``scenes`` scenes, with the images of the first method. Scores by the ``second`` segmenter
    stand beside those of ``segmenter``, which ranks.

    Raises:
        HdbenchError: nothing is measured yet, one of ``methods`` is not, or a result is stale.
    """
    bench = scenes_of(bench, [bench.library.method(name) for name in methods])
    in_rows = [row.method for row in report.rows if row.method is not None]
    entries = _measured(bench, [*methods, *in_rows], seed, segmenter, second)
    for name in methods:
        if bench.library.method(name).name not in entries:
            raise HdbenchError(
                f"'{name}' is not measured on '{bench.benchmark.name}' yet.\n"
                f"Next: 'hdbench evaluate --method {name}'"
            )
    beside = _beside(bench, seed, segmenter, second)
    if not entries and not beside:
        raise HdbenchError(
            f"report '{report.name}': nothing is measured on '{bench.benchmark.name}' yet.\n"
            "Next: 'hdbench evaluate --method NAME' with a method of 'hdbench list'"
        )
    entries |= beside
    made = {name: entry for name, entry in entries.items() if entry.is_made}
    gallery = None
    if made:
        gallery = Gallery(
            bench.dataset.test_scenes,
            bench.space,
            bench.benchmark,
            bench.scoring,
            segmenter,
            {name: entry.images for name, entry in list(made.items())[:_SHOWN]},
            scenes,
        )
    results = {name: entry.result for name, entry in entries.items()}
    # In a method's own name, as the measures' records have it, and of this benchmark alone.
    own = [entry.result for name, entry in entries.items() if name not in beside]
    return write_report(
        bench.workspace.reports(),
        with_rows(report, [entry.row for entry in entries.values()]),
        bench.benchmark,
        bench.space,
        results,
        {name: entry.run for name, entry in made.items()},
        gallery,
        current_metrics(bench, own, segmenter.card),
        current_native_oracle(bench, segmenter.card),
        {name: entry.second for name, entry in entries.items() if entry.second is not None},
    )


def _measured(
    bench: Bench,
    names: Sequence[str],
    seed: int,
    segmenter: Segmenter,
    second: Segmenter | None,
) -> dict[str, Entry]:
    """Return what is measured of some methods and of the library's, by name, in this order."""
    asked: dict[str, str] = {}  # what a method was asked for by, by its own name
    for name in (*names, *bench.library.entries(METHODS)):
        asked.setdefault(bench.library.method(name).name, name)
    found = current_results(bench, list(asked.values()), seed, segmenter.card)
    others: dict[str, Result] = {}
    if second is not None:
        others = current_results(bench, [asked[name] for name in found], seed, second.card)
    entries = {}
    for name, result in found.items():
        method = bench.library.method(asked[name])
        its_seed = seed_of(method, seed)
        entries[name] = Entry(
            method,
            Row(title=method.title, method=name),
            result,
            others.get(name),
            bench.run_folder(name, its_seed),
            image_files(bench, method, its_seed),
        )
    return entries


def _beside(
    bench: Bench, seed: int, segmenter: Segmenter, second: Segmenter | None
) -> dict[str, Entry]:
    """Return the trained methods that are measured on the benchmark beside this one."""
    if bench.benchmark.beside is None:
        return {}
    other = bench.with_benchmark(bench.library.benchmark(bench.benchmark.beside))
    name = other.benchmark.name  # it may be named by a path
    entries = {}
    for entry in _measured(other, [], seed, segmenter, second).values():
        if entry.is_made:
            row = row_beside(entry.method, name)
            assert row.method is not None
            name_there = {"method": row.method}
            entries[row.method] = replace(
                entry,
                row=row,
                result=entry.result.model_copy(update=name_there),
                second=entry.second and entry.second.model_copy(update=name_there),
            )
    return entries
