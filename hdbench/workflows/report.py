"""A report from stored results and tallied studies: its parts, and what stands beside them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hdbench.errors import HdbenchError
from hdbench.reporting.document import Document, Section, write_document
from hdbench.reporting.measured import Elsewhere
from hdbench.reporting.page import render_page
from hdbench.reporting.preference_report import (
    preference_facts,
    preference_sections,
    summaries_in,
    tallied_packets,
)
from hdbench.reporting.score_sections import facts_of
from hdbench.schema.report import Comparison, Report
from hdbench.segmentation.segmenter import Segmenter
from hdbench.study.analysis.prose import SIMULATED_MARK
from hdbench.workflows.report_pictures import picture_section
from hdbench.workflows.report_scores import scored_sections
from hdbench.workflows.report_segmenters import segmenter_sections
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.results import benchmark_words


@dataclass(frozen=True)
class Shown:
    """What a user chose to see in a report."""

    #: Measured methods that get a row whatever the report says, the first on top of the pictures.
    methods: Sequence[str] = ()
    #: Training seeds; None for all that are measured.
    seeds: Sequence[int] | None = None
    #: Scenes on the page of a table of scores.
    scenes: int = 8
    #: Tallied packets; none for all of the workspace.
    packets: Sequence[Path] = ()
    #: Whether simulated answers are shown, and people's are not.
    simulated: bool = False
    #: Results of other laboratories, each for a row of its own.
    extra: Sequence[Elsewhere] = ()


def report_on(
    bench: Bench,
    report: Report,
    segmenter: Segmenter | None,
    second: Segmenter | None = None,
    shown: Shown | None = None,
) -> dict[str, Path]:
    """Write a report from stored results and tallied studies; return its files by format.

    ``segmenter`` ranks the methods, and the scores by the ``second`` one stand beside its own; a
    report of preferences alone needs none.

    Raises:
        HdbenchError: nothing is measured yet, one of the chosen methods is not, a result is stale,
            or results with different fingerprints would share a table.
        UsageError: two packets measured the same comparison, or a packet is none.
    """
    shown = shown or Shown()
    document = document_on(bench, report, segmenter, second, shown)
    if document is None:
        raise _nothing_measured(bench, report)
    page = render_page(document.title, document.subtitle, [document])
    return write_document(bench.workspace.reports(), document, page)


def document_on(
    bench: Bench,
    report: Report,
    segmenter: Segmenter | None,
    second: Segmenter | None,
    shown: Shown,
) -> Document | None:
    """Return a report's content, or None if none of it is measured.

    Raises:
        HdbenchError: as in ``report_on``.
        UsageError: as in ``report_on``.
    """
    sections: list[Section] = []
    facts: dict[str, str] = {}
    subtitle, title, stem = [f"{report.source}."], report.title, report.name
    if report.shows_scores:
        title, stem = f"{title}: {bench.benchmark.title}", f"{stem}.{bench.benchmark.name}"
    if report.rows:
        assert segmenter is not None
        bench = scenes_of(bench, [bench.library.method(name) for name in shown.methods])
        found, measured = scored_sections(
            bench,
            report,
            shown.methods,
            shown.seeds,
            segmenter,
            second,
            shown.extra,
            shown.scenes,
        )
        if measured:
            facts |= facts_of(measured)
            first = next(iter(measured.values())).results[0]
            subtitle.append(f"{len(first.scenes)} scenes, scoring {first.scoring}.")
        sections += found
    if report.segmenters is not None:
        assert segmenter is not None
        found, own = segmenter_sections(bench, report, shown.seeds, segmenter, second)
        sections += found
        facts |= own
    files: dict[str, bytes] = {}
    if report.pictures is not None:
        assert segmenter is not None
        pictures, files = picture_section(bench, report, shown.seeds, segmenter)
        sections += [pictures] if pictures else []
    if report.comparisons:
        studies = bench.workspace.study("any").parent
        folders = shown.packets or tallied_packets(studies, simulated=shown.simulated)
        summaries = summaries_in(folders, simulated=shown.simulated)
        command_of = partial(_study_command, bench)
        sections += preference_sections(report, summaries, command_of, always=bool(sections))
        facts |= preference_facts(report, summaries)
    if not sections:
        return None
    simulated = bool(report.comparisons) and shown.simulated
    return Document(
        stem + (".simulated" if simulated else ""),
        title,
        " ".join(subtitle),
        sections,
        facts,
        SIMULATED_MARK if simulated else "",
        files,
    )


def _study_command(bench: Bench, entry: Comparison) -> str | None:
    """Return the command that begins the study of a comparison, or None if there is no such way."""
    if entry.method is None or entry.over is None:
        return None
    methods = shlex.quote(f"{entry.method},{entry.over}")
    return f"hdbench study build{benchmark_words(bench)} --study {entry.study} --methods {methods}"


def _nothing_measured(bench: Bench, report: Report) -> HdbenchError:
    if not report.shows_scores:
        return HdbenchError(
            f"report '{report.name}': none of its comparisons is measured yet.\n"
            "Next: 'hdbench study build --help', then 'hdbench study tally PACKET'"
        )
    return HdbenchError(
        f"report '{report.name}': nothing is measured on '{bench.benchmark.name}' yet.\n"
        "Next: 'hdbench evaluate --method NAME' with a method of 'hdbench list'"
    )
