"""Training a segmenter on photographs and their labels (PSPNet, Sec. 4 and 5.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from hdbench.data.labels import LABEL_SPACES
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import ScaleAndCrop, steps_per_epoch, training_batches
from hdbench.data.scene import Batch
from hdbench.errors import UsageError
from hdbench.library import CARD_FILE
from hdbench.networks.pspnet import OUTPUT_STRIDE, PSPNetDesign, PSPNetWithAuxiliary
from hdbench.networks.unet import build_unet, output_stride
from hdbench.provenance import derived_seed, digest, tensors_digest
from hdbench.runtime.devices import Machine, autocast
from hdbench.runtime.job import IDENTITY_FILE, Job, claimed, require_identity
from hdbench.runtime.weights import halve_parameters, require_same_shapes, weights_digest
from hdbench.schema.benchmark import Benchmark, SegmenterTraining
from hdbench.segmentation.encoder_weights import imagenet_weights, set_encoder_weights
from hdbench.segmentation.segmenter import (
    SegmenterCard,
    normalised,
    save_segmenter,
)
from hdbench.training.objective import pixel_cross_entropy

# ImageNet's statistics: what encoders of segmentation-models-pytorch expect.
_MEAN = [0.485, 0.456, 0.406]
_STD = [0.229, 0.224, 0.225]
_WARM_UP = 0.15  # share of the steps in which the one-cycle rate rises


class SegmenterTrainer:
    """A PSPNet with its auxiliary head, or a U-Net, and the optimiser.

    Args:
        benchmark: label space and the ``[segmenter]`` table.
        steps: steps in all, for the schedule.
        seed: draws the initial weights.
        device: where to compute.
        encoder: the encoder's weights to start from, or None for fresh ones.

    Raises:
        UsageError: smp cannot build the encoder.
        CheckpointError: the weights are of another one.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        steps: int,
        seed: int,
        device: torch.device,
        encoder: dict[str, Tensor] | None = None,
    ) -> None:
        """Build everything; what ``encoder`` does not give has fresh weights."""
        self.spec, self.device = benchmark.segmenter, device
        self.space = LABEL_SPACES[benchmark.data.label_space]
        torch.manual_seed(derived_seed("segmenter", seed))
        spec = self.spec
        try:
            network, self.kept = _networks(spec, len(self.space.scored))
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"benchmark '{benchmark.name}': encoder = '{spec.encoder}' of its "
                f"{spec.architecture} cannot be built by segmentation-models-pytorch: "
                f"{str(error)[:200]}"
            ) from None
        if encoder is not None:
            set_encoder_weights(self.kept.encoder, spec.encoder, encoder)
        # Channels-last is what CPU and GPU convolutions are fastest in (batch norm is unaffected).
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.optimizer = _optimizer(network, spec)
        self.schedule = _schedule(self.optimizer, spec, steps)
        self._mean = torch.tensor(_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(_STD, device=device).view(1, 3, 1, 1)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update the network once; return main and, of a PSPNet, auxiliary cross-entropy."""
        batch = batch.to(self.device)
        assert batch.image is not None
        images = normalised(batch.image, self._mean, self._std)
        images = images.contiguous(memory_format=torch.channels_last)
        truth = self.space.train_id_table.to(self.device)[batch.label.long()].long()
        with autocast(self.device, self.spec.precision):
            logits = self.network(images)
        if self.spec.architecture == "pspnet":
            assert self.spec.auxiliary_weight is not None
            main, auxiliary = (pixel_cross_entropy(one.float(), truth) for one in logits)
            losses = {"main": main, "auxiliary": auxiliary}
            total = main + self.spec.auxiliary_weight * auxiliary
        else:
            total = pixel_cross_entropy(logits.float(), truth)
            losses = {"main": total}
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

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


def _networks(spec: SegmenterTraining, classes: int) -> tuple[nn.Module, smp.PSPNet | smp.Unet]:
    """Return what is trained, with fresh weights, and the part of it that is kept afterwards."""
    if spec.architecture == "unet":
        unet = build_unet(spec.encoder, spec.depth, classes)
        return unet, unet
    whole = PSPNetWithAuxiliary(PSPNetDesign(spec.encoder, spec.depth, spec.enlarge, classes))
    return whole, whole.pspnet


def _optimizer(network: nn.Module, spec: SegmenterTraining) -> torch.optim.Optimizer:
    parameters, rate, decay = network.parameters(), spec.learning_rate, spec.weight_decay
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    assert spec.momentum is not None
    return torch.optim.SGD(parameters, lr=rate, momentum=spec.momentum, weight_decay=decay)


def _schedule(
    optimizer: torch.optim.Optimizer, spec: SegmenterTraining, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if spec.schedule == "poly":
        assert spec.poly_power is not None
        return torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, spec.poly_power)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        spec.learning_rate,
        total_steps=steps + 1,
        pct_start=_WARM_UP,
        cycle_momentum=spec.optimizer == "adamw",  # the momentum of sgd is stated
    )


@dataclass(frozen=True)
class Lessons:
    """What a segmenter learns from."""

    files: list[SceneFiles]
    #: Names of the scenes, and digests of what is learnt from each (``Bench.judge_data``).
    data: list[list[str]]
    #: What the card says it was trained on, without the number of scenes.
    title: str
    #: Where the images come from, as JSON values for the identity; None: the dataset's own, read at
    #: their native size. Others are of the benchmark's size, and so are their labels then.
    images: dict[str, Any] | None = None


def segmenter_identity(
    benchmark: Benchmark,
    seed: int,
    data: list[list[str]],
    encoder_weights: str | None = None,
    images: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return everything that a trained segmenter depends on, as JSON values.

    Args:
        benchmark: the resolved benchmark.
        seed: of weights, order and augmentation.
        data: names and digests of its scenes.
        encoder_weights: digest of the encoder's first weights, or None if they are random.
        images: where the images come from (``Lessons``).
    """
    identity = {
        "kind": "segmenter",
        "version": 4,
        "data": benchmark.data.model_dump(include={"layout", "label_space"}),
        "size": benchmark.size.model_dump(),
        "segmenter": _recipe(benchmark.segmenter),
        "scenes": len(data),
        "scenes_digest": digest(data),
        "seed": seed,
    }
    if encoder_weights is not None:
        identity["encoder_weights"] = encoder_weights
    if images is not None:
        identity["images"] = images
    return identity


def _recipe(spec: SegmenterTraining) -> dict[str, Any]:
    """Return the choices that a training depends on.

    Those that every segmenter once had are left out where they are still the same, so that what
    was trained before there was a choice stays what it is.
    """
    recipe = spec.model_dump(exclude_none=True)
    if spec.architecture == "unet":
        recipe.pop("auxiliary_weight", None)
    for key, choice, parameter in (
        ("architecture", "pspnet", ""),
        ("optimizer", "adamw", "momentum"),
        ("schedule", "one-cycle", "poly_power"),
        ("encoder_weights", "none", ""),
    ):
        if recipe[key] == choice:
            del recipe[key]
            recipe.pop(parameter, None)
    return recipe


def train_segmenter(
    benchmark: Benchmark,
    seed: int,
    lessons: Lessons,
    folder: Path,
    machine: Machine,
    restart: bool,
    encoder_weights: Path | None = None,
) -> Path:
    """Train a benchmark's segmenter, or go on where an earlier call stopped; return its folder.

    Args:
        benchmark: the resolved benchmark.
        seed: of weights, order and augmentation.
        lessons: what it learns from.
        folder: where the segmenter goes.
        machine: device, decoding workers, time between checkpoints.
        restart: move what the folder holds aside first.
        encoder_weights: torchvision's ImageNet weights of the encoder, where the benchmark starts
            from them; None means torchvision's own cache.

    Raises:
        UsageError: the benchmark's sides do not divide by the stride of the features, or the
            encoder is unknown.
        CheckpointError: the folder holds another job, its checkpoints are damaged, or the
            encoder's weights are missing or of another network.
        DivergedError: a loss is not finite.
        Interrupted: the user stopped it; everything is saved.
    """
    size, spec = benchmark.size, benchmark.segmenter
    stride = OUTPUT_STRIDE if spec.architecture == "pspnet" else output_stride(spec.depth)
    if size.width % stride or size.height % stride:
        raise UsageError(
            f"benchmark '{benchmark.name}': [size] {size.width}x{size.height}: "
            f"its {spec.architecture} needs sides that divide by {stride}; "
            f"use {_fitting(size.width, stride)}x{_fitting(size.height, stride)}"
        )
    files, data = lessons.files, lessons.data
    if (folder / CARD_FILE).is_file() and not restart:
        require_learnt(benchmark, seed, lessons, folder)
        return folder
    encoder = imagenet_weights(benchmark, encoder_weights)
    learnt = None if encoder is None else tensors_digest(encoder)
    identity = segmenter_identity(benchmark, seed, data, learnt, lessons.images)
    steps = spec.epochs * steps_per_epoch(len(files), spec.batch_size)
    trainer = SegmenterTrainer(benchmark, steps, seed, machine.device, encoder)
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
            size=None if lessons.images is None else (size.height, size.width),
        )

    title = f"segmenter on {lessons.title}"
    with (
        claimed(folder, identity, restart),
        Job(folder, title, steps, machine.checkpoint_minutes) as job,
    ):
        job.resume(trainer)
        for step, batch in job.follow(batches):
            rate = trainer.rate
            job.record(step, {"rate": rate}, trainer.step(batch), batch.names)

        network = trainer.kept.cpu().to(memory_format=torch.contiguous_format)
        if spec.storage == "fp16":
            halve_parameters(network)
        card = SegmenterCard(
            architecture=spec.architecture,
            encoder=spec.encoder,
            depth=spec.depth,
            enlarge=spec.enlarge,
            label_space=benchmark.data.label_space,
            classes=[entry.name for entry in trainer.space.scored],
            mean=_MEAN,
            std=_STD,
            window=[size.width, size.height],
            trained_on=f"{lessons.title}, {len(files)} scenes",
            scenes_digest=digest(data),
            training={**spec.model_dump(exclude_none=True), "seed": seed, "steps": job.step},
            weights=weights_digest(network),
            oracle=None,
            sides=[stride, 0],
        )
        save_segmenter(folder, network, card)
    return folder


def require_learnt(benchmark: Benchmark, seed: int, lessons: Lessons, folder: Path) -> None:
    """Check that a folder's segmenter is the one that a benchmark describes.

    Which ImageNet weights its encoder started from is taken from the folder: the file need not be
    there any more, and the card names the weights that came of it.

    Raises:
        CheckpointError: it is another one; what differs is listed.
    """
    try:
        known = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    learnt = known.get("encoder_weights")
    identity = segmenter_identity(benchmark, seed, lessons.data, learnt, lessons.images)
    require_identity(folder, identity)


def _fitting(side: int, stride: int) -> int:
    return max(1, round(side / stride)) * stride
