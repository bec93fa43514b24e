"""How often a 95 % interval holds the population's preference: naive beside clustered.

Simulated participants on the design of the paper's study, one pair: 500 images x 10 judgments, 50
people of 100 images each, none twice. People differ (SD 0.6 on the logit scale), images differ
(SD 1). The population's preference is the mean over people and images that were never asked or
shown, so both count as drawn. Usage: ``python tests/performance/coverage.py [RUNS]``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from study.populations import Population, coverage

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
random = np.random.default_rng(0)
print(f"{RUNS} runs of 5000 judgments: 500 images, 50 participants; share of runs (%)")
print("worker SD  image SD  preference %  naive covers  clustered covers  width naive/clustered")
for worker, image in ((0.6, 1.0), (0.0, 0.0), (0.6, 0.0), (0.0, 1.0)):
    for mean in (0.0, 0.5, 3.2):
        population = Population(mean, worker, image)
        found = coverage(population, RUNS, random)
        print(
            f"{worker:9.1f}  {image:8.1f}  {100 * population.preference:12.1f}  "
            f"{100 * found.naive:12.1f}  {100 * found.clustered:16.1f}  "
            f"{100 * found.naive_width:10.2f} / {100 * found.clustered_width:.2f}"
        )
