"""ImageNet weights for a segmenter's encoder, from a local torchvision file."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch
import torchvision
from torch import Tensor, nn

from hdbench.errors import CheckpointError, UsageError
from hdbench.runtime.weights import fitted, read_weights
from hdbench.schema.benchmark import Benchmark

_CLASSIFIER = "fc."  # of torchvision's ResNets; no encoder has it


def imagenet_weights(benchmark: Benchmark, path: Path | None) -> dict[str, Tensor] | None:
    """Return the weights that a benchmark's segmenter starts from, or None if they are random.

    Nothing is downloaded, and no pickled code is run. Without ``path``, torchvision's cache is
    read.

    Raises:
        UsageError: a file is passed and the benchmark starts from random weights, or torchvision
            has no such encoder.
        CheckpointError: the file is missing or damaged.
    """
    spec = benchmark.required_segmenter.training
    if spec.encoder_weights == "none":
        if path is not None:
            raise UsageError(
                f"--encoder-weights {path}: benchmark '{benchmark.name}' says of its "
                f"{spec.architecture} "
                'encoder_weights = "none"; leave the option out, or set "imagenet" in a benchmark '
                "that extends it"
            )
        return None
    address = torchvision_address(spec.encoder)
    name = PurePosixPath(urlsplit(address).path).name
    path = path or Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no ImageNet weights of '{spec.encoder}' here, and benchmark "
            f"'{benchmark.name}' starts from them.\n"
            f"Next: download {address} on a connected machine and pass --encoder-weights FILE, or "
            'set its encoder_weights = "none" in a benchmark that extends it'
        )
    state = read_weights(path)
    return {name: value for name, value in state.items() if not name.startswith(_CLASSIFIER)}


def torchvision_address(encoder: str) -> str:
    """Return the URL of torchvision's ImageNet weights of an encoder; raises UsageError if none."""
    try:
        return torchvision.models.get_model_weights(encoder)["IMAGENET1K_V1"].url
    except (ValueError, KeyError):
        raise UsageError(
            f"encoder = '{encoder}': torchvision has no ImageNet weights of it; use "
            'resnet18, resnet34, resnet50, resnet101 or resnet152, or encoder_weights = "none"'
        ) from None


def set_encoder_weights(encoder: nn.Module, name: str, state: dict[str, Tensor]) -> None:
    """Load weights with torchvision's names into an encoder of segmentation-models-pytorch.

    Raises:
        CheckpointError: names or shapes are not the encoder's.
    """
    full = fitted("--encoder-weights", f"'{name}'", state, encoder.state_dict())
    encoder.load_state_dict(full)
