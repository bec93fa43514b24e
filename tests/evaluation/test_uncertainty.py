"""Intervals and tests beside scipy, statsmodels and hand-worked cases."""

from __future__ import annotations

from itertools import product
from typing import get_args

import numpy as np
import pytest
import scipy.stats
from conftest import changed, made_result
from hypothesis import given, settings
from hypothesis import strategies as st

from hdbench.errors import UsageError
from hdbench.evaluation.confusion import scores_of
from hdbench.evaluation.recounting import OVERALL, rescored, rescored_many
from hdbench.evaluation.resampling import Statistic, bootstrap, resample, studentised_interval
from hdbench.evaluation.uncertainty import (
    interval_records,
    intervals_of,
    paired_differences,
    permutation_test,
)
from hdbench.library import Library
from hdbench.schema.record import Interval
from hdbench.schema.scoring import Counting

STANDARD = Library().scoring("camvid-std-v1").counting
AVERAGED = STANDARD.model_copy(update={"accumulation": "images"})
#: Every combination of every policy that a convention may state.
POLICIES = [
    Counting.model_validate(dict(zip(Counting.model_fields, values, strict=True)))
    for values in product(*(get_args(entry.annotation) for entry in Counting.model_fields.values()))
]


def drawn(images: int, classes: int = 4, seed: int = 0) -> np.ndarray:
    """Matrices of images of unlike size; the last class is rare, void occurs."""
    random = np.random.default_rng(seed)
    matrices = random.integers(0, 9, (images, classes + 1, classes))
    matrices[:, :classes] += np.eye(classes, dtype=int) * random.integers(10, 60, (images, 1, 1))
    matrices[random.random(images) < 0.7, classes - 1] = 0
    return matrices


def scores(matrix: np.ndarray, counting: Counting = STANDARD) -> list[float]:
    found = scores_of(matrix, counting)
    return [found.pixel_accuracy, found.mean_iou, *found.class_iou]


# -- recounting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("counting", POLICIES, ids=lambda c: "-".join(c.model_dump().values()))
def test_every_policy_is_followed(counting: Counting) -> None:
    """Each image once is the dataset itself; an image twice is a dataset that holds it twice."""
    matrices = drawn(5)
    if counting.accumulation == "dataset":
        assert (
            list(rescored(matrices, counting).values())
            == scores(matrices.sum(axis=0), counting)[:2]
        )
    weights = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 0, 3]])
    repeated = matrices[[0, 0, 2, 4, 4, 4]]
    found = rescored_many(matrices, counting, weights)
    assert found[1, :2].tolist() == pytest.approx(list(rescored(repeated, counting).values()))
    assert found[0, :2].tolist() == list(rescored(matrices, counting).values())


def test_scores_of_single_images_are_averaged_over_those_that_have_one() -> None:
    matrices = drawn(6)
    matrices[2, :4] = 0  # nothing but void
    single = np.array([scores(matrix) for matrix in matrices])
    found = rescored(matrices, AVERAGED)
    assert found["pixel_accuracy"] == pytest.approx(np.nanmean(single[:, 0]), abs=1e-15)
    assert found["mean_iou"] == pytest.approx(np.nanmean(single[:, 1]), abs=1e-15)
    weights = np.array([[0, 2, 1, 1, 1, 1]])
    weighted = rescored_many(matrices, AVERAGED, weights)[0, 0]
    expected = (2 * single[1, 0] + single[3:, 0].sum()) / 5
    assert weighted == pytest.approx(expected, abs=1e-15)


def test_large_counts_stay_exact() -> None:
    """500 images of 2048x1024 pixels sum to more than 32 bits hold."""
    matrices = np.zeros((500, 3, 2), dtype=np.int64)
    matrices[:, 0, 0], matrices[:, 1, 0] = 2048 * 1024 - 1, 1
    found = rescored_many(matrices, STANDARD, np.full((1, 500), 4096))
    assert found[0, 0] == (2048 * 1024 - 1) / (2048 * 1024)


