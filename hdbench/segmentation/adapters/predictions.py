"""Label maps that a segmenter predicted elsewhere, stored by the digest of their image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.data.label_maps import read_label
from hdbench.data.labels import VOID
from hdbench.data.sheets import encode_png
from hdbench.errors import CheckpointError, DataError, UsageError, counted, listing
from hdbench.provenance import digest, tensors_digest
from hdbench.runtime.progress import progress
from hdbench.runtime.weights import require_digest
from hdbench.segmentation.adoption import ImportOptions, blank_card
from hdbench.segmentation.segmenter import Segmenter, SegmenterCard
from hdbench.storage import write_atomically

_INDEX, _MAPS = "predictions.json", "maps"


class StoredPredictions(Segmenter):
    """A segmenter that returns stored label maps, for the images they were made from and no others.

    ``index`` leads from the digest of each image to the digest of its map.
    """

    def __init__(
        self, folder: Path, card: SegmenterCard, device: torch.device, index: dict[str, str]
    ) -> None:
        super().__init__(nn.Identity(), card, device)
        self._folder, self._index = folder, index

    def logits(self, images: Tensor) -> Tensor:
        """Return 1 where a class was predicted and 0 elsewhere, at the size of the maps.

        Raises DataError if no prediction of an image was imported, or a map was changed.
        """
        maps = [self._map(image) for image in images.cpu()]
        one_hot = F.one_hot(torch.stack(maps).long(), len(self.card.classes))
        return one_hot.permute(0, 3, 1, 2).float().to(self.device)

    def _map(self, image: Tensor) -> Tensor:
        key = image_digest(image)
        if key not in self._index:
            raise DataError(
                f"{self._folder}: no prediction was made from this image of "
                f"{image.shape[-1]}x{image.shape[-2]}; imported predictions exist for "
                "whole images only, not for mirrored images, windows, or other methods.\n"
                "Next: 'hdbench segmenter import predictions' with the maps of every method that "
                "is scored, the oracle and the floors among them"
            )
        path = self._folder / _MAPS / f"{key[:32]}.png"
        try:
            with Image.open(path) as stored:
                train_ids = torch.from_numpy(np.array(stored))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); import them again") from None
        if tensors_digest({"ids": train_ids}) != self._index[key]:
            raise DataError(f"{path}: not the map that was imported; import them again")
        return train_ids


def image_digest(image: Tensor) -> str:
    """Return the SHA-256 of the pixels of a uint8 3 x H x W image."""
    return tensors_digest({"image": image})


def load(folder: Path, card: SegmenterCard, device: torch.device, trust: bool) -> Segmenter:
    """Return the predictions of a folder; raises CheckpointError if they are not the card's."""
    path = folder / _INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable ({error}); import them again") from None
    require_digest(path, digest(index), card.weights)
    return StoredPredictions(folder, card, device, index)


def adopt(kind: str, source: str, folder: Path, options: ImportOptions) -> SegmenterCard:
    """Copy predicted label maps, each indexed by the pixels of its image.

    ``source`` has one folder per method, named like it, with one ``<scene>.png`` per scene: a grey
    or palette PNG of ids at any one size, without void pixels. DataError lists all maps that are
    missing, superfluous, damaged, or hold other ids.
    """
    root = Path(source)
    methods = sorted(path.name for path in root.glob("[!.]*") if path.is_dir())
    if not methods or options.images is None:
        raise UsageError(
            f"{source}: expected one folder per method (oracle, ours, ...), each with <scene>.png"
        )
    index: dict[str, str] = {}
    paths: dict[str, Path] = {}
    problems: list[str] = []
    for method in methods:
        found = {path.stem: path for path in sorted((root / method).glob("*.png"))}
        images = options.images(method)
        for scene, image in progress(images, desc=f"checking {method}", unit="map", delay=2):
            path = found.pop(scene, None)
            if path is None:
                problems.append(f"{root / method / scene}.png: missing")
                continue
            try:
                value = tensors_digest({"ids": _checked(path, image, options)})
            except DataError as error:
                problems.append(str(error))
                continue
            key = image_digest(image)
            if index.setdefault(key, value) != value:
                problems.append(f"{path}: differs from {paths[key]}, a map of the same image")
            paths.setdefault(key, path)
        problems += [f"{path}: no such scene" for path in found.values()]
    if problems:
        raise DataError(
            f"{source}: nothing was imported; {counted(len(problems), 'problem')}\n"
            f"{listing(problems, len(problems))}"
        )
    for key, path in progress(paths.items(), desc="copying", unit="map", delay=2):
        train_ids = _ids(path, options)
        map_path = folder / _MAPS / f"{key[:32]}.png"
        write_atomically(map_path, encode_png(Image.fromarray(train_ids.numpy())))
    write_atomically(folder / _INDEX, json.dumps(index).encode())
    origin = {"file": root.name, "methods": methods}
    facts = {"mean": [0.0] * 3, "std": [1.0] * 3, "sides": [1, 0]}  # no network reads the images
    return replace(blank_card(kind, "none", options, origin, **facts), weights=digest(index))


def _checked(path: Path, image: Tensor, options: ImportOptions) -> Tensor:
    """Return uint8 H x W train ids of a predicted map; raises DataError if they are wrong."""
    train_ids = _ids(path, options)
    wrong = [entry for entry in train_ids.unique().tolist() if entry >= len(options.classes)]
    if wrong:
        void = " (void: a segmenter must name a class)" if VOID in wrong else ""
        kind = "label ids of no scored class" if options.label_ids else f"train ids {wrong[:5]}"
        raise DataError(
            f"{path}: {kind}{void}; expected the {len(options.classes)} classes of "
            f"'{options.space.name}'; --ids label or --ids train says which numbers the maps hold"
        )
    height, width = train_ids.shape
    if height * image.shape[-1] != width * image.shape[-2]:
        raise DataError(
            f"{path}: {width}x{height}, its image is {image.shape[-1]}x{image.shape[-2]}; "
            "expected the same proportions"
        )
    return train_ids


def _ids(path: Path, options: ImportOptions) -> Tensor:
    if options.label_ids:
        return options.space.to_train_ids(read_label(path, options.space))
    try:
        with Image.open(path) as stored:
            if stored.mode not in ("L", "P"):
                raise DataError(f"{path}: mode {stored.mode}; expected an 8-bit PNG of train ids")
            return torch.from_numpy(np.array(stored))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from None
