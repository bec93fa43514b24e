"""How far scores would move with other test images: intervals, and tests between methods.

Images are the units. Nothing here says how far scores would move with another training seed; that
needs several runs.

N images, K scored classes, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hdbench.errors import HdbenchError, UsageError
from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.recounting import counting_of, rescored_many
from hdbench.evaluation.resampling import (
    RESAMPLES,
    SEED,
    SLACK,
    Resamples,
    bootstrap,
    studentised_interval,
)
from hdbench.evaluation.significance import LEVEL
from hdbench.schema.record import Interval
from hdbench.schema.result import ORACLE, OVERALL, Overall, Result
from hdbench.schema.scoring import Counting

#: What an interval is, for whoever reads a table.
NOTE = (
    f"[low, high]: {LEVEL:.0%} studentised bootstrap over the images ({RESAMPLES} resamples, seed "
    f"{SEED}); the variance between training seeds is not in it."
)


@dataclass(frozen=True)
class Intervals:
    """The intervals of one result; None where a score is undefined."""

    pixel_accuracy: Interval | None
    mean_iou: Interval | None
    #: Of the mean IoU over the oracle's on the same resamples; None for the oracle itself.
    oracle_ratio: Interval | None
    #: By name of class.
    class_iou: dict[str, Interval | None]

    def of(self, score: str) -> Interval | None:
        """Return the interval of ``pixel_accuracy``, ``mean_iou`` or ``oracle_ratio``."""
        return getattr(self, score)


@dataclass(frozen=True)
class Difference:
    """One score of A minus the same score of B, both on the same images."""

    score: Overall
    value: float
    interval: Interval | None
    #: Two-sided p-value of the sign-flip permutation test, not corrected.
    p_value: float


def resamples_of(result: Result) -> Resamples | None:
    """Return a result's scores on resampled images, or None if it has no interval.

    These are results of a single image, and those whose policies this version does not know.
    """
    if len(result.matrices) < 2:
        return None
    try:
        return bootstrap(result.matrices, counting_of(result))
    except HdbenchError:
        return None


def intervals_of(results: Sequence[Result]) -> dict[str, Intervals]:
    """Return the intervals of results by method, on resamples that all of them share.

    A result of a single image has none: one image says nothing about others. Neither has a result
    whose policies this version does not know.
    """
    drawn = {result.method: resamples_of(result) for result in results}
    resamples = {name: own for name, own in drawn.items() if own is not None}
    oracle = next((r for r in results if r.method == ORACLE and r.method in resamples), None)
    found: dict[str, Intervals] = {}
    for result in results:
        if result.method not in resamples:
            continue
        own = resamples[result.method]
        accuracy, mean_iou, *class_iou = (
            studentised_interval(own.score(place), 0.0, 1.0) for place in range(len(own.values))
        )
        ratio = None
        comparable = oracle is not None and oracle.fingerprint == result.fingerprint
        if comparable and oracle is not result:
            ratio = studentised_interval(own.over(resamples[ORACLE], 1), 0.0, math.inf)
        by_class = dict(zip(result.classes, class_iou, strict=True))
        found[result.method] = Intervals(accuracy, mean_iou, ratio, by_class)
    return found


def paired_differences(
    ours: Matrix,
    theirs: Matrix,
    counting: Counting,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[Difference]:
    """Return pixel accuracy and mean IoU of A minus B, with interval and p-value.

    The interval is that of the paired bootstrap: both methods are scored on the same resamples, so
    what images have in common cancels out. Both are int64 N x (K+1) x K, of the same scenes in the
    same order; else UsageError is raised.
    """
    _require_pairs(ours, theirs)
    a, b = (bootstrap(matrices, counting, resamples, seed) for matrices in (ours, theirs))
    p_values = permutation_test(ours, theirs, counting, resamples, seed)
    return [
        Difference(
            score,
            float(a.values[n] - b.values[n]),
            studentised_interval(a.minus(b, n), -1.0, 1.0) if len(ours) > 1 else None,
            p_values[score],
        )
        for n, score in enumerate(OVERALL)
    ]


def permutation_test(
    ours: Matrix,
    theirs: Matrix,
    counting: Counting,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, float]:
    """Return the two-sided p-value of each overall score of a sign-flip permutation test.

    If A and B were alike, swapping their images of a scene would change nothing: each permutation
    swaps a random set of scenes and takes the difference anew. Where no more than R sets exist, all
    of them are taken and p is exact; else p is (1 + at least as far) / (1 + R), so that the set
    that was observed counts (Phipson and Smyth, 2010). It is 1 where a difference is undefined.
    Matrices are those of ``paired_differences``.

    Raises:
        UsageError: the two were not counted on the same label maps.
    """
    _require_pairs(ours, theirs)
    images = len(ours)
    exact = images < 63 and 1 << images <= resamples
    if exact:
        sets = np.arange(1 << images)[:, None] >> np.arange(images) & 1
    else:
        sets = np.random.default_rng([seed, images]).integers(0, 2, (resamples, images))
    pairs = np.concatenate([ours, theirs])
    first = rescored_many(pairs, counting, np.concatenate([1 - sets, sets], axis=1))
    second = rescored_many(pairs, counting, np.concatenate([sets, 1 - sets], axis=1))
    kept = np.concatenate([np.ones((1, images)), np.zeros((1, images))], axis=1).astype(np.int64)
    observed = rescored_many(pairs, counting, kept) - rescored_many(pairs, counting, 1 - kept)
    p_values: dict[str, float] = {}
    for n, score in enumerate(OVERALL):
        far = np.abs(first[:, n] - second[:, n]) >= abs(observed[0, n]) - SLACK
        if np.isnan(observed[0, n]):
            p_values[score] = 1.0
        elif exact:
            p_values[score] = float(far.mean())
        else:
            p_values[score] = float((1 + far.sum()) / (1 + resamples))
    return p_values


def interval_records(intervals: Mapping[str, Intervals], method: str) -> dict[str, list[float]]:
    """Return ``{"mean_iou": [low, high], ...}`` of one method for JSON; empty if it has none."""
    if method not in intervals:
        return {}
    found = {name: intervals[method].of(name) for name in (*OVERALL, "oracle_ratio")}
    return {name: [bounds.low, bounds.high] for name, bounds in found.items() if bounds}


def _require_pairs(ours: Matrix, theirs: Matrix) -> None:
    same = ours.shape == theirs.shape and np.array_equal(ours.sum(axis=2), theirs.sum(axis=2))
    if not same:
        raise UsageError(
            "the two results were not counted on the same label maps in the same order, so their "
            "images are no pairs; score both under one convention on one benchmark"
        )
