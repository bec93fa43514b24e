"""Models over many judgments: Bradley-Terry abilities, and the trend of a preference over time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdbench.evaluation.significance import LEVEL
from hdbench.schema.record import Interval
from hdbench.schema.summary import Ability, BradleyTerry, NoEstimate, Penalised, Trend
from hdbench.study.analysis.statistics import codes


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
) -> BradleyTerry | NoEstimate:
    """Return the abilities of all methods, or why they have no finite estimate.

    Bradley and Terry (Biometrika 1952) as a binomial GLM, with a term for the left side (Davidson
    and Beaver, Biometrics 1977), so that a bias to one side favours no method. Errors are clustered
    by participant and image. All arguments have one entry per judgment.

    Where methods and side together tell some answers without exception, the likelihood has no
    finite maximum; then the penalised estimate of Firth (Biometrika 1993) is returned beside the
    reason.
    """
    lefts, rights = np.asarray(left, dtype=object), np.asarray(right, dtype=object)
    chose = np.asarray(chose_left, dtype=np.float64)
    methods = sorted({*lefts, *rights})
    if len(methods) < 2:
        return NoEstimate(reason="fewer than two methods were judged")
    place = {method: n for n, method in enumerate(methods)}
    one = np.array([place[method] for method in lefts])
    two = np.array([place[method] for method in rights])
    rows = np.arange(len(chose))
    full = np.zeros((len(chose), len(methods) + 1))
    full[rows, one] += 1
    full[rows, two] -= 1
    full[:, -1] = 1
    design = full[:, 1:]  # the first method is the origin
    count = len(methods)
    centring = np.hstack([np.eye(count)[:, 1:] - 1 / count, np.zeros((count, 1))])
    if np.linalg.matrix_rank(np.unique(design, axis=0)) < design.shape[1]:
        reason = "the pairs that were shown do not tell all methods and the side apart"
        return NoEstimate(reason=reason)
    if is_separated(design, chose):
        parameters = firth(design, chose)
        values = dict(zip(methods, map(float, centring @ parameters), strict=True))
        reason = _unbeaten(one, two, chose.astype(bool), methods)
        penalised = Penalised(abilities=values, side=float(parameters[-1]))
        return NoEstimate(reason=reason, penalised=penalised)
    fit = _logistic(design, chose, participants, images)
    if isinstance(fit, str):
        return NoEstimate(reason=fit)
    values = centring @ fit.parameters
    quantile = _quantile(fit.degrees)
    errors = [quantile * fit.error(row) for row in centring]
    abilities = [
        Ability(
            method=method,
            value=float(value),
            low=float(value - error),
            high=float(value + error),
        )
        for method, value, error in zip(methods, values, errors, strict=True)
    ]
    abilities.sort(key=lambda ability: -ability.value)
    side = float(fit.parameters[-1])
    error = quantile * fit.error(np.eye(count)[-1])
    return BradleyTerry(
        abilities=abilities, side=side, side_interval=Interval(side - error, side + error)
    )


def is_separated(design: NDArray[np.float64], answers: NDArray[np.float64]) -> bool:
    """Tell whether a logistic regression has no finite maximum-likelihood estimate.

    It has none if some direction b makes no answer less likely and one more likely: s x b >= 0 for
    all rows x, with s = 1 or -1 for the answer, and > 0 for one (Albert and Anderson, Biometrika
    1984). The linear programme that looks for b is Konis' (thesis, Oxford 2007).

    Args:
        design: N x P, of full column rank.
        answers: N, 0 or 1.
    """
    from scipy.optimize import linprog

    rows = np.unique(np.where(answers[:, None] > 0, design, -design), axis=0)
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1))
    return found.status == 0 and -found.fun > 1e-7


def firth(design: NDArray[np.float64], answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the maximum of a logistic likelihood times Jeffreys' prior (Firth, Biometrika 1993).

    It is finite for every answer.

    Args:
        design: N x P, of full column rank.
        answers: N, 0 or 1.
    """
    from scipy.special import expit

    rows, place, counts = np.unique(design, axis=0, return_inverse=True, return_counts=True)
    chosen = np.bincount(place.reshape(-1), weights=answers, minlength=len(rows))
    parameters = np.zeros(design.shape[1])
    for _ in range(500):
        chance = expit(rows @ parameters)
        weight = counts * chance * (1 - chance)
        inverse = np.linalg.inv(rows.T @ (weight[:, None] * rows))
        leverage = weight * np.einsum("np,pq,nq->n", rows, inverse, rows)
        step = inverse @ (rows.T @ (chosen - counts * chance + leverage * (0.5 - chance)))
        step *= min(1.0, 2 / max(np.abs(step).max(), 1e-300))  # far from the maximum it overshoots
        parameters = parameters + step
        if np.abs(step).max() < 1e-10:
            break
    return parameters


def _unbeaten(
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    chose: NDArray[np.bool_],
    methods: Sequence[str],
) -> str:
    """Return in words what separates the answers."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if chose.all() or not chose.any():
        return "every answer was for the same side"
    winner, loser = np.where(chose, one, two), np.where(chose, two, one)
    size = len(methods)
    wins = coo_array((np.ones(len(winner)), (winner, loser)), shape=(size, size))
    groups, member = connected_components(wins, directed=True, connection="strong")
    if groups == 1:
        return "method and side together tell some of the answers without exception"
    inside = [method for method, group in zip(methods, member, strict=True) if group == member[0]]
    outside = [method for method in methods if method not in inside]
    return f"{', '.join(inside)} and {', '.join(outside)} never beat each other in both directions"


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
    if is_separated(design, values):
        return "the time tells the answers without exception, so the slope has no finite estimate"
    fit = _logistic(design, values, participants, images)
    if isinstance(fit, str):
        return fit
    slope, error = float(fit.parameters[1]), fit.error(np.array([0.0, 1.0]))
    if error == 0:
        return "the answers do not vary enough"
    reach = _quantile(fit.degrees) * error
    p_value = float(2 * student.sf(abs(slope) / error, fit.degrees))
    return Trend(slope=slope, interval=Interval(slope - reach, slope + reach), p_value=p_value)


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
        return "the fit did not converge"
    if not all(map(_finite, covariances)):
        return "the answers do not vary enough"
    return _Fit(np.asarray(result.params), tuple(map(np.asarray, covariances)), smaller - 1)


def _finite(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all())
