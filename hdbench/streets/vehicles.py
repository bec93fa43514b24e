"""Cars, trucks, buses and trains, each with its own paint and pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdbench.streets.canvas import Array, planes
from hdbench.streets.draws import Draws
from hdbench.streets.textures import band, stripes
from hdbench.streets.view import NEAR, RGB, View

_PAINTS: tuple[RGB, ...] = (
    (38, 38, 42), (70, 72, 76), (112, 114, 118), (150, 152, 154), (196, 198, 198), (226, 226, 222),
    (128, 30, 32), (34, 62, 120), (30, 84, 70), (186, 160, 60), (96, 74, 58), (150, 86, 40),
    (70, 100, 130), (120, 130, 100), (176, 190, 200), (90, 40, 70),
)  # fmt: skip
_LIVERIES: tuple[RGB, ...] = (
    (186, 46, 42), (38, 84, 150), (220, 180, 50), (60, 130, 80), (216, 216, 210), (230, 120, 40),
    (120, 120, 126), (84, 60, 110),
)  # fmt: skip
_TYRE: RGB = (26, 26, 28)
_GLASS: RGB = (44, 52, 62)


@dataclass(frozen=True)
class Box:
    """A vehicle's room on the street, in metres; ``away`` where it shows its back."""

    x0: float
    x1: float
    z0: float
    z1: float
    height: float
    away: bool

    @property
    def side(self) -> float | None:
        """The X of its visible long side, or None where the camera looks along it."""
        if self.x1 < -0.05:
            return self.x1
        if self.x0 > 0.05:
            return self.x0
        return None

    def along(self, share: float) -> float:
        """Return the Z at a share of its length, 0 at its back and 1 at its front."""
        share = share if self.away else 1 - share
        return self.z0 + share * (self.z1 - self.z0)


def _long_face(
    view: View,
    box: Box,
    points: Sequence[tuple[float, float]],
    colour: Sequence[float],
    code: int | None,
) -> None:
    """Paint a face on the long side, given by (share of the length from the back, Y)."""
    if box.side is None:
        return
    facing = "left" if box.side > 0 else "right"
    view.face([(box.side, y, box.along(share)) for share, y in points], colour, facing, code)


def _side_wheel(view: View, box: Box, share: float, radius: float, code: int) -> None:
    if box.side is None:
        return
    z = max(box.along(share), NEAR)
    facing = "left" if box.side > 0 else "right"
    near = view.project(box.side, radius, max(z - radius, NEAR))
    far = view.project(box.side, radius, z + radius)
    wide = abs(near[0] - far[0]) / 2
    centre = view.project(box.side, radius, z)
    tall = radius * view.focal / z
    view.canvas.ellipse(centre, wide, tall, view.lit(_TYRE, facing, z), code)
    hub = view.lit((130, 132, 136), facing, z)
    view.canvas.ellipse(centre, 0.55 * wide, 0.55 * tall, hub, None)


def car(view: View, draws: Draws, box: Box, code: int) -> None:
    """Paint a car that stands or drives along the street."""
    paint = draws.tint(draws.pick(_PAINTS), 12)
    pattern = draws.weighted({"plain": 5, "two-tone": 2, "stripe": 2, "roof": 2})
    second = draws.tint(draws.pick(_PAINTS), 12)
    tail = draws.weighted({"hatch": 4, "saloon": 3, "van": 2})
    top = box.height
    belt = 0.62 * top
    roof = second if pattern == "roof" else paint
    # Shares of the length at which the cabin begins and ends, at the belt and at the roof.
    low0, high0, high1, low1 = {
        "hatch": (0.04, 0.12, 0.60, 0.76),
        "saloon": (0.16, 0.28, 0.62, 0.76),
        "van": (0.02, 0.04, 0.70, 0.84),
    }[tail]
    _long_face(view, box, [(low0, belt * 0.97), (high0, top), (high1, top), (low1, belt * 0.97)],
               roof, code)  # fmt: skip
    pane = 0.9 * (top - belt)
    _long_face(view, box, [(low0 + 0.05, belt), (high0 + 0.03, belt + pane * 0.86),
                           (high1 - 0.02, belt + pane * 0.86), (low1 - 0.05, belt)],
               _GLASS, None)  # fmt: skip
    middle = (low0 + low1) / 2
    _long_face(view, box, [(middle - 0.012, belt), (middle - 0.012, top - 0.1),
                           (middle + 0.012, top - 0.1), (middle + 0.012, belt)],
               roof, None)  # fmt: skip
    _long_face(view, box, [(0.0, 0.24), (0.0, belt * 0.94), (0.06, belt), (0.80, belt),
                           (0.99, belt * 0.82), (1.0, 0.24)], paint, code)  # fmt: skip
    if pattern == "two-tone":
        _long_face(view, box, [(0, 0.24), (0, belt * 0.55), (1, belt * 0.55), (1, 0.24)],
                   second, None)  # fmt: skip
    elif pattern == "stripe":
        _long_face(view, box, [(0, belt * 0.66), (0, belt * 0.8), (0.99, belt * 0.8),
                               (0.99, belt * 0.66)], second, None)  # fmt: skip
    _long_face(view, box, [(0, 0.16), (0, 0.28), (1, 0.28), (1, 0.16)], (34, 34, 36), code)
    for share in (0.18, 0.80):
        _side_wheel(view, box, share, 0.32, code)
    _car_end(view, box, paint, second, roof, pattern, (low0, high0, high1, low1), code)


