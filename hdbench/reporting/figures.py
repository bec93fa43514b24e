"""Figures of scores and trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hdbench.evaluation.seeds import Estimate, Estimates
from hdbench.reporting.style import (
    COLOURS,
    DASHES,
    INK,
    MARKS,
    REFERENCES,
    new_figure,
    plain,
    styled,
)
from hdbench.reporting.training_log import WORDS, loss_names
from hdbench.schema.result import OVERALL, Result

_WIDTH = 7.2
_LABELLED = 40  # with more classes, the cells of a confusion matrix have no numbers
_SHOWN = 0.005  # a smaller share of a row is left blank
_TITLES = {"pixel_accuracy": "pixel accuracy (0 to 1)", "mean_iou": "mean IoU (0 to 1)"}
#: What the bars beside a value are, for captions.
BARS = (
    "Bars: the 95 % interval over images with one training seed, the two seeds with two, one "
    "standard deviation over seeds with more."
)


@styled
def loss_curves(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return a run's losses over its steps: thin lines, with a bold running mean."""
    steps = np.array([row["step"] for row in rows])
    names = loss_names(rows[-1])
    window = max(1, len(rows) // 60)
    figure = new_figure(_WIDTH, 3.2)
    axes = figure.add_subplot()
    for colour, dashes, name in zip(cycle(COLOURS), cycle(DASHES), names, strict=False):
        values = np.array([row[name] for row in rows])
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        stride = max(1, len(steps) // 600)
        axes.plot(steps[::stride], values[::stride], color=colour, alpha=0.15, linewidth=0.5)
        axes.plot(
            steps[window - 1 :],
            smooth,
            color=colour,
            linestyle=dashes,
            linewidth=1.6,
            label=WORDS.get(name, name),
        )
    axes.set_xlabel("training step")
    axes.set_ylabel("loss, unweighted")
    axes.set_title(plain(title))
    top = np.percentile([row[name] for row in rows for name in names], 99.5)
    axes.set_ylim(0, float(top) * 1.1 or 1.0)
    axes.set_xlim(0, steps[-1])
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@styled
def class_bars(estimates: Mapping[str, Estimates], references: Sequence[str] = ()) -> Figure:
    """Return the IoU of each class and method as horizontal bars, with what is known of them.

    ``references``, such as the oracle, are grey, and stand below the methods.
    """
    shown = [*(name for name in estimates if name not in references), *references]
    classes = list(next(iter(estimates.values())).class_iou)
    height = 0.84 / len(shown)
    inches = len(classes) * (0.14 + 0.075 * len(shown)) + 0.5 + 0.18 * -(-len(shown) // 3)
    figure = new_figure(_WIDTH, inches)
    axes = figure.add_subplot()
    places = np.arange(len(classes))
    for n, (name, (colour, hatch)) in enumerate(_fills(shown, references).items()):
        found = [estimates[name].class_iou[entry] for entry in classes]
        axes.barh(
            places + n * height,
            [_or_nan(estimate.mean) for estimate in found],
            height=0.86 * height,
            facecolor=colour,
            edgecolor="white",
            linewidth=0,
            hatch=hatch,
            label=plain(name),
        )
        _whiskers(axes, places + n * height, found, width=0.7)
    axes.set_yticks(places + 0.42 - height / 2, [plain(name) for name in classes])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(classes) - 0.1, -height)
    axes.set_xlim(0, 1)
    axes.grid(axis="x")
    axes.set_xlabel("intersection over union (0 to 1)")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@styled
def score_whiskers(estimates: Mapping[str, Estimates]) -> Figure:
    """Return pixel accuracy and mean IoU of each method as points with bars."""
    figure = new_figure(_WIDTH, 0.27 * len(estimates) + 0.8)
    places = np.arange(len(estimates))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, score in zip(panels, OVERALL, strict=True):
        _points(axes, {name: found.of(score) for name, found in estimates.items()})
        axes.set_xlabel(_TITLES[score])
        axes.margins(x=0.06)
    panels[0].set_yticks(places, [plain(name) for name in estimates])
    panels[0].set_ylim(len(estimates) - 0.5, -0.5)
    return figure


@styled
def ratio_points(estimates: Mapping[str, Estimates]) -> Figure:
    """Return each method's mean IoU over the oracle's, as points with bars; 1 is the oracle."""
    ratios = {name: found.oracle_ratio for name, found in estimates.items()}
    figure = new_figure(_WIDTH, 0.27 * len(ratios) + 0.8)
    axes = figure.add_subplot()
    axes.axvline(1.0, color=INK, linewidth=0.9, linestyle="--")
    axes.annotate(
        "oracle", (1.0, 1.0), xycoords=("data", "axes fraction"), xytext=(-4, -3),
        textcoords="offset points", ha="right", va="top", fontsize=8,
    )  # fmt: skip
    _points(axes, ratios)
    axes.set_yticks(np.arange(len(ratios)), [plain(name) for name in ratios])
    axes.set_ylim(len(ratios) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean IoU over that of the photographs (1: as good as they are)")
    return figure


@styled
def confusion_picture(name: str, results: Sequence[Result]) -> Figure:
    """Return a method's confusion matrix over its runs; rows are true classes and sum to 100 %.

    The row of void pixels is separate: it shows the predictions where the label map has no class.
    """
    matrix = sum(result.matrices.sum(axis=0) for result in results)
    matrix = np.asarray(matrix)
    pixels = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, pixels, out=np.full(matrix.shape, np.nan), where=pixels > 0)
    classes = results[0].classes
    count = len(classes)
    side = min(9.0, 0.36 * count + 1.8)
    figure = new_figure(side, side * (count + 2) / (count + 1))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[count, 1])
    rows = {above: (shares[:-1], classes), below: (shares[-1:], ["void"])}
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
        axes.set_yticks(np.arange(len(names)) + 0.5, [plain(one) for one in names], fontsize=7)
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
    below.set_xticks(
        np.arange(count) + 0.5, [plain(one) for one in classes], fontsize=7, rotation=90
    )
    below.set_xlabel("predicted class")
    above.set_ylabel("true class")
    above.set_title(plain(f"{name}: % of the pixels of a row"))
    return figure


def _fills(names: Sequence[str], references: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and hatching for each method; more methods than colours have hatched ones."""
    own = [name for name in names if name not in references]
    fills = {
        name: (COLOURS[n % len(COLOURS)], ("", "////", "....")[n // len(COLOURS) % 3])
        for n, name in enumerate(own)
    }
    return fills | {
        name: (REFERENCES[n % len(REFERENCES)], "") for n, name in enumerate(references)
    }


def _points(axes: Axes, found: Mapping[str, Estimate]) -> None:
    """Draw one estimate in each line, those of several seeds with a point for each of them."""
    for place, estimate in enumerate(found.values()):
        mean = estimate.mean
        if mean is None:
            continue
        _whiskers(axes, [place], [estimate], width=1.1)
        if estimate.seeds > 1:
            axes.plot(
                [_or_nan(value) for value in estimate.values],
                [place] * estimate.seeds,
                "|",
                color=COLOURS[1],
                markersize=8,
            )
        axes.plot([mean], [place], MARKS[0], color=COLOURS[0], zorder=3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _whiskers(
    axes: Axes, places: Sequence[float] | Any, found: Sequence[Estimate], width: float
) -> None:
    known = [
        (place, estimate.mean, estimate.bracket)
        for place, estimate in zip(places, found, strict=True)
        if estimate.bracket is not None and estimate.mean is not None
    ]
    if not known:
        return
    at, middle = [place for place, _, _ in known], [mean for _, mean, _ in known]
    # A studentised interval may exclude the score itself; matplotlib refuses negative lengths.
    arms = [
        [max(0.0, mean - bound.low) for _, mean, bound in known],
        [max(0.0, bound.high - mean) for _, mean, bound in known],
    ]
    axes.errorbar(middle, at, xerr=arms, fmt="none", ecolor=INK, elinewidth=width, capsize=1.5)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
