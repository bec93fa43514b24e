"""Means and spreads over training seeds, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import changed, made_result

from hdbench.evaluation.recounting import counting_of, rescored_many
from hdbench.evaluation.resampling import resample
from hdbench.evaluation.seeds import Estimate, estimates_of
from hdbench.evaluation.uncertainty import intervals_of
from hdbench.schema.record import Interval
from hdbench.schema.result import ORACLE, OVERALL, Result


def run(seed: int, images: int = 30) -> Result:
    """A run of a method: the same labels with every seed, other predictions."""
    random = np.random.default_rng(seed)
    matrices = np.zeros((images, 4, 3), dtype=np.int64)
    wrong = random.integers(0, 20, (images, 3))
    matrices[:, [0, 1, 2], [0, 1, 2]] = 60 - wrong
    matrices[:, [0, 1, 2], [1, 2, 0]] = wrong
    return changed(made_result("x", matrices), seed=seed)


def test_the_spread_is_none_then_the_range_then_the_deviation() -> None:
    one, two, three = (Estimate((0.5, 0.7, 0.9)[:n], Interval(0.4, 0.6)) for n in (1, 2, 3))
    assert (one.mean, one.range, one.deviation, one.spread) == (0.5, None, None, None)
    assert one.bracket == Interval(0.4, 0.6)
    assert (two.mean, two.range, two.deviation) == (0.6, Interval(0.5, 0.7), None)
    assert two.spread == pytest.approx(0.2)
    assert two.bracket == two.range
    # (0.04 + 0 + 0.04) / 2 = 0.04, of which the root is 0.2.
    assert three.mean == pytest.approx(0.7)
    assert three.deviation == three.spread == pytest.approx(0.2)
    assert three.bracket is not None
    assert (three.bracket.low, three.bracket.high) == pytest.approx((0.5, 0.9))


def test_a_score_that_one_run_lacks_has_no_mean() -> None:
    estimate = Estimate((0.5, None, 0.9))
    assert (estimate.mean, estimate.spread, estimate.seeds) == (None, None, 3)


def test_one_run_has_the_intervals_of_its_result() -> None:
    ours, oracle = run(0), changed(run(9), method=ORACLE, seed=0)
    found = estimates_of({"x": [ours], ORACLE: [oracle]})
    expected = intervals_of([ours, oracle])
    for score in (*OVERALL, "oracle_ratio"):
        assert found["x"].of(score).interval == expected["x"].of(score)
    assert {name: one.interval for name, one in found["x"].class_iou.items()} == expected[
        "x"
    ].class_iou
    assert found[ORACLE].oracle_ratio.values == (1.0,)
    assert found[ORACLE].oracle_ratio.interval is None


def test_the_ratio_is_the_mean_of_ratios() -> None:
    runs, oracle = [run(n) for n in range(3)], changed(run(9), method=ORACLE)
    found = estimates_of({"x": runs, ORACLE: [oracle]})["x"]
    by_hand = [(one.scores.mean_iou or 0) / (oracle.scores.mean_iou or 1) for one in runs]
    assert found.seeds == (0, 1, 2)
    assert found.oracle_ratio.values == pytest.approx(by_hand)
    assert found.oracle_ratio.mean == pytest.approx(sum(by_hand) / 3)


def test_the_interval_of_a_mean_is_over_images_that_all_runs_share() -> None:
    """The same run three times has the interval of one run: seeds are not resampled."""
    single, oracle = run(0), changed(run(9), method=ORACLE)
    once = estimates_of({"x": [single], ORACLE: [oracle]})["x"]
    thrice = estimates_of({"x": [single] * 3, ORACLE: [oracle]})["x"]
    for score in (*OVERALL, "oracle_ratio"):
        narrow, wide = thrice.of(score).interval, once.of(score).interval
        assert narrow is not None
        assert wide is not None
        assert (narrow.low, narrow.high) == pytest.approx((wide.low, wide.high), abs=1e-9)


def test_the_interval_of_a_mean_is_near_that_of_plain_resampling() -> None:
    runs = [run(n, 60) for n in range(2)]
    interval = estimates_of({"x": runs})["x"].pixel_accuracy.interval
    assert interval is not None
    weights = resample(60, 4000, seed=7)
    drawn = np.mean(
        [rescored_many(one.matrices, counting_of(one), weights)[:, 0] for one in runs], axis=0
    )
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.2 * (high - low))


def test_without_the_oracle_there_is_no_ratio_and_one_image_has_no_interval() -> None:
    found = estimates_of({"x": [run(0, images=1), run(1, images=1)]})["x"]
    assert found.oracle_ratio.values == (None, None)
    assert found.pixel_accuracy.interval is None
    assert found.pixel_accuracy.mean is not None
