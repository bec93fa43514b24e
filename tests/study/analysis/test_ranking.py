from __future__ import annotations

import choix
import numpy as np
import pytest
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from hdbench.study.analysis.ranking import BradleyTerry, Trend, bradley_terry, trend_over_time

METHODS = np.array(["a", "b", "c", "d"], dtype=object)
TRUE = np.array([0.9, 0.3, -0.2, -1.0])


def answers(n: int, side: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Left, right and whether left was chosen, of a Bradley-Terry model with a side effect."""
    random = np.random.default_rng(seed)
    left = random.integers(0, 4, n)
    right = (left + random.integers(1, 4, n)) % 4
    chance = 1 / (1 + np.exp(-(TRUE[left] - TRUE[right] + side)))
    return left, right, random.random(n) < chance


def fitted(left: np.ndarray, right: np.ndarray, chose: np.ndarray) -> BradleyTerry:
    people, images = np.arange(len(left)) % 40, np.arange(len(left)) % 97
    found = bradley_terry(METHODS[left], METHODS[right], chose, people, images)
    assert isinstance(found, BradleyTerry)
    return found


def values_of(found: BradleyTerry) -> np.ndarray:
    by_method = {ability.method: ability.value for ability in found.abilities}
    return np.array([by_method[method] for method in METHODS])


def test_abilities_are_those_of_choix() -> None:
    """Every answer and its mirror image: no side effect, which choix does not know."""
    left, right, chose = answers(3000, 0.0)
    winner, loser = np.where(chose, left, right), np.where(chose, right, left)
    reference = choix.ilsr_pairwise(4, np.column_stack([winner, loser]).tolist(), alpha=0)
    both = fitted(np.r_[left, right], np.r_[right, left], np.r_[chose, ~chose])
    assert both.side == pytest.approx(0, abs=1e-6)
    assert values_of(both) == pytest.approx(reference - reference.mean(), abs=1e-3)
    assert values_of(both).sum() == pytest.approx(0, abs=1e-9)


def test_a_habit_of_one_side_counts_for_no_method() -> None:
    found = fitted(*answers(20_000, 0.8))
    assert values_of(found) == pytest.approx(TRUE - TRUE.mean(), abs=0.1)
    assert found.side == pytest.approx(0.8, abs=0.1)
    assert found.side_interval.low < 0.8 < found.side_interval.high
    assert [ability.method for ability in found.abilities] == ["a", "b", "c", "d"]
    assert all(ability.low < ability.value < ability.high for ability in found.abilities)


def test_errors_grow_with_the_likeness_of_answers() -> None:
    """The same answers, each given by ten people on the same image, are no ten times the news."""
    left, right, chose = answers(400, 0.0)
    names = METHODS[left], METHODS[right], chose
    once = bradley_terry(*names, np.arange(400) % 40, np.arange(400))
    copies = [np.repeat(part, 10) for part in (*names, np.arange(400) % 40, np.arange(400))]
    often = bradley_terry(*copies)
    assert isinstance(once, BradleyTerry)
    assert isinstance(often, BradleyTerry)
    widths = [found.abilities[0].high - found.abilities[0].low for found in (once, often)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


@pytest.mark.parametrize(
    ("left", "right", "chose", "message"),
    [
        (["a", "b"], ["b", "a"], [True, False], "never beat each other in both directions"),
        (["a", "b"], ["b", "a"], [True, True], "every answer was for the same side"),
        ([], [], [], "fewer than two methods"),
    ],
)
def test_where_no_finite_estimate_exists_it_says_why(
    left: list[str], right: list[str], chose: list[bool], message: str
) -> None:
    found = bradley_terry(left * 5, right * 5, chose * 5, np.arange(len(left) * 5), [0] * 5)
    assert isinstance(found, str)
    assert message in found


def test_one_participant_ranks_nothing() -> None:
    left, right, chose = answers(200, 0.0)
    found = bradley_terry(METHODS[left], METHODS[right], chose, [0] * 200, np.arange(200))
    assert found == "fewer than two participants or two images"


def test_a_trend_is_found_and_its_slope_is_that_of_a_plain_regression() -> None:
    random = np.random.default_rng(5)
    times = random.choice([125, 250, 500, 1000, 2000, 4000, 8000], 4000)
    chance = 1 / (1 + np.exp(-0.3 * (np.log2(times) - 10)))
    chosen = random.random(4000) < chance
    found = trend_over_time(chosen, times, random.integers(0, 40, 4000), np.arange(4000) % 300)
    assert isinstance(found, Trend)
    plain = GLM(
        chosen.astype(float), np.column_stack([np.ones(4000), np.log2(times)]), family=Binomial()
    ).fit()
    assert found.slope == pytest.approx(plain.params[1], abs=1e-6)
    assert found.interval.low < 0.3 < found.interval.high
    assert found.p_value < 1e-6
    assert trend_over_time([1, 0], [500, 500], [0, 1], [0, 1]) == (
        "all images were shown for about the same time"
    )
    assert trend_over_time([1, 1], [500, 4000], [0, 1], [0, 1]) == (
        "every answer was for the same method"
    )
    assert isinstance(trend_over_time([0, 1, 0, 1], [1, 9, 1, 9], [0, 1] * 2, [0, 1] * 2), str)
