"""Training a segmenter on photographs and their labels (PSPNet, Sec. 4 and 5.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from hdbench.data.labels import label_space_of
from hdbench.errors import UsageError
from hdbench.library import CARD_FILE
from hdbench.networks.pspnet import OUTPUT_STRIDE, PSPNetDesign, PSPNetWithAuxiliary
from hdbench.networks.unet import build_unet, output_stride
from hdbench.provenance import derived_seed, digest, tensors_digest
from hdbench.runtime.claims import IDENTITY_FILE, finished, require_identity
from hdbench.runtime.devices import Machine
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.runtime.weights import halve_parameters, weights_digest
from hdbench.schema.benchmark import Benchmark, SegmenterTraining
from hdbench.segmentation.encoder_weights import imagenet_weights, set_encoder_weights
from hdbench.segmentation.segmenter import SegmenterCard, normalised, save_segmenter
from hdbench.training.data import TrainingData
from hdbench.training.objective import pixel_cross_entropy, wide
from hdbench.training.segmentation import (
    SegmentationTrainer,
    adamw,
    one_cycle,
    recipe_steps,
    shared_identity,
    trained,
)

# ImageNet's statistics: what encoders of segmentation-models-pytorch expect.
_MEAN = [0.485, 0.456, 0.406]
_STD = [0.229, 0.224, 0.225]


def segmenter_trainer(
    benchmark: Benchmark,
    steps: int,
    seed: int,
    device: torch.device,
    encoder: dict[str, Tensor] | None = None,
    ranks: Ranks = ALONE,
) -> SegmentationTrainer:
    """Return the trainer of a PSPNet with its auxiliary head, or of a U-Net.

    Raises UsageError if smp cannot build the encoder, CheckpointError if its weights are of
    another.
    """
    recipe = benchmark.required_segmenter.training
    space = label_space_of(benchmark.data.label_space)
    torch.manual_seed(derived_seed("segmenter", seed))
    try:
        network = _network(recipe, len(space.scored))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"benchmark '{benchmark.name}': encoder = '{recipe.encoder}' of its "
            f"{recipe.architecture} cannot be built by segmentation-models-pytorch: "
            f"{str(error)[:200]}"
        ) from None
    if encoder is not None:
        set_encoder_weights(_stored_part(network).encoder, recipe.encoder, encoder)
    # Channels-last is what CPU and GPU convolutions are fastest in (batch norm is unaffected).
    network = network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(network, recipe)
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (_MEAN, _STD))

    def prepare(images: Tensor) -> Tensor:
        return normalised(images, mean, std).contiguous(memory_format=torch.channels_last)

    def objective(output: Any, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if recipe.architecture == "unet":
            loss = pixel_cross_entropy(wide(output), truth, ranks)
            return loss, {"main": loss}
        assert recipe.auxiliary_weight is not None
        main, auxiliary = (pixel_cross_entropy(wide(logits), truth, ranks) for logits in output)
        loss = main + recipe.auxiliary_weight * auxiliary
        return loss, {"main": main, "auxiliary": auxiliary}

    return SegmentationTrainer(
        network,
        optimizer,
        _schedule(optimizer, recipe, steps),
        space,
        device,
        prepare=prepare,
        objective=objective,
        precision=recipe.precision,
        ranks=ranks,
    )


def _network(recipe: SegmenterTraining, classes: int) -> smp.Unet | PSPNetWithAuxiliary:
    """Return what is trained, with random weights."""
    if recipe.architecture == "unet":
        return build_unet(recipe.encoder, recipe.depth, classes)
    design = PSPNetDesign(recipe.encoder, recipe.depth, recipe.enlarge, classes)
    return PSPNetWithAuxiliary(design)


def _stored_part(network: nn.Module) -> smp.PSPNet | smp.Unet:
    """Return the network without the auxiliary head, which only training uses."""
    if isinstance(network, PSPNetWithAuxiliary):
        return network.pspnet
    assert isinstance(network, smp.Unet)
    return network


def _optimizer(network: nn.Module, recipe: SegmenterTraining) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return adamw(network, recipe)
    assert recipe.momentum is not None
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )


def _schedule(
    optimizer: torch.optim.Optimizer, recipe: SegmenterTraining, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "poly":
        assert recipe.poly_power is not None
        return torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, recipe.poly_power)
    return one_cycle(optimizer, recipe, steps)


def segmenter_identity(
    benchmark: Benchmark,
    seed: int,
    data: list[list[str]],
    encoder_weights: str | None = None,
    images: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return everything that a trained segmenter depends on, as JSON values."""
    identity = {
        "kind": "segmenter",
        "version": 4,
        "segmenter": _recipe(benchmark.required_segmenter.training),
        **shared_identity(benchmark, seed, data),
    }
    if encoder_weights is not None:
        identity["encoder_weights"] = encoder_weights
    if images is not None:
        identity["images"] = images
    return identity


