"""Models of segmentation-models-pytorch (smp): those that hdbench trains, and other folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationModel
from torch import nn

from hdbench.errors import CheckpointError
from hdbench.networks.pspnet import build_pspnet
from hdbench.networks.unet import build_unet
from hdbench.provenance import file_digest
from hdbench.runtime.hub import repository_folder, weights_in
from hdbench.runtime.weights import load_weights, read_weights
from hdbench.segmentation.adoption import ImportOptions, blank_card, fill
from hdbench.segmentation.segmenter import CONFIG_FILE, WEIGHTS_FILE, Segmenter, SegmenterCard
from hdbench.storage import write_atomically

_WEIGHTS = (WEIGHTS_FILE, "pytorch_model.bin")
_CLASS = "_model_class"


def load(folder: Path, card: SegmenterCard, device: torch.device, trust: bool) -> Segmenter:
    """Return the segmenter of a folder; raises CheckpointError if a file does not fit the card."""
    network: nn.Module
    match card.architecture:
        case "pspnet":
            network = build_pspnet(card.design)
        case "unet":
            assert card.depth is not None
            network = build_unet(card.encoder, card.depth, len(card.classes))
        case _:
            network = _built(folder / CONFIG_FILE, _config(folder / CONFIG_FILE))
    load_weights(folder / WEIGHTS_FILE, network, card.weights)
    return Segmenter(network, card, device)


def adopt(kind: str, source: str, folder: Path, options: ImportOptions) -> SegmenterCard:
    """Write hdbench's folder of a model that smp's ``save_pretrained`` wrote.

    Such files do not say how images are normalised, so the user must.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration.
        UsageError: the user does not state mean and std.
    """
    found = repository_folder(source, (CONFIG_FILE, *_WEIGHTS), options.download)
    config = _config(found / CONFIG_FILE)
    network = _built(found / CONFIG_FILE, config)
    path = weights_in(found, _WEIGHTS)
    encoder = str(config.get("encoder_name"))
    origin = {"file": source, "sha256": file_digest(path)}
    stride = getattr(getattr(network, "encoder", None), "output_stride", 32)
    card = blank_card(kind, encoder, options, origin, sides=[stride, 0])
    card = fill(str(path), network, read_weights(path, options.trust), folder, card)
    write_atomically(folder / CONFIG_FILE, json.dumps(config, indent=2).encode())
    return replace(card, config=file_digest(folder / CONFIG_FILE))


def _config(path: Path) -> dict[str, Any]:
    """Return a stored configuration, changed to need no download and no final activation."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config[_CLASS]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; smp's 'save_pretrained' writes it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a configuration of smp ({error!r})") from None
    return {**config, "encoder_weights": None, "activation": None}


def _built(path: Path, config: dict[str, Any]) -> nn.Module:
    arguments = {name: value for name, value in config.items() if not name.startswith("_")}
    encoder = str(config.get("encoder_name"))
    if ":" in encoder or "/" in encoder:
        raise CheckpointError(
            f"{path}: encoder_name = '{encoder}' is an address of a model hub, and nothing is "
            "downloaded to build a network; expected the name of an encoder of smp, like resnet18"
        )
    kind = getattr(smp, str(config[_CLASS]), None)
    if not (isinstance(kind, type) and issubclass(kind, SegmentationModel)):
        raise CheckpointError(f"{path}: smp has no model '{config[_CLASS]}'")
    try:
        return kind(**arguments)
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: smp cannot build this ({str(error)[:200]})") from None
