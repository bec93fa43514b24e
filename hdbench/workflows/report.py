"""A report from stored results and tallied studies: its parts, and what stands beside them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hdbench.errors import HdbenchError
from hdbench.reporting.document import Document, Section, write_document, write_summary
from hdbench.reporting.measured import Elsewhere
from hdbench.reporting.page import render_page
from hdbench.reporting.preference_report import (
    preference_facts,
    preference_sections,
    summaries_in,
    tallied_packets,
    with_every_pair,
)
from hdbench.reporting.score_sections import facts_of
from hdbench.schema.report import Comparison, Report
from hdbench.segmentation.segmenter import Segmenter
from hdbench.study.analysis.prose import SIMULATED_MARK
from hdbench.workflows.report_edits import edits_section
from hdbench.workflows.report_pictures import picture_section
from hdbench.workflows.report_scores import scored_sections
from hdbench.workflows.report_segmenters import segmenter_sections
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.results import benchmark_words

_SUMMARY = (
    "Reports in which nothing but the oracle and the floors is measured are left out. Below each "
    "table stand the runs behind its numbers, the hardware, and the commands that repeat them."
)


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
    if report.reports:
        return _write_summary(bench, report, segmenter, second, shown)
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
    parts: list[_Part] = []
    title, stem = report.title, report.name
    if report.shows_scores:
        if segmenter is None:
            return None
        title, stem = f"{title}: {bench.benchmark.title}", f"{stem}.{bench.benchmark.name}"
        parts += _scored_parts(bench, report, segmenter, second, shown)
    if report.edits is not None:
        stem = f"{stem}.{bench.benchmark.name}"
        edited, files = edits_section(bench, report.edits)
        parts.append(_Part([edited] if edited else [], files=files))
    if report.shows_preferences:
        parts.append(_preferences(bench, report, shown, beside=any(one.sections for one in parts)))
    sections = [section for part in parts for section in part.sections]
    if not sections:
        return None
    simulated = report.shows_preferences and shown.simulated
    return Document(
        stem + (".simulated" if simulated else ""),
        title,
        " ".join([f"{report.source}.", *(part.about for part in parts if part.about)]),
        sections,
        {name: value for part in parts for name, value in part.facts.items()},
        SIMULATED_MARK if simulated else "",
        {name: content for part in parts for name, content in part.files.items()},
        any(part.measured for part in parts),
    )


@dataclass(frozen=True)
class _Part:
    """One of the parts that a report can have; without sections if none of it is measured."""

    sections: list[Section]
    facts: dict[str, str] = field(default_factory=dict[str, str])
    about: str = ""
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    #: Whether it shows more than the oracle and the floors.
    measured: bool = True


def _scored_parts(
    bench: Bench,
    report: Report,
    segmenter: Segmenter,
    second: Segmenter | None,
    shown: Shown,
) -> Iterator[_Part]:
    if report.rows:
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
        first = next((one.results[0] for one in measured.values()), None)
        about = f"{len(first.scenes)} scenes, scoring {first.scoring}." if first else ""
        facts = facts_of(measured) if measured else {}
        ranked = any(one.ranked for one in measured.values())
        yield _Part(found, facts, about, measured=ranked)
    if report.segmenters is not None:
        yield _Part(*segmenter_sections(bench, report, shown.seeds, segmenter, second))
    if report.pictures is not None:
        pictures, files = picture_section(bench, report, shown.seeds, segmenter)
        yield _Part([pictures] if pictures else [], files=files)


def _preferences(bench: Bench, report: Report, shown: Shown, *, beside: bool) -> _Part:
    studies = bench.workspace.study("any").parent
    folders = shown.packets or tallied_packets(studies, simulated=shown.simulated)
    summaries = summaries_in(folders, simulated=shown.simulated)
    if report.every_pair:
        report = with_every_pair(report, summaries)
    sections = preference_sections(report, summaries, partial(_study_command, bench), always=beside)
    return _Part(
        sections,
        preference_facts(report, summaries),
        measured=any(section.charts for section in sections),
    )


def _write_summary(
    bench: Bench,
    report: Report,
    segmenter: Segmenter | None,
    second: Segmenter | None,
    shown: Shown,
) -> dict[str, Path]:
    """Write the page of all those reports in which anything but oracle and floors is measured."""
    documents: list[Document] = []
    for name in report.reports:
        one = bench.library.report(name)
        extra = [
            entry
            for entry in shown.extra
            if one.every_method or entry.results[0].method in one.methods
        ]
        document = document_on(bench, one, segmenter, second, replace(shown, extra=extra, scenes=0))
        if document is not None and document.measured:
            documents.append(document)
    if not documents:
        raise _nothing_measured(bench, report)
    title = f"{report.title}: {bench.benchmark.title}"
    page = render_page(title, f"{report.source}.", documents, [_SUMMARY])
    stem = f"{report.name}.{bench.benchmark.name}" + (".simulated" if shown.simulated else "")
    return write_summary(bench.workspace.reports(), stem, title, documents, page)


def _study_command(bench: Bench, entry: Comparison) -> str | None:
    """Return the command that begins the study of a comparison, or None if there is no such way."""
    if entry.method is None or entry.over is None:
        return None
    methods = shlex.quote(f"{entry.method},{entry.over}")
    return (
        f"hdbench study build{benchmark_words(bench)} --study {entry.study[0]} --methods {methods}"
    )


def _nothing_measured(bench: Bench, report: Report) -> HdbenchError:
    if report.edits is not None:
        folder = bench.workspace.root / "edited"
        return HdbenchError(
            f"report '{report.name}': {folder} holds no edited scenes yet.\n"
            "Next: 'hdbench edit', then Export; or 'hdbench edit --script edits.json'"
        )
    if not report.shows_scores and not report.reports:
        return HdbenchError(
            f"report '{report.name}': none of its comparisons is measured yet.\n"
            "Next: 'hdbench study build --help', then 'hdbench study tally PACKET'"
        )
    if report.segmenters is not None:
        return HdbenchError(
            f"report '{report.name}': fewer than two segmenters have scored on "
            f"'{bench.benchmark.name}'.\n"
            "Next: 'hdbench evaluate --method NAME --segmenter own --segmenter second'"
        )
    return HdbenchError(
        f"report '{report.name}': nothing is measured on '{bench.benchmark.name}' yet.\n"
        "Next: 'hdbench evaluate --method NAME' with a method of 'hdbench list'"
    )