def _car_end(
    view: View,
    box: Box,
    paint: RGB,
    second: RGB,
    roof: RGB,
    pattern: str,
    cabin: tuple[float, float, float, float],
    code: int,
) -> None:
    """Paint the end of a car that faces the camera: its back, or its front."""
    x0, x1, z, top = box.x0, box.x1, max(box.z0, NEAR), box.height
    belt = 0.62 * top
    low0, high0, high1, low1 = cabin
    near_low, near_high, far_high = (low0, high0, high1) if box.away else (low1, high1, high0)
    z_low, z_high, z_back = box.along(near_low), box.along(near_high), box.along(far_high)
    wide = x1 - x0
    for left in (x0 + 0.04 * wide, x1 - 0.2 * wide):
        view.upright(left, left + 0.16 * wide, 0, 0.4, z, _TYRE, code)
    view.face([(x0, belt, z), (x1, belt, z), (x1 - 0.05 * wide, belt, z_low),
               (x0 + 0.05 * wide, belt, z_low)], paint, "up", code)  # fmt: skip
    view.face([(x0 + 0.13 * wide, top, z_high), (x1 - 0.13 * wide, top, z_high),
               (x1 - 0.13 * wide, top, z_back), (x0 + 0.13 * wide, top, z_back)],
              roof, "up", code)  # fmt: skip
    view.face([(x0 + 0.04 * wide, belt, z_low), (x1 - 0.04 * wide, belt, z_low),
               (x1 - 0.12 * wide, top, z_high), (x0 + 0.12 * wide, top, z_high)],
              roof, "front", code)  # fmt: skip
    view.face([(x0 + 0.1 * wide, belt + 0.03, z_low), (x1 - 0.1 * wide, belt + 0.03, z_low),
               (x1 - 0.17 * wide, top - 0.09, z_high), (x0 + 0.17 * wide, top - 0.09, z_high)],
              _GLASS, "front", None)  # fmt: skip
    glint = x0 + (0.62 if view.sun_side > 0 else 0.24) * wide
    view.face([(glint, belt + 0.05, z_low), (glint + 0.12 * wide, belt + 0.05, z_low),
               (glint + 0.16 * wide, top - 0.1, z_high), (glint + 0.06 * wide, top - 0.1, z_high)],
              (120, 130, 140), "front", None, 0.5)  # fmt: skip
    view.upright(x0, x1, 0.24, belt * 0.98, z, paint, code)
    if pattern == "two-tone":
        view.upright(x0, x1, 0.24, belt * 0.55, z, second, None)
    view.upright(x0, x1, 0.16, 0.38, z, (40, 40, 43), code)
    plate = (x0 + x1) / 2
    view.upright(plate - 0.26, plate + 0.26, 0.42, 0.53, z, (222, 222, 206), None)
    lamps = (170, 24, 22) if box.away else (232, 232, 220)
    for left in (x0 + 0.03 * wide, x1 - 0.2 * wide):
        view.upright(left, left + 0.17 * wide, belt * 0.68, belt * 0.88, z, lamps, None)
    if not box.away:
        view.upright(x0 + 0.25 * wide, x1 - 0.25 * wide, belt * 0.6, belt * 0.8, z, (28, 28, 30),
                     None)  # fmt: skip
    if view.light.lamps > 0.2:
        shine = (255, 60, 50) if box.away else (255, 250, 220)
        for middle in (x0 + 0.11 * wide, x1 - 0.11 * wide):
            view.lamp(middle, belt * 0.78, z, 0.11, shine)


