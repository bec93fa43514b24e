from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from small_packet import protocol_of
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from hdbench.errors import UsageError
from hdbench.study.design.planning import described, planned
from hdbench.study.design.power import (
    Heterogeneity,
    balance_notes,
    cost_of,
    exact_judgments,
    exact_power,
    heterogeneity,
    images_needed,
    judgments_on_images,
    normal_judgments,
)


def test_the_numbers_for_55_percent_at_80_percent_power() -> None:
    """783 by the normal approximation; the exact test reaches the power at 786 to 820."""
    assert normal_judgments(0.55, 0.8, 0.05) == 783
    enough = exact_power(np.arange(1, 2000), 0.55, 0.05) >= 0.8
    assert int(np.flatnonzero(enough)[0]) + 1 == 786
    assert exact_judgments(0.55, 0.8, 0.05) == 820
    assert enough[819:].all()
    assert not enough[818]


def test_the_approximation_is_near_statsmodels() -> None:
    """Its arcsine form differs a little from the plain one."""
    effect = proportion_effectsize(0.6, 0.5)
    reference = NormalIndPower(ddof=0).solve_power(effect, power=0.9, alpha=0.05, ratio=0)
    assert normal_judgments(0.6, 0.9, 0.05) == pytest.approx(reference, rel=0.02)


@pytest.mark.parametrize("n", [1, 5, 6, 9, 20, 37, 60])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_exact_power_is_the_sum_over_all_outcomes_that_scipy_rejects(n: int, alpha: float) -> None:
    rejected = [k for k in range(n + 1) if binomtest(k, n, 0.5).pvalue <= alpha]
    assert float(exact_power(n, 0.7, alpha)) == pytest.approx(binom.pmf(rejected, n, 0.7).sum())
    assert float(exact_power(n, 0.5, alpha)) <= alpha + 1e-12


def test_a_difference_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match=r"50\.05 %"):
        exact_judgments(0.5005, 0.8, 0.05)


def test_correlations_are_those_of_simulated_answers() -> None:
    likeness = heterogeneity(0.6, 0.6, 1.0)
    random = np.random.default_rng(0)
    mean = 0.4055 * 1.2  # near what gives 60 %
    people, images = random.normal(0, 0.6, 400_000), random.normal(0, 1, 400_000)

    def answers(worker: np.ndarray, image: np.ndarray) -> np.ndarray:
        return random.random(len(worker)) < 1 / (1 + np.exp(-(mean + worker + image)))

    same_worker = [answers(people, random.permutation(images)) for _ in range(2)]
    same_image = [answers(random.permutation(people), images) for _ in range(2)]
    assert np.corrcoef(same_worker)[0, 1] == pytest.approx(likeness.within_participant, abs=0.01)
    assert np.corrcoef(same_image)[0, 1] == pytest.approx(likeness.within_image, abs=0.01)
    none = heterogeneity(0.6, 0, 0)
    assert none.within_participant == pytest.approx(0, abs=1e-9)
    assert none.design_effect(100, 10) == pytest.approx(1)


def test_more_judgments_of_the_same_images_run_out_of_worth() -> None:
    likeness = Heterogeneity(0.05, 0.15)
    needed = judgments_on_images(820, 500, 100, likeness)
    assert needed is not None
    # what is needed is worth what was asked for
    effect = likeness.design_effect(100, needed / 500)
    assert needed / effect == pytest.approx(820, rel=0.01)
    assert images_needed(820, likeness) == 124
    assert judgments_on_images(820, 123, 100, likeness) is None
    assert judgments_on_images(820, 124, 100, likeness) is not None


@pytest.mark.parametrize(
    ("judgments", "durations", "text"),
    [
        (10, 0, " 5 times"),
        (2, 0, " once"),
        (7, 0, "R = 7 "),
        (1, 0, "use 2"),
        (14, 7, "once at each of 7"),
        (28, 7, "2 times at each of 7"),
        (10, 7, "R = 14"),
        (20, 7, "each once and 6 "),
        (30, 7, "each 2 times and 2 "),
    ],
)
def test_the_plan_says_what_stays_unbalanced(judgments: int, durations: int, text: str) -> None:
    assert text in balance_notes(500, judgments, durations)[0]


def test_500_scenes_and_7_durations_do_not_divide() -> None:
    notes = balance_notes(500, 10, 7)
    assert "714 or 715 (2 of 7 durations)" in notes[1]
    assert len(notes) == 3
    assert notes[2].startswith("sides: ")


def test_cost_by_hand() -> None:
    cost = cost_of(15_000, 100, 13, 4.0, 15.0, 0.2)
    assert (cost.sessions, cost.trials) == (150, 16_950)
    assert cost.hours == pytest.approx(18.8333, abs=1e-3)
    assert cost.money == pytest.approx(339.0)


def test_a_plan_in_words() -> None:
    choices: dict[str, Any] = {
        "methods": 3,
        "preference": 0.55,
        "power": 0.8,
        "alpha": 0.05,
        "fee": 0.0,
    }
    sds: dict[str, Any] = {"worker_sd": 0.6, "image_sd": 1.0, "design_effect": None}
    plan = planned(protocol_of(), scenes=500, judgments=None, **choices, **sds)
    text = described(plan)
    assert "3 pairs, 500 scenes, R = 10: 5,000 judgments of each pair" in text
    assert "820" in text
    assert "783" in text
    assert plan.power_of_this_plan > 0.9
    few = planned(protocol_of(), scenes=50, judgments=40, **choices, **sds)
    assert few.judgments_needed_per_pair is None
    assert f"{few.scenes_needed} scenes" in described(few)
    given: dict[str, Any] = {"worker_sd": 0.6, "image_sd": 1.0, "design_effect": 4.0}
    known = planned(protocol_of("limited"), scenes=500, judgments=10, **choices, **given)
    assert known.judgments_needed_per_pair == 3280
    assert known.design_effect == 4
    assert "R = 14" in described(known)