# -- bootstrap ------------------------------------------------------------------------------------


def test_scipy_bootstraps_the_same_scores() -> None:
    """The same draws, the same statistic: equal to the last bit."""
    matrices = drawn(30)
    for n in range(2):

        def statistic(places: np.ndarray, n: int = n) -> float:
            return scores(matrices[places].sum(axis=0))[n]

        theirs = scipy.stats.bootstrap(
            (np.arange(30),),
            statistic,
            n_resamples=400,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng(7),
        ).bootstrap_distribution
        ours = bootstrap(matrices, STANDARD, 400, seed=7).drawn[:, n]
        assert ours == pytest.approx(theirs, abs=1e-14)


@pytest.mark.parametrize("counting", POLICIES, ids=lambda c: "-".join(c.model_dump().values()))
def test_errors_are_derivatives_of_scores_by_the_weights_of_images(counting: Counting) -> None:
    """Beside the formulas: each image weighed up by a little, under every policy."""
    matrices = drawn(8)
    found = bootstrap(matrices, counting, 5, seed=2)
    for row, weights in enumerate(found.weights):
        fine = 1_000_000 * weights
        steps = np.concatenate([fine[None], fine + np.eye(8, dtype=np.int64) * 10])
        scored = rescored_many(matrices, counting, steps)
        slopes = (scored[1:] - scored[0]) * 100_000
        expected = np.sqrt((weights[:, None] * slopes**2).sum(axis=0) * 8 / 7)
        defined = ~np.isnan(found.drawn[row])
        assert found.errors[row, defined] == pytest.approx(expected[defined], rel=1e-3, abs=1e-6)


def test_without_each_image_in_turn() -> None:
    matrices = drawn(7)
    found = bootstrap(matrices, STANDARD, 3)
    for n in range(7):
        assert found.left_out[n] == pytest.approx(scores(np.delete(matrices, n, 0).sum(0)))


def test_resamples_by_hand() -> None:
    """Two images of one pixel, one right and one wrong: accuracy 0, 1/2 or 1."""
    right, wrong = np.array([[1, 0], [0, 0], [0, 0]]), np.array([[0, 1], [0, 0], [0, 0]])
    replicates = bootstrap(np.stack([right, wrong]), STANDARD, 4000, seed=1).drawn[:, 0]
    values, counts = np.unique(replicates, return_counts=True)
    assert values.tolist() == [0.0, 0.5, 1.0]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.02)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**31))
def test_every_resample_draws_as_many_images_and_a_seed_draws_them_again(
    images: int, resamples: int, seed: int
) -> None:
    counts = resample(images, resamples, seed)
    assert counts.shape == (resamples, images)
    assert np.all(counts.sum(axis=1) == images)
    assert np.array_equal(counts, resample(images, resamples, seed))


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """200 datasets of 80 images from a known population; about 95 % of the intervals hold it."""
    random = np.random.default_rng(3)
    truth = {"pixel_accuracy": 0.8, "mean_iou": 0.8 / 1.2}  # two classes, equally many pixels
    held = dict.fromkeys(truth, 0)
    for seed in range(200):
        share = random.beta(8, 2, (80, 2))  # mean 0.8; images differ
        right = random.binomial(500, share)
        matrices = np.zeros((80, 3, 2), dtype=np.int64)
        matrices[:, [0, 1], [0, 1]] = right
        matrices[:, [0, 1], [1, 0]] = 500 - right
        replicates = bootstrap(matrices, STANDARD, 200, seed)
        for n, (score, value) in enumerate(truth.items()):
            interval = studentised_interval(replicates.score(n), 0.0, 1.0)
            assert interval is not None
            held[score] += interval.low <= value <= interval.high
    assert all(0.90 <= count / 200 <= 0.98 for count in held.values()), held