def crossing_car(view: View, draws: Draws, x: float, z: float, code: int) -> None:
    """Paint a car that crosses the street: its long side faces the camera."""
    paint = draws.tint(draws.pick(_PAINTS), 12)
    second = draws.tint(draws.pick(_PAINTS), 12)
    length, top = draws.uniform(3.9, 4.6), draws.uniform(1.42, 1.6)
    belt, ahead = 0.62 * top, draws.pick((-1.0, 1.0))

    def piece(points: Sequence[tuple[float, float]], colour: RGB, its_code: int | None) -> None:
        corners = [(x + ahead * (share - 0.5) * length, y, z) for share, y in points]
        view.face(corners, colour, "front", its_code)

    piece([(0.06, belt), (0.16, top), (0.60, top), (0.76, belt)], paint, code)
    piece([(0.11, belt), (0.19, top - 0.1), (0.37, top - 0.1), (0.37, belt)], _GLASS, None)
    piece([(0.40, belt), (0.40, top - 0.1), (0.58, top - 0.1), (0.70, belt)], _GLASS, None)
    piece([(0, 0.24), (0, belt * 0.9), (0.06, belt), (0.8, belt), (0.99, belt * 0.82), (1, 0.24)],
          paint, code)  # fmt: skip
    if draws.chance(0.4):
        piece([(0, 0.3), (0, belt * 0.55), (1, belt * 0.55), (1, 0.3)], second, None)
    piece([(0.39, 0.3), (0.39, belt), (0.4, belt), (0.4, 0.3)], (30, 30, 32), None)
    piece([(0, 0.18), (0, 0.28), (1, 0.28), (1, 0.18)], (34, 34, 36), code)
    piece([(0.95, belt * 0.66), (0.95, belt * 0.8), (1, belt * 0.76), (1, belt * 0.64)],
          (232, 232, 220), None)  # fmt: skip
    piece([(0, belt * 0.66), (0, belt * 0.86), (0.04, belt * 0.86), (0.04, belt * 0.66)],
          (170, 24, 22), None)  # fmt: skip
    for share in (0.19, 0.79):
        middle = x + ahead * (share - 0.5) * length
        view.disc(middle, 0.32, z, 0.32, 0.32, _TYRE, code)
        view.disc(middle, 0.32, z, 0.18, 0.18, (136, 138, 142), None)


