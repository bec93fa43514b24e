"""The page of a training: ``training.html`` in the run's folder, drawn from what lies there."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image

from hdbench.data.layouts import spread
from hdbench.data.sheets import encode_jpeg
from hdbench.errors import CheckpointError
from hdbench.reporting.style import COLOURS, DASHES, INK, in_style, svg_of
from hdbench.reporting.training_log import WORDS, TrainingLog
from hdbench.schema.generator import BEST
from hdbench.storage import write_atomically
from hdbench.text import ACCURACY, SCORE, duration, percent, template
from hdbench.training.keeping import read_generator_card
from hdbench.training.samples import SAMPLES
from hdbench.training.watching import State

TRAINING_PAGE = "training.html"
_REFRESH = 20  # seconds after which the page loads itself again
_SHEETS = 12  # sample sheets in the page; the others are linked
_WIDEST = 900  # pixels of a sheet in the page
_REST = 50  # the page rests for this many times the time that it took to draw: 2 % at most
_LINES = tuple(zip(COLOURS, DASHES, strict=True))
#: Measured in epochs, and shown in other ways than in a chart of its own.
_SHOWN = ("validation_mean_iou", "validation_pixel_accuracy", "peak_bytes")


class TrainingPage:
    """Draws the page of a run; it shows the same after a crash, since it is drawn from files.

    The page contains all that it shows but the sheets at full size, which it links.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        steps: int,
        batch_size: int,
        validated_by: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say which run it is: ``validated_by`` is how it is validated, or why it is not."""
        self.path = folder / TRAINING_PAGE
        self._folder, self._title, self._batch_size = folder, title, batch_size
        self._validated_by, self._clock = validated_by, clock
        self._log = TrainingLog(folder / "metrics.jsonl", steps)
        self._pictures: dict[str, str] = {}
        self._next = -float("inf")

    def update(self, state: State) -> None:
        """Draw the page; while it is trained, only if the last drawing was long enough ago."""
        began = self._clock()
        if state == "training" and began < self._next:
            return
        self._log.read()
        write_atomically(self.path, self._drawn(state).encode())
        self._next = self._clock() + _REST * (self._clock() - began)

    def _drawn(self, state: State) -> str:
        log, best = self._log, self._best()
        figures = {"losses": _curves(log, "losses"), "learning rate": _curves(log, "rates")}
        if "validation_mean_iou" in log.measured:
            figures["validation"] = _validation(log, best)
        for name in log.measured.keys() - set(_SHOWN):
            figures[WORDS.get(name, name)] = _measured(log, name)
        return template(__file__, "training.html").render(
            title=self._title,
            state=state,
            refresh=_REFRESH if state == "training" else None,
            updated=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            facts=self._facts(state),
            share=100 * log.step / log.steps,
            validated_by=self._validated_by,
            best=best,
            figures={name: Markup(figure) for name, figure in figures.items()},
            rows=self._rows(best),
            sheets=self._sheets(best),
            others=self._others(best),
        )

    def _facts(self, state: State) -> dict[str, str]:
        log = self._log
        facts = {"step": f"{log.step:,} of {log.steps:,}"}
        if log.step and log.seconds:
            facts["epoch"] = str(log.last["epoch"] + 1)
            facts["time"] = duration(log.seconds)
            if state != "finished":
                facts["time left"] = duration((log.steps - log.step) * log.seconds / log.step)
            facts["images per second"] = f"{log.step * self._batch_size / log.seconds:.3g}"
        if "peak_bytes" in log.measured:
            most = max(value for _, value in log.measured["peak_bytes"])
            facts["peak memory"] = f"{most / 1e9:.2f} GB"
        return facts

    def _best(self) -> int | None:
        """Return the step of the best generator that the run's folder holds."""
        try:
            return read_generator_card(self._folder / BEST).steps
        except CheckpointError:
            return None

    def _rows(self, best: int | None) -> list[dict[str, Any]]:
        """Return the validation scores, newest first."""
        accuracies = dict(self._log.measured.get("validation_pixel_accuracy", []))
        return [
            {
                "step": step,
                "epoch": self._log.epochs[step],
                "mean_iou": SCORE.text(value),
                "pixel_accuracy": percent(accuracies.get(step), ACCURACY),
                "best": step == best,
            }
            for step, value in reversed(self._log.measured.get("validation_mean_iou", []))
        ]

    def _steps_of_sheets(self) -> dict[int, Path]:
        paths = sorted((self._folder / SAMPLES).glob("step-*.png"))
        return {int(path.stem.removeprefix("step-")): path for path in paths}

    def _in_page(self, best: int | None) -> set[int]:
        steps = sorted(self._steps_of_sheets())
        return {*spread(steps, _SHEETS), *steps[-1:], *(step for step in steps if step == best)}

    def _sheets(self, best: int | None) -> list[dict[str, Any]]:
        """Return the sheets that are in the page, newest first."""
        shown, paths = self._in_page(best), self._steps_of_sheets()
        sheets = []
        for step in sorted(shown, reverse=True):
            path = paths[step]
            if path.name not in self._pictures:
                self._pictures[path.name] = _picture(path)
            sheets.append(
                {
                    "step": step,
                    "file": f"{SAMPLES}/{path.name}",
                    "data": self._pictures[path.name],
                    "best": step == best,
                }
            )
        return sheets

    def _others(self, best: int | None) -> list[dict[str, Any]]:
        """Return the sheets that are only linked."""
        shown = self._in_page(best)
        return [
            {"step": step, "file": f"{SAMPLES}/{path.name}"}
            for step, path in self._steps_of_sheets().items()
            if step not in shown
        ]


