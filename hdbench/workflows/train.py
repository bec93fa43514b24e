"""``hdbench train``: a method on a benchmark."""

from __future__ import annotations

from pathlib import Path

from hdbench.runtime.devices import Machine
from hdbench.schema.method import Pix2PixHD
from hdbench.training.loop import train
from hdbench.workspace.bench import Bench
from hdbench.workspace.perceptual import perceptual_of


def train_method(
    bench: Bench,
    method: Pix2PixHD,
    seed: int,
    machine: Machine,
    vgg_weights: Path | None = None,
    restart: bool = False,
) -> Path:
    """Train a method on a benchmark, or go on, and return the generator's file.

    Raises what ``hdbench.training.loop.train`` raises.
    """
    return train(
        method,
        bench.benchmark,
        seed,
        bench.dataset.train_scenes,
        bench.dataset.train_digests,
        bench.run_folder(method.name, seed),
        machine,
        perceptual_of(bench, method, vgg_weights),
        restart,
    )
