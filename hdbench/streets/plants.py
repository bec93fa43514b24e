"""Trees and bushes."""

from __future__ import annotations

import numpy as np

from hdbench.streets.canvas import clamped, planes
from hdbench.streets.draws import Draws
from hdbench.streets.ids import Id
from hdbench.streets.textures import noise
from hdbench.streets.view import RGB, View

_LEAVES: tuple[RGB, ...] = (
    (70, 104, 48), (80, 108, 54), (62, 92, 50), (92, 112, 56), (112, 106, 56),
)  # fmt: skip


def foliage(
    view: View,
    draws: Draws,
    x: float,
    y: float,
    z: float,
    rx: float,
    ry: float,
    code: int,
) -> None:
    """Paint a crown of leaves: a few lobes with a ragged edge, lighter where the sun stands."""
    leaf = draws.tint(draws.pick(_LEAVES), 12)
    lobes = [(0.0, 0.0, 0.78)] + [
        (draws.uniform(-0.62, 0.62), draws.uniform(-0.45, 0.5), draws.uniform(0.34, 0.56))
        for _ in range(draws.integer(2, 4))
    ]
    du, dv = draws.uniform(0, 200), draws.uniform(0, 200)
    canvas, scale = view.canvas, view.focal / z
    column, row = view.project(x, y, z)
    window = canvas.window(
        column - 1.15 * rx * scale, row - 1.15 * ry * scale,
        column + 1.15 * rx * scale, row + 1.15 * ry * scale,
    )  # fmt: skip
    if window is None:
        return
    across = (canvas.xs(window) - column) / (rx * scale)
    down = (canvas.ys(window)[:, None] - row) / (ry * scale)
    depth = None
    for left, top, radius in lobes:
        a, b = across - left, down - top
        lobe = radius * radius - (a * a + b * b)  # rises towards the lobe's middle
        depth = lobe if depth is None else np.maximum(depth, lobe)
    assert depth is not None
    u, v = across * rx, down * ry  # metres: leaves have one size on every tree
    clumps = noise(1.5 * u + du, 1.5 * v + dv)
    leaves = 0.5 * (noise(4 * u + 2 * v + dv, 4 * v - 2 * u + du) + noise(9 * u + du, 9 * v + dv))
    ragged = depth + 0.34 * (0.6 * clumps + 0.4 * leaves - 0.5)
    cover = clamped(ragged * (0.8 * min(rx, ry) * scale) + 0.5)
    light = 0.52 + 0.36 * clumps + 0.34 * leaves - 0.22 * down + 0.14 * view.sun_side * across
    colours = planes(leaf) * light
    view.lit_surface(colours, "front", z)
    canvas.blend(window, cover, colours, ragged > 0, code)


def tree(view: View, draws: Draws, x: float, z: float, height: float) -> None:
    """Paint a street tree; trunk and crown are vegetation, as in Cityscapes."""
    code = view.canvas.stuff(Id.VEGETATION)
    bark = draws.tint((84, 68, 54), 14)
    thick = draws.uniform(0.13, 0.24)
    fork = 0.45 * height
    view.face(
        [(x - thick, 0, z), (x + thick, 0, z), (x + 0.6 * thick, fork, z),
         (x - 0.6 * thick, fork, z)],
        bark, "front", code,
    )  # fmt: skip
    lit = [part * 1.25 for part in bark]
    edge = x + thick * 0.5 * view.sun_side
    view.upright(edge - thick * 0.25, edge + thick * 0.25, 0, fork, z, lit, None)
    for side in (-1, 1):
        view.rod((x, fork * 0.8), (x + side * 0.16 * height, 0.7 * height), z, thick, bark, code)
    wide = draws.uniform(0.26, 0.38) * height
    foliage(view, draws, x, 0.68 * height, z, wide, 0.36 * height, code)
