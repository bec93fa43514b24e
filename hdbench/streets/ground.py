"""What lies flat: sky, road, pavements, verges; and the shadows on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdbench.streets.canvas import Array, clamped, planes
from hdbench.streets.draws import Draws
from hdbench.streets.ids import Id
from hdbench.streets.textures import band, noise, stripes
from hdbench.streets.view import NEAR, RGB, View


@dataclass(frozen=True)
class Strip:
    """A strip of ground along the street, from ``left`` to the next strip's left, in metres."""

    left: float
    label: Id
    colour: RGB


@dataclass(frozen=True)
class Crossing:
    """A street that crosses, in metres ahead."""

    near: float
    far: float

    def holds(self, z: float, margin: float = 0.0) -> bool:
        """Return whether a distance lies in it."""
        return self.near - margin <= z < self.far + margin


def paint_sky(view: View, draws: Draws) -> None:
    """Paint the whole picture as sky: a gradient with clouds."""
    canvas, light = view.canvas, view.light
    height = canvas.height
    drift, shift = draws.uniform(0, 200), draws.uniform(0, 200)
    amount = draws.uniform(-0.1, 0.35) if light.name != "overcast" else 0.5
    size = draws.uniform(0.7, 1.6)
    window = canvas.window(0, 0, canvas.width, min(view.level + 0.05 * height, height))
    assert window is not None
    ys, xs = canvas.ys(window)[:, None], canvas.xs(window)
    rise = np.clip((view.level - ys) / view.level, 0.0, 1.0)
    zenith = planes(light.zenith)
    horizon = planes(light.horizon)
    colours = horizon + (rise * (2 - rise)) * (zenith - horizon)
    away = 1 / (0.12 + rise)
    u, v = (xs - view.centre) / height * away * size + drift, 2.2 * away * size + shift
    cloud = 0.62 * noise(u, v) + 0.38 * noise(2.3 * u, 2.3 * v)
    thick = np.clip((cloud - 0.62 + amount * 0.4) * 4, 0.0, 1.0) * np.clip(rise * 5, 0.0, 1.0)
    lit = 0.5 + 0.5 * noise(2.3 * u + 0.2, 2.3 * v + 0.3)
    white = horizon + 0.55 * (np.float32(252) - horizon) if light.lamps < 0.2 else horizon
    colours = colours + thick * (white * (0.78 + 0.22 * lit) - colours)
    everywhere = np.ones(colours.shape[1:], np.bool_)
    canvas.blend(window, np.ones((1, 1), np.float32), colours, everywhere, canvas.stuff(Id.SKY))


