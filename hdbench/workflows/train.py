"""``hdbench train`` and ``hdbench perceptual train``."""

from __future__ import annotations

import sys
from pathlib import Path

from hdbench.perceptual.training import recipe_of, train_perceptual
from hdbench.reporting.tensorboard import TensorBoardView, require_tensorboard
from hdbench.reporting.training_page import TrainingPage
from hdbench.runtime.devices import Machine
from hdbench.runtime.shortage import lower, shortage_explained
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.schema.method import TrainedMethod
from hdbench.training.config import RunConfig, require_execution, require_fitting_size
from hdbench.training.data import TrainingData
from hdbench.training.levers import Variant, advice, run_words
from hdbench.training.loop import train
from hdbench.training.stages import planned_stages
from hdbench.training.watching import View, Watch
from hdbench.workflows.plan import perceptual_blocks
from hdbench.workspace.bench import Bench
from hdbench.workspace.perceptual import perceptual_of
from hdbench.workspace.start import has_checkpoints, starting_weights
from hdbench.workspace.validation import open_validation, validation_words


def train_method(
    bench: Bench,
    method: TrainedMethod,
    seed: int,
    machine: Machine,
    vgg_weights: Path | None = None,
    restart: bool = False,
    validate_every: int | None = None,
    tensorboard: bool = False,
) -> Path:
    """Train a method on a benchmark, or resume its training, and return the generator's file.

    ``validate_every`` are the epochs from one validation to the next: None is what the benchmark
    says, 0 is never. ``tensorboard`` writes TensorBoard's files too. Neither changes what is
    trained.

    Raises:
        UsageError: TensorBoard is asked for and not installed, or the size does not fit the method.
        CheckpointError: weights or checkpoints are missing, damaged or of another job.
        DataError: a scene's file is damaged or missing.
    """
    if tensorboard:
        require_tensorboard()
    ranks, device = machine.ranks, machine.device
    require_fitting_size(method, bench.benchmark)
    require_execution(method, bench.benchmark, machine.execution)
    title = f"{bench.benchmark.name}/{bench.benchmark.data.train}"
    with ranks.first_alone():  # built-in scenes are drawn once
        config = RunConfig(method, bench.benchmark, seed, perceptual_of(bench, method, vgg_weights))
        data = TrainingData(bench.dataset.train_scenes, bench.dataset.train_digests, title)
    folder = bench.run_folder(method.name, seed)
    watch = start = None
    if restart or not ranks.from_first((folder / GENERATOR_WEIGHTS).is_file):
        begun = ranks.from_first(lambda: has_checkpoints(folder))
        if method.start is not None and (restart or not begun):
            start = starting_weights(method.start)
        if ranks.first:
            watch = _watch(bench, config, data, folder, machine, validate_every, tensorboard)
    asked = Variant(
        "as it is", method, bench.benchmark, perceptual_blocks(bench, method), machine.execution
    )
    what = f"training {run_words(asked)} on {device}"
    with shortage_explained(what, lambda: advice(asked, device.type != "cpu"), folder):
        return train(config, data, folder, machine, restart, watch, start)


def _watch(
    bench: Bench,
    config: RunConfig,
    data: TrainingData,
    folder: Path,
    machine: Machine,
    validate_every: int | None,
    tensorboard: bool,
) -> Watch:
    """Return how a run is watched; standard error says so if there is no validation."""
    validation, words = open_validation(bench, machine, validate_every), ""
    if isinstance(validation, str):
        words = f"no validation scores: {validation}"
        print(f"hdbench: {words}", file=sys.stderr)
    else:
        words = validation_words(bench, validation)
    batch_size = bench.benchmark.budget.batch_size
    per_epoch = data.steps_per_epoch(batch_size)
    steps = planned_stages(config.method, bench.benchmark, per_epoch)[-1].stop
    views: list[View] = [TrainingPage(folder, config.title, steps, batch_size, words)]
    if tensorboard:
        views.append(TensorBoardView(folder, steps))
    return Watch(None if isinstance(validation, str) else validation, views)


def train_own_perceptual(bench: Bench, machine: Machine, restart: bool = False) -> Path:
    """Train a benchmark's perceptual network, or resume its training, and return its folder."""
    split = recipe_of(bench.benchmark).split
    title = f"{bench.benchmark.data.layout}/{split}"
    with machine.ranks.first_alone():  # built-in scenes are drawn once
        scenes = bench.dataset.scenes(split)
        data = TrainingData(scenes, bench.dataset.digests(scenes), title)
    tested, folder = bench.dataset.test_scenes, bench.perceptual_folder()
    what = f"training the perceptual network of {bench.benchmark.name} on {machine.device}"
    steps = lower("[perceptual.training] batch_size", "[size] width and height")
    with shortage_explained(what, steps, folder):
        return train_perceptual(bench.benchmark, data, tested, folder, machine, restart)
