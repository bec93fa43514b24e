"""The sections of a report of scores: its table, figures, pictures, and where numbers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hdbench.evaluation.seeds import Estimates
from hdbench.reporting.document import Chart, Section
from hdbench.reporting.figures import (
    BARS,
    class_bars,
    confusion_picture,
    loss_curves,
    ratio_points,
    score_whiskers,
)
from hdbench.reporting.footnotes import bracket_notes, budget_notes, footnotes, native_line
from hdbench.reporting.measured import Measured
from hdbench.reporting.metric_tables import metric_tables
from hdbench.reporting.score_table import OTHER_BUDGET, ScoreTable, score_table
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.metric import Metric
from hdbench.schema.report import Report
from hdbench.schema.result import ORACLE, Result
from hdbench.text import NOTHING

_SEGMENTER = "{architecture} on {encoder}, weights {weights}"
_PUBLISHED = (
    "Published numbers were measured on another dataset with code that was never released. They "
    "are shown for orientation and cannot be compared with the measured ones."
)
_BEST = (
    "Bold: the highest measured value of a column among methods of the same budget, oracle and "
    "floors aside. Whether two methods differ, 'hdbench compare' tests."
)
_FLOORS = (
    "A method is better than the trivial baselines (floors) only if its scores are higher and its "
    "images look better."
)


@dataclass(frozen=True)
class Beside:
    """What stands beside a table of scores."""

    #: By method without results, the command that measures it.
    commands: Mapping[str, str] = field(default_factory=dict[str, str])
    #: The oracle at native size.
    native: Result | None = None
    metrics: Sequence[Metric] = ()
    #: Folders of trained runs, by the titles of their curves.
    runs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    #: Of scenes.
    pictures: Section | None = None


def score_sections(
    report: Report, benchmark: Benchmark, measured: Mapping[str, Measured], beside: Beside
) -> list[Section]:
    """Return the sections of a report's rows; ``measured`` holds at least one of their methods.

    Raises:
        HdbenchError: the results' fingerprints differ; each choice that differs is named.
    """
    table = score_table(report, measured, benchmark.title)
    shown = {name: measured[name] for name in table.estimates}
    results = {name: one.results for name, one in shown.items()}
    native = [native_line(beside.native, benchmark.size)] if beside.native else []
    origins = [f"{name}: {one.origin}." for name, one in shown.items() if one.origin]
    notes = [
        *native,
        *bracket_notes(table.estimates.values()),
        *budget_notes(shown, table.other_budget, OTHER_BUDGET),
        *footnotes(results),
        *origins,
    ]
    sections = [
        Section(
            "Scores",
            "scores",
            table.shown,
            table.numbers,
            table.best,
            _missing(report, shown, beside.commands),
            notes,
            [
                *([_BEST] if table.best else []),
                *([_PUBLISHED] if _has_published(report) else []),
                _FLOORS,
            ],
            _charts(report, table),
        )
    ]
    if beside.pictures is not None:
        sections.append(beside.pictures)
    sections += [
        Section(
            "Intersection over union of each class",
            charts=[_class_chart(report, table, shown)],
            in_summary=False,
        ),
        Section(
            "Confusion matrices",
            remarks=[
                "Rows are true classes, columns predicted ones. Each row sums to 100 %; shares "
                "below 0.5 % are left blank. The separate last row, void, shows what is predicted "
                "where the label map has no class. Several seeds are counted together."
            ],
            folded=[Chart("", name, confusion_picture(name, own)) for name, own in results.items()],
            in_summary=False,
        ),
    ]
    for one in metric_tables(beside.metrics):
        name = one.title.lower().replace(" ", "-")
        sections.append(Section(one.title, name, one.table, notes=one.notes))
    curves = [
        Chart(f"loss-{n}", "", loss_curves(rows, f"{title}: {len(rows)} steps"))
        for n, (title, folder) in enumerate(beside.runs.items())
        if (rows := read_metrics(folder / "metrics.jsonl"))
    ]
    if curves:
        sections.append(Section("Training", charts=curves, in_summary=False))
    sections.append(_origins(report, shown))
    return sections


def facts_of(measured: Mapping[str, Measured]) -> dict[str, str]:
    """Return what all scores of a table share, by name."""
    first = next(iter(measured.values())).results[0]
    choices, versions = first.choices, first.provenance.versions
    second = next((one.second[0] for one in measured.values() if one.second), None)
    beside = {}
    if second is not None:
        beside["second segmenter"] = _SEGMENTER.format(**second.choices["segmenter"])
        beside["fingerprint under it"] = second.fingerprint
    return {
        "dataset": f"{choices['dataset']}, split {choices['split']}, {choices['scenes']} scenes",
        "image size": "{}x{}".format(*choices["image_size"]),
        "scoring": first.scoring,
        "segmenter": _SEGMENTER.format(**choices["segmenter"]),
        "fingerprint": first.fingerprint,
        **beside,
        "software": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "device": first.provenance.device,
    }


def _charts(report: Report, table: ScoreTable) -> list[Chart]:
    everything = _titled(report, table, list(table.estimates))
    charts = [Chart("scores", BARS, score_whiskers(everything))]
    ratios = _titled(report, table, [name for name in table.estimates if name != ORACLE])
    if any(one.oracle_ratio.mean is not None for one in ratios.values()):
        charts.append(Chart("oracle-ratio", "", ratio_points(ratios)))
    return charts


def _class_chart(report: Report, table: ScoreTable, shown: Mapping[str, Measured]) -> Chart:
    """Return the IoU of each class: of the methods, the oracle and the first floor."""
    ranked = [name for name, one in shown.items() if one.ranked]
    oracle = [ORACLE] if ORACLE in shown else []
    floors = [name for name in shown if name not in (*ranked, ORACLE)][:1]
    references = list(_titled(report, table, [*oracle, *floors]))
    estimates = _titled(report, table, [*ranked, *oracle, *floors])
    return Chart("class-iou", BARS, class_bars(estimates, references))


def _titled(report: Report, table: ScoreTable, names: Sequence[str]) -> dict[str, Estimates]:
    """Return estimates of methods by the titles of their rows."""
    rows = {row.method: row.title for row in report.rows}
    titles = [rows.get(name, name) for name in names]
    return {
        title if titles.count(title) == 1 else f"{title} ({name})": table.estimates[name]
        for title, name in zip(titles, names, strict=True)
    }


def _missing(
    report: Report, shown: Mapping[str, Measured], commands: Mapping[str, str]
) -> dict[int, str]:
    return {
        n: commands[row.method]
        for n, row in enumerate(report.rows)
        if row.method is not None and row.method not in shown and row.method in commands
    }


def _has_published(report: Report) -> bool:
    return any(row.published for row in report.rows)


def _origins(report: Report, shown: Mapping[str, Measured]) -> Section:
    """Return the table of runs: what each number stands on, and the command behind it."""
    titles = {row.method: row.title for row in report.rows}
    names, lines = [], []
    for name, one in shown.items():
        for result in one.results:
            facts, versions = result.provenance.training, result.provenance.versions
            names.append(titles.get(name, name))
            lines.append(
                {
                    "seed": str(result.seed) if facts else NOTHING,
                    "run": result.run[:16] if result.run else NOTHING,
                    "steps": f"{facts.steps:,}" if facts else NOTHING,
                    "images seen": f"{one.images_seen:,}" if one.images_seen else NOTHING,
                    "weights": facts.weights[:16] if facts else NOTHING,
                    "scored on": ", ".join(
                        [result.provenance.device, *filter(None, [versions.get("platform")])]
                    ),
                    "hdbench": versions.get("hdbench", NOTHING),
                    "command": one.command or one.origin or NOTHING,
                }
            )
    table = pd.DataFrame(lines, index=pd.Index(names, name="method"))
    return Section("The runs behind the numbers", table=table)
