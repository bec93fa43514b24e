"""From the times of a few steps and images to those of a whole queue; pure arithmetic."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdbench.training.stages import StagePlan
from hdbench.workflows.queue import Phase

#: Seconds between updates of a training's page, beside those after each epoch.
_PAGE_EVERY = 60.0


@dataclass(frozen=True)
class Line:
    """Seconds that grow with a number: those of none, and those of each one."""

    base: float
    slope: float

    def at(self, count: float) -> float:
        """Return the seconds of a number."""
        return self.base + self.slope * count


def line_through(few: tuple[int, float], many: tuple[int, float]) -> Line:
    """Return the line through two measurements: number and seconds.

    The first call has more to do once than the second, so a slope is at least half of what the
    second shows, and no base is negative.
    """
    (n, first), (m, second) = few, many
    slope = (second - first) / (m - n) if m > n else 0.0
    slope = min(max(slope, 0.5 * second / m), second / m)
    return Line(second - slope * m, slope)


def line_between(lower: tuple[int, Line], upper: tuple[int, Line], count: int) -> Line:
    """Return the line of another size of what both lines depend on too, as if linear in it."""
    (n, one), (m, other) = lower, upper
    share = (count - n) / (m - n) if m > n else 0.0

    def between(first: float, second: float) -> float:
        return max(first, first + share * (second - first))

    return Line(between(one.base, other.base), between(one.slope, other.slope))


@dataclass(frozen=True)
class TrainingTimes:
    """What a training takes, by the rehearsal of it."""

    #: A step of each stage.
    steps: list[float]
    #: The sheet of samples after an epoch, a validation, the page.
    sheet: float
    validation: float
    page: float
    #: All else, once: opening, the first step, checkpoint and networks on disk.
    once: float = 0.0

    def loop(self, stages: Sequence[StagePlan], epochs: int, validations: int) -> float:
        """Return the seconds of steps, sheets, validations and pages."""
        lengths = [stage.stop - stage.start for stage in stages]
        steps = sum(n * step for n, step in zip(lengths, self.steps, strict=True))
        loop = steps + epochs * (self.sheet + self.page) + validations * self.validation
        return loop + max(0.0, loop / _PAGE_EVERY - epochs) * self.page

    def seconds(self, stages: Sequence[StagePlan], epochs: int, validations: int) -> float:
        """Return the seconds of a whole training."""
        return self.once + self.loop(stages, epochs, validations)


def training_times(
    rows: Sequence[Mapping[str, Any]], stages: Sequence[StagePlan], wall: float
) -> TrainingTimes:
    """Return what a rehearsed training shows.

    Args:
        rows: of its metrics, one for each step; ``seconds`` are those since the first began. The
            last epoch alone was validated.
        stages: what it did.
        wall: its seconds in all.
    """
    totals = [0.0, *(row["seconds"] for row in rows)]
    took = [after - before for before, after in itertools.pairwise(totals)]
    epochs = [row["epoch"] for row in rows]
    firsts = [n for n in range(1, len(rows)) if epochs[n] != epochs[n - 1]]
    lasts = [n - 1 for n in firsts]
    busy = {0, len(rows) - 1, *firsts, *lasts, *(stage.start for stage in stages)}
    steps, of = [], [0.0] * len(rows)
    for stage in stages:
        inside = range(stage.start, min(stage.stop, len(rows)))
        plain = [took[n] for n in inside if n not in busy] or [took[n] for n in inside]
        steps.append(statistics.median(plain))
        for n in inside:
            of[n] = steps[-1]
    page = max(0.0, min((took[n] - of[n] for n in firsts), default=0.0))
    sheet = max(0.0, min((took[n] - of[n] for n in lasts), default=0.0))
    validation = max(0.0, took[-1] - of[-1] - sheet)
    found = TrainingTimes(steps, sheet, validation, page)
    known = sum(of) + len(set(epochs)) * (sheet + page) + validation
    return TrainingTimes(**{**vars(found), "once": max(0.0, wall - known)})


@dataclass
class Estimate:
    """Seconds of what is not done of a queue."""

    #: By the key of the work.
    seconds: dict[tuple[str, Phase], float] = field(default_factory=dict)
    #: Of the report, at the end.
    report: float | None = None
    #: Why something has no estimate.
    problems: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        """All that was estimated."""
        return sum(self.seconds.values()) + (self.report or 0.0)
