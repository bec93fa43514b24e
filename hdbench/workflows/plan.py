"""``hdbench train --plan``: what a training needs, from method and benchmark alone."""

from __future__ import annotations

from typing import Any

import torch

from hdbench.errors import HdbenchError
from hdbench.networks.builder import generator_words, limits_of
from hdbench.networks.perceptual import VGG19_CHANNELS, VGG19_CONVOLUTIONS
from hdbench.perceptual.files import read_perceptual_card
from hdbench.perceptual.training import recipe_of
from hdbench.schema.benchmark import OWN, VGG19_IMAGENET
from hdbench.schema.method import TrainedMethod
from hdbench.schema.split import Split
from hdbench.streets.files import SPLITS
from hdbench.training.config import RunConfig, require_fitting_size, run_identity
from hdbench.training.cost import Blocks
from hdbench.training.levers import Variant
from hdbench.training.plan import Plan, plan_training, sized
from hdbench.workspace.bench import Bench
from hdbench.workspace.perceptual import perceptual_of


def plan_method(
    bench: Bench,
    method: TrainedMethod,
    device: torch.device,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    timed: bool = True,
) -> Plan:
    """Return what the training of a method on a benchmark needs; the data need not be here.

    Raises:
        UsageError: the method's generator cannot make images of this size.
    """
    benchmark = sized(bench.benchmark, size, batch)
    require_fitting_size(method, benchmark)
    start = Variant("as it is", method, benchmark, perceptual_blocks(bench, method))
    return plan_training(start, _known_scenes(bench), device, timed)


def resolved_run(bench: Bench, method: TrainedMethod, seed: int) -> dict[str, Any]:
    """Return all that a run would depend on, as JSON values; why not, where data are missing."""
    budget = bench.benchmark.budget
    facts: dict[str, Any] = {
        "generator": generator_words(method, limits_of(bench.benchmark)),
        "generator_peak_rate": method.optimizer.learning_rate * budget.generator_rate,
    }
    try:
        config = RunConfig(method, bench.benchmark, seed, perceptual_of(bench, method))
        return {**facts, "identity": run_identity(config, bench.dataset.train_digests)}
    except HdbenchError as error:
        return {**facts, "identity": None, "without_identity": str(error)}


def perceptual_blocks(bench: Bench, method: TrainedMethod) -> Blocks | None:
    """Return the shape of the perceptual network that a method is trained with, if any."""
    name = bench.benchmark.perceptual.name
    if method.loss.perceptual == 0:
        return None
    if name == VGG19_IMAGENET:
        return VGG19_CHANNELS, VGG19_CONVOLUTIONS
    if name == OWN:
        recipe = recipe_of(bench.benchmark)
        return tuple(recipe.channels), tuple(recipe.convolutions)
    card = read_perceptual_card(bench.library.perceptual(name))
    return tuple(card.channels), tuple(card.convolutions)


def _known_scenes(bench: Bench) -> int | None:
    """Return how many scenes the training split has, where that takes no drawing or data."""
    data = bench.benchmark.data
    if data.built_in:
        split = Split.parse(data.train)
        return split.count or SPLITS[split.name].scenes
    try:
        return len(bench.dataset.train_scenes)
    except HdbenchError:
        return None
