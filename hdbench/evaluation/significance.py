"""How sure a number is: the interval that it bears, and p-values that hold for a family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Level of every interval.
LEVEL = 0.95


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of a family, corrected by Holm (Scandinavian J. of Statistics, 1979)."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    corrected: Any = multipletests(p_values, method="holm")[1]
    return [float(value) for value in corrected]