class Ground:
    """The ground from one side to the other.

    ``strips`` are from left to right; the first reaches to the left without end. ``road`` is its
    left and right border, ``lanes`` where lane markings run, in metres from the camera.
    ``crossing`` is a street that crosses, or None.
    """

    def __init__(
        self,
        strips: Sequence[Strip],
        road: tuple[float, float],
        lanes: Sequence[float],
        crossing: Crossing | None,
        draws: Draws,
    ) -> None:
        self.strips, self.road, self.lanes, self.crossing = strips, road, lanes, crossing
        self._offset = (draws.uniform(0, 250), draws.uniform(0, 250))
        self._slab = draws.uniform(0.6, 1.1)
        self._dash = draws.uniform(4.5, 8.0)
        self._paint = draws.pick(((222, 220, 212), (205, 202, 196), (214, 190, 110)))
        self._zebra = crossing.near - 4.2 if crossing and draws.chance(0.75) else None
        self._patches = [
            (draws.uniform(*road), draws.uniform(3, 40), draws.uniform(0.4, 1.6),
             draws.uniform(0.8, 5.0), draws.uniform(0.72, 1.14))
            for _ in range(draws.integer(2, 7))
        ]  # fmt: skip
        self._manholes = [
            (draws.uniform(*road), draws.uniform(3.5, 20)) for _ in range(draws.integer(0, 3))
        ]

    def paint(self, view: View) -> None:
        """Paint everything below the horizon."""
        canvas = view.canvas
        window = canvas.window(0, view.level + 0.5, canvas.width, canvas.height)
        assert window is not None
        ys, xs = canvas.ys(window)[:, None], canvas.xs(window)
        z = view.eye * view.focal / np.maximum(ys - view.level, np.float32(0.25))
        metre = z / view.focal
        x = (xs - view.centre) * metre
        deep = z * z / (view.focal * view.eye)  # a pixel's length along the street
        colours, codes = self._surfaces(view, x, z, metre, deep)
        self._mark(colours, x, z, metre, deep)
        everywhere = np.ones(codes.shape, np.bool_)
        seen = view.lit_surface(colours, "up", z)
        canvas.blend(window, np.ones((1, 1), np.float32), seen, everywhere, None)
        canvas.code[window] = codes
        for left, ahead in self._manholes:
            self._manhole(view, left, ahead)

    def _surfaces(
        self, view: View, x: Array, z: Array, metre: Array, deep: Array
    ) -> tuple[Array, NDArray[np.uint16]]:
        """Return each strip's own colour with its grain, and the codes."""
        du, dv = self._offset
        near = 1 / (1 + 6 * metre)  # grain fades with distance
        grit = noise(7 * x + 3 * z + du, 7 * z - 3 * x + dv) + noise(15 * x + dv, 11 * z + du)
        fine = (0.6 * grit - 0.6) * near
        coarse = noise(0.55 * x + du, 0.21 * z + dv) - 0.5
        slabs = np.maximum(
            stripes(x + 50, self._slab, 0.08, metre), stripes(z, self._slab, 0.08, deep)
        )
        grain: dict[Id, Array] = {
            Id.ROAD: 1 + 0.30 * fine + 0.14 * coarse,
            Id.SIDEWALK: (1 + 0.14 * fine + 0.12 * coarse) * (1 - 0.26 * slabs),
            Id.TERRAIN: 1 + 0.55 * fine + 0.5 * coarse
            + 0.35 * (noise(2.6 * x + dv, 2.2 * z + du) - 0.5) * near,
            Id.PARKING: (1 + 0.22 * fine + 0.1 * coarse)
            * (1 - 0.3 * stripes(z + 1, 0.42, 0.14, deep)),
            Id.RAIL_TRACK: 1 + 0.5 * fine - 0.35 * stripes(z, 0.65, 0.4, deep),
        }  # fmt: skip
        first = self.strips[0]
        colours = _painted(first, grain)
        codes = np.full(x.shape, view.canvas.stuff(first.label), np.uint16)
        for strip in self.strips[1:]:
            cover = clamped((x - strip.left) / metre + 0.5)
            colours += cover * (_painted(strip, grain) - colours)
            np.copyto(codes, np.uint16(view.canvas.stuff(strip.label)), where=x >= strip.left)
        self._kerbs(colours, x, z, metre)
        if self.crossing is not None:
            road = next(strip for strip in self.strips if strip.label is Id.ROAD)
            cover = band(z, self.crossing.near, self.crossing.far, deep)
            colours += cover * (_painted(road, grain) - colours)
            across = (z >= self.crossing.near) & (z < self.crossing.far)
            np.copyto(codes, np.uint16(view.canvas.stuff(Id.ROAD)), where=across)
        return colours, codes

    def _kerbs(self, colours: Array, x: Array, z: Array, metre: Array) -> None:
        for border in self.road:
            colours *= 1 + 0.22 * band(x, border - 0.14, border + 0.14, metre)
            colours *= 1 - 0.3 * band(x, border - 0.05, border + 0.05, metre)

    def _mark(self, colours: Array, x: Array, z: Array, metre: Array, deep: Array) -> None:
        """Paint patches, lane markings and the zebra crossing onto the road."""
        left, right = self.road
        for at, ahead, wide, long, factor in self._patches:
            low, high = max(at - wide, left), min(at + wide, right)
            cover = band(x, low, high, metre) * band(z, ahead, ahead + long, deep)
            colours *= 1 + (factor - 1) * cover
        stop = self.crossing.near - 1 if self.crossing else 0.0
        paint = planes(self._paint)
        open_road = np.float32(1.0)
        if self.crossing is not None:
            open_road = 1 - band(z, stop - 4, self.crossing.far + 1, deep)
        for n, lane in enumerate(self.lanes):
            cover = band(x, lane - 0.09, lane + 0.09, metre)
            if n == 0:
                cover = cover * stripes(z, self._dash, 0.5, deep)
            colours += 0.85 * cover * open_road * (paint - colours)
        if self._zebra is not None:
            bars = stripes(x - left, 1.0, 0.5, metre) * band(x, left, right, metre)
            cover = bars * band(z, self._zebra, self._zebra + 3.2, deep)
            colours += 0.85 * cover * (np.float32(216) - colours)

    def _manhole(self, view: View, x: float, z: float) -> None:
        if not self.road[0] + 0.5 < x < self.road[1] - 0.5:
            return
        centre = view.project(x, 0, z)
        wide = 0.34 * view.focal / z
        deep = 0.34 * view.eye * view.focal / (z * z)
        view.canvas.ellipse(centre, wide, deep, view.lit((62, 60, 60), "up", z), None)
        view.canvas.ellipse(centre, wide, deep, view.lit((92, 90, 88), "up", z), None, hole=0.78)


def _painted(strip: Strip, grain: dict[Id, Array]) -> Array:
    return planes(strip.colour) * grain[strip.label]


def paint_rails(view: View, x: float, far: float) -> None:
    """Paint the two rails of a track whose middle runs at ``x``."""
    for side in (-0.72, 0.72):
        left, right = x + side - 0.06, x + side + 0.06
        corners = [(left, NEAR), (right, NEAR), (right, far), (left, far)]
        points = [view.project(a, 0.0, z) for a, z in corners]
        view.canvas.polygon(points, view.lit((168, 164, 160), "up", 8.0), None)


def cast_shadow(view: View, x0: float, x1: float, z0: float, z1: float, height: float) -> None:
    """Darken the ground beneath a thing and on the side away from the sun."""
    under = 0.12
    view.shadow(
        [(x0 - under, z0 - 0.1), (x1 + under, z0 - 0.1), (x1 + under, z1), (x0 - under, z1)]
    )
    if view.light.sun[0] < 0.2:
        return
    reach = -view.sun_side * 0.9 * height
    if reach > 0:
        corners = [(x1, z0 - 0.1), (x1 + reach, z0 + 0.5), (x1 + reach, z1 + 0.5), (x1, z1)]
    else:
        corners = [(x0, z0 - 0.1), (x0 + reach, z0 + 0.5), (x0 + reach, z1 + 0.5), (x0, z1)]
    view.shadow(corners)
