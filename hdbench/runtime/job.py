"""A long training: resumes from its checkpoint, saves on ctrl-C, stops if a loss is not finite."""

from __future__ import annotations

import contextlib
import fcntl
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

from hdbench.errors import CheckpointError, DivergedError, HdbenchError, Interrupted, listing
from hdbench.provenance import differing_fields, digest
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.memory import peak_memory
from hdbench.runtime.metrics import MetricsLog
from hdbench.runtime.progress import progress
from hdbench.storage import cannot_write, write_atomically
from hdbench.text import duration

IDENTITY_FILE = "identity.json"
Batch = TypeVar("Batch")
_READ_EVERY = 1.0  # seconds between two readings of the losses from the device


class Resumable(Protocol):
    """A trainer whose state holds everything that it needs to resume."""

    def state(self) -> dict[str, Any]:
        """Return the networks and optimisers as nested state dicts."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Load a state that ``state`` returned."""
        ...


@contextlib.contextmanager
def claimed(folder: Path, identity: dict[str, Any], restart: bool) -> Iterator[None]:
    """Reserve a run's folder for this process and this job.

    ``identity`` is everything that the outcome depends on, as JSON values. ``restart`` moves the
    folder's content aside first; otherwise CheckpointError is raised if the folder belongs to
    another job, and in any case if another process works there.
    """
    with held(folder):
        if restart and folder.exists():
            move_aside(folder)
        if (folder / IDENTITY_FILE).is_file():
            require_identity(folder, identity)
        else:
            write_atomically(folder / IDENTITY_FILE, json.dumps(identity, indent=2).encode())
        yield


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a folder, which need not exist yet; CheckpointError if another process works there."""
    lock = folder.with_name(f".{folder.name}.lock")  # beside it, so that a restart cannot move it
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise cannot_write(lock, error) from error
    with file:
        try:
            # A record lock ends with its process, however that ends; decoding workers do not
            # inherit it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"{folder}: another hdbench process is working here; "
                "wait for it, stop it, or use another --workspace or --seed"
            ) from None
        yield


def move_aside(folder: Path) -> None:
    """Rename a folder to ``<name>.before-<time>``."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder.rename(folder.with_name(f"{folder.name}.before-{stamp}"))


def require_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Raise CheckpointError, with the differences, if a folder belongs to another job."""
    try:
        known = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
    except ValueError:
        known = {"damaged": True}
    if known != identity:
        raise CheckpointError(
            f"{folder}: holds another job; what differs (there -> here):\n"
            f"{listing(differing_fields(known, identity))}\n"
            "Next: train with --restart, which moves it aside and starts again; "
            "another --seed or --workspace keeps both."
        )


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
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        steps: int,
        checkpoint_minutes: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.steps = steps
        self.step = 0
        self.seconds = 0.0
        self._title = title
        self._interval = 60.0 * checkpoint_minutes
        self._clock = clock
        self._checkpoints = Checkpoints(folder / "checkpoints")
        self._identity = digest(json.loads((folder / IDENTITY_FILE).read_text()))
        self._trainer: Resumable | None = None
        self._stop: str | None = None
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
        """Load the newest checkpoint into a trainer; CheckpointError if it is of another job."""
        self._trainer = trainer
        state = self._checkpoints.load_latest()
        if state is None:
            return
        if state["identity"] != self._identity:
            raise CheckpointError(
                f"{self._checkpoints.folder}: checkpoints of another job than "
                f"{self.folder / IDENTITY_FILE} describes; --restart moves them aside"
            )
        trainer.load_state(state["trainee"])
        torch.set_rng_state(state["random"]["cpu"])
        if state["random"]["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        self.step = self._saved_step = state["step"]
        self.seconds = state["seconds"]

    def follow(self, batches: Callable[[int, int], Iterable[Batch]]) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) for the remaining steps, with progress, metrics and checkpoints.

        ``batches`` returns the batches from one step to another.

        Raises:
            DivergedError: a loss is not finite; the last good checkpoint stays.
            Interrupted: ctrl-C or SIGTERM; the state is saved.
        """
        self._log = MetricsLog(self.folder / "metrics.jsonl", self.step)
        self._last_save = self._started = self._began = self._clock()
        bar = progress(total=self.steps, initial=self.step, desc=self._title, unit="step")
        with bar, contextlib.closing(self._log):
            self._bar = bar
            for batch in self._saved_on_error(batches(self.step, self.steps)):
                self._began = self._clock()
                yield self.step, batch
                self.step += 1
                self.seconds += self._clock() - self._began
                bar.update()
                if self._stop or self._clock() - self._last_save >= self._interval:
                    self.save()
                if self._stop:
                    raise Interrupted(
                        f"stopped by {self._stop} after step {self.step} of {self.steps}; "
                        "everything is saved; the same command resumes"
                    )
            self._save_if_ahead()

    def _saved_on_error(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches; if a file cannot be read, save the steps before it first."""
        try:
            yield from batches
        except HdbenchError:
            self._save_if_ahead()
            raise

    def _save_if_ahead(self) -> None:
        if self.step > self._saved_step:
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
        DivergedError if one of the losses that are read is not finite.
        """
        self._unread.append(_Losses(step, rates, losses, names))
        self._images += len(names)
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
                "seconds": self.seconds,
                "random": {
                    "cpu": torch.get_rng_state(),
                    "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
                },
                "trainee": self._trainer.state(),
            },
        )
        self._saved_step = self.step
        self._last_save = self._clock()

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop:  # asked twice: at once
            raise KeyboardInterrupt
        self._stop = "ctrl-C" if number == signal.SIGINT else "SIGTERM"
