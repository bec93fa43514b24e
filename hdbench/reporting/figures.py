"""Figures as SVG text, for pages that need no other file."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hdbench.results import Result

_INK = "#3b4252"
_COLOURS = ("#2563a8", "#c4561c", "#2f8f5b", "#8a4fa3", "#b59b1d", "#5b6573")


def loss_curves(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Return the losses of a run over its steps as SVG: thin each step, bold a running mean.

    Args:
        rows: the rows of a ``metrics.jsonl``.
        title: the figure's heading.
    """
    steps = np.array([row["step"] for row in rows])
    names = [name for name in rows[-1] if name not in ("step", "epoch", "rate")]
    window = max(1, len(rows) // 60)
    figure = _figure(7.2, 2.8)
    axes = figure.add_subplot()
    for colour, name in zip(_COLOURS, names, strict=False):
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
    return _svg(figure)


def class_bars(results: Sequence[Result]) -> str:
    """Return the IoU of each class and method as horizontal bars, in SVG."""
    classes = results[0].classes
    figure = _figure(7.2, 0.32 * len(classes) * max(1, len(results)) ** 0.5 + 1)
    axes = figure.add_subplot()
    height = 0.8 / len(results)
    places = np.arange(len(classes))
    for n, (colour, result) in enumerate(zip(cycle(_COLOURS), results, strict=False)):
        values = [_or_nan(result.scores["class_iou"][name]) for name in classes]
        axes.barh(places + n * height, values, height=height, color=colour, label=result.method)
    axes.set_yticks(places + 0.4 - height / 2, classes)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("IoU")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return _svg(figure)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure) -> str:
    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
        "svg.hashsalt": "hdbench",  # the same figure is the same bytes
    }
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK)
    buffer = io.StringIO()
    with matplotlib.rc_context(style):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), count=1, flags=re.DOTALL)
