"""Training a perceptual network: a VGG-like network learns to segment photographs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from hdbench.data.labels import LABEL_SPACES, VOID
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import ScaleAndCrop, read_scene, steps_per_epoch, training_batches
from hdbench.data.scene import Batch, to_network_range
from hdbench.errors import UsageError
from hdbench.networks.perceptual import PerceptualSegmenter
from hdbench.perceptual.files import save_perceptual
from hdbench.provenance import derived_seed, digest
from hdbench.runtime.devices import Machine
from hdbench.runtime.job import Job, claimed, require_identity
from hdbench.runtime.weights import halve_parameters, require_same_shapes, weights_digest
from hdbench.schema.benchmark import Benchmark, PerceptualTraining
from hdbench.schema.perceptual import PERCEPTUAL_CARD, PerceptualCard
from hdbench.training.objective import pixel_cross_entropy
from hdbench.workspace.bench import Bench

_WARM_UP = 0.15  # share of the steps in which the one-cycle rate rises
_SMALLEST_SIDE = 32  # 2 cells at the fifth block


class PerceptualTrainer:
    """A perceptual network with its head, its optimiser and schedule.

    Args:
        benchmark: label space and the ``[perceptual.training]`` table.
        steps: steps in all, for the schedule.
        seed: draws the initial weights.
        device: where to compute.
    """

    def __init__(self, benchmark: Benchmark, steps: int, seed: int, device: torch.device) -> None:
        """Build everything with fresh weights."""
        spec, self.device = recipe_of(benchmark), device
        self.space = LABEL_SPACES[benchmark.data.label_space]
        torch.manual_seed(derived_seed("perceptual", seed))
        classes = len(self.space.scored)
        self.network = PerceptualSegmenter(spec.channels, spec.convolutions, classes).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, spec.learning_rate, total_steps=steps + 1, pct_start=_WARM_UP
        )

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update the network once and return the cross-entropy."""
        batch = batch.to(self.device)
        assert batch.image is not None
        truth = self.space.train_id_table.to(self.device)[batch.label.long()].long()
        loss = pixel_cross_entropy(self.network(to_network_range(batch.image)), truth)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return {"cross_entropy": loss.detach()}

    def state(self) -> dict[str, Any]:
        """Return the state of network, optimiser and schedule."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state that ``state`` returned; raises CheckpointError if it is of another."""
        require_same_shapes("checkpoint: network", state["network"], self.network)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def recipe_of(benchmark: Benchmark) -> PerceptualTraining:
    """Return how a benchmark's perceptual network is trained.

    Raises:
        UsageError: the benchmark states no recipe.
    """
    if benchmark.perceptual.training is None:
        raise UsageError(
            f"benchmark '{benchmark.name}': no table [perceptual.training], so '"
            f"{benchmark.perceptual.name}' is not trained here"
        )
    return benchmark.perceptual.training


def perceptual_identity(benchmark: Benchmark, seed: int, data: list[list[str]]) -> dict[str, Any]:
    """Return everything that a trained perceptual network depends on, as JSON values.

    Args:
        benchmark: the resolved benchmark.
        seed: of weights, order and augmentation.
        data: names and digests of its scenes (``Bench.perceptual_data``).
    """
    return {
        "kind": "perceptual",
        "version": 1,
        "data": benchmark.data.model_dump(include={"layout", "label_space"}),
        "size": benchmark.size.model_dump(),
        "perceptual": recipe_of(benchmark).model_dump(),
        "scenes": len(data),
        "scenes_digest": digest(data),
        "seed": seed,
    }


def train_perceptual(bench: Bench, machine: Machine, restart: bool) -> Path:
    """Train a benchmark's perceptual network, or go on where an earlier call stopped.

    Args:
        bench: the benchmark.
        machine: device, decoding workers, time between checkpoints.
        restart: move what the folder holds aside first.

    Returns:
        The folder of weights and card.

    Raises:
        UsageError: the benchmark states no recipe, or its images are too small.
        CheckpointError: the folder holds another job, or its checkpoints are damaged.
        DivergedError: the loss is not finite.
        Interrupted: the user stopped it; everything is saved.
    """
    benchmark, seed = bench.benchmark, 0
    spec, size = recipe_of(benchmark), benchmark.size
    if min(size.width, size.height) < _SMALLEST_SIDE:
        raise UsageError(
            f"benchmark '{benchmark.name}': [size] {size.width}x{size.height}; a perceptual "
            f"network halves images four times and needs sides of at least {_SMALLEST_SIDE}"
        )
    files, folder = bench.dataset.scenes(spec.split), bench.perceptual_folder()
    data = bench.dataset.digests(files)
    identity = perceptual_identity(benchmark, seed, data)
    if (folder / PERCEPTUAL_CARD).is_file() and not restart:
        require_identity(folder, identity)
        return folder
    steps = spec.epochs * steps_per_epoch(len(files), spec.batch_size)
    trainer = PerceptualTrainer(benchmark, steps, seed, machine.device)
    void = next(entry.id for entry in trainer.space.classes if entry.train_id is None)
    augment = ScaleAndCrop(
        size.height,
        size.width,
        spec.scale_min,
        spec.scale_max,
        spec.flip,
        fill=void,
        jitter=spec.jitter,
        noise=spec.noise,
    )

    def batches(start: int, stop: int) -> Iterator[Batch]:
        return training_batches(
            files,
            trainer.space,
            augment,
            batch_size=spec.batch_size,
            seed=seed,
            start=start,
            stop=stop,
            workers=machine.workers,
        )

    title = f"{benchmark.data.layout}/{spec.split}"
    with (
        claimed(folder, identity, restart),
        Job(folder, f"perceptual network on {title}", steps, machine.checkpoint_minutes) as job,
    ):
        job.resume(trainer)
        for step, batch in job.follow(batches):
            rate = trainer.rate
            job.record(step, {"rate": rate}, trainer.step(batch), batch.names)

        accuracy = _pixel_accuracy(trainer, bench.dataset.test_scenes, benchmark)
        network = trainer.network.cpu().folded()
        if spec.storage == "fp16":
            halve_parameters(network)
        card = PerceptualCard(
            architecture="vgg",
            channels=spec.channels,
            convolutions=spec.convolutions,
            label_space=benchmark.data.label_space,
            window=[size.width, size.height],
            trained_on=f"{title}, {len(files)} scenes",
            scenes_digest=digest(data),
            training={**spec.model_dump(), "seed": seed, "steps": job.step},
            test_accuracy=accuracy,
            weights=weights_digest(network),
        )
        save_perceptual(folder, network, card)
    return folder


@torch.no_grad()
def _pixel_accuracy(
    trainer: PerceptualTrainer, scenes: list[SceneFiles], benchmark: Benchmark
) -> float:
    """Return the share of the test photographs' pixels whose class the network tells."""
    trainer.network.eval()
    right = counted = 0
    for entry in tqdm(scenes, desc="test photographs", unit="scene", delay=2):
        scene = read_scene(entry, trainer.space)
        scene = scene.resized(benchmark.size.height, benchmark.size.width)
        assert scene.image is not None
        image = to_network_range(scene.image[None].to(trainer.device))
        predicted = trainer.network(image).argmax(dim=1)[0].cpu()
        truth = trainer.space.train_id_table[scene.label.long()].long()
        right += int(((predicted == truth) & (truth != VOID)).sum())
        counted += int((truth != VOID).sum())
    return right / max(1, counted)
