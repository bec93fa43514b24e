"""Tables of preferences: those of a tally, and reports beside published percentages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hdbench.errors import UsageError, counted
from hdbench.evaluation.significance import holm
from hdbench.reporting.tables import render
from hdbench.schema.record import Interval
from hdbench.schema.report import Comparison, Report
from hdbench.schema.summary import (
    AnchorFindings,
    BradleyTerry,
    NoCorrelation,
    NoEstimate,
    NoTrend,
    PairRate,
    Share,
    Summary,
    TimedRate,
)
from hdbench.study.analysis.prose import SIMULATED_MARK, judges
from hdbench.text import NOTHING, SHARE, number, p_words


def tally_text(analysis: Summary) -> str:
    """Return a tally's analysis as text: rates with and without exclusions, models and counts."""
    counts = analysis.counts
    head = [SIMULATED_MARK, ""] if analysis.simulated else []
    head += [
        f"{analysis.title}: {counts.judgments:,} judgments of {judges(analysis)} on "
        f"{counted(counts.judged_scenes, 'scene')}",
        "",
        render(_pair_table(analysis), "text"),
    ]
    blocks = ["\n".join(head)]
    if analysis.durations:
        blocks.append(render(_duration_table(analysis), "text") + _trend_lines(analysis))
    blocks.append("\n".join(_ability_lines(analysis.bradley_terry) + _side_lines(analysis.side)))
    if analysis.anchor is not None:
        blocks.append("\n".join(_anchor_lines(analysis.anchor)))
    if analysis.metrics:
        blocks.append("\n".join(_metric_lines(analysis)))
    blocks.append("\n".join(_count_lines(analysis)))
    return "\n\n".join(block for block in blocks if block)


def _pair_table(analysis: Summary) -> pd.DataFrame:
    lines = [
        {
            "judgments": f"{row.n:,}",
            "preferred %": percent(row.share),
            "95 % interval": interval(row.clustered),
            "p (Holm)": p_words(row.clustered_p_value_holm),
            "exact interval": interval(row.exact),
            "exact p": p_words(row.p_value),
            "design effect": number(row.design_effect, 1, 1),
            "alpha": number(row.alpha, 1, 2),
            "no exclusions": percent(row.all_sessions.share),
            "interval": interval(row.all_sessions.clustered),
        }
        for row in analysis.pairs
    ]
    names = [row.title for row in analysis.pairs]
    return pd.DataFrame(lines, index=pd.Index(names, name="pair"))


def _duration_table(analysis: Summary) -> pd.DataFrame:
    lines = [
        {
            "planned ms": str(row.planned_ms),
            "measured ms": number(row.measured_ms, 1, 0),
            "judgments": f"{row.n:,}",
            "preferred %": percent(row.share),
            "95 % interval": interval(row.clustered),
        }
        for row in analysis.durations
    ]
    names = [row.title for row in analysis.durations]
    return pd.DataFrame(lines, index=pd.Index(names, name="pair"))


def _trend_lines(analysis: Summary) -> str:
    lines = []
    for row in analysis.trends:
        if isinstance(row, NoTrend):
            said = row.reason
        else:
            low, high = row.interval.low, row.interval.high
            said = (
                f"logit {row.slope:+.3f} [{low:+.3f}, {high:+.3f}] for each doubling of the "
                f"time, p {p_words(row.p_value)}"
            )
        lines.append(f"\ntrend of {row.title}: {said}")
    return "".join(lines)


def _ability_lines(found: BradleyTerry | NoEstimate) -> list[str]:
    if isinstance(found, BradleyTerry):
        return ["Bradley-Terry (logits, sum 0):"] + [
            f"  {row.method}  {row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
            for row in found.abilities
        ]
    lines = [f"Bradley-Terry: no finite estimate, {found.reason}"]
    if found.penalised is not None:
        lines.append("Bradley-Terry penalised by Firth's method (logits, sum 0; no interval):")
        ranked = sorted(found.penalised.abilities.items(), key=lambda entry: -entry[1])
        lines += [f"  {name}  {value:+.3f}" for name, value in ranked]
    return lines


def _side_lines(side: Share | None) -> list[str]:
    if side is None:
        return []
    return [
        f"left side chosen: {percent(side.share)} % {interval(side.clustered)}, "
        f"p {p_words(side.clustered_p_value)}"
    ]


def anchor_table(anchor: AnchorFindings) -> pd.DataFrame:
    """Return how often each compared method was preferred over the anchor, and all of them."""
    lines = [
        {
            "trials": f"{row.n:,}",
            "preferred %": percent(row.share),
            "95 % interval": interval(row.clustered),
        }
        for row in (*anchor.rates, anchor.over_all)
    ]
    names = [*(row.method for row in anchor.rates), "all methods"]
    return pd.DataFrame(lines, index=pd.Index(names, name="method"))


def _anchor_lines(anchor: AnchorFindings) -> list[str]:
    return [
        f"preferred over the low anchor, {anchor.method}, on {counted(anchor.scenes, 'scene')}:",
        render(anchor_table(anchor), "text"),
        f"sessions that preferred the anchor in most of its trials: {anchor.preferring_anchor} of "
        f"{anchor.sessions}; they count",
    ]


def _metric_lines(analysis: Summary) -> list[str]:
    lines = ["metric against people, over images:"]
    for row in analysis.metrics:
        if isinstance(row, NoCorrelation):
            said = row.reason
        else:
            ends = row.pearson_interval
            said = (
                f"Spearman {row.spearman:+.2f} (p {p_words(row.spearman_p_value)}), Pearson "
                f"{row.pearson:+.2f} [{ends.low:+.2f}, {ends.high:+.2f}], "
                f"{counted(row.images, 'image')}"
            )
        lines.append(f"  {row.metric}, {row.a} minus {row.b}: {said}")
    return lines


