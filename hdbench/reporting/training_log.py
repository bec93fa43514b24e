"""What a run's metrics say so far, read as they grow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Keys of a row that are no measurement.
_PLACES = ("step", "epoch", "seconds")
#: Losses are called by the network that they train.
_LOSSES = ("g_", "d_")
#: What is measured, in words.
WORDS = {
    "g_gan": "generator: adversarial",
    "g_features": "generator: feature matching",
    "g_perceptual": "generator: perceptual",
    "g_l1": "generator: L1 of pixels",
    "d_real": "discriminators: real",
    "d_fake": "discriminators: synthesized",
    "validation_mean_iou": "mean IoU",
    "validation_pixel_accuracy": "pixel accuracy",
    "spots": "light spots per image",
    "spot_area": "fraction of pixels in light spots",
}
_POINTS = 200  # of a curve at most


def loss_names(row: Mapping[str, Any]) -> list[str]:
    """Return the losses of a row of the metrics."""
    return [name for name in row if name.startswith(_LOSSES)]


@dataclass
class Curve:
    """Means of a value over equal numbers of steps."""

    #: Steps of a mean.
    width: int
    _sums: dict[int, tuple[float, int]] = field(default_factory=dict[int, tuple[float, int]])

    def add(self, step: int, value: float) -> None:
        """Add the value of a step, counted from 1."""
        place = (step - 1) // self.width
        total, count = self._sums.get(place, (0.0, 0))
        self._sums[place] = total + value, count + 1

    @property
    def points(self) -> list[tuple[float, float]]:
        """The middle of each group of steps, and the mean over it."""
        return [
            ((place + 0.5) * self.width, total / count)
            for place, (total, count) in sorted(self._sums.items())
        ]


class TrainingLog:
    """The metrics of a run that may still be trained; ``read`` takes what is new.

    Each row is parsed once, however often the log is read; what is kept does not grow with the
    steps but with the epochs.
    """

    def __init__(self, path: Path, steps: int) -> None:
        """Begin with nothing read; ``steps`` are those of the whole training."""
        self._path, self.steps = path, steps
        self._forget()

    def _forget(self) -> None:
        self._read = 0
        #: The last row that was read.
        self.last: dict[str, Any] = {}
        self.losses: dict[str, Curve] = {}
        self.rates: dict[str, Curve] = {}
        #: (step, value) of everything else that was measured, most of it once in an epoch.
        self.measured: dict[str, list[tuple[int, float]]] = {}
        #: The epoch of each step in ``measured``, counted from 1.
        self.epochs: dict[int, int] = {}

    def read(self) -> list[dict[str, Any]]:
        """Read the rows that were added and return them; all of them if the file was replaced."""
        if not self._path.is_file():
            return []
        if self._path.stat().st_size < self._read:
            self._forget()
        with self._path.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]  # a row may be half written
        self._read += len(whole)
        rows = [json.loads(line) for line in whole.splitlines()]
        for row in rows:
            self._take(row)
        return rows

    def _take(self, row: dict[str, Any]) -> None:
        self.last, step = row, row["step"]
        width = max(1, self.steps // _POINTS)
        losses = loss_names(row)
        for name, value in row.items():
            if name in losses:
                self.losses.setdefault(name, Curve(width)).add(step, value)
            elif name == "rate":
                self.rates.setdefault(name, Curve(width)).add(step, value)
            elif name not in _PLACES and isinstance(value, int | float):
                self.measured.setdefault(name, []).append((step, value))
                self.epochs[step] = row["epoch"] + 1

    @property
    def step(self) -> int:
        """The steps that are done."""
        return self.last.get("step", 0)

    @property
    def seconds(self) -> float:
        """The seconds that they took."""
        return self.last.get("seconds", 0.0)
