"""Training a perceptual network: a VGG-like network that learns to segment photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdbench.data.labels import VOID, label_space_of
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.data.scene import to_network_range
from hdbench.errors import UsageError
from hdbench.networks.perceptual import PerceptualSegmenter
from hdbench.perceptual.files import save_perceptual
from hdbench.provenance import derived_seed, digest
from hdbench.runtime.claims import finished, require_identity
from hdbench.runtime.devices import Machine
from hdbench.runtime.progress import progress
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.runtime.weights import halve_parameters, weights_digest
from hdbench.schema.benchmark import Benchmark, PerceptualTraining
from hdbench.schema.perceptual import PERCEPTUAL_CARD, PerceptualCard
from hdbench.training.data import TrainingData
from hdbench.training.objective import pixel_cross_entropy
from hdbench.training.segmentation import (
    SegmentationTrainer,
    adamw,
    one_cycle,
    recipe_steps,
    shared_identity,
    trained,
)

_SMALLEST_SIDE = 32  # 2 cells at the fifth block


def perceptual_trainer(
    benchmark: Benchmark,
    steps: int,
    seed: int,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> SegmentationTrainer:
    """Return the trainer of a perceptual network and its head, with initial weights."""
    recipe, space = recipe_of(benchmark), label_space_of(benchmark.data.label_space)
    torch.manual_seed(derived_seed("perceptual", seed))
    network = PerceptualSegmenter(recipe.channels, recipe.convolutions, len(space.scored))
    optimizer = adamw(network.to(device), recipe)
    schedule = one_cycle(optimizer, recipe, steps)

    def objective(logits: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss = pixel_cross_entropy(logits, truth, ranks)
        return loss, {"cross_entropy": loss}

    return SegmentationTrainer(
        network,
        optimizer,
        schedule,
        space,
        device,
        prepare=to_network_range,
        objective=objective,
        ranks=ranks,
    )


def recipe_of(benchmark: Benchmark) -> PerceptualTraining:
    """Return the training of a benchmark's perceptual network; raises UsageError without one."""
    if benchmark.perceptual.training is None:
        raise UsageError(
            f"benchmark '{benchmark.name}': no table [perceptual.training], so '"
            f"{benchmark.perceptual.name}' is not trained here"
        )
    return benchmark.perceptual.training


def perceptual_identity(benchmark: Benchmark, seed: int, data: list[list[str]]) -> dict[str, Any]:
    """Return everything that a trained perceptual network depends on, as JSON values."""
    return {
        "kind": "perceptual",
        "version": 1,
        "perceptual": recipe_of(benchmark).model_dump(),
        **shared_identity(benchmark, seed, data),
    }


def train_perceptual(
    benchmark: Benchmark,
    data: TrainingData,
    test_scenes: list[SceneFiles],
    folder: Path,
    machine: Machine,
    restart: bool,
) -> Path:
    """Train a benchmark's perceptual network with seed 0, or resume its training.

    Raises:
        UsageError: the benchmark states no recipe, or its images are too small.
        CheckpointError: the folder holds another job, or its checkpoints are damaged.
        DivergedError: the loss is not finite.
        Interrupted: the user stopped it; everything is saved.
    """
    recipe, size, seed = recipe_of(benchmark), benchmark.size, 0
    if min(size.width, size.height) < _SMALLEST_SIDE:
        raise UsageError(
            f"benchmark '{benchmark.name}': [size] {size.width}x{size.height}; a perceptual "
            f"network downsamples images four times and needs sides of at least {_SMALLEST_SIDE}"
        )
    identity = perceptual_identity(benchmark, seed, data.digests)
    ranks = machine.ranks
    card_file = folder / PERCEPTUAL_CARD
    if not restart and finished(card_file, lambda: require_identity(folder, identity), ranks):
        return folder
    steps = recipe_steps(recipe, data)
    trainer = perceptual_trainer(benchmark, steps, seed, machine.device, ranks)

    def store() -> None:
        accuracy = _pixel_accuracy(trainer, test_scenes, benchmark)
        assert isinstance(trainer.network, PerceptualSegmenter)
        network = trainer.network.cpu().folded()
        if recipe.storage == "fp16":
            halve_parameters(network)
        card = PerceptualCard(
            architecture="vgg",
            channels=recipe.channels,
            convolutions=recipe.convolutions,
            label_space=benchmark.data.label_space.name,
            window=[size.width, size.height],
            trained_on=f"{data.title}, {len(data.files)} scenes",
            scenes_digest=digest(data.digests),
            training={**recipe.model_dump(), "seed": seed, "steps": steps},
            test_accuracy=accuracy,
            weights=weights_digest(network),
        )
        save_perceptual(folder, network, card)

    with trained(
        trainer,
        recipe,
        data,
        size,
        seed,
        identity=identity,
        folder=folder,
        title=f"perceptual network on {data.title}",
        machine=machine,
        restart=restart,
    ):
        ranks.from_first(store)
    return folder


@torch.no_grad()
def _pixel_accuracy(
    trainer: SegmentationTrainer, scenes: list[SceneFiles], benchmark: Benchmark
) -> float:
    """Return the share of the test photographs' pixels whose class the network predicts."""
    trainer.network.eval()
    right = counted = 0
    for entry in progress(scenes, desc="test photographs", unit="scene", delay=2):
        scene = read_scene(entry, trainer.space)
        scene = scene.resized(benchmark.size.height, benchmark.size.width)
        assert scene.image is not None
        image = to_network_range(scene.image[None].to(trainer.device))
        predicted = trainer.network(image).argmax(dim=1)[0].cpu()
        truth = trainer.space.train_id_table[scene.label.long()].long()
        right += int(((predicted == truth) & (truth != VOID)).sum())
        counted += int((truth != VOID).sum())
    return right / max(1, counted)
