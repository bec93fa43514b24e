"""``hdbench train`` and ``hdbench perceptual train``."""

from __future__ import annotations

from pathlib import Path

from hdbench.perceptual.training import recipe_of, train_perceptual
from hdbench.runtime.devices import Machine
from hdbench.schema.method import TrainedMethod
from hdbench.training.config import RunConfig
from hdbench.training.data import TrainingData
from hdbench.training.loop import train
from hdbench.workspace.bench import Bench
from hdbench.workspace.perceptual import perceptual_of


def train_method(
    bench: Bench,
    method: TrainedMethod,
    seed: int,
    machine: Machine,
    vgg_weights: Path | None = None,
    restart: bool = False,
) -> Path:
    """Train a method on a benchmark, or resume its training, and return the generator's file."""
    config = RunConfig(method, bench.benchmark, seed, perceptual_of(bench, method, vgg_weights))
    title = f"{bench.benchmark.name}/{bench.benchmark.data.train}"
    data = TrainingData(bench.dataset.train_scenes, bench.dataset.train_digests, title)
    return train(config, data, bench.run_folder(method.name, seed), machine, restart)


def train_own_perceptual(bench: Bench, machine: Machine, restart: bool = False) -> Path:
    """Train a benchmark's perceptual network, or resume its training, and return its folder."""
    split = recipe_of(bench.benchmark).split
    scenes = bench.dataset.scenes(split)
    title = f"{bench.benchmark.data.layout}/{split}"
    data = TrainingData(scenes, bench.dataset.digests(scenes), title)
    tested, folder = bench.dataset.test_scenes, bench.perceptual_folder()
    return train_perceptual(bench.benchmark, data, tested, folder, machine, restart)
