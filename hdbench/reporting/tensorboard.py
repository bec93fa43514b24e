"""A run's metrics and sample sheets as TensorBoard shows them (extra ``tensorboard``)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hdbench.errors import UsageError
from hdbench.reporting.training_log import TrainingLog
from hdbench.training.samples import SAMPLES
from hdbench.training.watching import State

#: The folder in a run's folder.
EVENTS = "tensorboard"
_POINTS = 10_000  # of a curve at most; what is measured once in an epoch is always written


def require_tensorboard() -> None:
    """Raise UsageError unless TensorBoard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "--tensorboard: TensorBoard is not installed.\n"
            "Next: pip install 'hdbench[tensorboard]'; training.html in the run's folder shows the "
            "same without it"
        )


class TensorBoardView:
    """Writes scalars and sample sheets of a run into its folder, as far as they are on disk.

    Each process begins with an empty folder and writes the whole run again, so a training that was
    stopped, killed or resumed has no point twice.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        """Say which run it is; nothing is written yet."""
        self._folder, self._stride = folder, max(1, steps // _POINTS)
        self._log = TrainingLog(folder / "metrics.jsonl", steps)
        self._writer: Any = None
        self._sheets: set[str] = set()

    def update(self, state: State) -> None:
        """Write what is new."""
        if self._writer is None:
            self._writer = self._opened()
        for row in self._log.read():
            self._write(row)
        for path in sorted((self._folder / SAMPLES).glob("step-*.png")):
            if path.name not in self._sheets:
                self._sheets.add(path.name)
                with Image.open(path) as sheet:
                    pixels = np.asarray(sheet.convert("RGB"))
                step = int(path.stem.removeprefix("step-"))
                self._writer.add_image("samples", pixels, step, dataformats="HWC")
        self._writer.flush()
        if state != "training":
            self._writer.close()

    def _opened(self) -> Any:
        from torch.utils.tensorboard.writer import SummaryWriter

        for old in (self._folder / EVENTS).glob("events.out.tfevents.*"):
            old.unlink()
        return SummaryWriter(self._folder / EVENTS)

    def _write(self, row: dict[str, Any]) -> None:
        step, always = row["step"], any(name in self._log.measured for name in row)
        if step % self._stride and not always:
            return
        for name, value in row.items():
            if name not in ("step", "seconds"):
                self._writer.add_scalar(name.replace("_", "/", 1), value, step)
