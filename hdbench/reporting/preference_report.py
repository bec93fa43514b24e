"""From tallied studies to a report's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from hdbench.errors import DataError, HdbenchError
from hdbench.reporting.preference_figures import duration_chart, rate_chart
from hdbench.reporting.preferences import findings, measured_by, preference_table
from hdbench.reporting.tables import SUFFIXES, render
from hdbench.schema.preference_report import PreferenceReport
from hdbench.schema.summary import Summary, TimedRate
from hdbench.storage import write_atomically
from hdbench.study.analysis.export import SUMMARY_FILE, read_summary, tally_folder
from hdbench.study.analysis.prose import SIMULATED_MARK, judges
from hdbench.study.packet.files import STUDY_FILE, require_packet
from hdbench.text import template


def summaries_in(folders: Sequence[Path], *, simulated: bool) -> dict[Path, Summary]:
    """Return the stored analyses of packets by their folders.

    ``simulated`` selects those of simulated answers; the two kinds are never mixed.

    Raises:
        UsageError: a folder is no packet.
        HdbenchError: a packet is not tallied yet.
        DataError: a stored analysis is damaged, or is of the other kind.
    """
    found: dict[Path, Summary] = {}
    for folder in folders:
        require_packet(folder)
        path = _summary_path(folder, simulated)
        if not path.is_file():
            command = f"'hdbench study tally {folder}" + (" --simulated'" if simulated else "'")
            other = "" if simulated else _only_simulated(folder)
            raise HdbenchError(f"{folder}: not tallied yet{other}.\nNext: {command}")
        summary = read_summary(path)
        if summary.simulated != simulated:
            kind = "people's answers" if simulated else "simulated answers"
            raise DataError(
                f"{path}: holds {kind}, which have no place here; delete the folder and tally again"
            )
        found[folder] = summary
    return found


def tallied_packets(studies: Path, *, simulated: bool) -> list[Path]:
    """Return the packets of a workspace that are tallied, in the order of their names."""
    return [
        path.parent
        for path in sorted(studies.glob(f"*/{STUDY_FILE}"))
        if _summary_path(path.parent, simulated).is_file()
    ]


def _summary_path(folder: Path, simulated: bool) -> Path:
    return tally_folder(folder, simulated=simulated) / SUMMARY_FILE


def _only_simulated(folder: Path) -> str:
    return "; only simulated answers are" if _summary_path(folder, True).is_file() else ""


def write_preference_report(
    folder: Path, report: PreferenceReport, summaries: Mapping[Path, Summary]
) -> dict[str, Path]:
    """Write a report as text, Markdown, CSV, LaTeX, figure and page; return the paths by format.

    Raises:
        HdbenchError: none of the comparisons is measured.
        UsageError: as in ``findings``.
    """
    simulated = any(summary.simulated for summary in summaries.values())
    found = findings(report, summaries)
    if all(row.rate is None for row in found):
        raise HdbenchError(
            f"report '{report.name}': none of its comparisons is measured yet.\n"
            "Next: 'hdbench study build --help', then 'hdbench study tally PACKET'"
        )
    table = preference_table(report, found, simulated=simulated)
    mark = f"{SIMULATED_MARK}\n\n" if simulated else ""
    stem = report.name + (".simulated" if simulated else "")
    paths: dict[str, Path] = {}
    for form, suffix in SUFFIXES.items():
        paths[form] = folder / f"{stem}.{suffix}"
        # CSV and LaTeX stay one table; its headings say that it is simulated.
        text = ("" if form in ("csv", "latex") else mark) + render(table, form) + "\n"
        write_atomically(paths[form], text.encode())
    if report.show == "durations":
        rows = [
            (row.comparison.title, row.rate) for row in found if isinstance(row.rate, TimedRate)
        ]
        chart = duration_chart(rows, simulated)
    else:
        rows = [(row.title, row.rate, row.comparison.published) for row in found]
        chart = rate_chart(rows, simulated)
    paths["figure"] = folder / f"{stem}.svg"
    write_atomically(paths["figure"], chart.encode())
    paths["page"] = folder / f"{stem}.html"
    sources = {measured_by(comparison, summaries) for comparison in report.comparisons}
    facts = [_facts(place, entry) for place, entry in summaries.items() if place in sources]
    write_atomically(paths["page"], _page(report, table, chart, facts, simulated).encode())
    return paths


def _page(
    report: PreferenceReport,
    table: pd.DataFrame,
    chart: str,
    facts: Sequence[dict[str, str]],
    simulated: bool,
) -> str:
    return template(__file__, "preferences.html").render(
        title=report.title,
        source=report.source,
        mark=SIMULATED_MARK if simulated else "",
        groups=[
            {"title": title, "span": len(list(columns))}
            for title, columns in groupby(group for group, _ in table.columns)
        ],
        columns=[name for _, name in table.columns],
        rows=[
            {"title": name, "cells": cells}
            for name, cells in zip(table.index, table.values.tolist(), strict=True)
        ],
        chart=Markup(chart),
        studies=facts,
    )


def _facts(packet: Path, summary: Summary) -> dict[str, str]:
    counts = summary.counts
    return {
        "study": f"{summary.title}, version {summary.version}",
        "packet": packet.name,
        "judgments": (
            f"{counts.judgments:,} of {judges(summary)} on {counts.judged_scenes:,} scenes"
        ),
        "left out": (
            f"{counts.excluded_sessions} sessions by rules fixed before the study, "
            f"{counts.repeat_sessions} repeated"
        ),
        "protocol": summary.protocol_hash,
        "design": summary.design_hash,
    }