def truck(view: View, draws: Draws, box: Box, code: int) -> None:
    """Paint a lorry: a cab and a box, tank or open load with a pattern of its own."""
    cab_paint = draws.tint(draws.pick(_PAINTS), 12)
    load_paint = draws.tint(draws.pick(_LIVERIES + _PAINTS), 14)
    mark = draws.tint(draws.pick(_LIVERIES), 14)
    bars = draws.pick(("band", "diagonal", "ribs", "square"))
    cab, deck, top, cab_top = 0.77, 0.95, box.height, 0.8 * box.height
    dark: RGB = (40, 40, 42)

    def load() -> None:
        _long_face(view, box, [(0, deck), (0, top), (cab - 0.02, top), (cab - 0.02, deck)],
                   load_paint, code)  # fmt: skip
        if bars == "band":
            _long_face(view, box, [(0, 0.5 * top), (0, 0.68 * top), (cab - 0.02, 0.68 * top),
                                   (cab - 0.02, 0.5 * top)], mark, None)  # fmt: skip
        elif bars == "diagonal":
            _long_face(view, box, [(0.1, deck), (0.3, top), (0.46, top), (0.26, deck)], mark, None)
        elif bars == "ribs":
            for n in range(6):
                at = 0.06 + 0.12 * n
                _long_face(view, box, [(at, deck), (at, top), (at + 0.02, top), (at + 0.02, deck)],
                           [0.72 * part for part in load_paint], None)  # fmt: skip
        else:
            _long_face(view, box, [(0.2, 0.5 * top), (0.2, 0.85 * top), (0.5, 0.85 * top),
                                   (0.5, 0.5 * top)], mark, None)  # fmt: skip

    def long_sides() -> None:
        _long_face(view, box, [(0, 0.5), (0, deck), (1, deck), (1, 0.5)], dark, code)
        load()
        _long_face(view, box, [(cab, 0.5), (cab, cab_top), (0.93, cab_top), (1, 0.5 * cab_top),
                               (1, 0.5)], cab_paint, code)  # fmt: skip
        _long_face(view, box, [(cab + 0.06, 0.52 * cab_top), (cab + 0.06, 0.88 * cab_top),
                               (0.93, 0.88 * cab_top), (0.97, 0.52 * cab_top)],
                   _GLASS, None)  # fmt: skip
        for share in (0.1, 0.24, 0.87):
            _side_wheel(view, box, share, 0.48, code)

    x0, x1, z = box.x0, box.x1, max(box.z0, NEAR)
    wide, middle = x1 - x0, (x0 + x1) / 2
    if not box.away:  # the load stands behind the cab and above it
        view.upright(x0, x1, deck, top, box.along(cab), load_paint, code)
    long_sides()
    for left in (x0 + 0.05 * wide, x1 - 0.25 * wide):
        view.upright(left, left + 0.2 * wide, 0, 0.8, z, _TYRE, code)
    view.upright(x0, x1, 0.5, deck, z, dark, code)
    if box.away:
        view.upright(x0, x1, deck, top, z, load_paint, code)
        if bars in ("band", "square"):
            view.upright(x0, x1, 0.5 * top, 0.68 * top, z, mark, None)
        view.upright(middle - 0.03, middle + 0.03, deck, top, z, dark, None)
        for edge in (x0 + 0.06 * wide, x1 - 0.06 * wide):
            view.upright(edge - 0.03, edge + 0.03, deck, top, z, dark, None)
        lamp: RGB = (176, 26, 24)
    else:
        view.upright(x0, x1, 0.5, cab_top, z, cab_paint, code)
        view.upright(x0 + 0.08 * wide, x1 - 0.08 * wide, 0.56 * cab_top, 0.9 * cab_top, z, _GLASS,
                     None)  # fmt: skip
        view.upright(
            x0 + 0.2 * wide, x1 - 0.2 * wide, 0.34 * cab_top, 0.48 * cab_top, z, dark, None
        )
        lamp = (234, 234, 224)
    for left in (x0 + 0.04 * wide, x1 - 0.18 * wide):
        view.upright(left, left + 0.14 * wide, 0.62, 0.82, z, lamp, None)


