"""Noise and periodic bands, as functions of positions on a surface in metres.

``foot`` is the size of a pixel on the surface: patterns finer than it fade into their mean.
"""

from __future__ import annotations

import numpy as np

from hdbench.streets.canvas import Array, clamped

_SIDE = 256


def _tile() -> Array:
    raw = np.random.PCG64(20180618).random_raw(_SIDE * _SIDE)
    return ((raw >> np.uint64(11)) * 2.0**-53).astype(np.float32)


#: Uniform values in [0, 1), flat, indexed by row * 256 + column.
_TILE = _tile()


def cell_value(column: Array, row: Array) -> Array:
    """Return a value in [0, 1) for each cell of an integer grid; arguments broadcast."""
    return _TILE[((row.astype(np.int32) & 255) << 8) + (column.astype(np.int32) & 255)]


def noise(u: Array, v: Array) -> Array:
    """Return smooth noise in [0, 1) with features of size 1; arguments broadcast."""
    left, top = np.floor(u), np.floor(v)
    x, y = u - left, v - top
    x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)
    column, row = left.astype(np.int32), top.astype(np.int32)
    here, right = column & 255, (column + 1) & 255
    above, below = (row & 255) << 8, ((row + 1) & 255) << 8
    upper = _TILE[above + here]
    upper += x * (_TILE[above + right] - upper)
    lower = _TILE[below + here]
    lower += x * (_TILE[below + right] - lower)
    upper += y * (lower - upper)
    return upper


def band(t: Array, low: float, high: float, foot: Array | float) -> Array:
    """Return how much of a pixel at ``t`` lies between two positions, 0 to 1."""
    return clamped((t - low) / foot + 0.5) * clamped((high - t) / foot + 0.5)


def stripes(t: Array, period: float, share: float, foot: Array | float) -> Array:
    """Return coverage by stripes around the middle of each period.

    ``share`` is their width as a part of the period; ``foot`` is a pixel's size. With pixels larger
    than a period the share itself is returned.
    """
    middle = np.abs(t - np.floor(t / period) * period - period / 2)
    cover = clamped((share * period / 2 - middle) / foot + 0.5)
    blur = np.minimum(foot / period, 1.0)
    return cover + blur * blur * (share - cover)
