"""Label maps on disk: index and palette PNGs, colour-coded PNGs, and maps in one file per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hdbench.data.decoding import decoded, photograph_size
from hdbench.data.labels import LabelSpace
from hdbench.data.scene import resize_nearest
from hdbench.data.survey import SceneFiles
from hdbench.errors import DataError


def read_label_of(files: SceneFiles, space: LabelSpace) -> Tensor:
    """Return a scene's label map as uint8 H x W ids of a label space.

    Raises:
        DataError: a file is damaged, or holds an unknown value or colour.
    """
    if files.parts is None:
        return read_label(files.label_map, space)
    maps = {entry: _greatest_channel(path) for entry, path in files.parts.files}
    sizes = {tuple(values.shape) for values in maps.values()}
    if len(sizes) > 1:
        raise DataError(
            f"{files.label_map.parent}: the maps of scene '{files.name}' differ in size"
        )
    if files.parts.kind == "probabilities":
        ids = torch.tensor(list(maps), dtype=torch.uint8)
        label = ids[torch.stack(list(maps.values())).argmax(dim=0)]
    else:
        label = torch.zeros(sizes.pop(), dtype=torch.uint8)
        for entry, mask in maps.items():
            label[mask > 0] = entry
    return _at_size_of(files.parts.photograph, label)


def _greatest_channel(path: Path) -> Tensor:
    """Return a grey map, or the greatest of its colour channels, as uint8 H x W."""
    image = decoded(path)
    if image.mode not in ("1", "L", "P", "RGB", "RGBA"):
        raise DataError(f"{path}: mode {image.mode}; expected an 8-bit PNG of one class")
    pixels = np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    return torch.from_numpy(pixels if pixels.ndim == 2 else pixels.max(axis=2))


def _at_size_of(photograph: Path, label: Tensor) -> Tensor:
    """Return a map at a photograph's size if it is smaller by a whole factor, else unchanged."""
    width, height = (int(side) for side in photograph_size(photograph).split("x"))
    factor = height // label.shape[0]
    if factor > 1 and (height, width) == (label.shape[0] * factor, label.shape[1] * factor):
        return resize_nearest(label, height, width)
    return label


def read_label(path: Path, space: LabelSpace) -> Tensor:
    """Return a label map of one file as uint8 H x W ids of a label space.

    It is an 8-bit PNG whose grey value or palette index is the value of a class. For a label space
    of the user's own it may also be a colour picture, whose colours name the classes.

    Raises:
        DataError: the file is damaged, or holds an unknown value or colour.
    """
    image = decoded(path)
    if image.mode in ("RGB", "RGBA") and space.path is not None:
        return _label_of_colours(path, image.convert("RGB"), space)
    if image.mode not in ("L", "P"):
        raise DataError(
            f"{path}: mode {image.mode}; expected an 8-bit PNG whose grey or palette index "
            "is the label id, not a colour picture of it"
        )
    label = torch.from_numpy(np.array(image))
    counts = torch.bincount(label.flatten(), minlength=256)
    unknown = torch.nonzero((counts > 0) & ~space.known).flatten().tolist()
    if unknown:
        found = ", ".join(f"id {entry} ({counts[entry]} pixels)" for entry in unknown[:5])
        raise DataError(
            f"{path}: {found}; label space '{space.name}' knows ids "
            f"{space.classes[0].id} to {space.classes[-1].id}{_next(space)}"
        )
    return space.from_disk(label)


def _label_of_colours(path: Path, image: Image.Image, space: LabelSpace) -> Tensor:
    """Return the ids for a picture whose colours are those of a label space's classes."""
    pixels = np.array(image).astype(np.int32)
    codes, inverse, counts = np.unique(
        pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2],
        return_inverse=True,
        return_counts=True,
    )
    ids: dict[int, int] = {}
    twice: dict[int, list[str]] = {}
    for entry in space.classes:
        red, green, blue = entry.colour
        code = red << 16 | green << 8 | blue
        twice.setdefault(code, []).append(entry.name)
        ids[code] = entry.id
    unknown = [n for n in np.argsort(-counts) if int(codes[n]) not in ids]
    if unknown:
        found = ", ".join(f"colour {_rgb(int(codes[n]))} ({counts[n]} pixels)" for n in unknown[:5])
        more = f" and {len(unknown) - 5} more colours" if len(unknown) > 5 else ""
        raise DataError(
            f"{path}: {found}{more}; no class of label space '{space.name}' has it{_next(space)}"
        )
    for code in codes.tolist():
        if len(twice[code]) > 1:
            raise DataError(
                f"{path}: colour {_rgb(code)} is that of {' and '.join(twice[code])}; in "
                f"colour-coded label maps each class needs its own{_next(space)}"
            )
    table = torch.tensor([ids[code] for code in codes.tolist()], dtype=torch.uint8)
    return table[torch.from_numpy(inverse.reshape(pixels.shape[:2]))]


def _rgb(code: int) -> str:
    return f"[{code >> 16}, {code >> 8 & 255}, {code & 255}]"


def _next(space: LabelSpace) -> str:
    if space.path is None:
        return ""
    return f".\nNext: add the class to {space.path}, or correct the label map"
