"""What a brush, a polygon or a fill covers: bool H x W masks.

A pixel is covered if its centre is. Coordinates are those of ``hdbench.schema.editing``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from scipy import ndimage

from hdbench.schema.editing import Paint

Mask = NDArray[np.bool_]


def brush_mask(size: tuple[int, int], points: Sequence[tuple[float, float]], radius: float) -> Mask:
    """Return the pixels within ``radius`` of the line through some points."""
    mask = np.zeros(size, bool)
    ends = list(points[1:]) or [points[0]]
    for start, end in zip(points, ends, strict=False):
        here = _window(size, np.array([start, end]), radius)
        rows, columns = _centres(here)
        along = np.subtract(end, start)
        length = float(along @ along)
        from_start = np.stack(np.broadcast_arrays(columns - start[0], rows - start[1]))
        nearest = np.tensordot(along, from_start, 1) / length if length else np.zeros(1)
        away = from_start - along[:, None, None] * np.clip(nearest, 0, 1)
        mask[here] |= (away**2).sum(axis=0) <= radius**2
    return mask


def polygon_mask(size: tuple[int, int], points: Sequence[tuple[float, float]]) -> Mask:
    """Return the pixels inside a polygon, which is closed from its last point to its first."""
    mask = np.zeros(size, bool)
    corners = np.array([*points, points[0]])
    here = _window(size, corners, 0)
    rows, columns = _centres(here)
    grid = np.stack(np.broadcast_arrays(columns, rows), axis=-1)
    inside = Outline(corners, closed=True).contains_points(grid.reshape(-1, 2))
    mask[here] = inside.reshape(grid.shape[:2])
    return mask


def joined_mask(regions: NDArray[np.integer], at: tuple[float, float]) -> Mask:
    """Return the pixels of the region at a point that are joined to it by their sides."""
    height, width = regions.shape
    column, row = int(np.floor(at[0])), int(np.floor(at[1]))
    if not (0 <= row < height and 0 <= column < width):
        return np.zeros(regions.shape, bool)
    parts, _ = ndimage.label(regions == regions[row, column])  # pyright: ignore[reportGeneralTypeIssues]
    return np.asarray(parts == parts[row, column])


def paint_mask(paint: Paint, regions: NDArray[np.integer]) -> Mask:
    """Return the pixels that an edit paints in a scene of these regions."""
    size = (regions.shape[0], regions.shape[1])
    match paint.tool:
        case "brush":
            assert paint.radius is not None
            return brush_mask(size, paint.points, paint.radius)
        case "polygon":
            return polygon_mask(size, paint.points)
        case "fill":
            return joined_mask(regions, paint.points[0])


def _window(
    size: tuple[int, int], points: NDArray[np.floating], margin: float
) -> tuple[slice, slice]:
    """Return rows and columns that hold all pixels within ``margin`` of the points' box."""
    low = np.floor(points.min(axis=0) - margin).astype(int)
    high = np.ceil(points.max(axis=0) + margin).astype(int) + 1
    (left, top), (right, bottom) = np.maximum(low, 0), np.maximum(high, 0)
    return slice(top, min(bottom, size[0])), slice(left, min(right, size[1]))


def _centres(window: tuple[slice, slice]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the centres of a window's pixels: rows as a column, columns as a row."""
    rows, columns = (np.arange(part.start, max(part.stop, part.start)) + 0.5 for part in window)
    return rows[:, None], columns[None, :]
