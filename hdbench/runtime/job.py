"""A long training: resumes from its checkpoint, saves on ctrl-C, stops if a loss is not finite."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from hdbench.errors import (
    CheckpointError,
    DivergedError,
    HdbenchError,
    Interrupted,
    RankError,
)
from hdbench.provenance import derived_seed, digest
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.claims import IDENTITY_FILE
from hdbench.runtime.devices import AS_USUAL, Execution
from hdbench.runtime.memory import peak_memory
from hdbench.runtime.metrics import MetricsLog
from hdbench.runtime.progress import progress
from hdbench.runtime.ranks import Ranks
from hdbench.text import duration

Batch = TypeVar("Batch")
_READ_EVERY = 1.0  # seconds between two readings of the losses from the device
_SAME_REQUEST = 1.0  # seconds; torchrun passes on a ctrl-C that its processes had already
#: What a rank says before a step; all do what the largest says.
_GO_ON, _STOP, _FAILED = 0, 1, 2


class Resumable(Protocol):
    """A trainer whose state holds everything that it needs to resume."""

    def state(self) -> dict[str, Any]:
        """Return the networks and optimisers as nested state dicts."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Load a state that ``state`` returned."""
        ...


@dataclass(frozen=True)
class _Losses:
    """The losses of one step, still on the device."""

    step: int
    rates: Mapping[str, float]
    values: Mapping[str, Tensor]
    #: The scenes of the step.
    names: Sequence[str]


