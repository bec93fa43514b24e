"""P-values that hold for a family."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from hdbench.evaluation.significance import holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("tests", [1, 2, 5, 7])
def test_holm_is_bonferroni_closed(tests: int) -> None:
    """A test rejects where Bonferroni's rejects every set of hypotheses that holds it."""
    p_values = np.random.default_rng(tests).beta(0.3, 3, tests).round(3)  # with ties
    closed = [
        max(
            min(1.0, len(family) * min(p_values[list(family)]))
            for size in range(1, tests + 1)
            for family in combinations(range(tests), size)
            if one in family
        )
        for one in range(tests)
    ]
    assert holm(p_values.tolist()) == pytest.approx(closed)


def test_a_family_controls_no_less_than_the_false_discovery_rate() -> None:
    values = [0.001, 0.2, 0.03, 0.04]
    assert np.all(np.array(holm(values)) >= false_discovery_control(values) - 1e-12)
