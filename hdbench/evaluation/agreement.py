"""Do several segmenters rank methods alike? Ranks, and Kendall's tau between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from scipy.stats import kendalltau, rankdata

from hdbench.schema.result import ORACLE, OVERALL, Overall, Result


@dataclass(frozen=True)
class UnderSegmenter:
    """The results of the same images under one segmenter."""

    #: What the segmenter is called.
    segmenter: str
    #: SHA-256 of its weights.
    weights: str
    results: list[Result]

    def scores(self, score: Overall) -> dict[str, float | None]:
        """Return one score of every method, by method."""
        return {result.method: result.scores.overall(score) for result in self.results}


@dataclass(frozen=True)
class Agreement:
    """How two segmenters agree on one score."""

    score: Overall
    ours: str
    theirs: str
    #: Kendall's tau-b: 1 for the same order, -1 for the opposite one; None where undefined.
    tau: float | None
    #: How many methods were ranked.
    methods: int
    #: Pairs of methods that the two put into opposite orders.
    swapped: list[tuple[str, str]]


def ranks(scores: Mapping[str, float | None]) -> dict[str, int | None]:
    """Return the rank of each method, 1 for the highest score; equal scores share a rank.

    The oracle is what the others are measured by and has none, nor has a score that is undefined.
    """
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
            found.append(
                Agreement(score, ours.segmenter, theirs.segmenter, tau, len(names), swapped)
            )
    return found


def _tau(left: Sequence[float], right: Sequence[float]) -> float | None:
    if len(set(left)) < 2 or len(set(right)) < 2:  # an order of one says nothing
        return None
    found: Any = kendalltau(left, right)  # its type is private to scipy
    return float(found.statistic)
