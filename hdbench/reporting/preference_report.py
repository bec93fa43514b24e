"""From tallied studies to the sections of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hdbench.errors import DataError, HdbenchError
from hdbench.reporting.document import Chart, Section
from hdbench.reporting.preference_figures import duration_chart, rate_chart
from hdbench.reporting.preferences import Finding, findings, measured_by, preference_table
from hdbench.schema.report import Comparison, Report
from hdbench.schema.summary import Summary, TimedRate
from hdbench.study.analysis.export import SUMMARY_FILE, read_summary, tally_folder
from hdbench.study.analysis.prose import judges
from hdbench.study.packet.files import STUDY_FILE, require_packet

_REMARK = (
    "How often the first of the two was preferred; chance is 50 %. Intervals and p-values are "
    "clustered by participant and by image, so they speak of other people and other images; "
    "p-values hold for the whole family (Holm). Published percentages were measured elsewhere, on "
    "other images; they stand beside the measured ones for orientation."
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
            remarks=[_REMARK],
            charts=[_chart(report, found, simulated)] if measured else [],
        )
    ]


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
    sources = {measured_by(comparison, summaries) for comparison in report.comparisons}
    found = [_facts(place, entry) for place, entry in summaries.items() if place in sources]
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
