"""How often a 95 % interval holds the truth, for preferences and for scores, before and after.

Preferences: simulated participants on the design of the paper's study, one pair: 500 images x 10
judgments, 50 people of 100 images each, none twice. People differ (SD 0.6 on the logit scale),
images differ (SD 1). The population's preference is the mean over people and images that were never
asked or shown, so both count as drawn.

Scores: the images of committed results are the population, whose score is known. N of them are
drawn with replacement. ``percentile``: what hdbench printed before; ``studentised``: what it
prints. Where a class is said to be rare, its pixels were taken out of all images but seven of 100,
so that two of 30 hold it on average.

Each table is printed and, with ``--record``, stored with what computed it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from study.populations import Population, coverage

from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.recounting import rescored_many
from hdbench.evaluation.resampling import bootstrap, studentised_interval
from hdbench.library import Library
from hdbench.provenance import versions
from hdbench.storage import write_atomically

ROOT = Path(__file__).resolve().parents[2]
#: Benchmark, method, the method that is taken off it.
SCORES = [
    ("streets-quick", "oracle", None),
    ("streets-quick", "ours", None),
    ("streets-quick", "ours", "floor-patchwork"),
    ("streets-quick", "oracle", "ours"),
    ("camvid", "oracle", None),
    ("camvid", "ours", None),
    ("camvid", "ours", "floor-patchwork"),
]
RARE = 16  # train id of Streets; 30 of its 100 images hold it
RESAMPLES = 300
RECORDED = ROOT / "reports" / "measured" / "coverage"


def preferences(runs: int) -> list[dict[str, Any]]:
    """Print the coverage of both intervals of a preference, and return the rows."""
    random = np.random.default_rng(0)
    print(f"{runs} runs of 5000 judgments: 500 images, 50 participants; share of runs (%)")
    print("worker SD  image SD  preference %  naive covers  clustered covers  width of both")
    rows = []
    for worker, image in ((0.6, 1.0), (0.0, 0.0), (0.6, 0.0), (0.0, 1.0)):
        for mean in (0.0, 0.5, 3.2):
            population = Population(mean, worker, image)
            found = coverage(population, runs, random)
            row = {
                "participants_sd": worker,
                "images_sd": image,
                "preference": round(100 * population.preference, 1),
                "binomial": round(100 * found.naive, 1),
                "clustered": round(100 * found.clustered, 1),
                "binomial_width": round(100 * found.naive_width, 2),
                "clustered_width": round(100 * found.clustered_width, 2),
            }
            rows.append(row)
            print(
                f"{worker:9.1f}  {image:8.1f}  {row['preference']:12.1f}  {row['binomial']:12.1f}  "
                f"{row['clustered']:16.1f}  {row['binomial_width']:6.2f} / "
                f"{row['clustered_width']:.2f}",
                flush=True,
            )
    return rows


def matrices_of(benchmark: str, method: str, rare: bool) -> Matrix:
    path = ROOT / "reports" / "measured" / benchmark / f"{method}.matrices.npz"
    matrices = np.load(path)["matrices"]
    if rare:
        holders = np.flatnonzero(matrices[:, RARE].sum(axis=1))[::4][:7]
        others = np.setdiff1d(np.arange(len(matrices)), holders)
        matrices[others, RARE] = 0
        matrices[others, :, RARE] = 0
    return matrices


def score_coverage(
    first: Matrix, second: Matrix | None, images: int, runs: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Share of runs whose interval of the mean IoU holds the population's, and the mean width.

    Returns:
        Of the percentile interval, and of the studentised one.
    """
    counting = Library().scoring("camvid-std-v1").counting
    once = np.ones((1, len(first)), dtype=np.int64)
    truth = rescored_many(first, counting, once)[0, 1]
    if second is not None:
        truth -= rescored_many(second, counting, once)[0, 1]
    random = np.random.default_rng(images)
    rows = []
    for run in range(runs):
        places = random.integers(0, len(first), images)
        own = bootstrap(first[places], counting, RESAMPLES, run)
        found = own.score(1)
        if second is not None:
            found = own.minus(bootstrap(second[places], counting, RESAMPLES, run), 1)
        low, high = np.nanpercentile(found.drawn, [2.5, 97.5])
        ends = studentised_interval(found, -1.0, 1.0)
        assert ends is not None
        rows.append([low <= truth <= high, high - low])
        rows[-1] += [ends.low <= truth <= ends.high, ends.high - ends.low]
    means = np.mean(rows, axis=0)
    return (means[0], means[1]), (means[2], means[3])


def scores(runs: int) -> list[dict[str, Any]]:
    """Print the coverage of both intervals of a mean IoU, and return the rows."""
    print(f"{runs} sets of N images, {RESAMPLES} resamples each; mean IoU; share of sets (%)")
    print(f"{'':46}    N  percentile covers  studentised covers  width of both")
    cases = [(*case, False) for case in SCORES]
    cases += [(*case, True) for case in (SCORES[0], SCORES[3])]
    rows = []
    for benchmark, method, other, rare in cases:
        first = matrices_of(benchmark, method, rare)
        second = matrices_of(benchmark, other, rare) if other else None
        name = f"{benchmark} {method}{f' - {other}' if other else ''}{', rare class' * rare}"
        for images in (30, 100):
            before, after = score_coverage(first, second, images, runs)
            row = {
                "score": name,
                "images": images,
                "percentile": round(100 * before[0], 1),
                "studentised": round(100 * after[0], 1),
                "percentile_width": round(before[1], 4),
                "studentised_width": round(after[1], 4),
            }
            rows.append(row)
            print(
                f"{name:46}  {images:3}  {row['percentile']:17.1f}  {row['studentised']:18.1f}  "
                f"{before[1]:.4f} / {after[1]:.4f}",
                flush=True,
            )
    return rows


def main() -> None:
    """Print the tables that were asked for."""
    tables = {"preferences": (preferences, 2000), "scores": (scores, 300)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tables", nargs="*", metavar="|".join(tables), default=list(tables))
    parser.add_argument("--runs", type=int, help="default: 2000 for preferences, 300 for scores")
    parser.add_argument("--record", action="store_true", help=f"write to {RECORDED}")
    options = parser.parse_args()
    for name in options.tables:
        table, usual = tables[name]
        runs = options.runs or usual
        record = {"runs": runs, "rows": table(runs), "versions": versions()}
        if options.record:
            text = json.dumps(record, indent=1) + "\n"
            write_atomically(RECORDED / f"{name}.json", text.encode())


if __name__ == "__main__":
    main()
