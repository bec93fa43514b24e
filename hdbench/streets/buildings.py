"""What stands along the street: facades, walls, fences, hedges; and the skyline at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdbench.streets.canvas import Array, planes
from hdbench.streets.draws import Draws
from hdbench.streets.ids import Id
from hdbench.streets.plants import foliage
from hdbench.streets.textures import band, cell_value, noise, stripes
from hdbench.streets.view import RGB, View

_PLASTER: tuple[RGB, ...] = (
    (214, 200, 170), (196, 178, 150), (176, 92, 70), (150, 76, 62), (128, 124, 120),
    (158, 156, 152), (188, 186, 182), (98, 98, 102), (206, 168, 118), (172, 142, 120),
    (120, 88, 72), (222, 214, 200),
)  # fmt: skip
_ROOFS: tuple[RGB, ...] = ((122, 68, 54), (84, 82, 86))
_STONES: tuple[RGB, ...] = ((160, 150, 138), (150, 84, 68), (128, 128, 130), (196, 190, 180))
_RAILINGS: tuple[RGB, ...] = (
    (70, 72, 74), (206, 204, 196), (112, 80, 56), (60, 90, 70), (140, 142, 144),
)  # fmt: skip
_AWNINGS: tuple[RGB, ...] = (
    (150, 40, 40), (40, 84, 120), (44, 96, 60), (190, 150, 50), (96, 60, 110), (70, 70, 74),
)  # fmt: skip


class Facade:
    """A house front: paint, courses or bricks, rows of windows, a ground floor, a cornice.

    ``height``, ``length`` and ``start`` (where the front begins) along the street are in metres;
    its doors lie within. ``lamps`` is the share of its windows that are lit.
    """

    def __init__(
        self, draws: Draws, height: float, length: float, start: float, lamps: float
    ) -> None:
        self.height, self.lamps = height, lamps
        self.paint = planes(draws.tint(draws.pick(_PLASTER), 8))
        lighter = draws.uniform(0.72, 1.32)
        self.trim = np.minimum(self.paint * np.float32(lighter), 245)
        self.glass = planes(draws.tint((58, 66, 78), 16))
        self.storey = draws.uniform(2.8, 3.6)
        self.bay = draws.uniform(2.2, 3.0)
        self.wide = draws.uniform(0.42, 0.58)
        self.tall = draws.uniform(0.5, 0.64)
        self.texture = draws.pick(("plaster", "brick", "courses", "panels"))
        self.base = draws.uniform(3.2, 4.3)
        self.shop = draws.chance(0.5)
        self.awning = planes(draws.pick(_AWNINGS))
        self.door = start + length * draws.uniform(0.2, 0.8)
        self.balconies = draws.chance(0.3)
        self.roof = planes(draws.pick(_ROOFS))
        #: Height of the tiled storey under the roof; 0 where the house ends in a ledge.
        self.tiled = draws.pick((0.0, 0.0, 1.8, 2.4)) if height > 8 else 0.0
        self.offset = draws.integer(0, 200)
        self.start = start

    def __call__(self, u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
        """Return 3 x h x w colours (a ``Shader``)."""
        offset = np.float32(self.offset)
        rough = noise(0.9 * u + offset, 0.9 * v + offset) - 0.5
        body = 1 + 0.16 * rough
        if self.texture == "brick":
            body = body * (1 - 0.22 * stripes(v, 0.3, 0.22, dv))
            body = body * (0.92 + 0.16 * cell_value(np.floor(u / 0.5), np.floor(v / 0.3)))
        elif self.texture == "courses":
            body = body * (1 - 0.16 * stripes(v, 0.8, 0.1, dv))
        elif self.texture == "panels":
            body = body * (1 - 0.2 * stripes(u, self.bay, 0.05, du))
        colours = self.paint * body

        along = u - self.start
        column, row = np.floor(along / self.bay), np.floor((v - self.base) / self.storey)
        eaves = self.height - self.tiled
        upstairs = band(v, self.base, eaves - 0.7, dv)
        frame = upstairs * stripes(along, self.bay, self.wide + 0.12, du)
        frame = frame * stripes(v - self.base, self.storey, self.tall + 0.1, dv)
        colours += frame * (self.trim - colours)
        pane = upstairs * stripes(along, self.bay, self.wide, du)
        pane = pane * stripes(v - self.base, self.storey, self.tall, dv)
        chance = cell_value(column + offset, row + 7)
        shade = self.glass * (0.75 + 0.9 * chance * np.clip((v / self.height), 0.3, 1.0))
        shade = np.where(chance < self.lamps, planes((310, 250, 150)), shade)
        colours += pane * (shade - colours)
        if self.balconies:
            rail = upstairs * band(v - self.base - row * self.storey, 0.05, 0.5, dv)
            rail = rail * stripes(along, self.bay * 2, 0.6, du)
            colours += 0.8 * rail * (self.trim * 0.7 - colours)
        self._ground_floor(colours, u, v, du, dv)
        if self.tiled:
            tiles = self.roof * (1 - 0.25 * stripes(v, 0.35, 0.3, dv))
            colours += band(v, eaves, self.height + 1, dv) * (tiles - colours)
            dormer = stripes(along, self.bay * 2, 0.34, du)
            dormer = dormer * band(v, eaves + 0.35, self.height - 0.45, dv)
            colours += dormer * (self.glass - colours)
        ledge = np.maximum(
            band(v, eaves - 0.45, eaves, dv), band(v, self.base - 0.18, self.base + 0.1, dv)
        )
        colours += ledge * (self.trim - colours)
        return colours

    def _ground_floor(
        self, colours: Array, u: Array, v: Array, du: Array | float, dv: Array | float
    ) -> None:
        along = u - self.start
        if self.shop:
            window = stripes(along, self.bay * 1.5, 0.82, du) * band(v, 0.5, 2.6, dv)
            goods = noise(1.6 * along, 1.6 * v + self.offset)
            shade = self.glass * (0.55 + 0.9 * goods)
            if self.lamps > 0.2:
                shade = shade + planes((120, 96, 50))
            colours += window * (shade - colours)
            sign = band(v, 2.75, 3.2, dv)
            folds = 0.8 + 0.4 * stripes(along, 0.5, 0.5, du)
            colours += sign * (self.awning * folds - colours)
        else:
            window = stripes(along, self.bay, self.wide, du) * band(v, 1.1, 2.6, dv)
            colours += window * (self.glass - colours)
            colours *= 1 - 0.18 * band(v, 0.0, 0.7, dv)
        door = band(u, self.door - 0.6, self.door + 0.6, du) * band(v, 0.0, 2.3, dv)
        colours += door * (self.awning * np.float32(0.62) - colours)


@dataclass(frozen=True)
class Structure:
    """One stretch of a street's side, at ``x`` metres, from ``near`` to ``far``."""

    kind: str
    x: float
    near: float
    far: float
    height: float
    #: Its nearer neighbour's height; what stands above that is seen from the front.
    neighbour: float
    draws: Draws

    def paint(self, view: View) -> None:
        """Paint it."""
        {
            "building": self._building,
            "wall": self._wall,
            "fence": self._fence,
            "hedge": self._hedge,
            "garden": self._garden,
        }[self.kind](view)

    @property
    def _outward(self) -> float:
        return 1.0 if self.x > 0 else -1.0

    def _building(self, view: View) -> None:
        canvas, light = view.canvas, view.light
        code = canvas.stuff(Id.BUILDING)
        length = self.far - self.near
        facade = Facade(self.draws, self.height, length, self.near, light.lamps)
        if self.height > self.neighbour:
            end = Facade(self.draws, self.height, 9.0, min(self.x, self.x + 9 * self._outward),
                         light.lamps)  # fmt: skip
            end.paint, end.trim = facade.paint * np.float32(0.94), facade.trim
            end.texture, end.shop, end.balconies = facade.texture, False, False
            end.tiled, end.roof = facade.tiled, facade.roof
            left, right = sorted((self.x, self.x + 14 * self._outward))
            view.front_plane(left, right, 0, self.height, self.near, end, code)
        view.side_plane(self.x, self.near, self.far, 0, self.height, facade, code)

    def _wall(self, view: View) -> None:
        stone = planes(self.draws.tint(self.draws.pick(_STONES), 14))
        block, row = self.draws.uniform(0.5, 1.2), self.draws.uniform(0.25, 0.5)
        poster = self.near + self.draws.uniform(0.2, 0.7) * (self.far - self.near)
        hue = planes(self.draws.pick(_AWNINGS))
        marked = self.draws.chance(0.5)

        def shader(u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
            line = np.floor(v / row)
            joints = np.maximum(
                stripes(v, row, 0.14, dv), stripes(u + line * (block / 2), block, 0.07, du)
            )
            tone = 0.88 + 0.24 * cell_value(np.floor((u + line * (block / 2)) / block), line)
            colours = stone * (tone * (1 - 0.35 * joints) * (0.9 + 0.2 * noise(u * 1.3, v * 1.3)))
            if marked:
                cover = band(u, poster, poster + 1.6, du) * band(v, 0.7, 1.7, dv)
                colours += cover * (hue * (0.8 + 0.4 * noise(3 * u, 3 * v)) - colours)
            return colours * (1 + 0.2 * band(v, self.height - 0.16, self.height, dv))

        code = view.canvas.stuff(Id.WALL)
        left, right = sorted((self.x, self.x + 0.4 * self._outward))
        view.front_plane(left, right, 0, self.height, max(self.near, 1.7), shader, code)
        view.side_plane(self.x, self.near, self.far, 0, self.height, shader, code)

    def _fence(self, view: View) -> None:
        self._garden(view)
        kind = self.draws.pick(("pickets", "mesh", "bars", "planks"))
        metal = planes(self.draws.tint(self.draws.pick(_RAILINGS), 12))
        behind = planes(self.draws.tint((74, 86, 58), 14))
        step = self.draws.uniform(0.28, 0.5)
        top = self.height

        def shader(u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
            colours = behind * (0.55 + 0.9 * noise(2.2 * u, 2.2 * v))
            posts = stripes(u, 2.4, 0.09, du)
            if kind == "mesh":
                wires = np.maximum(stripes(u + v, 0.3, 0.25, du), stripes(u - v, 0.3, 0.25, du))
            elif kind == "planks":
                wires = stripes(v, 0.32, 0.8, dv)
            else:
                wires = stripes(u, step, 0.5 if kind == "pickets" else 0.3, du)
            rails = np.maximum(band(v, 0.12, 0.26, dv), band(v, top - 0.24, top - 0.08, dv))
            cover = np.maximum(np.maximum(wires, posts), rails)
            return colours + cover * (metal * (0.9 + 0.2 * noise(u, v)) - colours)

        code = view.canvas.stuff(Id.FENCE)
        view.side_plane(self.x, self.near, self.far, 0, top, shader, code)

    def _hedge(self, view: View) -> None:
        leaf = planes(self.draws.tint((66, 96, 50), 16))

        def shader(u: Array, v: Array, du: Array | float, dv: Array | float) -> Array:
            clumps = 0.6 * noise(2.1 * u, 2.1 * v) + 0.4 * noise(6 * u, 6 * v)
            return leaf * (0.45 + 0.7 * clumps + 0.25 * np.clip(v / self.height, 0.0, 1.0))

        code = view.canvas.stuff(Id.VEGETATION)
        left, right = sorted((self.x, self.x + 1.2 * self._outward))
        view.front_plane(left, right, 0, self.height, max(self.near, 1.7), shader, code)
        view.side_plane(self.x, self.near, self.far, 0, self.height, shader, code)

    def _garden(self, view: View) -> None:
        """Paint bushes and trees behind the street's edge."""
        code = view.canvas.stuff(Id.VEGETATION)
        z = self.far
        while z > max(self.near, 3.0):
            x = self.x + self._outward * self.draws.uniform(2.2, 6.0)
            size = self.draws.uniform(1.2, 3.0)
            foliage(view, self.draws, x, size * 0.8, z, size * 1.3, size, code)
            z -= self.draws.uniform(3.0, 7.0)


def paint_skyline(view: View, draws: Draws, far: float) -> None:
    """Paint what closes the street and what is seen through gaps: houses and trees far away."""
    canvas = view.canvas
    edge = 1.2 * far
    x = -edge
    while x < edge:
        wide = draws.uniform(12, 28)
        z = far + draws.uniform(0, 12)
        if draws.chance(0.62):
            height = draws.uniform(5, 15)
            facade = Facade(draws, height, wide, x, view.light.lamps)
            view.front_plane(x, x + wide, 0, height, z, facade, canvas.stuff(Id.BUILDING))
        else:
            height = draws.uniform(4, 8)
            foliage(view, draws, x + wide / 2, height * 0.45, z, wide * 0.6, height * 0.6,
                    canvas.stuff(Id.VEGETATION))  # fmt: skip
        x += wide