def _count_lines(analysis: Summary) -> list[str]:
    counts, unnamed = analysis.counts, analysis.unnamed.sessions
    lines = [
        f"{counted(counts.sessions, 'session')} of {counted(counts.participants, 'participant')}"
        + (f" and of {unnamed} unnamed people at most" if unnamed else "")
        + "; left out: "
        f"{counts.excluded_sessions} by quality rules, {counts.repeat_sessions} repeated",
        f"{counts.missing_judgments:,} judgments missing, {counts.void_attempts:,} attempts "
        f"void, {counts.duplicate_rows:,} identical rows dropped, "
        f"{counts.blank_submissions:,} blank submissions",
    ]
    lines += [
        f"  {entry.session} (packet {entry.packet}): {'; '.join(entry.reasons)}"
        for entry in analysis.exclusions[:12]
    ]
    if len(analysis.exclusions) > 12:
        lines.append(f"  ... and {len(analysis.exclusions) - 12} more in the summary")
    again = analysis.packets_to_ask_again
    if again:
        lines.append(f"{counted(len(again), 'packet')} without a session that counts; ask again")
    return lines


@dataclass(frozen=True)
class Finding:
    """One line of a report: a comparison, or one of its durations."""

    comparison: Comparison
    #: A rate of an analysis, turned to count the preferences for the comparison's method.
    rate: PairRate | TimedRate | None

    @property
    def title(self) -> str:
        """The line's heading."""
        time = f", {self.rate.planned_ms:,} ms" if isinstance(self.rate, TimedRate) else ""
        return f"{self.comparison.title}{time}"


def findings(report: Report, summaries: Mapping[Path, Summary]) -> list[Finding]:
    """Return a report's lines in its order, from analyses by the folder of their packet.

    Raises:
        UsageError: two packets measured the same comparison, or simulated and people's are mixed.
    """
    if len({summary.simulated for summary in summaries.values()}) > 1:
        raise UsageError("simulated studies and people's are never shown in one report")
    found = []
    for comparison in report.comparisons:
        folder = measured_by(comparison, summaries)
        rates: Sequence[PairRate | TimedRate] = []
        if folder is not None:
            summary = summaries[folder]
            rows = summary.durations if report.show == "durations" else summary.pairs
            rates = [
                row if row.a == comparison.method else turned(row)
                for row in rows
                if _is_of(row, comparison)
            ]
        found += [Finding(comparison, rate) for rate in rates or [None]]
    return found


def measured_by(comparison: Comparison, summaries: Mapping[Path, Summary]) -> Path | None:
    """Return the packet that a comparison is taken from, or None if it was not measured.

    Raises:
        UsageError: several packets measured it.
    """
    having = [
        folder
        for folder, summary in summaries.items()
        if summary.study in comparison.study
        and any(_is_of(row, comparison) for row in summary.pairs)
    ]
    if len(having) > 1:
        raise UsageError(
            f"{comparison.method} over {comparison.over} was measured by several packets: "
            f"{', '.join(map(str, having))}.\nNext: choose one with --packet DIR"
        )
    return having[0] if having else None


def _is_of(row: PairRate | TimedRate, comparison: Comparison) -> bool:
    return {row.a, row.b} == {comparison.method, comparison.over} and row.n > 0


def turned(rate: PairRate | TimedRate) -> PairRate | TimedRate:
    """Return the rate of b over a from that of a over b; tests are the same either way."""
    other = {"a": rate.b, "b": rate.a, "k": rate.n - rate.k}
    for name in ("exact", "clustered"):
        ends: Interval | None = getattr(rate, name)
        other[name] = ends and Interval(1 - ends.high, 1 - ends.low)
    share = None if rate.share is None else 1 - rate.share
    return rate.model_copy(update={**other, "share": share})


def preference_table(report: Report, found: Sequence[Finding], *, simulated: bool) -> pd.DataFrame:
    """Return a report's table: measured columns, then published ones, never mixed."""
    group = "SIMULATED, no evidence" if simulated else "measured"
    p_values = [row.rate.clustered_p_value for row in found if row.rate]
    family = iter(holm([value for value in p_values if value is not None]))
    heads = [(group, name) for name in ("judgments", "preferred %", "95 % interval", "p (Holm)")]
    lines = []
    for row in found:
        line = [NOTHING] * 4
        if row.rate is not None:
            p_value = next(family) if row.rate.clustered_p_value is not None else None
            line = [
                f"{row.rate.n:,}",
                percent(row.rate.share),
                interval(row.rate.clustered),
                p_words(p_value),
            ]
        published = row.comparison.published
        lines.append([*line, NOTHING if published is None else f"{published:g}"])
    if any(row.comparison.published is not None for row in found):
        heads.append((f"published: {report.published_on}", "preferred %"))
    else:
        lines = [line[:-1] for line in lines]
    index = pd.Index([row.title for row in found], name="comparison")
    return pd.DataFrame(lines, index=index, columns=pd.MultiIndex.from_tuples(heads))


def percent(share: float | None) -> str:
    """Return a share in per cent with one digit."""
    return SHARE.text(share)


def interval(ends: Interval | None) -> str:
    """Return the ends of an interval in per cent."""
    return NOTHING if not ends else f"[{100 * ends.low:.1f}, {100 * ends.high:.1f}]"