def test_a_mean_has_the_interval_of_student() -> None:
    """Of a mean of normal numbers the jackknife's error is s / sqrt(n), and the quantiles are t."""
    values = np.random.default_rng(4).normal(0.5, 0.05, 25)
    weights = resample(25, 20_000)
    means = weights @ values / 25
    errors = np.sqrt((weights * (values - means[:, None]) ** 2).sum(axis=1) / 24 / 25)
    left_out = (values.sum() - values) / 24
    found = studentised_interval(Statistic(float(values.mean()), left_out, means, errors), 0, 1)
    reference = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.004)


def test_an_undefined_score_has_no_interval_and_undefined_resamples_are_left_out() -> None:
    spread, drawn_, errors = np.array([0.4, 0.6]), np.array([np.nan, 0.4, 0.6]), np.full(3, 0.1)
    assert studentised_interval(Statistic(np.nan, spread, drawn_, errors), 0, 1) is None
    only_one = np.array([0.4, np.nan])  # a class in a single image
    assert studentised_interval(Statistic(0.5, only_one, drawn_, errors), 0, 1) is None
    found = studentised_interval(Statistic(0.5, spread, drawn_, errors), 0, 1)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.4, 0.6))


def test_where_resamples_have_no_spread_nothing_is_known() -> None:
    """As of a class in two images, of which most resamples hold but one."""
    statistic = Statistic(0.5, np.array([0.4, 0.6]), np.array([0.4, 0.6] * 9), np.zeros(18))
    assert studentised_interval(statistic, 0, 1) == Interval(0, 1)
    assert studentised_interval(statistic, 0, np.inf) is None


# -- results --------------------------------------------------------------------------------------


def test_intervals_hold_the_scores_and_the_oracle_is_resampled_with_its_method() -> None:
    ours, oracle = (made_result(name, drawn(40, seed=n)) for n, name in enumerate(["x", "oracle"]))
    found = intervals_of([ours, oracle])
    for result in (ours, oracle):
        for score in OVERALL:
            interval = found[result.method].of(score)
            assert interval is not None
            reached = result.scores.overall(score)
            assert reached is not None
            assert interval.low <= reached <= interval.high
    assert set(found["x"].class_iou) == set(ours.classes)
    assert found["oracle"].oracle_ratio is None
    ratio = found["x"].oracle_ratio
    assert ratio is not None
    assert ratio.low <= scores(ours.matrices.sum(0))[1] / scores(oracle.matrices.sum(0))[1]
    assert ratio.high >= scores(ours.matrices.sum(0))[1] / scores(oracle.matrices.sum(0))[1]
    assert set(interval_records(found, "x")) == {"pixel_accuracy", "mean_iou", "oracle_ratio"}
    assert interval_records(found, "y") == {}


def test_a_method_compared_with_itself_as_oracle_has_no_spread() -> None:
    """Paired: what both share cancels out."""
    ours, oracle = (made_result(name, drawn(40)) for name in ("x", "oracle"))
    assert intervals_of([ours, oracle])["x"].oracle_ratio == Interval(1.0, 1.0)


def test_no_ratio_across_fingerprints_and_no_interval_of_one_image() -> None:
    ours, oracle = (made_result(name, drawn(9)) for name in ("x", "oracle"))
    other = changed(oracle, choices={**oracle.choices, "split": "test"})
    assert intervals_of([ours, other])["x"].oracle_ratio is None
    assert intervals_of([made_result("x", drawn(1))]) == {}


def test_a_result_with_policies_of_another_version_has_no_interval() -> None:
    strange = made_result("x", drawn(9))
    strange = changed(strange, choices={"scoring": {"counting": {"void": "eaten"}}})
    assert intervals_of([strange]) == {}


# -- between methods ------------------------------------------------------------------------------


