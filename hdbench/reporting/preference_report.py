"""From tallied studies to the sections of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hdbench.errors import DataError, HdbenchError, counted
from hdbench.reporting.document import Chart, Section
from hdbench.reporting.preference_figures import duration_chart, rate_chart
from hdbench.reporting.preferences import (
    Finding,
    anchor_table,
    findings,
    measured_by,
    preference_table,
)
from hdbench.schema.report import Comparison, Report
from hdbench.schema.summary import Summary, TimedRate
from hdbench.study.analysis.export import SUMMARY_FILE, read_summary, tally_folder
from hdbench.study.analysis.prose import judges
from hdbench.study.packet.files import STUDY_FILE, require_packet

_REMARK = (
    "How often the first of the two was preferred; chance is 50 %. Intervals and p-values are "
    "clustered by participant and by image, so they speak of other people and other images; "
    "p-values hold for the whole family (Holm)."
)
_PUBLISHED = (
    "Published percentages were measured elsewhere, on other images; they stand beside the "
    "measured ones for orientation."
)


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


def with_every_pair(report: Report, summaries: Mapping[Path, Summary]) -> Report:
    """Return a report with a comparison for every pair that packets have judgments of."""
    comparisons = [
        Comparison(
            title=row.title + (f" ({summary.study})" if len(summaries) > 1 else ""),
            method=row.a,
            over=row.b,
            study=[summary.study],
        )
        for summary in summaries.values()
        for row in summary.pairs
        if row.n
    ]
    return report.model_copy(update={"comparisons": comparisons})


def preference_sections(
    report: Report,
    summaries: Mapping[Path, Summary],
    command_of: Callable[[Comparison], str | None],
    always: bool,
) -> list[Section]:
    """Return the sections of a report's comparisons; none if none of them is measured.

    ``command_of`` says how a comparison is measured of which nothing is measured yet. ``always``
    returns the table even if all of it is still to be measured.

    Raises:
        UsageError: as in ``findings``.
    """
    simulated = any(summary.simulated for summary in summaries.values())
    found = findings(report, summaries)
    measured = any(row.rate is not None for row in found)
    if not measured and not always:
        return []
    published = any(row.comparison.published is not None for row in found)
    missing = {
        n: command
        for n, row in enumerate(found)
        if row.rate is None and (command := command_of(row.comparison)) is not None
    }
    return [
        Section(
            "Preferences",
            "preferences",
            preference_table(report, found, simulated=simulated),
            missing=missing,
            remarks=[f"{_REMARK} {_PUBLISHED}" if published else _REMARK],
            charts=[_chart(report, found, simulated)] if measured else [],
        ),
        *_anchor_sections(report, summaries),
    ]


def _anchor_sections(report: Report, summaries: Mapping[Path, Summary]) -> Iterator[Section]:
    """Yield how the anchor fared in each packet that measured something and has one."""
    for place, summary in _sources(report, summaries).items():
        if summary.anchor is not None:
            yield Section(
                f"Low anchor in packet {place.name}",
                f"anchor.{place.name}",
                anchor_table(summary.anchor),
                notes=[
                    f"Preferred over the low anchor, {summary.anchor.method}: a method known to be "
                    "worse, hidden among the comparisons, on scenes of its own. "
                    f"{summary.anchor.preferring_anchor} of "
                    f"{counted(summary.anchor.sessions, 'session')} preferred the anchor in most "
                    "of its trials, which excludes none."
                ],
            )


def _sources(report: Report, summaries: Mapping[Path, Summary]) -> dict[Path, Summary]:
    """Return the packets that measured a comparison of the report."""
    used = {measured_by(comparison, summaries) for comparison in report.comparisons}
    return {place: summary for place, summary in summaries.items() if place in used}


def _chart(report: Report, found: Sequence[Finding], simulated: bool) -> Chart:
    if report.show == "durations":
        rows = [
            (row.comparison.title, row.rate) for row in found if isinstance(row.rate, TimedRate)
        ]
        return Chart("durations", "", duration_chart(rows, simulated))
    rates = [(row.title, row.rate, row.comparison.published) for row in found]
    return Chart("rates", "", rate_chart(rates, simulated))


def preference_facts(report: Report, summaries: Mapping[Path, Summary]) -> dict[str, str]:
    """Return where a report's preferences come from, by name."""
    found = [_facts(place, entry) for place, entry in _sources(report, summaries).items()]
    if len(found) == 1:
        return found[0]
    return {
        f"{name} ({facts['packet']})": value for facts in found for name, value in facts.items()
    }


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
