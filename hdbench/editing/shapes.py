"""Shapes of instances of the data, to be stamped into scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hdbench.data.scene import Scene
from hdbench.errors import UsageError, suggestion
from hdbench.styles import instances_of

#: An instance is a shape if it covers so many pixels at least, and is nowhere cut by the border.
_LEAST_PIXELS = 40
#: Shapes of one class, the largest first.
_MOST_OF_CLASS = 12


@dataclass(frozen=True)
class Shape:
    """The silhouette of one instance."""

    #: ``SCENE:REGION``, where it is from.
    name: str
    label: int
    #: bool h x w; its outermost rows and columns are not empty.
    mask: NDArray[np.bool_]

    def placed(
        self, size: tuple[int, int], at: tuple[float, float], scale: float, flip: bool
    ) -> NDArray[np.bool_]:
        """Return bool H x W: the shape with the middle of its lower edge at a point ``x, y``.

        It is scaled to the nearest whole pixels, by the nearest pixel.
        """
        mask = self.mask[:, ::-1] if flip else self.mask
        height, width = (max(1, round(side * scale)) for side in mask.shape)
        rows = (np.arange(height) * 2 + 1) * mask.shape[0] // (2 * height)
        columns = (np.arange(width) * 2 + 1) * mask.shape[1] // (2 * width)
        top, left = round(at[1]) - height, round(at[0] - width / 2)
        placed = np.zeros(size, bool)
        inside = (slice(max(top, 0), top + height), slice(max(left, 0), left + width))
        here = placed[inside] if top + height > 0 and left + width > 0 else placed[:0, :0]
        above, before = max(-top, 0), max(-left, 0)
        scaled = mask[rows][:, columns]
        here |= scaled[above : above + here.shape[0], before : before + here.shape[1]]
        return placed


class Shapes:
    """The shapes of some scenes, by name."""

    def __init__(self, shapes: Iterable[Shape]) -> None:
        self._shapes = {shape.name: shape for shape in shapes}

    def __getitem__(self, name: str) -> Shape:
        """Return a shape; UsageError if there is no such one."""
        if name not in self._shapes:
            raise UsageError(f"no shape '{name[:80]}'{suggestion(name, self._shapes)}")
        return self._shapes[name]

    def __iter__(self) -> Iterator[Shape]:
        return iter(self._shapes.values())

    def __len__(self) -> int:
        return len(self._shapes)


def shapes_of(scenes: Iterable[Scene], things: frozenset[int]) -> Shapes:
    """Return the shapes of instances in some scenes: whole, in one piece, the largest of a class.

    An instance that touches the border of its scene, or consists of several pieces because
    something stands before it, is left out.
    """
    found: dict[int, list[Shape]] = {}
    for scene in scenes:
        regions = scene.regions.numpy()
        for entry in instances_of(scene):
            if entry.label not in things or entry.pixels < _LEAST_PIXELS:
                continue
            mask = regions == entry.region
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            height, width = mask.shape
            if rows[0] == 0 or columns[0] == 0 or rows[-1] == height - 1:
                continue
            if columns[-1] == width - 1:
                continue
            crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            _, pieces = ndimage.label(crop, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
            if pieces == 1:
                name = f"{scene.name}:{entry.region}"
                found.setdefault(entry.label, []).append(Shape(name, entry.label, crop.copy()))
    chosen = []
    for _, shapes in sorted(found.items()):
        by_size = sorted(shapes, key=lambda shape: (-int(shape.mask.sum()), shape.name))
        chosen += by_size[:_MOST_OF_CLASS]
    return Shapes(chosen)
