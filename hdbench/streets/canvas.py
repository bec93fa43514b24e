"""Painting antialiased shapes, with a code per pixel for the object that it belongs to.

A pixel's colour is blended by the shape's coverage; its code is that of the last shape that
contains its centre. Pixels are computed only with additions, multiplications, divisions, square
roots and comparisons, which are exact in IEEE arithmetic, so every machine paints the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Of float32 wherever pixels are many.
Array = NDArray[np.floating[Any]]
Colour = Sequence[float] | Array
Point = tuple[float, float]
#: Rows and columns of a rectangle of pixels.
Window = tuple[slice, slice]

#: Shapes narrower than this, in pixels, are not painted; the second holds for mere details, which
#: change no label.
_FINEST, _FINEST_DETAIL = 0.6, 1.1


def _finest(code: int | None) -> float:
    return _FINEST_DETAIL if code is None else _FINEST


def planes(colour: Sequence[float]) -> Array:
    """Return an RGB colour as 3 x 1 x 1, which broadcasts over pixels."""
    return np.array(colour, np.float32).reshape(3, 1, 1)


def clamped(values: Array) -> Array:
    """Return values held between 0 and 1, in place."""
    np.maximum(values, 0.0, out=values)
    return np.minimum(values, 1.0, out=values)


class Canvas:
    """A picture in the making. Coordinates are pixels: x to the right, y down."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        #: float32 3 x H x W, 0 to 255.
        self.colour = np.zeros((3, height, width), np.float32)
        #: uint16 H x W: which part each pixel belongs to (``part``).
        self.code = np.zeros((height, width), np.uint16)
        self._parts: list[tuple[int, int]] = [(0, 0)]
        self._counts: dict[int, int] = {}
        self._xs = np.arange(width, dtype=np.float32) + np.float32(0.5)
        self._ys = np.arange(height, dtype=np.float32) + np.float32(0.5)

    def stuff(self, label: int) -> int:
        """Return the code of a label without instances: its instance id is the bare label id."""
        return self._code(label, label)

    def thing(self, label: int) -> int:
        """Return the code of a new instance of a label: label * 1000 + 0, 1, 2, ..."""
        count = self._counts.get(label, 0)
        self._counts[label] = count + 1
        return self._code(label, label * 1000 + count)

    def _code(self, label: int, instance: int) -> int:
        entry = (label, instance)
        if entry not in self._parts:
            self._parts.append(entry)
        return self._parts.index(entry)

    def labels(self) -> NDArray[np.uint8]:
        """Return uint8 H x W label ids."""
        return np.array([label for label, _ in self._parts], np.uint8)[self.code]

    def instances(self) -> NDArray[np.int32]:
        """Return int32 H x W instance ids."""
        return np.array([instance for _, instance in self._parts], np.int32)[self.code]

    def window(self, left: float, top: float, right: float, bottom: float) -> Window | None:
        """Return the pixels that a box touches, or None if it touches none."""
        x0, y0 = max(0, int(left - 0.5)), max(0, int(top - 0.5))
        x1, y1 = min(self.width, int(right + 1.5)), min(self.height, int(bottom + 1.5))
        if right < 0 or bottom < 0 or x0 >= x1 or y0 >= y1:
            return None
        return slice(y0, y1), slice(x0, x1)

    def xs(self, window: Window) -> Array:
        """Return the centres of a window's columns."""
        return self._xs[window[1]]

    def ys(self, window: Window) -> Array:
        """Return the centres of a window's rows."""
        return self._ys[window[0]]

    def blend(
        self,
        window: Window,
        cover: Array,
        colour: Colour,
        inside: NDArray[np.bool_] | None,
        code: int | None,
    ) -> None:
        """Paint a window with one RGB colour, or an array 3 x h x w.

        ``cover``, h x w, is 0 to 1; ``inside``, h x w, says whether a pixel's centre is in the
        shape; ``code`` is what it belongs to, or None to leave that as it is.
        """
        view = self.colour[:, window[0], window[1]]
        if not isinstance(colour, np.ndarray):
            colour = planes(colour)
        change = colour - view
        change *= cover
        view += change
        if code is not None and inside is not None:
            np.copyto(self.code[window], np.uint16(code), where=inside)

    def darken(
        self, points: Sequence[Point], factor: Sequence[float], softness: float = 1.0
    ) -> None:
        """Multiply the colours under a convex polygon; what pixels belong to stays."""
        shape = self._convex(points, _FINEST)
        if shape is None:
            return
        window, distance = shape
        cover = clamped(distance / softness + 0.5)
        view = self.colour[:, window[0], window[1]]
        view *= 1 + cover * (planes(factor) - 1)

    def polygon(
        self, points: Sequence[Point], colour: Colour, code: int | None, opacity: float = 1.0
    ) -> None:
        """Paint a convex polygon."""
        shape = self._convex(points, _finest(code))
        if shape is None:
            return
        window, distance = shape
        cover = clamped(distance + 0.5)
        if opacity != 1.0:
            cover *= opacity
        self.blend(window, cover, colour, distance > 0, code)

    def _convex(self, points: Sequence[Point], finest: float) -> tuple[Window, Array] | None:
        """Return a convex polygon's window and each pixel's distance inside it, in pixels."""
        columns = [x for x, _ in points]
        rows = [y for _, y in points]
        left, right, top, bottom = min(columns), max(columns), min(rows), max(rows)
        if right - left < finest or bottom - top < finest:
            return None
        window = self.window(left, top, right, bottom)
        if window is None:
            return None
        edges = []
        area, (ax, ay) = 0.0, points[-1]
        for bx, by in points:
            dx, dy = bx - ax, by - ay
            length = sqrt(dx * dx + dy * dy)
            area += ax * by - bx * ay
            if length:
                edges.append((-dy / length, dx / length, (dy * ax - dx * ay) / length))
            ax, ay = bx, by
        if area == 0:
            return None
        normals = np.array(edges) if area > 0 else -np.array(edges)
        across = (normals[:, :1] * self.xs(window)).astype(np.float32)
        down = (normals[:, 1:2] * self.ys(window) + normals[:, 2:]).astype(np.float32)
        return window, (down[:, :, None] + across[:, None, :]).min(axis=0)

    def rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        code: int | None,
    ) -> None:
        """Paint an upright rectangle; thin ones cover the exact share of each pixel."""
        if (right - left) * (bottom - top) < _finest(code) ** 2:
            return
        window = self.window(left, top, right, bottom)
        if window is None:
            return
        xs, ys = self.xs(window), self.ys(window)
        across = np.minimum(xs + 0.5, right) - np.maximum(xs - 0.5, left)
        down = np.minimum(ys + 0.5, bottom) - np.maximum(ys - 0.5, top)
        cover = np.maximum(down, 0.0)[:, None] * np.maximum(across, 0.0)[None, :]
        inside = ((ys >= top) & (ys < bottom))[:, None] & ((xs >= left) & (xs < right))[None, :]
        self.blend(window, cover, colour, inside, code)

    def ellipse(
        self,
        centre: Point,
        rx: float,
        ry: float,
        colour: Colour,
        code: int | None,
        opacity: float = 1.0,
        hole: float = 0.0,
    ) -> None:
        """Paint an upright ellipse, or the ring between it and ``hole`` times its radii."""
        if 2 * min(rx, ry) < _finest(code):
            return
        (x, y) = centre
        window = self.window(x - rx, y - ry, x + rx, y + ry)
        if window is None:
            return
        across, down = (self.xs(window) - x) / rx, (self.ys(window) - y) / ry
        radius = np.sqrt((down * down)[:, None] + (across * across)[None, :])
        small = min(rx, ry)
        cover = clamped((1 - radius) * small + 0.5)
        if hole:
            cover *= clamped((radius - hole) * small + 0.5)
        if opacity != 1.0:
            cover *= opacity
        self.blend(window, cover, colour, radius < 1, code)

    def line(
        self, start: Point, end: Point, thickness: float, colour: Colour, code: int | None
    ) -> None:
        """Paint a straight line with square ends."""
        (ax, ay), (bx, by) = start, end
        length = sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
        if length == 0:
            return
        px, py = -(by - ay) / length * thickness / 2, (bx - ax) / length * thickness / 2
        corners = [(ax + px, ay + py), (bx + px, by + py), (bx - px, by - py), (ax - px, ay - py)]
        self.polygon(corners, colour, code)
