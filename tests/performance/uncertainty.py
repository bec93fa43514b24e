"""What intervals and tests cost: 500 images, 19 classes, 2000 resamples.

Beside them: summing the matrices of every resample one image at a time, for a few resamples.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from hdbench.evaluation.resampling import RESAMPLES, bootstrap, resample
from hdbench.evaluation.uncertainty import paired_differences
from hdbench.library import Library

IMAGES, CLASSES = 500, 19
REPEATS = 3


def seconds(compute: Callable[[], object]) -> float:
    """Return the processor time, over all threads, of the fastest of a few runs."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        compute()
        best = min(best, time.process_time() - began)
    return best


random = np.random.default_rng(0)
counting = Library().scoring("cityscapes-std-v1").counting
ours = random.integers(0, 5000, (IMAGES, CLASSES + 1, CLASSES))
theirs = np.roll(ours, 1, axis=2)  # other predictions for the same labels
single = seconds(lambda: bootstrap(ours, counting))
pair = seconds(lambda: paired_differences(ours, theirs, counting))
few = resample(IMAGES, 20)
plain = seconds(lambda: [sum(n * m for n, m in zip(row, ours, strict=True)) for row in few])
plain *= RESAMPLES / len(few)
print(f"{IMAGES} images, {CLASSES} classes, {RESAMPLES} resamples, processor time")
print(f"intervals of one method         {single:7.3f} s")
print(f"difference of two, p-value      {pair:7.3f} s")
print(f"sums alone, image by image      {plain:7.3f} s, {plain / single:.0f} times the first line")
