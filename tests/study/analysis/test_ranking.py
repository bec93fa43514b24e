from __future__ import annotations

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from hdbench.schema.summary import BradleyTerry, NoEstimate, Trend
from hdbench.study.analysis.ranking import bradley_terry, firth, is_separated, trend_over_time

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
        (["a", "b"], ["b", "a"], [True, False], "a and b"),
        (["a", "b"], ["b", "a"], [True, True], "same side"),
        ([], [], [], "two methods"),
    ],
)
def test_where_no_finite_estimate_exists_it_says_why(
    left: list[str], right: list[str], chose: list[bool], message: str
) -> None:
    found = bradley_terry(left * 5, right * 5, chose * 5, np.arange(len(left) * 5), [0] * 5)
    assert isinstance(found, NoEstimate)
    assert message in found.reason


def test_a_method_that_wins_wherever_it_is_on_the_left_has_no_finite_estimate() -> None:
    """Each method beats the other, but one cell of the table is empty: 60 of 60, and 52 of 60."""
    left, right = ["a"] * 60 + ["b"] * 60, ["b"] * 60 + ["a"] * 60
    chose = [True] * 60 + [False] * 52 + [True] * 8
    found = bradley_terry(left, right, chose, np.arange(120) % 12, np.arange(120) % 30)
    assert isinstance(found, NoEstimate)
    assert "method and side" in found.reason
    assert found.penalised is not None
    # Saturated: Firth's penalty adds half an answer to each cell (Firth 1993, Sec. 3.3).
    on_left, on_right = np.log(60.5 / 0.5), np.log(8.5 / 52.5)
    abilities = found.penalised.abilities
    assert abilities["a"] - abilities["b"] == pytest.approx((on_left - on_right) / 2)
    assert found.penalised.side == pytest.approx((on_left + on_right) / 2)
    assert sum(abilities.values()) == pytest.approx(0, abs=1e-9)


def test_methods_that_never_met_have_no_distance() -> None:
    found = bradley_terry(
        ["a", "b", "c", "d"] * 5, ["b", "a", "d", "c"] * 5, [True, True, False, True] * 5,
        np.arange(20), np.arange(20),
    )  # fmt: skip
    assert isinstance(found, NoEstimate)
    assert "pairs" in found.reason
    assert found.penalised is None


@given(st.integers(0, 2**32 - 1), st.integers(4, 25))
@settings(max_examples=40, deadline=None)
def test_separation_is_where_the_likelihood_has_no_maximum(seed: int, n: int) -> None:
    """Beside it: a general minimiser, whose parameters run away where there is none."""
    random = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), random.integers(-1, 2, (n, 2))]).astype(float)
    answers = (random.random(n) < 0.6).astype(float)
    if np.linalg.matrix_rank(design) < 3:
        return

    def loss(parameters: np.ndarray) -> float:
        signed = np.where(answers > 0, 1, -1) * (design @ parameters)
        return float(np.logaddexp(0, -signed).sum())

    found = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9, "maxiter": 3000})
    assert is_separated(design, answers) == (np.abs(found.x).max() > 8)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_firth_maximises_the_likelihood_times_jeffreys_prior(seed: int) -> None:
    random = np.random.default_rng(seed)
    design = np.column_stack([np.ones(30), random.integers(-1, 2, (30, 2))]).astype(float)
    answers = (random.random(30) < 0.8).astype(float)

    def loss(parameters: np.ndarray) -> float:
        signed = np.where(answers > 0, 1, -1) * (design @ parameters)
        chance = 1 / (1 + np.exp(-design @ parameters))
        information = design.T @ ((chance * (1 - chance))[:, None] * design)
        return float(np.logaddexp(0, -signed).sum() - 0.5 * np.linalg.slogdet(information)[1])

    reference = minimize(loss, np.zeros(3), method="BFGS")
    ours = firth(design, answers)
    assert loss(ours) <= reference.fun + 1e-8
    assert ours == pytest.approx(reference.x, abs=1e-2)


def test_one_participant_ranks_nothing() -> None:
    left, right, chose = answers(200, 0.0)
    found = bradley_terry(METHODS[left], METHODS[right], chose, [0] * 200, np.arange(200))
    assert isinstance(found, NoEstimate)
    assert "two participants" in found.reason


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
    for chosen, times, constant in (([1, 0], [500, 500], "time"), ([1, 1], [500, 4000], "method")):
        reason = trend_over_time(chosen, times, [0, 1], [0, 1])
        assert isinstance(reason, str)
        assert constant in reason
    assert isinstance(trend_over_time([0, 1, 0, 1], [1, 9, 1, 9], [0, 1] * 2, [0, 1] * 2), str)
