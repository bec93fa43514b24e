"""Do several segmenters rank methods alike? Ranks, and Kendall's tau between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hdbench.evaluation.resampling import Floats
from hdbench.evaluation.seeds import Estimate, resamples_of_runs
from hdbench.evaluation.significance import LEVEL
from hdbench.schema.record import Interval
from hdbench.schema.result import ORACLE, OVERALL, Overall, Result


@dataclass(frozen=True)
class UnderSegmenter:
    """The results of the same images under one segmenter."""

    #: What the segmenter is called.
    segmenter: str
    #: SHA-256 of its weights.
    weights: str
    #: One or several runs of each method.
    results: list[Result]

    @property
    def by_method(self) -> dict[str, list[Result]]:
        """The results of each method."""
        found: dict[str, list[Result]] = {}
        for result in self.results:
            found.setdefault(result.method, []).append(result)
        return found

    def scores(self, score: Overall) -> dict[str, float | None]:
        """Return one score of every method, the mean over its runs, by method."""
        return {
            name: Estimate(tuple(run.scores.overall(score) for run in runs)).mean
            for name, runs in self.by_method.items()
        }

    def drawn(self, score: Overall, methods: Sequence[str]) -> Floats | None:
        """Return R x M scores on resampled images, or None if some method has none."""
        place, runs = OVERALL.index(score), self.by_method
        found = [resamples_of_runs(runs[name]) for name in methods]
        known = [one.drawn[:, place] for one in found if one is not None]
        return np.column_stack(known) if known and len(known) == len(found) else None


@dataclass(frozen=True)
class Agreement:
    """How two segmenters agree on one score."""

    score: Overall
    ours: str
    theirs: str
    #: Kendall's tau-b: 1 for the same order, -1 for the opposite one; None where undefined.
    tau: float | None
    #: 95 % percentile bootstrap over images, which both share; None where undefined.
    interval: Interval | None
    #: How many methods were ranked.
    methods: int
    #: Pairs of methods that the two put into opposite orders.
    swapped: list[tuple[str, str]]


def ranks(scores: Mapping[str, float | None]) -> dict[str, int | None]:
    """Return the rank of each method, 1 for the highest score; equal scores share a rank.

    The oracle is what the others are measured by and has none, nor has a score that is undefined.
    """
    from scipy.stats import rankdata

    ranked = [name for name, value in scores.items() if value is not None and name != ORACLE]
    places = rankdata([-(scores[name] or 0.0) for name in ranked], method="min")
    by_name = {name: int(place) for name, place in zip(ranked, places, strict=True)}
    return {name: by_name.get(name) for name in scores}


def agreements(scored: Sequence[UnderSegmenter]) -> list[Agreement]:
    """Return Kendall's tau-b (Biometrika 33, 1945) for each score and pair of segmenters."""
    found = []
    for score in OVERALL:
        for ours, theirs in combinations(scored, 2):
            a, b = ours.scores(score), theirs.scores(score)
            names = [name for name, rank in ranks(a).items() if rank and ranks(b).get(name)]
            left, right = ([float(side[n] or 0.0) for n in names] for side in (a, b))
            swapped = [
                (names[i], names[j])
                for i, j in combinations(range(len(names)), 2)
                if (left[i] - left[j]) * (right[i] - right[j]) < 0
            ]
            tau = _tau(left, right)
            interval = None
            if tau is not None:
                interval = _interval(ours.drawn(score, names), theirs.drawn(score, names))
            found.append(
                Agreement(
                    score, ours.segmenter, theirs.segmenter, tau, interval, len(names), swapped
                )
            )
    return found


def taus(left: Floats, right: Floats) -> Floats:
    """Return Kendall's tau-b of each row of two R x M arrays; NaN where a row is constant."""
    first, second = np.triu_indices(left.shape[1], k=1)
    a, b = (np.sign(side[:, first] - side[:, second]) for side in (left, right))
    pairs = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), pairs, out=np.full(len(a), np.nan), where=pairs > 0)


def _interval(left: Floats | None, right: Floats | None) -> Interval | None:
    if left is None or right is None or left.shape != right.shape:
        return None
    found = taus(left, right)
    if np.isnan(found).any():
        return None
    tail = (1 - LEVEL) / 2
    # Tau takes few values, so the quantiles are values that it took.
    low = np.quantile(found, tail, method="lower")
    return Interval(float(low), float(np.quantile(found, 1 - tail, method="higher")))


def _tau(left: Sequence[float], right: Sequence[float]) -> float | None:
    if len(set(left)) < 2 or len(set(right)) < 2:  # an order of one says nothing
        return None
    from scipy.stats import kendalltau

    found: Any = kendalltau(left, right)  # its type is private to scipy
    return float(found.statistic)
