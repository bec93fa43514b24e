"""Watching a training: validation scores, the best generator, and views of all that is logged.

Nothing here changes what is trained: the weights are the same bytes with it and without.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from hdbench.data.scene import Batch
from hdbench.errors import HdbenchError
from hdbench.schema.generator import ValidationScore
from hdbench.training.keeping import BestGenerator
from hdbench.training.trainer import Pix2PixHDTrainer

_APART = 60.0  # seconds between updates of the views, but for the ends of epochs

State = Literal["training", "stopped", "finished"]


class Validator(Protocol):
    """Scores what networks make of some scenes."""

    @property
    def epochs(self) -> int:
        """Epochs from one validation to the next."""
        ...

    @property
    def setup(self) -> dict[str, Any]:
        """Segmenter, scoring and scenes, as JSON values."""
        ...

    def score(self, synthesize: Callable[[Batch], Tensor]) -> ValidationScore | None:
        """Return the score of a function from batches to images; None if it is undefined."""
        ...


class View(Protocol):
    """Shows what a run's folder holds so far: metrics, sample sheets, the best generator."""

    def update(self, state: State) -> None:
        """Show the state of the folder now."""
        ...


@dataclass(frozen=True)
class Watch:
    """How a training is watched."""

    #: None: no validation.
    validator: Validator | None = None
    views: Sequence[View] = ()

    def due(self, epoch: int, last: bool) -> bool:
        """Return whether a validation is due after some epochs; the last one always is."""
        return self.validator is not None and (last or epoch % self.validator.epochs == 0)

    def update(self, state: State) -> None:
        """Update all views."""
        for view in self.views:
            view.update(state)

    @contextlib.contextmanager
    def while_training(self) -> Iterator[Callable[[bool], None]]:
        """Give a function that updates the views if asked to or if a minute has passed.

        If the training is stopped they are updated once more.
        """
        latest = time.monotonic()

        def look(now: bool) -> None:
            nonlocal latest
            if now or time.monotonic() - latest >= _APART:
                self.update("training")
                latest = time.monotonic()

        try:
            yield look
        except HdbenchError:
            self.update("stopped")
            raise


class Validation:
    """Scores the networks of a training and keeps the best ones in its folder."""

    def __init__(
        self, watch: Watch, trainer: Pix2PixHDTrainer, folder: Path, identity: dict[str, Any]
    ) -> None:
        self._trainer, self._validator = trainer, watch.validator
        self._best = None
        if watch.validator is not None:
            self._best = BestGenerator(folder, identity, watch.validator.setup)

    def score(self, facts: dict[str, Any]) -> dict[str, float]:
        """Score the networks as a file would hold them, and return what the metrics log of it.

        ``facts`` are for the card, if they are the best so far.
        """
        assert self._validator is not None
        assert self._best is not None
        budget = self._trainer.budget
        networks = self._trainer.averaged.as_stored(budget)
        with _same_random_numbers():
            found = self._validator.score(partial(self._trainer.synthesize, networks=networks))
        if found is None:
            return {}
        self._best.offer(networks, budget, found, facts)
        scores = {"mean_iou": found.mean_iou, "pixel_accuracy": found.pixel_accuracy}
        return {f"validation_{name}": value for name, value in scores.items() if value is not None}


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Leave the random numbers that a training draws as they are."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        yield
