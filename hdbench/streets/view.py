"""Camera, light, and painting in metres instead of pixels.

World: X to the right of the camera, Y up from the road, Z ahead; metres. A facing is the visible
side of a thing: its "front" towards the camera, "left" or "right" across the street, "up".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hdbench.streets.canvas import Array, Canvas, Point, clamped, planes
from hdbench.streets.draws import Draws

RGB = tuple[float, float, float]
Facing = Literal["front", "left", "right", "up"]
#: A surface's own colour, 3 x h x w, from positions u (along) and v (up), and a pixel's size in
#: both, all in metres.
Shader = Callable[[Array, Array, "Array | float", "Array | float"], Array]

#: Nothing nearer than this is painted, in metres.
NEAR = 1.6


@dataclass(frozen=True)
class Light:
    """A time of day."""

    name: str
    zenith: RGB
    horizon: RGB
    #: Share of light that comes from everywhere, by channel.
    ambient: RGB
    #: Light of the sun on a surface that faces it, by channel.
    sun: RGB
    #: Distance in metres at which half of what is seen is haze.
    haze: float
    #: What the ground keeps of its light in a shadow.
    shadow: RGB
    #: Share of windows and lamps that are lit.
    lamps: float


LIGHTS = (
    Light("morning", (118, 158, 208), (238, 222, 200), (0.58, 0.62, 0.70), (0.56, 0.48, 0.34),
          190, (0.62, 0.66, 0.74), 0.05),
    Light("noon", (74, 128, 204), (186, 212, 234), (0.62, 0.66, 0.72), (0.50, 0.47, 0.42),
          420, (0.55, 0.58, 0.66), 0.0),
    Light("overcast", (172, 178, 186), (206, 208, 210), (0.84, 0.85, 0.86), (0.08, 0.08, 0.08),
          230, (0.86, 0.86, 0.87), 0.05),
    Light("evening", (98, 112, 160), (244, 186, 136), (0.58, 0.56, 0.60), (0.50, 0.40, 0.28),
          260, (0.62, 0.62, 0.72), 0.25),
    Light("dusk", (66, 76, 116), (170, 140, 140), (0.70, 0.68, 0.74), (0.08, 0.06, 0.05),
          230, (0.80, 0.80, 0.84), 0.45),
    Light("fog", (190, 193, 197), (200, 202, 204), (0.82, 0.83, 0.85), (0.04, 0.04, 0.04),
          130, (0.92, 0.92, 0.93), 0.2),
)  # fmt: skip


class View:
    """A canvas seen through a camera under a light."""

    def __init__(self, canvas: Canvas, draws: Draws) -> None:
        self.canvas = canvas
        #: Height of the camera above the road, in metres.
        self.eye = draws.uniform(1.6, 2.3)
        #: Pixels per metre at a distance of one metre.
        self.focal = draws.uniform(1.3, 1.55) * canvas.height
        #: Column of the vanishing point and row of the horizon, in pixels.
        self.centre = draws.uniform(0.86, 1.14) * canvas.height
        self.level = draws.uniform(0.40, 0.48) * canvas.height
        self.light = draws.weighted(dict(zip(LIGHTS, (22, 30, 22, 14, 6, 6), strict=True)))
        #: -1 or 1: the side of the street from which the sun shines.
        self.sun_side = draws.pick((-1, 1))
        behind = draws.uniform(0.15, 0.7)  # how much the sun stands behind the camera
        towards: dict[Facing, float] = {
            "up": 0.8,
            "front": behind,
            "left": 0.95 if self.sun_side < 0 else 0.0,
            "right": 0.95 if self.sun_side > 0 else 0.0,
        }
        #: Light that a surface receives, by facing and channel.
        self._received = {
            facing: _mixed(self.light.ambient, self.light.sun, 1.0, share)
            for facing, share in towards.items()
        }
        #: What far things fade into.
        self.mist = _mixed(self.light.zenith, self.light.horizon, 0.25, 0.75)

    def project(self, x: float, y: float, z: float) -> Point:
        """Return where a point of the world is seen."""
        scale = self.focal / z
        return self.centre + x * scale, self.level - (y - self.eye) * scale

    def shows(self, x0: float, x1: float, z0: float, z1: float) -> bool:
        """Return whether any of what stands between these borders may be seen."""
        near, far = self.focal / max(z0, NEAR), self.focal / max(z1, NEAR)
        right = self.centre + max(x1 * near, x1 * far)
        left = self.centre + min(x0 * near, x0 * far)
        return right > 0 and left < self.canvas.width

    def lit(self, colour: Sequence[float], facing: Facing, z: float) -> RGB:
        """Return a colour as it is seen: in this light and through the haze."""
        veil = z / (z + self.light.haze)
        received, mist = self._received[facing], self.mist
        red, green, blue = (colour[n] * received[n] * (1 - veil) + mist[n] * veil for n in range(3))
        return red, green, blue

    def lit_surface(self, colours: Array, facing: Facing, z: Array | float) -> Array:
        """Return 3 x h x w colours as they are seen at distances that broadcast to h x w."""
        colours *= planes(self._received[facing])
        veil = z / (z + self.light.haze)
        colours += veil * (planes(self.mist) - colours)
        return colours

    def glowing(self, colour: RGB, z: float) -> RGB:
        """Return a lamp's colour as it is seen: haze dims it, darkness does not."""
        veil = 0.5 * z / (z + self.light.haze)
        return _mixed(colour, self.mist, 1 - veil, veil)

    def face(
        self,
        points: Sequence[tuple[float, float, float]],
        colour: Sequence[float],
        facing: Facing,
        code: int | None,
        opacity: float = 1.0,
    ) -> None:
        """Paint a flat convex face, given by its corners in the world."""
        near = min(z for _, _, z in points)
        if near < NEAR:
            points = [(x, y, max(z, NEAR)) for x, y, z in points]
        seen = [self.project(*point) for point in points]
        self.canvas.polygon(seen, self.lit(colour, facing, max(near, NEAR)), code, opacity)

    def upright(
        self,
        x0: float,
        x1: float,
        y0: float,
        y1: float,
        z: float,
        colour: Sequence[float],
        code: int | None,
    ) -> None:
        """Paint an upright rectangle that faces the camera."""
        left, top = self.project(x0, y1, z)
        right, bottom = self.project(x1, y0, z)
        self.canvas.rectangle(left, top, right, bottom, self.lit(colour, "front", z), code)

    def disc(
        self,
        x: float,
        y: float,
        z: float,
        rx: float,
        ry: float,
        colour: Sequence[float],
        code: int | None,
        opacity: float = 1.0,
        hole: float = 0.0,
    ) -> None:
        """Paint an ellipse, or a ring, that faces the camera."""
        scale = self.focal / z
        self.canvas.ellipse(
            self.project(x, y, z), rx * scale, ry * scale, self.lit(colour, "front", z), code,
            opacity, hole,
        )  # fmt: skip

    def rod(
        self,
        start: Point,
        end: Point,
        z: float,
        thickness: float,
        colour: Sequence[float],
        code: int | None,
    ) -> None:
        """Paint a straight rod between two points (x, y) at one distance."""
        self.canvas.line(
            self.project(*start, z), self.project(*end, z), thickness * self.focal / z,
            self.lit(colour, "front", z), code,
        )  # fmt: skip

    def lamp(self, x: float, y: float, z: float, radius: float, colour: RGB) -> None:
        """Paint a light that shines; it belongs to whatever it sits on."""
        scale = radius * self.focal / z
        self.canvas.ellipse(self.project(x, y, z), scale, scale, self.glowing(colour, z), None)

    def shadow(self, corners: Sequence[tuple[float, float]]) -> None:
        """Darken the ground under a convex polygon of points (x, z)."""
        points = [self.project(x, 0.0, max(z, NEAR)) for x, z in corners]
        softness = 1.0 + 0.004 * self.canvas.height
        self.canvas.darken(points, self.light.shadow, softness)

    def front_plane(
        self,
        x0: float,
        x1: float,
        y0: float,
        y1: float,
        z: float,
        shader: Shader,
        code: int,
    ) -> None:
        """Paint a textured upright rectangle that faces the camera; u is X, v is Y."""
        left, top = self.project(x0, y1, z)
        right, bottom = self.project(x1, y0, z)
        window = self.canvas.window(left, top, right, bottom)
        if window is None:
            return
        metre = z / self.focal
        u = (self.canvas.xs(window) - self.centre) * metre
        v = self.eye + (self.level - self.canvas.ys(window)[:, None]) * metre
        across = _between(u, x0, x1, metre)
        down = _between(v, y0, y1, metre)
        colours = self.lit_surface(shader(u, v, metre, metre), "front", z)
        inside = ((v >= y0) & (v < y1)) & ((u >= x0) & (u < x1))
        self.canvas.blend(window, down * across, colours, inside, code)

    def side_plane(
        self,
        x: float,
        z0: float,
        z1: float,
        y0: float,
        y1: float,
        shader: Shader,
        code: int,
    ) -> None:
        """Paint a textured upright rectangle along the street; u is Z, v is Y."""
        z0 = max(z0, NEAR)
        if z1 <= z0 or x == 0:
            return
        edges = sorted((self.project(x, 0, z0)[0], self.project(x, 0, z1)[0]))
        rows = [self.project(x, y, z)[1] for y in (y0, y1) for z in (z0, z1)]
        window = self.canvas.window(edges[0], min(rows), edges[1], max(rows))
        if window is None:
            return
        xs, ys = self.canvas.xs(window), self.canvas.ys(window)
        offset = xs - self.centre
        limit = abs(x) * self.focal
        # A column's centre may lie just outside the plane; its distance is held on it.
        away = np.clip(np.abs(offset), limit / z1, limit / z0)
        z = limit / away
        metre = z / self.focal
        v = self.eye + (self.level - ys[:, None]) * metre
        across = np.maximum(np.minimum(xs + 0.5, edges[1]) - np.maximum(xs - 0.5, edges[0]), 0)
        cover = _between(v, y0, y1, metre) * across
        facing: Facing = "left" if x > 0 else "right"
        colours = self.lit_surface(shader(z, v, z * z / limit, metre), facing, z)
        inside = (v >= y0) & (v < y1) & ((xs >= edges[0]) & (xs < edges[1]))
        self.canvas.blend(window, cover, colours, inside, code)


def _between(t: Array, low: float, high: float, metre: Array | float) -> Array:
    """Return how much of a pixel lies between two positions."""
    return clamped(np.minimum(t - low, high - t) / metre + 0.5)


def _mixed(one: RGB, other: RGB, share: float, other_share: float) -> RGB:
    red, green, blue = (share * a + other_share * b for a, b in zip(one, other, strict=True))
    return red, green, blue