def _picture(path: Path) -> str:
    """Return a sheet, reduced if it is wide, as a data URI."""
    with Image.open(path) as sheet:
        sheet = sheet.convert("RGB")
    if sheet.width > _WIDEST:
        sheet = sheet.resize((_WIDEST, round(sheet.height * _WIDEST / sheet.width)))
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(sheet, 80)).decode()


def _curves(log: TrainingLog, which: str) -> str:
    """Return the losses or the learning rate over the steps, as SVG."""
    curves = log.losses if which == "losses" else log.rates
    axes = _axes()
    lowest = float("inf")
    for (colour, dashes), (name, curve) in zip(_LINES, curves.items(), strict=False):
        steps, values = zip(*curve.points, strict=True)
        lowest = min(lowest, *values)
        axes.plot(
            steps,
            values,
            color=colour,
            linestyle=dashes,
            linewidth=1.4,
            label=WORDS.get(name, name),
        )
    if which == "losses":
        if 0 < lowest < float("inf"):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.minorticks_off()
        width = next(iter(curves.values())).width if curves else 1
        axes.set_ylabel("loss" + (f" (mean of {width} steps)" if width > 1 else ""))
        if curves:
            _legend(axes)
    else:
        axes.set_ylabel("learning rate of a step")
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        axes.set_ylim(bottom=0)
    return _finished(axes, log.steps)


def _validation(log: TrainingLog, best: int | None) -> str:
    """Return the validation scores over the steps, the best one marked, as SVG."""
    axes = _axes()
    for (colour, dashes), name in zip(_LINES, _SHOWN[:2], strict=False):
        points = log.measured.get(name, [])
        axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            color=colour,
            linestyle=dashes,
            marker=".",
            linewidth=1.4,
            label=WORDS[name],
        )
    scores = dict(log.measured["validation_mean_iou"])
    if best in scores:
        axes.scatter([best], [scores[best]], s=110, marker="*", color="#d55e00", zorder=3)
        axes.annotate(
            f"best: {SCORE.text(scores[best])}",
            (best, scores[best]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=INK,
        )
    axes.set_ylabel("score (0 to 1)")
    axes.margins(y=0.2)
    _legend(axes)
    return _finished(axes, log.steps)


def _measured(log: TrainingLog, name: str) -> str:
    """Return something that was measured after epochs, over the steps, as SVG."""
    axes = _axes()
    points: Sequence[tuple[int, float]] = log.measured[name]
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color=_LINES[0][0], marker=".", linewidth=1.4)
    axes.set_ylabel(WORDS.get(name, name))
    if min(values) >= 0:
        axes.set_ylim(bottom=0)
    return _finished(axes, log.steps)


def _axes() -> Axes:
    """Return empty axes with fixed margins; fitting them would double the time of a drawing."""
    figure = Figure(figsize=(5.2, 2.9))
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.16, top=0.8)
    with in_style():
        return figure.add_subplot()


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.1, 1.0),
        frameon=False,
        fontsize=7.5,
        ncols=2,
        borderaxespad=0,
    )


def _finished(axes: Axes, steps: int) -> str:
    axes.set_xlim(0, steps)
    axes.set_xlabel("step")
    axes.grid(color="#e4e7ec", linewidth=0.6)
    axes.set_axisbelow(True)
    figure = axes.get_figure(root=True)
    assert figure is not None
    return svg_of(figure)
