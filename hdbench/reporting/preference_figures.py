"""Figures of preferences: rates with intervals, and rates over the time shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hdbench.reporting.figures import COLOURS, INK, new_figure, svg_of
from hdbench.storage import write_atomically


def rate_chart(rows: Sequence[tuple[str, dict[str, Any] | None, float | None]], mark: bool) -> str:
    """Return preference rates with their 95 % intervals as SVG; published ones as hollow diamonds.

    Rows are title, rate (share, n and intervals; None if not measured) and published per cent.
    ``mark`` watermarks the figure as simulated.
    """
    figure = new_figure(7.2, 0.42 * len(rows) + 1.2)
    axes = figure.add_subplot()
    axes.axvline(50, color=INK, linewidth=0.8, linestyle=":")
    for place, (_, rate, published) in enumerate(rows):
        if rate is not None and rate["share"] is not None:
            value = 100 * rate["share"]
            low, high = _ends(rate)
            axes.errorbar(
                value,
                place,
                xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
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
    axes.set_xlabel(f"preferred, %\n({kinds})", fontsize=9)
    return _finished(figure, mark)


def duration_chart(rows: Sequence[dict[str, Any]], mark: bool) -> str:
    """Return the rate of each pair over the measured time on screen, as SVG.

    After Figure 7 of the paper, with 95 % intervals; times in seconds on a binary scale. ``mark``
    watermarks the figure as simulated.
    """
    figure = new_figure(7.2, 4.0)
    axes = figure.add_subplot()
    axes.axhline(50, color=INK, linewidth=0.8, linestyle=":")
    pairs = list(dict.fromkeys((row["a"], row["b"]) for row in rows))
    for n, pair in enumerate(pairs):
        own = [row for row in rows if (row["a"], row["b"]) == pair and row["share"] is not None]
        own.sort(key=lambda row: row["planned_ms"])
        shift = 1 + 0.03 * (n - (len(pairs) - 1) / 2)  # whiskers beside each other, not in line
        values = [100 * row["share"] for row in own]
        ends = [_ends(row) for row in own]
        axes.errorbar(
            [shift * (row["measured_ms"] or row["planned_ms"]) / 1000 for row in own],
            values,
            yerr=[
                [max(0.0, value - low) for value, (low, _) in zip(values, ends, strict=True)],
                [max(0.0, high - value) for value, (_, high) in zip(values, ends, strict=True)],
            ],
            fmt="o-",
            color=COLOURS[n % len(COLOURS)],
            capsize=3,
            markersize=4,
            label=plain(own[0].get("label") or f"{pair[0]} over {pair[1]}") if own else None,
        )
    axes.set_xscale("log", base=2)
    times = sorted({row["planned_ms"] / 1000 for row in rows})
    axes.set_xticks(times, [f"{time:g}" for time in times])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel("time on screen, measured, s")
    axes.set_ylabel("preferred, %")
    axes.legend(frameon=False, fontsize=8)
    return _finished(figure, mark)


def write_tally_figures(folder: Path, analysis: dict[str, Any]) -> dict[str, Path]:
    """Write a tally's figures and return their paths by kind."""
    rows = [(f"{row['a']} over {row['b']}", row, None) for row in analysis["pairs"]]
    paths = {"rates": folder / "rates.svg"}
    write_atomically(paths["rates"], rate_chart(rows, analysis["simulated"]).encode())
    if analysis["durations"]:
        paths["durations"] = folder / "durations.svg"
        chart = duration_chart(analysis["durations"], analysis["simulated"])
        write_atomically(paths["durations"], chart.encode())
    return paths


def plain(text: str) -> str:
    """Return a text escaped so that matplotlib does not read it as a formula."""
    return text.replace("\\", "\\\\").replace("$", r"\$") if "$" in text else text


def _ends(rate: dict[str, Any]) -> tuple[float, float]:
    ends = rate["clustered"] or rate["exact"]
    return 100 * ends["low"], 100 * ends["high"]


def _finished(figure: Figure, mark: bool) -> str:
    if mark:
        figure.text(
            0.5, 0.5, "SIMULATED", fontsize=44, color="#b00020", alpha=0.22,
            ha="center", va="center", rotation=20,
        )  # fmt: skip
    return svg_of(figure)
