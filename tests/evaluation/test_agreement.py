"""Ranks by several segmenters, and Kendall's tau, beside its definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from conftest import changed, made_result
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from hdbench.evaluation.agreement import UnderSegmenter, agreements, ranks, taus
from hdbench.schema.result import Result, ScoreRecord

#: A single image has no interval, so nothing is resampled here.
MATRICES = np.ones((1, 3, 2), dtype=np.int64)


def scored(name: str, scores: dict[str, float | None]) -> UnderSegmenter:
    results = [
        changed(
            made_result(method, MATRICES),
            scores=ScoreRecord(pixel_accuracy=value, mean_iou=value, class_iou={}),
        )
        for method, value in scores.items()
    ]
    return UnderSegmenter(name, name * 8, results)


def test_ranks_share_places_and_leave_the_oracle_out() -> None:
    scores = {"a": 0.5, "oracle": 0.9, "b": 0.7, "c": 0.5, "d": None, "e": 0.1}
    assert ranks(scores) == {"a": 2, "oracle": None, "b": 1, "c": 2, "d": None, "e": 4}


def test_two_segmenters_by_hand() -> None:
    """Four methods, one pair of six the other way round: tau = (5 - 1) / 6."""
    first = scored("p", {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1, "oracle": 0.9})
    second = scored("q", {"a": 0.6, "b": 0.7, "c": 0.5, "d": 0.2, "oracle": 0.1})
    for found in agreements([first, second]):
        assert found.tau == pytest.approx(4 / 6)
        assert found.methods == 4
        assert found.swapped == [("a", "b")]
    assert [found.score for found in agreements([first, second])] == ["pixel_accuracy", "mean_iou"]


def test_every_pair_of_segmenters_is_compared_on_the_methods_that_both_can_score() -> None:
    several = [scored(name, {"a": 0.3, "b": 0.2, "c": 0.1}) for name in "pqr"]
    several[1] = scored("q", {"a": 0.1, "b": None, "c": 0.2})
    found = agreements(several)[:3]
    assert [(entry.ours, entry.theirs) for entry in found] == [("p", "q"), ("p", "r"), ("q", "r")]
    assert [entry.methods for entry in found] == [2, 3, 2]
    assert [entry.tau for entry in found] == [-1.0, 1.0, -1.0]


@pytest.mark.parametrize("scores", [{"a": 0.3}, {"a": 0.3, "b": 0.3}, {"oracle": 0.9}])
def test_no_order_has_no_tau(scores: dict[str, float | None]) -> None:
    found = agreements([scored("p", scores), scored("q", scores)])
    assert [entry.tau for entry in found] == [None, None]
    assert [entry.swapped for entry in found] == [[], []]


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=9))
def test_tau_b_is_its_definition(values: list[tuple[int, int]]) -> None:
    """Concordant minus discordant over the geometric mean of pairs that are not tied."""
    first = scored("p", {f"m{n}": a / 5 for n, (a, _) in enumerate(values)})
    second = scored("q", {f"m{n}": b / 5 for n, (_, b) in enumerate(values)})
    signs = [(np.sign(a1 - a2), np.sign(b1 - b2)) for (a1, b1), (a2, b2) in combinations(values, 2)]
    untied = [sum(sign[side] != 0 for sign in signs) for side in (0, 1)]
    found = agreements([first, second])[0]
    if 0 in untied:
        assert found.tau is None
    else:
        agreed = sum(a * b for a, b in signs)
        assert found.tau == pytest.approx(agreed / np.sqrt(untied[0] * untied[1]))
    assert len(found.swapped) == sum(a * b < 0 for a, b in signs)


def test_many_taus_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    left, right = (random.integers(0, 4, (50, 5)).astype(float) for _ in "ab")
    expected = [float(np.asarray(kendalltau(a, b))[0]) for a, b in zip(left, right, strict=True)]
    assert taus(left, right) == pytest.approx(expected, nan_ok=True)


def drawn(name: str, share: float, seed: int) -> Result:
    """A result of 30 images, in which about this share of the pixels is right."""
    random = np.random.default_rng(seed)
    matrices = np.zeros((30, 3, 2), dtype=np.int64)
    right = random.binomial(20, share, (30, 2))
    matrices[:, [0, 1], [0, 1]] = right
    matrices[:, [0, 1], [1, 0]] = 20 - right
    return made_result(name, matrices)


def test_the_interval_is_narrow_where_methods_are_far_apart() -> None:
    far = {"a": 0.9, "b": 0.6, "c": 0.2}
    near = {"a": 0.52, "b": 0.5, "c": 0.48}
    for scores, widest in ((far, 0.0), (near, 2.0)):
        under = [
            UnderSegmenter(name, name, [drawn(m, s, seed) for m, s in scores.items()])
            for seed, name in enumerate("pq")
        ]
        [found, _] = agreements(under)
        assert found.tau is not None
        assert found.interval is not None
        assert found.interval.low <= found.tau <= found.interval.high
        width = found.interval.high - found.interval.low
        assert width == 0 if widest == 0 else 0 < width <= widest


def test_methods_with_several_seeds_are_ranked_by_their_means() -> None:
    results = [drawn("a", 0.9, 0), changed(drawn("a", 0.1, 1), seed=1), drawn("b", 0.7, 2)]
    under = UnderSegmenter("p", "p", results)
    scores = under.scores("pixel_accuracy")
    accuracies = [result.scores.pixel_accuracy or 0 for result in results]
    assert scores["a"] == pytest.approx(sum(accuracies[:2]) / 2)
    assert ranks(scores) == {"a": 2, "b": 1}
