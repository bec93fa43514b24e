"""TorchScript files: a network and the program that runs it, in one archive."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdbench.errors import CheckpointError
from hdbench.provenance import file_digest
from hdbench.runtime.weights import require_digest
from hdbench.segmentation.adoption import ImportOptions, blank_card
from hdbench.segmentation.segmenter import Segmenter, SegmenterCard
from hdbench.storage import write_atomically

_FILE = "model.torchscript.pt"


class _Program(nn.Module):
    """Wraps a TorchScript program as a module that can be frozen and moved."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, images: Tensor) -> Tensor:
        """Return the program's output."""
        return self.program(images)


def load(folder: Path, card: SegmenterCard, device: torch.device, trust: bool) -> Segmenter:
    """Return the segmenter of a folder.

    Raises CheckpointError if ``trust`` is off, the file is damaged or not the card's, or it was
    traced in training mode, which cannot be undone.
    """
    path = folder / _FILE
    network = _opened(path, device, trust)
    require_digest(path, file_digest(path), card.weights)
    segmenter = Segmenter(_Program(network), card, device)
    _require_evaluation_mode(path, segmenter)
    return segmenter


def adopt(kind: str, source: str, folder: Path, options: ImportOptions) -> SegmenterCard:
    """Write hdbench's folder of a TorchScript file, which does not describe its input.

    Raises:
        CheckpointError: ``trust`` is off, or the file is damaged.
        UsageError: the user does not state mean and std.
    """
    path = Path(source)
    _opened(path, torch.device("cpu"), options.trust)
    digest = file_digest(path)
    origin = {"file": path.name, "sha256": digest}
    card = blank_card(kind, "TorchScript", options, origin, sides=[1, 0])
    write_atomically(folder / _FILE, path.read_bytes())
    return replace(card, weights=digest)


def _opened(path: Path, device: torch.device, trust: bool) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a TorchScript archive")
    if not trust:
        raise CheckpointError(
            f"{path}: a TorchScript file is a program that runs on this machine with your "
            "rights.\n"
            "Next: pass --trust if you know who made it, or use an adapter that reads weights alone"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch announces successors of the format
            return torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: not a TorchScript archive ({first[:160]})") from None


def _require_evaluation_mode(path: Path, segmenter: Segmenter) -> None:
    """Check on outputs that dropout and batch norm are not in training mode.

    Tracing fixes the mode in the program, and ``eval()`` no longer changes it.
    """
    width, height = segmenter.card.window
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=random)
    images[1] //= 8  # of other statistics, so that a mean over the batch moves
    try:
        alone, again = segmenter.logits(images[:1]), segmenter.logits(images[:1])
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: fails on an image of {width}x{height} ({str(error).splitlines()[-1][:160]})"
        ) from None
    try:
        together = segmenter.logits(images)[:1]
    except RuntimeError:  # traced for a batch of one image; batches cannot be compared
        together = alone
    size = float(alone.abs().max()) or 1.0
    for other, what in ((again, "twice the same image"), (together, "an image among others")):
        if not torch.allclose(alone, other, rtol=0, atol=1e-3 * size):
            raise CheckpointError(
                f"{path}: outputs differ for {what}, so it was saved in training mode.\n"
                "Next: call eval() on the model before tracing or scripting it, and save it again"
            )
