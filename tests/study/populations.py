"""Simulated studies of one pair with a known answer, and how often intervals hold it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdbench.study.analysis.statistics import clustered_interval, exact_interval

IMAGES, WORKERS, PER_WORKER = 500, 50, 100


@dataclass(frozen=True)
class Population:
    """A logistic model of who prefers what."""

    #: Logit of the preference of an average worker on an average image.
    mean: float
    worker_sd: float
    image_sd: float

    @property
    def preference(self) -> float:
        """The mean over all workers and images, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        sd = np.hypot(self.worker_sd, self.image_sd)
        values = 1 / (1 + np.exp(-self.mean - sd * nodes))
        return float((weights * values).sum() / weights.sum())


@dataclass(frozen=True)
class Coverage:
    """Share of runs whose interval holds the truth, and the mean width."""

    naive: float
    clustered: float
    naive_width: float
    clustered_width: float


def design(random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return worker and image of each judgment: each image ten times, by ten workers."""
    rounds = IMAGES // PER_WORKER
    image = np.concatenate([random.permutation(IMAGES) for _ in range(WORKERS // rounds)])
    return np.repeat(np.arange(WORKERS), PER_WORKER), image


def coverage(population: Population, runs: int, random: np.random.Generator) -> Coverage:
    """Return how often intervals hold the population's preference."""
    truth = population.preference
    rows = []
    for _ in range(runs):
        worker, image = design(random)
        logit = population.mean + population.worker_sd * random.standard_normal(WORKERS)[worker]
        logit += population.image_sd * random.standard_normal(IMAGES)[image]
        chosen = (random.random(len(image)) < 1 / (1 + np.exp(-logit))).astype(np.float64)
        naive = exact_interval(int(chosen.sum()), len(chosen))
        clustered = clustered_interval(chosen, worker, image)[0]
        rows.append(
            [
                naive.low <= truth <= naive.high,
                clustered.low <= truth <= clustered.high,
                naive.high - naive.low,
                clustered.high - clustered.low,
            ]
        )
    return Coverage(*np.mean(rows, axis=0))
