"""Shares, each with a test against one half and the interval that inverts this test.

Judgments of the same participant are correlated, and so are judgments of the same image. An
interval that assumes independence is too narrow: with a worker SD of 0.6 and an image SD of 1 on
the logit scale, a nominal 95 % interval covers 50 to 70 % (``tests/performance/coverage.py``). The
reported interval is therefore clustered two ways. A p-value is below 0.05 exactly if the interval
beside it excludes one half.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdbench.evaluation.significance import LEVEL
from hdbench.schema.record import Interval
from hdbench.schema.summary import Correlation, Share


def binomial_p_value(k: int, n: int) -> float:
    """Return the two-sided exact p-value of k of n against one half."""
    from scipy.stats import binomtest

    return float(binomtest(k, n, 0.5).pvalue)


def exact_interval(k: int, n: int, level: float = LEVEL) -> Interval:
    """Return the interval of k of n by Clopper and Pearson (Biometrika 1934)."""
    from scipy.stats import binomtest

    ends = binomtest(k, n).proportion_ci(level, method="exact")
    return Interval(float(ends.low), float(ends.high))


def cluster_variance(
    chosen: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> float:
    """Return the variance of a mean under two-way clustering.

    Cameron, Gelbach and Miller (J. Business & Economic Statistics 2011, Sec. 2.3): the variance
    clustered by the first grouping, plus by the second, minus by both at once, each with the
    small-sample factor G / (G - 1). With little clustering the sum can fall below either part, or
    below zero; then the larger part is returned, which is never too narrow. Values are 0 or 1;
    groups are numbers from 0, at least two different ones.
    """
    residual = chosen - chosen.mean()
    both = first * (int(second.max()) + 1) + second
    if len(np.unique(both)) < len(both):
        both = np.unique(both, return_inverse=True)[1]
    else:
        both = np.arange(len(both))  # a person meets an image once: the usual design
    one, two, cross = (_sum_of_squares(residual, group) for group in (first, second, both))
    return max(one + two - cross, one, two) / len(chosen) ** 2


def _sum_of_squares(residual: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    sizes = np.bincount(group)
    count = int(np.count_nonzero(sizes))
    sums = np.bincount(group, weights=residual)
    return float(np.square(sums).sum()) * count / (count - 1)


def clustered_interval(
    chosen: NDArray[np.float64],
    participant: NDArray[np.int64],
    image: NDArray[np.int64],
    level: float = LEVEL,
) -> tuple[Interval, float, float]:
    """Return the reported interval of a share, its design effect, and its p-value.

    The interval holds every x that a test does not reject, and the p-value is that of x = 1/2 in
    the same test. The test rejects x if both of these do, so its p-value is the larger one:

    - The score test that Wilson inverted (JASA 1927), with the effective number of judgments, n
      over the design effect (Korn and Graubard, Survey Methodology 1998), in place of n, and
      Student's t with G - 1 degrees of freedom, where G is the smaller of the numbers of
      participants and images. The variance is that of ``cluster_variance``. Near one half this is
      the interval of Cameron, Gelbach and Miller; near 0 and 1 it stays inside them.
    - The exact test of Clopper and Pearson (Biometrika 1934) on G answers that all agree, which no
      clustered answers exceed as evidence. Near 0 and 1 few judgments differ, and the design effect
      cannot be estimated from them. It follows that fewer than six participants or images never
      reject one half at 5 %.

    Args:
        chosen: 0 or 1 for each judgment.
        participant: the participant of each, numbered from 0.
        image: the image of each, numbered from 0.
        level: of the interval.

    Raises:
        ValueError: fewer than two participants or images.
    """
    from scipy.stats import t as student

    groups = min(len(np.unique(participant)), len(np.unique(image)))
    if groups < 2:
        raise ValueError("a clustered interval needs two participants and two images")
    n, share = len(chosen), float(chosen.mean())
    naive = share * (1 - share) / n
    # The variance can come out below that of independent judgments only by chance.
    effect = max(1.0, cluster_variance(chosen, participant, image) / naive) if naive > 0 else 1.0
    size = n / effect
    score = 2 * math.sqrt(size) * abs(share - 0.5)
    p_value = max(float(2 * student.sf(score, groups - 1)), 2 * 0.5**groups)
    quantile = float(student.ppf(0.5 + level / 2, groups - 1))
    square = quantile**2 / size
    centre = (share + square / 2) / (1 + square)
    half = quantile / (1 + square) * math.sqrt(share * (1 - share) / size + square / (4 * size))
    agreed = ((1 - level) / 2) ** (1 / groups)
    low = max(0.0, min(centre - half, agreed)) if share > 0 else 0.0  # exact at the ends
    high = min(1.0, max(centre + half, 1 - agreed)) if share < 1 else 1.0
    return Interval(low, high), effect, p_value


def share_of(chosen: ArrayLike, participants: ArrayLike, images: ArrayLike) -> Share:
    """Return a share with its tests and intervals; all arguments have one entry per judgment.

    Raises:
        ValueError: there is no judgment.
    """
    values = np.asarray(chosen, dtype=np.float64)
    if not len(values):
        raise ValueError("a share needs at least one judgment")
    people, scenes = codes(participants), codes(images)
    k, n = int(values.sum()), len(values)
    counts = int(people.max()) + 1, int(scenes.max()) + 1
    clustered, effect, p_value = None, None, None
    if min(counts) >= 2:
        clustered, effect, p_value = clustered_interval(values, people, scenes)
    return Share(
        share=k / n,
        k=k,
        n=n,
        p_value=binomial_p_value(k, n),
        exact=exact_interval(k, n),
        clustered=clustered,
        clustered_p_value=p_value,
        design_effect=effect,
        participants=counts[0],
        images=counts[1],
    )


def codes(names: ArrayLike) -> NDArray[np.int64]:
    """Return for each name its number, from 0, among the different names."""
    import pandas as pd

    return pd.factorize(np.asarray(names))[0].astype(np.int64)


def krippendorff_alpha(units: ArrayLike, values: ArrayLike) -> float | None:
    """Return Krippendorff's alpha for nominal values: 1 is agreement, 0 is chance.

    Krippendorff, Content Analysis, 2004, Sec. 11.3. ``units`` names what each of the values is
    about. A low value does not invalidate a study: participants differ in taste, above all where
    images differ little. None if no unit was judged twice or all answers are equal.
    """
    unit, value = codes(units), codes(values)
    if not len(unit):
        return None
    table = np.zeros((int(unit.max()) + 1, int(value.max()) + 1))
    np.add.at(table, (unit, value), 1)
    table = table[table.sum(axis=1) >= 2]  # one answer can agree with none
    if not len(table):
        return None
    sizes, totals = table.sum(axis=1), table.sum(axis=0)
    n = sizes.sum()
    disagreed = float(((sizes**2 - np.square(table).sum(axis=1)) / (sizes - 1)).sum() / n)
    expected = float((n**2 - np.square(totals).sum()) / (n * (n - 1)))
    return None if expected == 0 else 1 - disagreed / expected


def correlate(differences: ArrayLike, preferences: ArrayLike) -> Correlation | None:
    """Return how score differences correlate with preferences, with one entry per image.

    Differences are first minus second method; preferences are shares for the first. None with fewer
    than four images, or if either does not vary.
    """
    from scipy.stats import pearsonr, spearmanr

    x, y = np.asarray(differences, dtype=np.float64), np.asarray(preferences, dtype=np.float64)
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    ranks: Any = spearmanr(x, y)
    line: Any = pearsonr(x, y)
    interval = line.confidence_interval(LEVEL)
    return Correlation(
        images=len(x),
        spearman=float(ranks.statistic),
        spearman_p_value=float(ranks.pvalue),
        pearson=float(line.statistic),
        pearson_interval=Interval(float(interval.low), float(interval.high)),
    )
