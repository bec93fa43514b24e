"""Training on two ranks of one thread against one process of two threads, on the same batches.

Each setting is a job of its own: `ours` at 256x128 with the quarter of the paper's channels that
`streets` has, two scenes a step. Printed are images per second, how far the gradients of the ranks
are from those of one process, and whether two such trainings end with the same weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from hdbench.data.scene import collate
from hdbench.library import Library
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.runtime.devices import Execution, machine_facts
from hdbench.runtime.ranks import Ranks, joined_ranks
from hdbench.runtime.weights import weights_digest
from hdbench.schema.method import Pix2PixHD
from hdbench.streets.scene import draw_scene
from hdbench.training.trainer import Pix2PixHDTrainer

CPU = torch.device("cpu")
SCENES = 2


def job(out: Path, steps: int) -> None:
    """Train for some steps as this process's rank, and write what was found."""
    with joined_ranks() as ranks:
        found = trained(ranks, steps)
        if ranks.first:
            torch.save(found, out)


def trained(ranks: Ranks, steps: int) -> dict[str, Any]:
    """Return seconds of a step, the first step's gradients, the weights' digest, and a sum's time.

    The sum is that of as many bytes over ranks as all gradients have.
    """
    library = Library()
    method, benchmark = library.method("ours"), library.benchmark("streets")
    assert isinstance(method, Pix2PixHD)
    budget = benchmark.budget.model_copy(update={"batch_size": SCENES})
    benchmark = benchmark.model_copy(update={"budget": budget})
    torch.manual_seed(0)
    perceptual = PerceptualNetwork([16, 32, 64, 96, 96], [2, 2, 2, 2, 1])
    trainer = Pix2PixHDTrainer(method, benchmark, 0, perceptual, CPU, Execution(ranks))
    batches = [
        collate([draw_scene(1, SCENES * step + n, 256, 128) for n in range(SCENES)]).parts(
            ranks.count
        )[ranks.rank]
        for step in range(4)
    ]
    trainer.step(batches[0], 2e-4)
    parts = [*trainer.generator.parameters(), *trainer.discriminator.parameters()]  # pyright: ignore[reportOptionalMemberAccess]
    gradients = torch.cat([part.grad.flatten() for part in parts if part.grad is not None])
    seconds = []
    for step in range(1, steps):
        began = time.perf_counter()
        trainer.step(batches[step % len(batches)], 2e-4)
        seconds.append(time.perf_counter() - began)
    sums = []
    if ranks.count > 1:
        for _ in range(5):
            began = time.perf_counter()
            distributed.all_reduce(gradients.clone())
            sums.append(time.perf_counter() - began)
    return {
        "seconds": statistics.median(seconds),
        "gradients": gradients,
        "weights": weights_digest(trainer.generator),
        "sum": statistics.median(sums) if sums else 0.0,
    }


def run(folder: Path, ranks: int, threads: int, steps: int) -> dict[str, Any]:
    """Return what a job of its own found."""
    out = folder / "found.pt"
    start = [sys.executable]
    if ranks > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [*start, __file__, "--job", str(out), "--steps", str(steps)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    return torch.load(out)


def main(steps: int) -> None:
    """Compare, in one table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = run(folder, 1, 2, steps)
        alone = run(folder, 1, 1, steps)
        two = run(folder, 2, 1, steps)
        again = run(folder, 2, 1, steps)
        after = run(folder, 1, 2, steps)
    both = min(one["seconds"], after["seconds"])
    facts = machine_facts(CPU)
    print(f"{facts['processor']}, torch {facts['versions']['torch']}, {SCENES} scenes a step")
    for words, seconds in (
        ("1 process, 1 thread", alone["seconds"]),
        ("1 process, 2 threads", both),
        ("2 ranks, 1 thread each", two["seconds"]),
        ("2 ranks, again", again["seconds"]),
    ):
        print(f"  {words:24} {seconds:6.3f} s a step, {SCENES / seconds:5.2f} images/s")
    ranks, most = min(two["seconds"], again["seconds"]), 2 * both / alone["seconds"]
    print(f"  ranks over threads: {both / ranks:.2f} x the images per second")
    print(f"  at most {most:.2f} x, if ranks did not wait for each other and shared no memory")
    size = two["gradients"].numel() * 4 / 1e6
    print(f"  a sum of {size:.1f} MB over ranks takes {1e3 * two['sum']:.1f} ms")
    error = (two["gradients"] - one["gradients"]).norm() / one["gradients"].norm()
    print(f"  gradients of two ranks and of one process: {error:.1e} of their norm apart (fp32)")
    if two["weights"] != again["weights"]:
        raise SystemExit("two trainings of two ranks ended with different weights")
    print(f"  two trainings of two ranks ended with the same weights ({two['weights'][:12]})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="steps of each job")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job is None:
        main(given.steps)
    else:
        job(given.job, given.steps)
