"""Imports a foreign segmenter: the entry point, and what the adapters share."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdbench.data.labels import LabelSpace
from hdbench.errors import CheckpointError, UsageError, listing
from hdbench.library import CARD_FILE
from hdbench.runtime.weights import fitted, save_weights, weights_digest
from hdbench.segmentation.segmenter import (
    ADAPTERS,
    OUTPUT_STRIDE,
    TRAINED,
    WEIGHTS_FILE,
    Segmenter,
    SegmenterCard,
    load_segmenter,
    write_card,
)

#: What can be imported.
KINDS = tuple(kind for kind in ADAPTERS if kind not in TRAINED)
_PROBE = 12 * OUTPUT_STRIDE  # pixels per side of the image that a new segmenter is tried on


@dataclass(frozen=True)
class ImportOptions:
    """What the user states about a foreign segmenter; None takes what its files state."""

    #: The label space whose train ids it predicts, in their order.
    space: LabelSpace
    #: Width and height of the images that it scores.
    window: tuple[int, int]
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    order: str | None = None
    peak: float | None = None
    #: Read files that run foreign code.
    trust: bool = False
    #: Fetch a hub id that is not in this machine's cache.
    download: bool = False
    #: For a method's name, the scored images that predictions were made from: scene names and
    #: uint8 3 x H x W. Only ``predictions`` needs it.
    images: Callable[[str], Iterable[tuple[str, Tensor]]] | None = None
    #: Whether predicted maps hold label ids (else train ids). Only ``predictions`` needs it.
    label_ids: bool = False

    @property
    def classes(self) -> list[str]:
        """The names of the scored classes, in the order of their train ids."""
        return [entry.name for entry in self.space.scored]


def adopt(kind: str, source: str, folder: Path, options: ImportOptions) -> Segmenter:
    """Make a segmenter's folder from foreign weights, test it on an image, and return it.

    ``kind`` is one of ``KINDS``; ``source`` is a file or folder, or the id of a hub's repository.

    Raises:
        UsageError: the folder holds a segmenter, or a required option is missing.
        CheckpointError: files are missing or damaged, are of another architecture, need to run
            code, or the segmenter's output does not fit the classes.
        DataError: predicted maps are missing or wrong.
    """
    if (folder / CARD_FILE).exists():
        raise UsageError(f"{folder}: holds a segmenter already; name another with --name")
    adapter = importlib.import_module(f"hdbench.segmentation.adapters.{ADAPTERS[kind]}")
    card = adapter.adopt(kind, source, folder, options)
    problem = card.problem()
    if problem is not None:
        raise UsageError(f"{source}: {problem}")
    write_card(folder, card)
    try:
        segmenter = load_segmenter(folder, torch.device("cpu"), options.trust)
        if kind != "predictions":
            _require_output(segmenter, source)
    except CheckpointError:
        (folder / CARD_FILE).unlink()  # without a card it is no segmenter
        raise
    return segmenter


def _require_output(segmenter: Segmenter, source: str) -> None:
    """Check on one image of noise that a segmenter returns finite logits of its classes."""
    card = segmenter.card
    rest = card.sides[1]
    width, height = card.window if card.architecture == "torchscript" else (_PROBE + rest,) * 2
    random = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=random)
    try:
        logits = segmenter.logits(image)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{source}: fails on an image of {width}x{height} "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from None
    classes = len(card.classes)
    if logits.ndim != 4 or logits.shape[:2] != (1, classes) or not logits.isfinite().all():
        raise CheckpointError(
            f"{source}: returns {list(logits.shape)}; expected finite logits "
            f"1 x {classes} x h x w of the classes of '{card.label_space}'"
        )


def fill(
    source: str, network: nn.Module, state: dict[str, Tensor], folder: Path, card: SegmenterCard
) -> SegmenterCard:
    """Load foreign tensors into a network, write them as safetensors, and complete the card.

    Raises:
        CheckpointError: names or shapes are not those of the network; all are counted.
    """
    what = f"{card.architecture} with {len(card.classes)} classes"
    network.load_state_dict(fitted(source, what, state, network.state_dict()))
    save_weights(folder / WEIGHTS_FILE, network, {"architecture": card.architecture})
    return replace(card, weights=weights_digest(network))


def blank_card(
    architecture: str, encoder: str, options: ImportOptions, source: dict[str, Any], **facts: Any
) -> SegmenterCard:
    """Return the card of a foreign segmenter whose weights are not known yet.

    ``facts`` are what its files state (``mean``, ``std``, ``order``, ``peak``, ``sides``,
    ``published``); the user's options override them. Without mean and std UsageError is raised.
    """
    for name in ("mean", "std", "order", "peak"):
        stated = getattr(options, name)
        if stated is not None:
            facts[name] = list(stated) if name in ("mean", "std") else stated
    if "mean" not in facts or "std" not in facts:
        raise UsageError(
            f"{source.get('file', architecture)}: does not say how images are normalised.\n"
            "Next: state --mean R,G,B and --std R,G,B of its training (ImageNet's are "
            "0.485,0.456,0.406 and 0.229,0.224,0.225)"
        )
    return SegmenterCard(
        architecture=architecture,
        encoder=encoder,
        depth=None,
        enlarge=1,
        label_space=options.space.name,
        classes=options.classes,
        window=list(options.window),
        trained_on="what its makers say",
        scenes_digest="",
        training={},
        weights="",
        oracle=None,
        source=source,
        **facts,
    )


def require_same_names(source: str, theirs: Sequence[str], options: ImportOptions) -> None:
    """Check that a model's class names, if it has any, are those of the label space, in order.

    A wrong class table would make every score meaningless; CheckpointError lists differences.
    """
    if all(re.fullmatch(r"LABEL_\d+", name) for name in theirs):  # default names
        return
    ours = options.classes
    pairs = [
        f"{n}: {there} (here {here})"
        for n, (there, here) in enumerate(zip(theirs, ours, strict=False))
        if _plain(there) != _plain(here)
    ]
    if len(theirs) != len(ours):
        pairs.append(f"{len(theirs)} classes (here {len(ours)})")
    if pairs:
        raise CheckpointError(
            f"{source}: predicts other classes than '{options.space.name}'\n{listing(pairs, 6)}"
        )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