def paired(images: int, gain: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two methods on the same labels; A has up to ``gain`` pixels more right in each image."""
    random = np.random.default_rng(seed)
    theirs = drawn(images, seed=seed)
    ours = theirs.copy()
    moved = np.minimum(random.integers(-3, gain + 1, images), ours[:, 0, 1])
    moved = np.maximum(moved, -ours[:, 0, 0])
    ours[:, 0, 0] += moved
    ours[:, 0, 1] -= moved
    return ours, theirs


def test_scipy_permutes_to_the_same_exact_p_value() -> None:
    ours, theirs = paired(8, 6)
    pairs = np.stack([ours, theirs])
    found = permutation_test(ours, theirs, STANDARD)
    for n, score in enumerate(OVERALL):

        def statistic(a: np.ndarray, b: np.ndarray, n: int = n) -> float:
            places = np.arange(8)
            totals = (pairs[side.astype(int), places].sum(axis=0) for side in (a, b))
            first, second = (scores(total)[n] for total in totals)
            return first - second

        theirs_p = scipy.stats.permutation_test(
            (np.zeros(8), np.ones(8)),
            statistic,
            permutation_type="samples",
            vectorized=False,
            n_resamples=10_000,
        ).pvalue
        assert found[score] == pytest.approx(theirs_p, abs=1e-12)


def test_the_permutation_test_by_hand() -> None:
    """Three images, A right and B wrong in all: 2 of the 8 sets of swaps are as far apart."""
    right, wrong = np.array([[4, 0], [0, 4], [0, 0]]), np.array([[0, 4], [4, 0], [0, 0]])
    ours, theirs = np.stack([right] * 3), np.stack([wrong] * 3)
    assert permutation_test(ours, theirs, STANDARD)["pixel_accuracy"] == 2 / 8


def test_many_images_are_sampled_and_the_observed_set_counts() -> None:
    ours, theirs = paired(60, 40)
    found = permutation_test(ours, theirs, STANDARD, resamples=200, seed=5)
    assert found["pixel_accuracy"] == 1 / 201
    assert found == permutation_test(ours, theirs, STANDARD, resamples=200, seed=5)
    assert found == permutation_test(theirs, ours, STANDARD, resamples=200, seed=5)


def test_a_method_does_not_differ_from_itself() -> None:
    matrices = drawn(30)
    for difference in paired_differences(matrices, matrices, STANDARD, 100):
        assert (difference.value, difference.p_value) == (0.0, 1.0)
        assert difference.interval == Interval(0.0, 0.0)


def test_p_values_of_methods_that_are_alike_are_uniform() -> None:
    """120 pairs without any true difference: about one in ten is below 0.1."""
    found = []
    for seed in range(120):
        theirs = drawn(20, seed=seed)
        pairs = np.stack([theirs, np.roll(theirs, 1, axis=2)])  # other predictions, same labels
        swapped = np.random.default_rng(seed).integers(0, 2, 20)
        places = np.arange(20)
        test = permutation_test(pairs[swapped, places], pairs[1 - swapped, places], STANDARD, 99)
        found.append(test["pixel_accuracy"])
    assert 0.05 <= np.mean(np.array(found) <= 0.1) <= 0.16


def test_the_paired_interval_is_that_of_the_differences() -> None:
    ours, theirs = paired(25, 10)
    accuracy, mean_iou = paired_differences(ours, theirs, STANDARD, 300, seed=2)
    a, b = (bootstrap(matrices, STANDARD, 300, 2) for matrices in (ours, theirs))
    for found, place in ((accuracy, 0), (mean_iou, 1)):
        assert found.interval == studentised_interval(a.minus(b, place), -1, 1)
        assert found.value == scores(ours.sum(0))[place] - scores(theirs.sum(0))[place]
        alone = studentised_interval(a.score(place), 0, 1)
        assert found.interval is not None
        assert alone is not None
        # What images have in common is gone.
        assert found.interval.high - found.interval.low < alone.high - alone.low


def test_images_that_are_no_pairs_are_refused() -> None:
    for ours, theirs in ((drawn(5), drawn(6)), (drawn(5), drawn(5, seed=1))):
        with pytest.raises(UsageError, match="label maps"):
            paired_differences(ours, theirs, STANDARD)
        with pytest.raises(UsageError, match="label maps"):
            permutation_test(ours, theirs, STANDARD)