def _recipe(spec: SegmenterTraining) -> dict[str, Any]:
    """Return the choices that a training depends on.

    A choice that was added later is left out if it has the value that was fixed before, so that
    older segmenters keep their identity.
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
    data: TrainingData,
    folder: Path,
    machine: Machine,
    restart: bool,
    encoder_weights: Path | None = None,
) -> Path:
    """Train a benchmark's segmenter, or resume its training, and return its folder.

    Raises UsageError if the stride of the features does not divide the benchmark's image size, and
    what ``segmenter_trainer``, ``imagenet_weights`` and ``trained`` raise.
    """
    size, recipe = benchmark.size, benchmark.required_segmenter.training
    stride = OUTPUT_STRIDE if recipe.architecture == "pspnet" else output_stride(recipe.depth)
    if size.width % stride or size.height % stride:
        raise UsageError(
            f"benchmark '{benchmark.name}': [size] {size.width}x{size.height}: "
            f"its {recipe.architecture} needs sides that divide by {stride}; "
            f"use {_fitting(size.width, stride)}x{_fitting(size.height, stride)}"
        )
    ranks = machine.ranks
    if not restart and finished(
        folder / CARD_FILE, lambda: require_trained_for(benchmark, seed, data, folder), ranks
    ):
        return folder
    encoder = imagenet_weights(benchmark, encoder_weights)
    encoder_digest = None if encoder is None else tensors_digest(encoder)
    steps = recipe_steps(recipe, data)
    trainer = segmenter_trainer(benchmark, steps, seed, machine.device, encoder, ranks)

    def store() -> None:
        network = _stored_part(trainer.network).cpu().to(memory_format=torch.contiguous_format)
        if recipe.storage == "fp16":
            halve_parameters(network)
        card = SegmenterCard(
            architecture=recipe.architecture,
            encoder=recipe.encoder,
            depth=recipe.depth,
            enlarge=recipe.enlarge,
            label_space=benchmark.data.label_space.name,
            classes=[entry.name for entry in trainer.space.scored],
            mean=_MEAN,
            std=_STD,
            window=[size.width, size.height],
            trained_on=f"{data.title}, {len(data.files)} scenes",
            scenes_digest=digest(data.digests),
            training={**recipe.model_dump(exclude_none=True), "seed": seed, "steps": steps},
            weights=weights_digest(network),
            oracle=None,
            sides=[stride, 0],
        )
        save_segmenter(folder, network, card)

    with trained(
        trainer,
        recipe,
        data,
        size,
        seed,
        identity=segmenter_identity(benchmark, seed, data.digests, encoder_digest, data.images),
        folder=folder,
        title=f"segmenter on {data.title}",
        machine=machine,
        restart=restart,
    ):
        ranks.from_first(store)
    return folder


def require_trained_for(benchmark: Benchmark, seed: int, data: TrainingData, folder: Path) -> None:
    """Check that a folder's segmenter is the one that a benchmark describes (``require_identity``).

    The digest of the encoder's ImageNet weights is taken from the folder, because their file may be
    gone and the card names the trained weights.

    Raises:
        CheckpointError: it is another one; the message lists the differences.
    """
    try:
        known = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    encoder_digest = known.get("encoder_weights")
    identity = segmenter_identity(benchmark, seed, data.digests, encoder_digest, data.images)
    require_identity(folder, identity)


def _fitting(side: int, stride: int) -> int:
    return max(1, round(side / stride)) * stride
