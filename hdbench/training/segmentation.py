"""The training loop of networks that label pixels: segmenters and perceptual networks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from hdbench.data.labels import LabelSpace
from hdbench.data.loading import ScaleAndCrop
from hdbench.data.scene import Batch
from hdbench.networks.synchronised import statistics_over, synchronised
from hdbench.provenance import digest
from hdbench.runtime.claims import claimed
from hdbench.runtime.devices import Machine, autocast
from hdbench.runtime.job import Job
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.runtime.weights import require_same_shapes
from hdbench.schema.base import identity_of
from hdbench.schema.benchmark import Benchmark, PixelTraining, Size
from hdbench.training.data import TrainingData

_WARM_UP = 0.15  # share of the steps in which the one-cycle rate rises


class SegmentationTrainer:
    """A network that returns logits for images, its optimiser and its schedule.

    The network is already on the device. ``prepare`` returns its input for uint8 images B x 3 x H x
    W. ``objective`` returns the loss, and the losses to log by name, for its output and int64 train
    ids B x H x W. ``precision`` of the forward pass is ``fp32`` or ``bf16``. Of several ``ranks``,
    each computes its share of every batch; the objective's losses then are those whose mean over
    ranks is the loss of the whole batch.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        space: LabelSpace,
        device: torch.device,
        *,
        prepare: Callable[[Tensor], Tensor],
        objective: Callable[[Any, Tensor], tuple[Tensor, dict[str, Tensor]]],
        precision: str = "fp32",
        ranks: Ranks = ALONE,
    ) -> None:
        self._ranks, self._pass = ranks, ranks.parallel(synchronised(network, ranks))
        self.network, self.optimizer, self.schedule = network, optimizer, schedule
        self.space, self.device = space, device
        self._prepare, self._objective, self._precision = prepare, objective, precision
        self._train_ids = space.train_id_table.to(device)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update the network once and return the losses, on the device."""
        batch = batch.to(self.device)
        assert batch.image is not None
        truth = self._train_ids[batch.label.long()].long()
        images = self._prepare(batch.image)
        self.optimizer.zero_grad(set_to_none=True)
        with statistics_over(self._ranks):
            with autocast(self.device, self._precision):
                output = self._pass(images)
            loss, losses = self._objective(output, truth)
            loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return self._ranks.means({name: value.detach() for name, value in losses.items()})

    def state(self) -> dict[str, Any]:
        """Return the state of network, optimiser and schedule."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Load a state that ``state`` returned, if its network has the same shapes.

        Raises:
            CheckpointError: its network has another architecture or width.
        """
        require_same_shapes("checkpoint: network", state["network"], self.network)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def adamw(network: nn.Module, recipe: PixelTraining) -> torch.optim.AdamW:
    """Return AdamW with a recipe's learning rate and weight decay."""
    return torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )


def one_cycle(optimizer: torch.optim.Optimizer, recipe: PixelTraining, steps: int) -> OneCycleLR:
    """Return the schedule that rises to a recipe's learning rate and falls to nearly 0.

    AdamW's first moment cycles with it; a momentum of SGD stays as the recipe states it.
    """
    return OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=steps + 1,
        pct_start=_WARM_UP,
        cycle_momentum=isinstance(optimizer, torch.optim.AdamW),
    )


def shared_identity(benchmark: Benchmark, seed: int, data: list[list[str]]) -> dict[str, Any]:
    """Return what every network that labels pixels depends on, beside its own recipe."""
    return {
        "data": identity_of(benchmark.data, exclude={"train", "test"}),
        "size": benchmark.size.model_dump(),
        "scenes": len(data),
        "scenes_digest": digest(data),
        "seed": seed,
    }


def recipe_steps(recipe: PixelTraining, data: TrainingData) -> int:
    """Return the steps of a training."""
    return recipe.epochs * data.steps_per_epoch(recipe.batch_size)


@contextlib.contextmanager
def trained(
    trainer: SegmentationTrainer,
    recipe: PixelTraining,
    data: TrainingData,
    size: Size,
    seed: int,
    *,
    identity: dict[str, Any],
    folder: Path,
    title: str,
    machine: Machine,
    restart: bool,
) -> Iterator[int]:
    """Train a network, or resume its training, and hold its folder while the network is stored.

    Yields the number of steps, once all are done. ``size`` is that of the crops; ``identity`` is
    everything that the trained network depends on, as JSON values.

    Raises:
        CheckpointError: the folder holds another job, or its checkpoints are damaged.
        DivergedError: a loss is not finite.
        Interrupted: the user stopped it; everything is saved.
    """
    augment = ScaleAndCrop(
        size.height,
        size.width,
        recipe.scale_min,
        recipe.scale_max,
        recipe.flip,
        fill=trainer.space.padding_id,
        jitter=recipe.jitter,
        noise=recipe.noise,
    )
    batches = data.batches(
        trainer.space,
        augment,
        batch_size=recipe.batch_size,
        seed=seed,
        machine=machine,
        size=None if data.images is None else (size.height, size.width),
    )
    with (
        claimed(folder, identity, restart, machine.ranks),
        Job(
            folder,
            title,
            recipe_steps(recipe, data),
            machine.checkpoint_minutes,
            execution=machine.execution,
        ) as job,
    ):
        job.resume(trainer)
        for step, batch in job.follow(batches):
            rate = trainer.rate
            job.record(step, {"rate": rate}, trainer.step(batch), batch.names)
        yield job.step
