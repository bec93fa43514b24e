"""Figures as SVG text."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hdbench.evaluation.uncertainty import Intervals
from hdbench.reporting.training_log import loss_names
from hdbench.schema.record import Interval
from hdbench.schema.result import OVERALL, Result

INK = "#3b4252"
COLOURS = ("#2563a8", "#c4561c", "#2f8f5b", "#8a4fa3", "#b59b1d", "#5b6573")
_LABELLED = 40  # with more classes, the cells of a confusion matrix have no numbers
_SHOWN = 0.005  # a smaller share of a row is left blank


def loss_curves(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Return a run's losses over its steps as SVG: thin lines, with a bold running mean."""
    steps = np.array([row["step"] for row in rows])
    names = loss_names(rows[-1])
    window = max(1, len(rows) // 60)
    figure = new_figure(7.2, 2.8)
    axes = figure.add_subplot()
    for colour, name in zip(COLOURS, names, strict=False):
        values = np.array([row[name] for row in rows])
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        stride = max(1, len(steps) // 600)
        axes.plot(steps[::stride], values[::stride], color=colour, alpha=0.15, linewidth=0.5)
        axes.plot(steps[window - 1 :], smooth, color=colour, linewidth=1.6, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, unweighted")
    axes.set_title(title, loc="left", fontsize=10)
    top = np.percentile([row[name] for row in rows for name in names], 99.5)
    axes.set_ylim(0, float(top) * 1.1 or 1.0)
    axes.legend(frameon=False, ncols=len(names), fontsize=8, loc="upper right")
    return svg_of(figure)


def class_bars(results: Sequence[Result], intervals: Mapping[str, Intervals] | None = None) -> str:
    """Return the IoU of each class and method as horizontal bars with intervals, in SVG."""
    classes = results[0].classes
    figure = new_figure(7.2, 0.32 * len(classes) * max(1, len(results)) ** 0.5 + 1)
    axes = figure.add_subplot()
    height = 0.8 / len(results)
    places = np.arange(len(classes))
    for n, (colour, result) in enumerate(zip(cycle(COLOURS), results, strict=False)):
        values = [_or_nan(result.scores.class_iou[name]) for name in classes]
        axes.barh(places + n * height, values, height=height, color=colour, label=result.method)
        if intervals and result.method in intervals:
            bounds = [intervals[result.method].class_iou[name] for name in classes]
            _whiskers(axes, places + n * height, values, bounds)
    axes.set_yticks(places + 0.4 - height / 2, classes)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("IoU")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return svg_of(figure)


def score_whiskers(results: Sequence[Result], intervals: Mapping[str, Intervals]) -> str:
    """Return pixel accuracy and mean IoU of each method as points with intervals, in SVG."""
    figure = new_figure(7.2, 0.3 * len(results) + 0.9)
    places = np.arange(len(results))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, score, title in zip(panels, OVERALL, ("pixel accuracy", "mean IoU"), strict=True):
        values = [_or_nan(result.scores.overall(score)) for result in results]
        bounds = [
            intervals[result.method].of(score) if result.method in intervals else None
            for result in results
        ]
        _whiskers(axes, places, values, bounds)
        axes.scatter(values, places, s=26, color=COLOURS[0], zorder=3)
        axes.set_yticks(places, [result.method for result in results])
        axes.set_xlabel(title)
        axes.margins(x=0.06, y=0.12)
        axes.grid(axis="x", color="#e4e7ec", linewidth=0.6)
        axes.set_axisbelow(True)
    panels[0].invert_yaxis()  # shared
    return svg_of(figure)


def confusion_picture(result: Result) -> str:
    """Return a result's confusion matrix as SVG; rows are true classes and sum to 100 %.

    The row of void pixels is separate: it shows the predictions where the label map has no class.
    """
    matrix = result.matrices.sum(axis=0)
    pixels = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, pixels, out=np.full(matrix.shape, np.nan), where=pixels > 0)
    count = len(result.classes)
    side = min(9.0, 0.36 * count + 1.8)
    figure = new_figure(side, side * (count + 2) / (count + 1))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[count, 1])
    rows = {above: (shares[:-1], result.classes), below: (shares[-1:], ["void"])}
    for axes, (block, names) in rows.items():
        # Thousands of rectangles would make the page slow, so larger matrices become pixels.
        axes.pcolormesh(
            block,
            vmin=0,
            vmax=1,
            cmap="Blues",
            edgecolors="#eef1f5",
            linewidth=0.4,
            rasterized=count > _LABELLED,
        )
        axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=7)
        axes.invert_yaxis()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for (row, column), share in np.ndenumerate(block):
            if count <= _LABELLED and share >= _SHOWN:
                ink = "white" if share > 0.55 else INK
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color=ink,
                )
    above.tick_params(labelbottom=False)
    below.set_xticks(np.arange(count) + 0.5, result.classes, fontsize=7, rotation=90)
    below.set_xlabel("predicted")
    above.set_ylabel("truth")
    above.set_title(f"{result.method}: % of the pixels of a row", loc="left", fontsize=10)
    return svg_of(figure)


def _whiskers(
    axes: Axes,
    places: NDArray[Any],
    values: Sequence[float],
    bounds: Sequence[Interval | None],
) -> None:
    known = [
        (place, value, bound)
        for place, value, bound in zip(places, values, bounds, strict=True)
        if bound is not None and not np.isnan(value)
    ]
    if not known:
        return
    at, middle = [place for place, _, _ in known], [value for _, value, _ in known]
    # A studentised interval may exclude the score itself; matplotlib refuses negative lengths.
    arms = [
        [max(0.0, value - bound.low) for _, value, bound in known],
        [max(0.0, bound.high - value) for _, value, bound in known],
    ]
    axes.errorbar(middle, at, xerr=arms, fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.5)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG text; the same figure gives the same bytes."""
    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
        "svg.hashsalt": "hdbench",  # the same figure is the same bytes
    }
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
    buffer = io.StringIO()
    with matplotlib.rc_context(style):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), count=1, flags=re.DOTALL)
