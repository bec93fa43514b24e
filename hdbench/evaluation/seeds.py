"""Scores of methods over their training seeds: the mean, and two kinds of uncertainty.

The interval is over test images, and says how far the mean of these very runs would move with other
images. The spread is between runs, and says how far a score moves with another seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdbench.evaluation.resampling import Resamples, mean_over, studentised_interval
from hdbench.evaluation.uncertainty import resamples_of
from hdbench.schema.record import Interval
from hdbench.schema.result import ORACLE, OVERALL, Result, oracle_ratio

#: With so many seeds the spread is a standard deviation; with fewer, it is the range.
DEVIATION_FROM = 3


@dataclass(frozen=True)
class Estimate:
    """One score of one method."""

    #: Of each run, in the order of the seeds; None where the score is undefined.
    values: tuple[float | None, ...]
    #: Of the mean over runs, over images.
    interval: Interval | None = None

    @property
    def seeds(self) -> int:
        """How many runs there are."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """The mean over runs, or None if the score is undefined in one of them."""
        known = self._known
        return statistics.fmean(known) if known else None

    @property
    def range(self) -> Interval | None:
        """The lowest and the highest run, or None with one run."""
        known = self._known
        return Interval(min(known), max(known)) if len(known) > 1 else None

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over runs, or None with fewer than three."""
        known = self._known
        return statistics.stdev(known) if len(known) >= DEVIATION_FROM else None

    @property
    def spread(self) -> float | None:
        """The standard deviation, with two runs their distance, with one None."""
        if self.deviation is not None or self.range is None:
            return self.deviation
        return self.range.high - self.range.low

    @property
    def bracket(self) -> Interval | None:
        """What a figure draws: the interval of one run, the range of two, mean and deviation."""
        if self.deviation is not None and self.mean is not None:
            return Interval(self.mean - self.deviation, self.mean + self.deviation)
        return self.range or self.interval

    @property
    def _known(self) -> list[float]:
        known = [value for value in self.values if value is not None and not math.isnan(value)]
        return known if len(known) == len(self.values) else []


@dataclass(frozen=True)
class Estimates:
    """The scores of one method."""

    #: Of its runs.
    seeds: tuple[int, ...]
    pixel_accuracy: Estimate
    mean_iou: Estimate
    #: The mean of the runs' ratios to the oracle's mean IoU.
    oracle_ratio: Estimate
    #: By name of class; with several runs, without intervals.
    class_iou: dict[str, Estimate]

    def of(self, score: str) -> Estimate:
        """Return the estimate of ``pixel_accuracy``, ``mean_iou`` or ``oracle_ratio``."""
        return getattr(self, score)


def estimates_of(measured: Mapping[str, Sequence[Result]]) -> dict[str, Estimates]:
    """Return the scores of methods, each with the results of at least one run.

    All results share a fingerprint, so all are resampled alike. Ratios are to the method ``oracle``
    and undefined without it.
    """
    drawn = {name: resamples_of_runs(results) for name, results in measured.items()}
    [oracle] = measured.get(ORACLE, [None])
    return {
        name: _estimates(
            results, drawn[name], oracle, None if name == ORACLE else drawn.get(ORACLE)
        )
        for name, results in measured.items()
    }


def resamples_of_runs(results: Sequence[Result]) -> Resamples | None:
    """Return a method's scores on resampled images, the means over its runs if there are several.

    None where a run has no interval.
    """
    found = [own for result in results if (own := resamples_of(result)) is not None]
    if len(found) < len(results):
        return None
    return found[0] if len(found) == 1 else mean_over(found)


def _estimates(
    results: Sequence[Result],
    drawn: Resamples | None,
    oracle: Result | None,
    oracle_drawn: Resamples | None,
) -> Estimates:
    intervals: list[Interval | None] = []
    if drawn is not None:
        places = range(len(drawn.values))
        intervals = [studentised_interval(drawn.score(place), 0.0, 1.0) for place in places]
    by_class = dict(zip(results[0].classes, intervals[len(OVERALL) :], strict=False))
    accuracy, mean_iou, *_ = intervals or (None, None)
    ratios = tuple(None if oracle is None else oracle_ratio(one, oracle) for one in results)
    ratio = None
    if drawn is not None and oracle_drawn is not None and None not in ratios:
        ratio = studentised_interval(drawn.over(oracle_drawn, 1), 0.0, math.inf)
    return Estimates(
        tuple(result.seed for result in results),
        Estimate(tuple(result.scores.pixel_accuracy for result in results), accuracy),
        Estimate(tuple(result.scores.mean_iou for result in results), mean_iou),
        Estimate(ratios, ratio),
        {
            name: Estimate(
                tuple(result.scores.class_iou[name] for result in results), by_class.get(name)
            )
            for name in results[0].classes
        },
    )
