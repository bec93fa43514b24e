"""Figures of preferences: rates with intervals, and rates over the time shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from hdbench.reporting.style import COLOURS, DASHES, INK, MARKS, new_figure, plain, styled, svg_of
from hdbench.schema.summary import Share, Summary, TimedRate
from hdbench.storage import write_atomically


@styled
def rate_chart(rows: Sequence[tuple[str, Share | None, float | None]], mark: bool) -> Figure:
    """Return preference rates with their 95 % intervals; published ones as hollow diamonds.

    Rows are title, rate (None if not measured) and published per cent.
    ``mark`` watermarks the figure as simulated.
    """
    figure = new_figure(7.2, 0.42 * len(rows) + 1.2)
    axes = figure.add_subplot()
    axes.axvline(50, color=INK, linewidth=0.8, linestyle=":")
    for place, (_, rate, published) in enumerate(rows):
        if point := _point(rate):
            value, below, above = point
            axes.errorbar(
                value,
                place,
                xerr=[[below], [above]],
                fmt="o",
                color=COLOURS[0],
                capsize=3,
                markersize=5,
            )
        if published is not None:
            axes.plot(published, place, "D", markersize=6, mfc="none", color=COLOURS[1])
    axes.set_yticks(range(len(rows)), [plain(title) for title, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    kinds = "points: measured, 95 % interval"
    if any(published is not None for _, _, published in rows):
        kinds += "; diamonds: published"
    axes.set_xlabel(f"preferred, % of judgments\n({kinds})")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return _finished(figure, mark)


@styled
def duration_chart(rows: Sequence[tuple[str, TimedRate]], mark: bool) -> Figure:
    """Return the rate of each pair over the measured time on screen.

    After Figure 7 of the paper, with 95 % intervals; times in seconds on a binary scale. Rows are
    the title of the pair's line and a rate. ``mark`` watermarks the figure as simulated.
    """
    figure = new_figure(7.2, 4.0)
    axes = figure.add_subplot()
    axes.axhline(50, color=INK, linewidth=0.8, linestyle=":")
    lines = list(dict.fromkeys((title, row.a, row.b) for title, row in rows))
    for n, line in enumerate(lines):
        own = [row for title, row in rows if (title, row.a, row.b) == line]
        own.sort(key=lambda row: row.planned_ms)
        shift = 1 + 0.03 * (n - (len(lines) - 1) / 2)  # whiskers beside each other, not in line
        points = [
            (shift * (row.measured_ms or row.planned_ms) / 1000, *point)
            for row in own
            if (point := _point(row))
        ]
        times, values, below, above = zip(*points, strict=True)
        axes.errorbar(
            times,
            values,
            yerr=[below, above],
            marker=MARKS[n % len(MARKS)],
            linestyle=DASHES[n % len(DASHES)],
            color=COLOURS[n % len(COLOURS)],
            capsize=3,
            label=plain(line[0]),
        )
    axes.set_xscale("log", base=2)
    ticks = sorted({row.planned_ms / 1000 for _, row in rows})
    axes.set_xticks(ticks, [f"{time:g}" for time in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 102)
    axes.set_xlabel("time on screen, measured, s")
    axes.set_ylabel("preferred, % of judgments")
    axes.grid(axis="y")
    axes.legend()
    return _finished(figure, mark)


def write_tally_figures(folder: Path, analysis: Summary) -> dict[str, Path]:
    """Write a tally's figures and return their paths by kind."""
    rows = [(row.title, row, None) for row in analysis.pairs]
    paths = {"rates": folder / "rates.svg"}
    write_atomically(paths["rates"], svg_of(rate_chart(rows, analysis.simulated)).encode())
    if analysis.durations:
        paths["durations"] = folder / "durations.svg"
        rates = [(row.title, row) for row in analysis.durations]
        chart = svg_of(duration_chart(rates, analysis.simulated))
        write_atomically(paths["durations"], chart.encode())
    return paths


def _point(rate: Share | None) -> tuple[float, float, float] | None:
    """Return a rate in per cent, and how far its interval reaches below and above."""
    ends = rate and (rate.clustered or rate.exact)
    if rate is None or rate.share is None or ends is None:
        return None
    value = 100 * rate.share
    return value, max(0.0, value - 100 * ends.low), max(0.0, 100 * ends.high - value)


def _finished(figure: Figure, mark: bool) -> Figure:
    if mark:
        figure.text(
            0.5, 0.5, "SIMULATED", fontsize=44, color="#b00020", alpha=0.22,
            ha="center", va="center", rotation=20,
        )  # fmt: skip
    return figure
