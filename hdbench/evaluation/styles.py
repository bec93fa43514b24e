"""What ``hdbench measure styles`` measures: means over scenes, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdbench.evaluation.resampling import mean_of, studentised_interval
from hdbench.schema.record import Interval


@dataclass(frozen=True)
class Mean:
    """A mean over scenes, and its interval; None where there are fewer than two scenes."""

    value: float
    interval: Interval | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Return the mean of one number for each scene."""
        if len(values) < 2:
            return cls(float(values[0]), None)
        found = mean_of(np.array(values))
        return cls(found.value, studentised_interval(found, -math.inf, math.inf))


@dataclass(frozen=True)
class Repainted:
    """What changes where one instance gets another centre of its class."""

    name: str
    #: Scenes with such an instance; the largest one of each is repainted.
    scenes: int
    #: Mean absolute change of a pixel, 0 to 255, in the instance and in the rest of the image.
    inside: Mean
    outside: Mean


@dataclass(frozen=True)
class Encoded:
    """The mean absolute difference of images from the photographs of their scenes, 0 to 255."""

    scenes: int
    #: With the style that the encoder sees in the photograph, and with random centres.
    encoded: Mean
    random: Mean
    #: ``random`` minus ``encoded``, paired by scene.
    gain: Mean
