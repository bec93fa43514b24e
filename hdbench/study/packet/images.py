"""The pixels of a packet: methods' images, control images, and patterns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import ImageFilter
from torch import Tensor

from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_photograph, read_scene
from hdbench.data.scene import resize_photograph
from hdbench.data.sheets import png_bytes, to_pil
from hdbench.errors import DataError
from hdbench.provenance import derived_seed
from hdbench.workspace.bench import Bench

#: The standard deviation of the blur of checks, as a share of the image's width.
_BLUR = 1 / 40
#: Tiles of a pattern along the image's shorter side.
_TILES = 16


def method_png(path: Path) -> bytes:
    """Return a method's image as PNG with the same pixels and without metadata.

    Raises:
        DataError: it is damaged, or not 8-bit RGB or grey.
    """
    return png_bytes(read_photograph(path))


def photograph_png(path: Path, height: int, width: int) -> bytes:
    """Return a photograph as PNG at the benchmark's size, resized as for scoring."""
    return png_bytes(resize_photograph(read_photograph(path), height, width))


def control_png(bench: Bench, entry: SceneFiles, shows: str) -> bytes:
    """Return a training scene as PNG: its ``photograph``, painted ``label`` map, or ``blur``.

    Raises:
        DataError: a file is damaged.
    """
    size = bench.benchmark.size
    scene = read_scene(entry, bench.space).resized(size.height, size.width)
    assert scene.image is not None
    if shows == "label":
        return png_bytes(bench.space.paint(scene.label))
    if shows == "photograph":
        return png_bytes(scene.image)
    radius = size.width * _BLUR
    blurred = to_pil(scene.image).filter(ImageFilter.GaussianBlur(radius))
    return png_bytes(torch.from_numpy(np.array(blurred)).permute(2, 0, 1))


def mask_pngs(bench: Bench, count: int, seed: int) -> list[bytes]:
    """Return patterns as PNG at the benchmark's size: shuffled tiles of training photographs.

    They have the colours and edges of photographs, but show no object.

    Raises:
        DataError: a photograph is damaged.
    """
    size = bench.benchmark.size
    scenes = bench.dataset.train_scenes
    sources = _photographs(bench, scenes[:: max(1, len(scenes) // 4)][:4])
    tile = max(1, min(size.height, size.width) // _TILES)
    rows, columns = -(-size.height // tile), -(-size.width // tile)
    bits = np.random.PCG64(derived_seed("study", "masks", seed))
    masks = []
    for _ in range(count):
        draws = bits.random_raw(rows * columns * 3).reshape(rows, columns, 3)
        canvas = torch.zeros((3, rows * tile, columns * tile), dtype=torch.uint8)
        for row in range(rows):
            for column in range(columns):
                which, top, left = draws[row, column].tolist()
                source = sources[which % len(sources)]
                top %= source.shape[1] - tile + 1
                left %= source.shape[2] - tile + 1
                patch = source[:, top : top + tile, left : left + tile]
                canvas[:, row * tile : (row + 1) * tile, column * tile : (column + 1) * tile] = (
                    patch
                )
        masks.append(png_bytes(canvas[:, : size.height, : size.width]))
    return masks


def _photographs(bench: Bench, scenes: Sequence[SceneFiles]) -> list[Tensor]:
    size = bench.benchmark.size
    if not scenes:
        raise DataError(f"benchmark '{bench.benchmark.name}' has no training photographs")
    return [
        resize_photograph(read_photograph(entry.image), size.height, size.width) for entry in scenes
    ]
