"""``hdbench reproduce``: every run of a report, one after the other, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hdbench.errors import HdbenchError, Interrupted, LibraryError, UsageError, counted
from hdbench.library import BENCHMARKS
from hdbench.runtime.devices import Machine
from hdbench.schema.benchmark import OWN
from hdbench.schema.report import Report
from hdbench.text import duration
from hdbench.workflows.phases import attempt, open_segmenters
from hdbench.workflows.queue import Phase, Queue, Work, seconds_left
from hdbench.workflows.report import Shown, report_on
from hdbench.workflows.standing import Standing, standings
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.segmenters import open_segmenter

_SCENES = 8  # on the page of a report


@dataclass
class Outcome:
    """What became of a queue."""

    #: Why work failed, in the order of the queue.
    failures: list[tuple[Work, str]] = field(default_factory=list)
    #: The report's files by format; none for reports of preferences, which ask people first.
    files: dict[str, Path] = field(default_factory=dict)
    #: Why there is no report, or an old one.
    unwritten: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether all was done."""
        return not self.failures and self.unwritten is None


def scaled(bench: Bench, scale: str) -> Bench:
    """Return the smaller benchmark beside a benchmark: ``streets-smoke`` of ``streets``.

    It has a name, a title and identities of its own, so nothing of it passes for the full one.
    ``full`` is the benchmark itself.

    Raises:
        UsageError: there is none.
    """
    here = bench.benchmark.name
    if scale == "full" or here.endswith(f"-{scale}"):
        return bench
    name, given = f"{here}-{scale}", bench.workspace.benchmark
    if given.endswith(".toml"):  # a file of the user's own: beside it
        name = str(Path(given).with_name(f"{Path(given).stem}-{scale}.toml"))
    try:
        bench.library.benchmark(name)
    except LibraryError as error:
        known = [one for one in bench.library.entries(BENCHMARKS) if one.endswith(f"-{scale}")]
        if Path(name).is_file() or Path(name).name in known:
            raise
        raise UsageError(
            f"--scale {scale}: benchmark '{here}' has no smaller one ({error})\n"
            f"Benchmarks of this scale: {', '.join(known) or 'none'}.\n"
            f"Next: write {Path(name).stem}.toml with extends = '{here}', or use another --scale"
        ) from None
    return open_bench(replace(bench.workspace, benchmark=name))


def prepared(bench: Bench, queue: Queue, machine: Machine) -> Bench:
    """Return the benchmark with the scenes that are scored, after checking what can be wrong.

    Raises:
        UsageError: the scoring convention does not fit the benchmark; imported methods have images
            of different scenes.
        LibraryError: a segmenter that should ship does not.
        CheckpointError: its files are damaged.
    """
    if queue.scored:
        bench.require_scoring()
        if bench.benchmark.required_segmenter.name != OWN:
            open_segmenter(bench, None, machine.device)
    imported = []
    for name in queue.imports:
        method = bench.library.method(name)
        try:
            scenes_of(bench, [method])
        except HdbenchError:  # its row fails alone, with this error
            continue
        imported.append(method)
    return scenes_of(bench, imported)


def reproduce(
    bench: Bench,
    queue: Queue,
    machine: Machine,
    vgg_weights: Path | None,
    announce: Callable[[str], None],
) -> Outcome:
    """Carry out a queue in this process; a failure loses nothing but what needs it.

    Raises:
        Interrupted: the user stopped it; everything is saved.
    """
    tracker = Tracker(queue, announce)
    for work in queue.works:
        reason = tracker.blocked(work)
        if reason is None:
            tracker.stand(work, standings(bench, work, machine))
            reason = attempt(bench, work, machine, vgg_weights, lambda _, w=work: tracker.begin(w))
        tracker.end(work, reason)
    return tracker.outcome


def write_report(
    bench: Bench,
    queue: Queue,
    report: Report,
    machine: Machine,
    outcome: Outcome,
) -> None:
    """Write a report of scores from what is measured now; one of preferences asks people first."""
    if not queue.scored:
        return
    failed = {work.key for work, _ in outcome.failures}
    imports = [
        work.method
        for work in queue.works
        if work.kind == "run" and work.method in queue.imports and work.key not in failed
    ]
    try:
        segmenter, *others = open_segmenters(bench, machine)
        second = others[0] if others else None
        shown = Shown(imports, scenes=_SCENES)
        outcome.files = report_on(bench, report, segmenter, second, shown)
    except HdbenchError as error:
        outcome.unwritten = str(error)


class Tracker:
    """What of a queue is done, what failed, and how long the rest takes."""

    def __init__(self, queue: Queue, announce: Callable[[str], None], jobs: int = 1) -> None:
        """``announce`` is told each phase as it begins: ``3 of 14: train ours, seed 0``.

        ``jobs`` work at the same time.
        """
        self.outcome = Outcome()
        self._jobs = jobs
        self._queue, self._announce = queue, announce
        self._failed: dict[str, Work] = {}
        self._left = list(queue.steps)
        self._took: dict[tuple[Work, Phase], float] = {}
        self._fresh: set[tuple[Work, Phase]] = set()
        self._done: set[tuple[Work, Phase]] = set()
        self._running: dict[str, tuple[tuple[Work, Phase], float]] = {}

    def blocked(self, work: Work) -> str | None:
        """Return why a piece of work cannot begin, or None."""
        missing = [self._failed[key].title for key in work.needs if key in self._failed]
        return f"needs {' and '.join(missing)}, which failed" if missing else None

    def stand(self, work: Work, standing: dict[Phase, Standing]) -> None:
        """Remember how far a piece of work is before it begins."""
        for phase, one in standing.items():
            if one.state == "done":
                self._done.add((work, phase))
            elif one.state == "to do" and one.there == 0:
                self._fresh.add((work, phase))

    def begin(self, work: Work) -> None:
        """Announce the next phase of a piece of work."""
        self._stop_clock(work)
        step = next(one for one in self._left if one[0] is work)
        self._left.remove(step)
        self._running[work.key] = (step, time.monotonic())
        number = self._queue.steps.index(step) + 1
        self._announce(
            f"{number} of {len(self._queue.steps)}: {step[1]} {work.title}"
            + (" (done before)" if step in self._done else self._time_left(step))
        )

    def end(self, work: Work, failure: str | None) -> None:
        """Take note of how a piece of work ended."""
        if failure is None:
            self._stop_clock(work)
        else:
            self._running.pop(work.key, None)
            self._failed[work.key] = work
            self.outcome.failures.append((work, failure))
            self._announce(f"failed: {work.title}: {failure}")
        self._left = [step for step in self._left if step[0] is not work]

    def _stop_clock(self, work: Work) -> None:
        running = self._running.pop(work.key, None)
        if running is not None and running[0] in self._fresh:
            self._took[running[0]] = time.monotonic() - running[1]

    def _time_left(self, step: tuple[Work, Phase]) -> str:
        rest = [one for one in (step, *self._left) if one not in self._done]
        seconds, unknown = seconds_left(rest, self._took)
        seconds /= self._jobs
        if seconds == 0:
            return ""
        if unknown:
            return f"; over {duration(seconds)} left, and {counted(unknown, 'phase')} not yet timed"
        return f"; about {duration(seconds)} left"


def stopped(error: BaseException, command: str) -> Interrupted:
    """Return what the user is told who stopped a queue, with the command that goes on."""
    said = str(error) or "stopped by ctrl-C; every image and count that was made is saved"
    return Interrupted(f"{said}\nNext: '{command}' goes on")
