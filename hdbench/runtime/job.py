"""A long job: resumes where it stopped, saves on ctrl-C, stops on a loss that is not finite."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self, TypeVar

import torch
from tqdm import tqdm

from hdbench.errors import CheckpointError, DivergedError, HdbenchError, Interrupted, listing
from hdbench.provenance import differing_fields, digest
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.metrics import MetricsLog
from hdbench.storage import cannot_write, write_atomically

IDENTITY_FILE = "identity.json"
Batch = TypeVar("Batch")


class Resumable(Protocol):
    """Something that learns: everything it needs to go on is in its state."""

    def state(self) -> dict[str, Any]:
        """Return networks and optimisers as nested state dicts."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state that ``state`` returned."""
        ...


@contextlib.contextmanager
def claimed(folder: Path, identity: dict[str, Any], restart: bool) -> Iterator[None]:
    """Hold a folder as this job's own: no other process, and only the very same job, works in it.

    Args:
        folder: the run's folder.
        identity: everything that the outcome depends on, as JSON values.
        restart: move what the folder holds aside and begin anew.

    Raises:
        CheckpointError: another process works there, or the folder belongs to another job and
            ``restart`` is off.
        StorageError: the folder cannot be written.
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
    """Keep other hdbench processes out of a folder, whether it exists yet or not.

    Raises:
        CheckpointError: another process works there.
        StorageError: the folder cannot be written.
    """
    lock = folder.with_name(f".{folder.name}.lock")  # beside it, so that a restart cannot move it
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise cannot_write(lock, error) from error
    with file:
        try:
            # A record lock is the process's own: it ends with it, however it ends, and decoding
            # workers do not inherit it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"{folder}: another hdbench process is working here; "
                "wait for it, stop it, or use another --workspace or --seed"
            ) from None
        yield


def move_aside(folder: Path) -> None:
    """Give a folder a name that says until when it was the one."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder.rename(folder.with_name(f"{folder.name}.before-{stamp}"))


def require_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Check that a folder belongs to a job.

    Raises:
        CheckpointError: it belongs to another one; what differs is listed.
    """
    try:
        known = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
    except ValueError:
        known = {"damaged": True}
    if known != identity:
        raise CheckpointError(
            f"{folder}: holds another job; what differs (there -> here):\n"
            f"{listing(differing_fields(known, identity))}\n"
            "Next: train with --restart, which moves it aside and begins anew; "
            "another --seed or --workspace keeps both."
        )


class Job:
    """Carries a training loop through crashes and interruptions.

    Usage::

        with claimed(folder, identity, restart), Job(folder, title, steps, 5) as job:
            job.resume(trainee)
            for step, batch in job.follow(batches_from):
                job.record(step, rates, losses_of(batch), batch.names)

    Args:
        folder: the run's folder, held by ``claimed``.
        title: what the progress bar says.
        steps: steps in all.
        checkpoint_minutes: time between checkpoints; 0 saves after every step.
    """

    def __init__(self, folder: Path, title: str, steps: int, checkpoint_minutes: float) -> None:
        """Read the folder's identity; nothing is computed yet."""
        self.folder = folder
        self.steps = steps
        self.step = 0
        self.seconds = 0.0
        self._title = title
        self._interval = 60.0 * checkpoint_minutes
        self._checkpoints = Checkpoints(folder / "checkpoints")
        self._identity = digest(json.loads((folder / IDENTITY_FILE).read_text()))
        self._trainee: Resumable | None = None
        self._stop: str | None = None
        self._saved_step = 0

    def __enter__(self) -> Self:
        """Take over ctrl-C and SIGTERM, so that they save before they stop."""
        self._handlers: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._asked_to_stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def resume(self, trainee: Resumable) -> None:
        """Bring a trainee to where the newest checkpoint left it, if there is one.

        Raises:
            CheckpointError: the checkpoint is of another job or another network.
        """
        self._trainee = trainee
        state = self._checkpoints.load_latest()
        if state is None:
            return
        if state["identity"] != self._identity:
            raise CheckpointError(
                f"{self._checkpoints.folder}: checkpoints of another job than "
                f"{self.folder / IDENTITY_FILE} describes; --restart moves them aside"
            )
        trainee.load_state(state["trainee"])
        torch.set_rng_state(state["random"]["cpu"])
        if state["random"]["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        self.step = self._saved_step = state["step"]
        self.seconds = state["seconds"]

    def follow(self, batches: Callable[[int, int], Iterable[Batch]]) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) for the steps that are left, with progress, log and checkpoints.

        Args:
            batches: returns the batches of steps ``start`` to ``stop``.

        Raises:
            Interrupted: ctrl-C or SIGTERM; the state is saved.
        """
        self._log = MetricsLog(self.folder / "metrics.jsonl", self.step)
        self._last_save = time.monotonic()
        bar = tqdm(
            total=self.steps, initial=self.step, desc=self._title, unit="step", mininterval=1
        )
        with bar, contextlib.closing(self._log):
            self._bar = bar
            for batch in self._saved_on_error(batches(self.step, self.steps)):
                began = time.monotonic()
                yield self.step, batch
                self.step += 1
                self.seconds += time.monotonic() - began
                bar.update()
                if self._stop or time.monotonic() - self._last_save >= self._interval:
                    self.save()
                if self._stop:
                    raise Interrupted(
                        f"stopped by {self._stop} after step {self.step} of {self.steps}; "
                        "everything is saved, the same command goes on"
                    )
            self._save_if_ahead()

    def _saved_on_error(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches; a file that cannot be read costs no step that was done before it."""
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
        losses: Mapping[str, Any],
        names: Sequence[str],
    ) -> None:
        """Log a step's losses.

        Args:
            step: steps completed before this one.
            rates: learning rates and the like.
            losses: scalar tensors or floats.
            names: the scenes of the step, for the message.

        Raises:
            DivergedError: a loss is not finite; the last good checkpoint stays.
        """
        values = {name: float(loss) for name, loss in losses.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            saved = self._checkpoints.paths()
            kept = f"{saved[-1]} is the last good state" if saved else "no checkpoint existed yet"
            raise DivergedError(
                f"step {step + 1}: loss {', '.join(f'{name} = {values[name]}' for name in bad)} "
                f"on {', '.join(names)}; stopped, nothing was overwritten ({kept}).\n"
                'Next: precision = "fp32" or a lower learning_rate in the benchmark or method.'
            )
        self._log.append({"step": step + 1, **rates, **values})
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()})

    def save(self) -> None:
        """Save a checkpoint of the steps completed so far, their metrics before it."""
        assert self._trainee is not None
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
                "trainee": self._trainee.state(),
            },
        )
        self._saved_step = self.step
        self._last_save = time.monotonic()

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop:  # asked twice: at once
            raise KeyboardInterrupt
        self._stop = "ctrl-C" if number == signal.SIGINT else "SIGTERM"
