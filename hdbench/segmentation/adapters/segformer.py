"""SegFormer (Xie et al., NeurIPS 2021) in the layout of Hugging Face's transformers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from hdbench.errors import CheckpointError, UsageError
from hdbench.provenance import file_digest
from hdbench.runtime.hub import repository_folder, weights_in
from hdbench.runtime.weights import read_weights, refuse, require_weights, state_digest
from hdbench.segmentation.adoption import ImportOptions, blank_card, require_same_names
from hdbench.segmentation.segmenter import CONFIG_FILE, WEIGHTS_FILE, Segmenter, SegmenterCard
from hdbench.storage import write_atomically

_PREPROCESSOR = "preprocessor_config.json"
_WEIGHTS = (WEIGHTS_FILE, "pytorch_model.bin")


class _Logits(torch.nn.Module):
    """A transformers model whose output is its logits."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits at a quarter of the images' size."""
        return self.model(pixel_values=images).logits


def load(folder: Path, card: SegmenterCard, device: torch.device, trust: bool) -> Segmenter:
    """Return the segmenter of a folder; UsageError if transformers is not installed."""
    require_weights(folder / WEIGHTS_FILE, card.weights)
    return Segmenter(_Logits(_opened(folder)), card, device)


def adopt(kind: str, source: str, folder: Path, options: ImportOptions) -> SegmenterCard:
    """Write hdbench's folder of a SegFormer in transformers' layout.

    Its class names, if it states any, must be those of the label space.

    Raises:
        CheckpointError: a file is missing, damaged, of another model or of other classes.
        UsageError: transformers is not installed, or mean and std are not stated.
    """
    found = repository_folder(source, (CONFIG_FILE, _PREPROCESSOR, *_WEIGHTS), options.download)
    config = _configuration(found / CONFIG_FILE)
    require_same_names(source, [config.id2label[n] for n in sorted(config.id2label)], options)
    path = weights_in(found, _WEIGHTS)
    origin = {"file": source, "sha256": file_digest(path)}
    sizes = f"segformer {config.hidden_sizes} {config.depths}"
    facts = _normalisation(found / _PREPROCESSOR)
    card = blank_card(kind, sizes, options, origin, sides=[1, 0], **facts)
    # The names stay: transformers translates them to those of its version.
    state = {
        name: value.clone().contiguous()
        for name, value in read_weights(path, options.trust).items()
    }
    write_atomically(folder / WEIGHTS_FILE, save(state, metadata={"format": "pt"}))
    write_atomically(folder / CONFIG_FILE, (found / CONFIG_FILE).read_bytes())
    config_digest = file_digest(folder / CONFIG_FILE)
    return replace(card, weights=state_digest(state), config=config_digest)


def _configuration(path: Path) -> Any:
    """Return a stored configuration of a SegFormer."""
    try:
        from transformers import SegformerConfig  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UsageError(
            "SegFormer needs the package 'transformers'; install the extra: "
            "pip install 'hdbench[hf]'"
        ) from None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("model_type") != "segformer":
            raise ValueError(f"model_type = {content.get('model_type')!r}; expected 'segformer'")
        return SegformerConfig.from_dict(content)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; transformers' models have one") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a SegFormer's configuration ({error})") from None


def _opened(folder: Path) -> Any:
    """Return the model of a folder with all of its weights."""
    config = _configuration(folder / CONFIG_FILE)
    from transformers import (  # pyright: ignore[reportMissingImports]
        SegformerForSemanticSegmentation,
    )
    from transformers.utils import logging  # pyright: ignore[reportMissingImports]

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        opened: Any = SegformerForSemanticSegmentation.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # reported below with all others
            output_loading_info=True,
        )
        model, report = opened
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder}: transformers cannot load it ({error})") from None
    lines = [
        f"{name}: {problem}"
        for key, problem in (
            ("missing_keys", "missing in the file"),
            ("unexpected_keys", "not in this network"),
            ("mismatched_keys", "of another shape"),
        )
        for name in sorted(map(str, report.get(key, ())))
        if not name.endswith("num_batches_tracked")
    ]
    refuse(str(folder / WEIGHTS_FILE), f"the SegFormer that {CONFIG_FILE} describes", lines)
    return model.float()


def _normalisation(path: Path) -> dict[str, Any]:
    """Return mean, std and range of an image processor's file; empty if not stated."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        mean, std = list(settings["image_mean"]), list(settings["image_std"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    return {"mean": mean, "std": std, "peak": round(255 * float(factor), 6)}
