"""Models over many judgments: Bradley-Terry abilities, and the trend of a preference over time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdbench.evaluation.significance import LEVEL, Interval
from hdbench.study.analysis.statistics import codes


@dataclass(frozen=True)
class Ability:
    """A method's place on the Bradley-Terry scale."""

    method: str
    #: Logit units; the abilities of all methods sum to 0.
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BradleyTerry:
    """P(left is chosen) = logistic(ability of left - ability of right + side)."""

    #: Best first.
    abilities: list[Ability]
    #: Logit of the preference for the left side, with its interval.
    side: float
    side_interval: Interval


@dataclass(frozen=True)
class Trend:
    """How a preference changes with the time that images are shown."""

    #: Change of the preference's logit when the time doubles, with its interval.
    slope: float
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class _Fit:
    """A logistic regression with errors clustered by participant and image."""

    parameters: NDArray[np.float64]
    #: Covariances: two-way, by participant, by image.
    covariances: tuple[NDArray[np.float64], ...]
    degrees: int

    def error(self, contrast: NDArray[np.float64]) -> float:
        """Return the standard error of a contrast; the largest one, as in ``cluster_variance``."""
        return math.sqrt(max(float(contrast @ each @ contrast) for each in self.covariances))


def bradley_terry(
    left: ArrayLike,
    right: ArrayLike,
    chose_left: ArrayLike,
    participants: ArrayLike,
    images: ArrayLike,
) -> BradleyTerry | str:
    """Return the abilities of all methods, or why there are none.

    Bradley and Terry (Biometrika 1952) as a binomial GLM, with a term for the left side (Davidson
    and Beaver, Biometrics 1977), so that a bias to one side favours no method. Errors are clustered
    by participant and image. All arguments have one entry per judgment.
    """
    lefts, rights = np.asarray(left, dtype=object), np.asarray(right, dtype=object)
    chose = np.asarray(chose_left, dtype=np.float64)
    methods = sorted({*lefts, *rights})
    if len(methods) < 2:
        return "fewer than two methods were judged"
    place = {method: n for n, method in enumerate(methods)}
    one = np.array([place[method] for method in lefts])
    two = np.array([place[method] for method in rights])
    reason = _not_estimable(one, two, chose.astype(bool), methods)
    if reason:
        return reason
    rows = np.arange(len(chose))
    design = np.zeros((len(chose), len(methods) + 1))
    design[rows, one] += 1
    design[rows, two] -= 1
    design[:, -1] = 1
    fit = _logistic(design[:, 1:], chose, participants, images)  # the first method is the origin
    if isinstance(fit, str):
        return fit
    count = len(methods)
    centring = np.hstack([np.eye(count)[:, 1:] - 1 / count, np.zeros((count, 1))])
    values = centring @ fit.parameters
    quantile = _quantile(fit.degrees)
    errors = [quantile * fit.error(row) for row in centring]
    abilities = [
        Ability(method, float(value), float(value - error), float(value + error))
        for method, value, error in zip(methods, values, errors, strict=True)
    ]
    abilities.sort(key=lambda ability: -ability.value)
    side = float(fit.parameters[-1])
    error = quantile * fit.error(np.eye(count)[-1])
    return BradleyTerry(abilities, side, Interval(side - error, side + error))


def _not_estimable(
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    chose: NDArray[np.bool_],
    methods: Sequence[str],
) -> str | None:
    """Return why no finite maximum exists (Ford, Am. Math. Monthly 1957), or None."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if chose.all() or not chose.any():
        return "every answer was for the same side"
    winner, loser = np.where(chose, one, two), np.where(chose, two, one)
    size = len(methods)
    wins = coo_array((np.ones(len(winner)), (winner, loser)), shape=(size, size))
    groups, member = connected_components(wins, directed=True, connection="strong")
    if groups == 1:
        return None
    inside = [method for method, group in zip(methods, member, strict=True) if group == member[0]]
    outside = [method for method in methods if method not in inside]
    return (
        f"{', '.join(inside)} and {', '.join(outside)} never beat each other in both directions, "
        "so their distance has no finite estimate"
    )


def trend_over_time(
    chosen: ArrayLike, duration_ms: ArrayLike, participants: ArrayLike, images: ArrayLike
) -> Trend | str:
    """Return how a preference's logit changes with log2 of the time, or why there is no trend.

    All arguments have one entry per judgment; times are measured, in milliseconds, and positive.
    """
    from scipy.stats import t as student

    values = np.asarray(chosen, dtype=np.float64)
    time = np.log2(np.asarray(duration_ms, dtype=np.float64))
    if not len(values) or np.ptp(time) < 0.5:
        return "all images were shown for about the same time"
    if np.ptp(values) == 0:
        return "every answer was for the same method"
    design = np.column_stack([np.ones(len(time)), time - time.mean()])
    fit = _logistic(design, values, participants, images)
    if isinstance(fit, str):
        return fit
    slope, error = float(fit.parameters[1]), fit.error(np.array([0.0, 1.0]))
    if error == 0:
        return "the answers do not vary enough"
    reach = _quantile(fit.degrees) * error
    p_value = float(2 * student.sf(abs(slope) / error, fit.degrees))
    return Trend(slope, Interval(slope - reach, slope + reach), p_value)


def _quantile(degrees: int) -> float:
    from scipy.stats import t as student

    return float(student.ppf(0.5 + LEVEL / 2, degrees))


def _logistic(
    design: NDArray[np.float64],
    answers: NDArray[np.float64],
    participants: ArrayLike,
    images: ArrayLike,
) -> _Fit | str:
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM
    from statsmodels.stats.sandwich_covariance import cov_cluster_2groups
    from statsmodels.tools.sm_exceptions import (
        ConvergenceWarning,
        DomainWarning,
        PerfectSeparationWarning,
    )

    people, scenes = codes(participants), codes(images)
    smaller = min(int(people.max()), int(scenes.max())) + 1
    if smaller < 2:
        return "fewer than two participants or two images"
    refused = (ConvergenceWarning, DomainWarning, PerfectSeparationWarning, RuntimeWarning)
    try:
        with warnings.catch_warnings():
            for kind in refused:
                warnings.simplefilter("error", kind)
            result = GLM(answers, design, family=Binomial()).fit()
            covariances = cov_cluster_2groups(result, people, scenes)
    except (*refused, np.linalg.LinAlgError):
        return "the judgments allow no finite estimate"
    parameters = np.asarray(result.params)
    if not np.all(np.abs(parameters) < 25) or not all(map(_finite, covariances)):
        return "the judgments allow no finite estimate"
    return _Fit(parameters, tuple(map(np.asarray, covariances)), smaller - 1)


def _finite(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all())