class Job:
    """Runs a training loop so that it survives crashes and interruptions.

    Usage::

        with claimed(folder, identity, restart), Job(folder, title, steps, 5) as job:
            job.resume(trainer)
            for step, batch in job.follow(batches_from):
                job.record(step, rates, losses_of(batch), batch.names)

    With 0 ``checkpoint_minutes`` every step is saved. ``clock`` returns seconds from any origin.
    Where ``execution`` has several ranks, they go through the same steps together, and the first
    alone reads and writes files.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        steps: int,
        checkpoint_minutes: float,
        clock: Callable[[], float] = time.monotonic,
        execution: Execution = AS_USUAL,
    ) -> None:
        self.folder = folder
        self.steps = steps
        self.step = 0
        self.seconds = 0.0
        self._title = title
        self._interval = 60.0 * checkpoint_minutes
        self._clock = clock
        self._execution, self._ranks = execution, execution.ranks
        self._checkpoints = Checkpoints(folder / "checkpoints")
        self._identity = self._ranks.from_first(
            lambda: digest(json.loads((folder / IDENTITY_FILE).read_text()))
        )
        self._trainer: Resumable | None = None
        self._stop: str | None = None
        self._asked = -math.inf
        self._saved_step = 0
        self._images = 0  # of the steps of this process
        self._unread: list[_Losses] = []
        self._last_read = -math.inf  # the first step's losses are read at once

    def __enter__(self) -> Self:
        """Handle ctrl-C and SIGTERM, so that both save before they stop."""
        self._handlers: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._asked_to_stop)
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the signal handlers.

        Raises:
            Interrupted: the user stopped it after the last step; what was made of it is stored.
        """
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._stop and error[0] is None:
            raise Interrupted(
                f"stopped by {self._stop} after the last step; "
                "everything is saved; the same command resumes"
            )

    @property
    def elapsed(self) -> float:
        """The seconds of all steps, up to now in the step that is being done."""
        return self.seconds + self._clock() - self._began

    @property
    def images_per_second(self) -> float:
        """The images of the steps of this process over the time that all of them took."""
        return self._images / max(self._clock() - self._started, 1e-6)

    @property
    def pace(self) -> str:
        """Steps, time, images per second and peak memory in words."""
        return (
            f"{self.step} steps in {duration(self.seconds)}, {self.images_per_second:.3g} img/s, "
            f"peak memory {peak_memory() / 1e9:.2f} GB"
        )

    def resume(self, trainer: Resumable) -> None:
        """Load the newest checkpoint into a trainer.

        Raises:
            CheckpointError: it is of another job, or was made with another number of ranks or parts
                of a batch, so that the outcome would not be that of one training.
        """
        self._trainer = trainer
        state = self._ranks.from_first(self._newest)
        if state is None:
            return
        trainer.load_state(state["trainee"])
        torch.set_rng_state(state["random"]["cpu"])
        if state["random"]["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        self.step = self._saved_step = state["step"]
        self.seconds = state["seconds"]

    def _newest(self) -> dict[str, Any] | None:
        """Return the newest checkpoint, if it is of this job and of this order of sums."""
        state = self._checkpoints.load_latest()
        if state is None:
            return None
        where = self._checkpoints.folder
        if state["identity"] != self._identity:
            raise CheckpointError(
                f"{where}: checkpoints of another job than "
                f"{self.folder / IDENTITY_FILE} describes; --restart moves them aside"
            )
        # Checkpoints from before several ranks could train have no order.
        known, here = state.get("order", AS_USUAL.order), self._execution.order
        if known != here:
            raise CheckpointError(
                f"{where}: saved by {_order_words(known)}, and resumed by {_order_words(here)}; "
                "floats would be added in another order, and the weights would be those of neither "
                "training.\nNext: resume with what saved it ('torchrun --nproc-per-node N', "
                "'--accumulate N'), or train with --restart, which moves it aside"
            )
        return state

    def follow(self, batches: Callable[[int, int], Iterable[Batch]]) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) for the remaining steps, with progress, metrics and checkpoints.

        ``batches`` returns the batches from one step to another.

        Raises:
            DivergedError: a loss is not finite; the last good checkpoint stays.
            Interrupted: ctrl-C or SIGTERM; the state is saved.
        """
        self._last_save = self._started = self._began = self._clock()
        bar = progress(
            total=self.steps,
            initial=self.step,
            desc=self._title,
            unit="step",
            disable=not self._ranks.first,
        )
        with contextlib.ExitStack() as stack:
            self._bar = stack.enter_context(bar)
            if self._ranks.first:
                log = MetricsLog(self.folder / "metrics.jsonl", self.step)
                self._log = stack.enter_context(contextlib.closing(log))
            for batch in self._agreed(batches(self.step, self.steps)):
                self._began = self._clock()
                if self._ranks.count > 1:  # dropout: of its own on each rank, and resumable
                    seed = derived_seed("rank", self._identity, self.step, self._ranks.rank)
                    torch.manual_seed(seed)
                yield self.step, batch
                self.step += 1
                self.seconds += self._clock() - self._began
                bar.update()
                if self._ranks.first and self._clock() - self._last_save >= self._interval:
                    self.save()
            self._save_if_ahead()

    def _agreed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches for as long as all ranks can go on; save before the first that cannot.

        A rank that ended alone would leave the others waiting in the middle of a step.
        """
        source = iter(batches)
        while True:
            failure: HdbenchError | None = None
            batch: Batch | None = None
            try:
                batch = next(source, None)
            except HdbenchError as error:  # a file cannot be read
                failure = error
            if batch is None and failure is None:
                return
            mine = _FAILED if failure else _STOP if self._stop else _GO_ON
            agreed = self._ranks.largest(mine)
            if agreed == _GO_ON:
                assert batch is not None
                yield batch
                continue
            self._save_if_ahead()
            if failure is not None:
                raise failure
            if agreed == _FAILED:
                raise RankError(
                    f"rank {self._ranks.rank} ends because another rank failed before step "
                    f"{self.step + 1}; its message says why. Everything is saved"
                )
            raise Interrupted(
                f"stopped by {self._stop or 'a signal to another rank'} after step {self.step} of "
                f"{self.steps}; everything is saved; the same command resumes"
            )

    def _save_if_ahead(self) -> None:
        if self._ranks.first and self.step > self._saved_step:
            self.save()

    def record(
        self,
        step: int,
        rates: Mapping[str, float],
        losses: Mapping[str, Tensor],
        names: Sequence[str],
    ) -> None:
        """Log a step's losses.

        Reading a tensor makes the program wait for a GPU, so the losses stay on the device and are
        read together, once a second and before each checkpoint. Every step gets its line. ``step``
        counts the steps before this one; ``names`` are the step's scenes, for the message of the
        DivergedError if one of the losses that are read is not finite. Only the first rank logs;
        ``losses`` are the means over all, ``names`` the scenes of its share.
        """
        self._images += len(names) * self._ranks.count
        if not self._ranks.first:
            return
        self._unread.append(_Losses(step, rates, losses, names))
        if self._clock() - self._last_read >= _READ_EVERY:
            self.read_losses()

    def read_losses(self) -> None:
        """Write the lines of all unread steps, in one transfer from the device."""
        unread, self._unread = self._unread, []
        self._last_read = self._clock()
        if not unread:
            return
        scalars = [loss.float() for one in unread for loss in one.values.values()]
        numbers = iter(torch.stack(scalars).tolist())
        for one in unread:
            values = {name: next(numbers) for name in one.values}
            self._require_finite(one, values)
            self._log.append({"step": one.step + 1, **one.rates, **values})
        shown = {name: f"{value:.3f}" for name, value in values.items()}
        shown["img/s"] = f"{self.images_per_second:.3g}"
        shown["peak GB"] = f"{peak_memory() / 1e9:.2f}"
        self._bar.set_postfix(shown)

    def _require_finite(self, one: _Losses, values: Mapping[str, float]) -> None:
        bad = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
        if bad:
            saved = self._checkpoints.paths()
            kept = f"{saved[-1]} is the last good state" if saved else "no checkpoint existed yet"
            raise DivergedError(
                f"step {one.step + 1}: loss {', '.join(bad)} on {', '.join(one.names)}; "
                f"stopped, nothing was overwritten ({kept}).\n"
                'Next: precision = "fp32" or a lower learning_rate in the benchmark or method.'
            )

    def save(self) -> None:
        """Save a checkpoint of the completed steps, after their metrics, if all is finite.

        Raises:
            DivergedError: a loss or a weight is not finite; nothing is saved.
        """
        assert self._trainer is not None
        self.read_losses()
        self._log.sync()
        self._checkpoints.save(
            self.step,
            {
                "identity": self._identity,
                "order": self._execution.order,
                "seconds": self.seconds,
                "random": {"cpu": torch.get_rng_state(), "cuda": _gpu_states(self._ranks)},
                "trainee": self._trainer.state(),
            },
        )
        self._saved_step = self.step
        self._last_save = self._clock()

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop and self._clock() - self._asked > _SAME_REQUEST:  # asked twice: at once
            raise KeyboardInterrupt
        self._asked = self._clock()
        self._stop = "ctrl-C" if number == signal.SIGINT else "SIGTERM"


def _order_words(order: Mapping[str, int]) -> str:
    ranks, parts = order["ranks"], order["accumulate"]
    words = "1 process" if ranks == 1 else f"{ranks} ranks"
    return words if parts == 1 else f"{words} with --accumulate {parts}"


def _gpu_states(ranks: Ranks) -> list[Tensor]:
    """Return the random states of all GPUs; none where ranks take their seeds from the step."""
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() and ranks.count == 1 else []