def bus(view: View, draws: Draws, box: Box, code: int) -> None:
    """Paint a bus: rows of windows, doors, a lit destination."""
    body = planes(draws.tint(draws.pick(_LIVERIES), 14))
    second = planes(draws.tint(draws.pick(_LIVERIES), 14))
    glass = planes(_GLASS)
    skirt, sill, lintel, top = 0.35, 0.48 * box.height, 0.84 * box.height, box.height
    two_tone = draws.chance(0.6)

    def side(u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
        low = band(v, skirt, sill * 0.7, dv) if two_tone else band(v, sill * 0.8, sill, dv)
        colours = body + low * (second - body) + np.zeros_like(u + v)
        panes = band(v, sill, lintel, dv) * stripes(u - box.z0, 1.5, 0.9, du)
        colours += panes * (glass * np.float32(0.9 + 0.4 * view.light.lamps) - colours)
        for share in (0.12, 0.62):
            door = box.along(1 - share)
            cover = band(u, door - 0.55, door + 0.55, du) * band(v, skirt, lintel, dv)
            colours += cover * (glass * np.float32(0.8) - colours)
        return colours

    if box.side is not None:
        view.side_plane(box.side, box.z0, box.z1, skirt - 0.1, top, side, code)
        for share in (0.2, 0.78):
            _side_wheel(view, box, share, 0.48, code)

    def end(u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
        across = (u - box.x0) / (box.x1 - box.x0)
        foot = du / (box.x1 - box.x0)
        colours = body + np.zeros_like(u + v)
        if two_tone:
            colours += band(v, skirt, sill * 0.7, dv) * (second - colours)
        high = lintel if not box.away else 0.8 * box.height
        low = sill * (0.8 if not box.away else 1.1)
        colours += band(across, 0.07, 0.93, foot) * band(v, low, high, dv) * (glass - colours)
        screen = band(across, 0.16, 0.84, foot) * band(v, top - 0.42, top - 0.12, dv)
        colours += screen * (np.float32(24) - colours)
        text = screen * stripes(across, 0.09, 0.5, foot) * band(v, top - 0.35, top - 0.19, dv)
        colours += text * (planes((250, 170, 40)) - colours)
        lamp = band(v, 0.55, 0.8, dv) * (
            band(across, 0.05, 0.18, foot) + band(across, 0.82, 0.95, foot)
        )
        tone = (180, 26, 24) if box.away else (236, 236, 226)
        return colours + lamp * (planes(tone) - colours)

    z = max(box.z0, NEAR)
    for left in (box.x0 + 0.1, box.x1 - 0.5):
        view.upright(left, left + 0.4, 0, 0.6, z, _TYRE, code)
    view.front_plane(box.x0, box.x1, skirt - 0.1, top, z, end, code)


def train(view: View, draws: Draws, box: Box, code: int) -> None:
    """Paint a tram or train on its track: long, ribboned with windows, coupled from coaches."""
    body = planes(draws.tint(draws.pick(_LIVERIES), 14))
    second = planes(draws.tint(draws.pick(_LIVERIES + _PAINTS), 14))
    glass = planes((34, 40, 50))
    coach = draws.uniform(8, 12)
    top = box.height

    def side(u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
        along = u - box.z0
        colours = body + np.zeros_like(u + v)
        colours += band(v, 0.3, 0.34 * top, dv) * (second - colours)
        colours += band(v, 0.88 * top, top, dv) * (np.float32(92) - colours)
        ribbon = band(v, 0.46 * top, 0.76 * top, dv) * stripes(along, 1.25, 0.84, du)
        colours += ribbon * (glass - colours)
        doors = stripes(along, coach / 2, 2.4 / coach, du) * band(v, 0.3, 0.8 * top, dv)
        colours += doors * (second * np.float32(0.72) - colours)
        colours += doors * band(v, 0.46 * top, 0.74 * top, dv) * (glass - colours)
        gap = stripes(along + coach / 2, coach, 0.5 / coach, du)
        return colours + gap * (np.float32(40) - colours)

    if box.side is not None:
        facing = 1.0 if box.side > 0 else -1.0
        view.side_plane(box.side, box.z0, box.z1, 0.28, top, side, code)
        inner = box.side + 0.05 * facing
        view.face([(inner, 0.05, box.z0), (inner, 0.3, box.z0), (inner, 0.3, box.z1),
                   (inner, 0.05, box.z1)], (32, 32, 34), "front", code)  # fmt: skip

    def end(u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
        across = (u - box.x0) / (box.x1 - box.x0)
        foot = du / (box.x1 - box.x0)
        colours = body + np.zeros_like(u + v)
        colours += band(v, 0.3, 0.34 * top, dv) * (second - colours)
        colours += (
            band(across, 0.1, 0.9, foot) * band(v, 0.46 * top, 0.8 * top, dv) * (glass - colours)
        )
        colours += (
            band(across, 0.3, 0.7, foot)
            * band(v, 0.84 * top, 0.93 * top, dv)
            * (planes((250, 190, 60)) - colours)
        )
        lamps = band(v, 0.2 * top, 0.27 * top, dv) * (
            band(across, 0.08, 0.2, foot) + band(across, 0.8, 0.92, foot)
        )
        return colours + lamps * (np.float32(236) - colours)

    z = max(box.z0, NEAR)
    view.upright(box.x0 + 0.1, box.x1 - 0.1, 0.05, 0.34, z, (36, 36, 38), code)
    view.front_plane(box.x0, box.x1, 0.28, top, z, end, code)
