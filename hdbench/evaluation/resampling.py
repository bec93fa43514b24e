"""Scores on resampled images, and the interval that is read from them.

Images are the units: a resample draws N of the N images with replacement, and their matrices are
summed before any ratio is taken.

N images, K scored classes, R resamples; S = 2 + K scores: pixel accuracy, mean IoU, IoU of classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.recounting import rescored_many
from hdbench.evaluation.significance import LEVEL
from hdbench.schema.record import Interval
from hdbench.schema.scoring import Counting

Floats = NDArray[np.float64]

#: Resamples of a bootstrap, and sign flips of a permutation test.
RESAMPLES = 2000
#: The seed of every resample that hdbench prints.
SEED = 0
#: What rounding may move a resampled score that is equal in truth.
SLACK = 1e-12


@dataclass(frozen=True)
class Statistic:
    """A number computed from images, with what its interval needs."""

    #: Of all images.
    value: float
    #: N: without each image in turn; NaN where undefined.
    left_out: Floats
    #: R: of each resample; NaN where undefined.
    drawn: Floats
    #: R: the standard error of each resample, estimated from the resample itself.
    errors: Floats


@dataclass(frozen=True)
class Resamples:
    """The scores of N images, without each image in turn, and on R resamples; NaN if undefined."""

    #: S
    values: Floats
    #: N x S
    left_out: Floats
    #: R x S
    drawn: Floats
    #: R x S: standard errors of ``drawn`` (infinitesimal jackknife).
    errors: Floats
    #: int64 R x N: how often each image is drawn.
    weights: NDArray[np.int64]
    #: R x N: to first order, what each image adds to the mean IoU and pixel accuracy of a resample.
    influences: tuple[Floats, Floats]

    def score(self, place: int) -> Statistic:
        """Return score ``place`` of the S scores."""
        columns = (self.left_out, self.drawn, self.errors)
        return Statistic(float(self.values[place]), *(column[:, place] for column in columns))

    def minus(self, other: Resamples, place: int) -> Statistic:
        """Return the difference of pixel accuracy (0) or mean IoU (1) on the same images."""
        return Statistic(
            float(self.values[place] - other.values[place]),
            self.left_out[:, place] - other.left_out[:, place],
            self.drawn[:, place] - other.drawn[:, place],
            _errors(self.influences[place] - other.influences[place], self.weights),
        )

    def over(self, other: Resamples, place: int) -> Statistic:
        """Return the ratio of pixel accuracy (0) or mean IoU (1) on the same images."""
        drawn = _ratio(self.drawn[:, place], other.drawn[:, place])
        moved = self.influences[place] - drawn[:, None] * other.influences[place]
        below = other.drawn[:, place]
        return Statistic(
            float(_ratio(self.values[[place]], other.values[[place]])[0]),
            _ratio(self.left_out[:, place], other.left_out[:, place]),
            drawn,
            _ratio(_errors(moved, self.weights), below),
        )


def resample(images: int, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.int64]:
    """Return int64 R x N: how often each image is drawn in each resample.

    A function of its arguments alone, so that two methods share their resamples.
    """
    drawn = np.random.default_rng(seed).integers(0, images, (resamples, images))
    places = drawn + images * np.arange(resamples)[:, None]
    return np.bincount(places.reshape(-1), minlength=resamples * images).reshape(resamples, images)


def bootstrap(
    matrices: Matrix, counting: Counting, resamples: int = RESAMPLES, seed: int = SEED
) -> Resamples:
    """Return the scores of N images and of their R ``resamples``, drawn with ``seed``.

    A class that few images hold is missing from some resamples; there the policy for absent classes
    applies, as it would to such a dataset.
    """
    images = len(matrices)
    weights = resample(images, resamples, seed)
    once = np.ones((1, images), dtype=np.int64)
    without = once - np.eye(images, dtype=np.int64)
    values = rescored_many(matrices, counting, np.concatenate([once, without]))
    drawn = rescored_many(matrices, counting, weights)
    above, below = _ratios(matrices, counting)
    sums = weights @ below
    errors = _ratio(
        # The sum over drawn images of (above - score x below)^2, expanded.
        np.sqrt(
            np.maximum(
                weights @ above**2 - drawn * (2 * (weights @ (above * below)))
                + drawn**2 * (weights @ below**2),
                0,
            )
        ),
        sums,
    ) * math.sqrt(images / max(1, images - 1))  # fmt: skip
    accuracy = _influence(above[:, 0], below[:, 0], drawn[:, 0], sums[:, 0])
    if counting.accumulation == "dataset":
        mean_iou = _mean_influence(matrices, counting, weights, drawn[:, 2:])
        errors[:, 1] = _errors(mean_iou, weights)
    else:
        mean_iou = _influence(above[:, 1], below[:, 1], drawn[:, 1], sums[:, 1])
    return Resamples(values[0], values[1:], drawn, errors, weights, (accuracy, mean_iou))


def mean_over(runs: Sequence[Resamples]) -> Resamples:
    """Return the means of pixel accuracy and mean IoU over runs that share their resamples.

    S is 2: the means of the classes have no errors here. Each resample draws the same images of all
    runs, so what is resampled are images, not runs.
    """

    def mean(parts: Sequence[Floats]) -> Floats:
        return np.mean([part[..., :2] for part in parts], axis=0)

    weights = runs[0].weights
    accuracy, mean_iou = (np.mean([run.influences[n] for run in runs], axis=0) for n in (0, 1))
    return Resamples(
        mean([run.values for run in runs]),
        mean([run.left_out for run in runs]),
        mean([run.drawn for run in runs]),
        np.column_stack([_errors(accuracy, weights), _errors(mean_iou, weights)]),
        weights,
        (accuracy, mean_iou),
    )


def mean_of(values: Floats, resamples: int = RESAMPLES, seed: int = SEED) -> Statistic:
    """Return the mean of one number for each of N >= 2 images."""
    images = len(values)
    weights = resample(images, resamples, seed)
    drawn = weights @ values / images
    spread = np.maximum(weights @ values**2 / images - drawn**2, 0)
    mean = float(values.mean())
    left_out = mean + (mean - values) / (images - 1)
    return Statistic(mean, left_out, drawn, np.sqrt(spread / (images - 1)))


def studentised_interval(statistic: Statistic, lowest: float, highest: float) -> Interval | None:
    """Return the studentised bootstrap interval (Efron and Tibshirani, 1993, Sec. 12.5).

    The quantiles of (resampled - value) / error, with each resample's own error, are multiplied by
    the jackknife's standard error of the value (Tukey, 1958), which is never too small in
    expectation (Efron and Stein, Annals of Statistics 1981). The percentile interval holds the
    truth less often, because a mean IoU is biased downwards where classes are rare, and a resample
    has that bias twice. ``tests/performance/coverage.py`` compares both.

    The interval is clipped to ``lowest`` and ``highest``, the values that the number can have. It
    is None where the number, or the number without one of the images, is undefined, or where an end
    is infinite.
    """
    value, left_out = statistic.value, statistic.left_out
    if math.isnan(value) or np.isnan(left_out).any():
        return None
    images = len(left_out)
    error = math.sqrt((images - 1) / images * np.square(left_out - left_out.mean()).sum())
    if error <= SLACK:
        return Interval(value, value)
    moved = statistic.drawn - value
    moved, errors = moved[~np.isnan(moved)], statistic.errors[~np.isnan(moved)]
    # Without spread in a resample, as of a class in one image, nothing is known of the distance.
    distances = np.copysign(np.inf, moved)
    np.divide(moved, errors, out=distances, where=errors > SLACK)
    distances[np.abs(moved) <= SLACK] = 0.0
    tail = (1 - LEVEL) / 2
    down = float(np.quantile(distances, 1 - tail, method="higher"))
    up = float(np.quantile(distances, tail, method="lower"))
    low, high = max(lowest, value - down * error), min(highest, value - up * error)
    return Interval(low, high) if math.isfinite(low) and math.isfinite(high) else None


def _ratios(matrices: Matrix, counting: Counting) -> tuple[Floats, Floats]:
    """Return N x S numerators and denominators whose weighted sums give each score.

    The mean IoU of a dataset is no such ratio; its columns are then 0.
    """
    if counting.accumulation != "dataset":
        single = np.eye(len(matrices), dtype=np.int64)
        scores = rescored_many(matrices, counting, single)
        defined = ~np.isnan(scores)
        return np.where(defined, scores, 0.0), defined.astype(np.float64)
    scored, void = matrices[:, :-1].astype(np.float64), matrices[:, -1].astype(np.float64)
    hits = np.einsum("nkk->nk", scored)
    predicted = scored.sum(axis=1) + (void if counting.void_in_iou == "false-positives" else 0)
    union = scored.sum(axis=2) + predicted - hits
    counted = scored.sum(axis=(1, 2))
    if counting.void_in_accuracy == "errors":
        counted = counted + void.sum(axis=1)
    nothing = np.zeros(len(matrices))
    return (
        np.column_stack([hits.sum(axis=1), nothing, hits]),
        np.column_stack([counted, nothing, union]),
    )


def _mean_influence(
    matrices: Matrix, counting: Counting, weights: NDArray[np.int64], class_iou: Floats
) -> Floats:
    """Return R x N: to first order, what each image adds to the mean IoU of a resample."""
    above, below = (part[:, 2:] for part in _ratios(matrices, counting))
    union = weights @ below
    present = ~np.isnan(class_iou)
    entries = present.sum(axis=1)
    if counting.absent_class != "left-out":
        entries = entries + (union == 0).sum(axis=1)
    if counting.void_class == "counted":
        always = counting.absent_class != "left-out"
        entries = entries + (always | (weights @ matrices[:, -1].sum(axis=1) > 0))
    scale = np.where(present, 1 / np.where(union > 0, union, 1), 0.0)
    scale /= np.maximum(entries, 1)[:, None]
    return scale @ above.T - (scale * np.where(present, class_iou, 0.0)) @ below.T


def _influence(above: Floats, below: Floats, score: Floats, total: Floats) -> Floats:
    moved = above[None, :] - score[:, None] * below[None, :]
    return moved / np.where(total > 0, total, 1)[:, None]


def _errors(influences: Floats, weights: NDArray[np.int64]) -> Floats:
    images = weights.shape[1]
    return np.sqrt((weights * influences**2).sum(axis=1) * images / max(1, images - 1))


def _ratio(above: Floats, below: Floats) -> Floats:
    found = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found
