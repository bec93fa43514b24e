"""Random draws that are the same on every machine and under every version of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from hdbench.provenance import derived_seed

Choice = TypeVar("Choice")


class Draws:
    """A stream of draws; only the generator's raw bits are used, whose stream is fixed."""

    def __init__(self, *parts: int | str) -> None:
        self._bits = np.random.PCG64(derived_seed("streets", *parts))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * ((self._bits.random_raw() >> 11) * 2.0**-53)

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return self.uniform() < probability

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """Return one of the choices, all equally likely."""
        return choices[self.integer(0, len(choices) - 1)]

    def weighted(self, choices: dict[Choice, float]) -> Choice:
        """Return one of the choices with a chance in proportion to its weight."""
        total = 0.0
        for weight in choices.values():  # plainly: sum() rounds otherwise in newer Pythons
            total += weight
        left = self.uniform(0.0, total)
        for choice, weight in choices.items():
            left -= weight
            if left < 0:
                return choice
        return next(reversed(choices))

    def tint(self, colour: Sequence[float], spread: float) -> tuple[float, float, float]:
        """Return a similar RGB colour: lightness moves by up to ``spread``, channels by a third."""
        light = self.uniform(-spread, spread)
        moved = [part + light + self.uniform(-spread, spread) / 3 for part in colour]
        red, green, blue = (min(max(part, 4.0), 250.0) for part in moved)
        return red, green, blue
