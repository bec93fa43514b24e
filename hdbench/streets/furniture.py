"""Lamp posts, traffic lights, signs, and things that are not scored."""

from __future__ import annotations

from hdbench.streets.draws import Draws
from hdbench.streets.ids import Id
from hdbench.streets.view import RGB, View

_METAL: tuple[RGB, ...] = (
    (58, 60, 62), (96, 98, 100), (136, 138, 138), (70, 84, 74), (108, 96, 84), (170, 170, 166),
)  # fmt: skip


def _post(view: View, x: float, z: float, height: float, thick: float, metal: RGB) -> None:
    """Paint a round post: lighter towards the sun."""
    code = view.canvas.stuff(Id.POLE)
    half = thick / 2
    view.upright(x - half, x + half, 0, height, z, metal, code)
    lit = [min(part * 1.35, 255) for part in metal]
    edge = x + 0.45 * half * view.sun_side
    view.upright(edge - 0.3 * half, edge + 0.3 * half, 0, height, z, lit, None)
    view.upright(x - 1.5 * half, x + 1.5 * half, 0, 0.35, z, metal, code)


def lamp_post(view: View, draws: Draws, x: float, z: float) -> None:
    """Paint a street lamp whose arm reaches over the road."""
    metal = draws.tint(draws.pick(_METAL), 10)
    height, thick = draws.uniform(4.6, 7.5), draws.uniform(0.28, 0.38)
    reach = draws.uniform(0.7, 1.6) * (-1 if x > 0 else 1)
    _post(view, x, z, height, thick, metal)
    code = view.canvas.stuff(Id.POLE)
    view.rod((x, height - 0.05), (x + reach, height + 0.25), z, 0.6 * thick, metal, code)
    left, right = sorted((x + reach, x + reach * 1.35))
    view.upright(left, right, height + 0.12, height + 0.32, z, (70, 70, 72), code)
    if view.light.lamps > 0.2:
        view.lamp((left + right) / 2, height + 0.14, z, 0.2, (255, 232, 180))


def traffic_light(view: View, draws: Draws, x: float, z: float) -> None:
    """Paint traffic lights on a post."""
    metal = draws.tint(draws.pick(_METAL), 10)
    _post(view, x, z, 3.2, draws.uniform(0.2, 0.26), metal)
    code = view.canvas.stuff(Id.TRAFFIC_LIGHT)
    low, half = 2.0, draws.uniform(0.28, 0.36)
    view.upright(x - half, x + half, low, low + 1.5, z, draws.tint((34, 36, 38), 8), code)
    shines = draws.integer(0, 2)
    hues: tuple[RGB, ...] = ((60, 240, 110), (255, 190, 50), (255, 60, 50))
    for n, hue in enumerate(hues):
        y = low + 0.29 + 0.46 * n
        dark = [0.22 * part for part in hue]
        view.disc(x, y, z, 0.66 * half, 0.66 * half, dark, None)
        if n == shines:
            view.lamp(x, y, z, 0.68 * half, hue)


def traffic_sign(view: View, draws: Draws, x: float, z: float) -> None:
    """Paint a traffic sign on a post: forbidding, warning, leading, or giving way."""
    metal = draws.tint(draws.pick(_METAL), 10)
    y, size = draws.uniform(2.1, 2.6), draws.uniform(0.46, 0.6)
    _post(view, x, z, y, draws.uniform(0.19, 0.24), metal)
    code = view.canvas.stuff(Id.TRAFFIC_SIGN)
    white: RGB = (232, 232, 228)
    red: RGB = (186, 30, 34)
    blue: RGB = (32, 78, 158)
    kind = draws.pick(("limit", "stop", "warning", "parking", "turn", "way", "name"))
    if kind == "limit":
        view.disc(x, y, z, size, size, red, code)
        view.disc(x, y, z, 0.74 * size, 0.74 * size, white, None)
        for left in (-0.4, 0.08):
            view.upright(x + left * size, x + (left + 0.3) * size, y - 0.32 * size,
                         y + 0.32 * size, z, (30, 30, 32), None)  # fmt: skip
    elif kind == "stop":
        view.disc(x, y, z, size, size, red, code)
        view.upright(x - 0.7 * size, x + 0.7 * size, y - 0.16 * size, y + 0.16 * size, z, white,
                     None)  # fmt: skip
    elif kind == "warning":
        for scale, colour in ((1.15, red), (0.72, white)):
            corners = [(x - scale * size, y - 0.62 * scale * size, z),
                       (x + scale * size, y - 0.62 * scale * size, z),
                       (x, y + 1.1 * scale * size, z)]  # fmt: skip
            view.face(corners, colour, "front", code if colour is red else None)
        view.upright(x - 0.07, x + 0.07, y - 0.3 * size, y + 0.4 * size, z, (30, 30, 32), None)
    elif kind == "parking":
        view.upright(x - 0.85 * size, x + 0.85 * size, y - 0.85 * size, y + 0.85 * size, z, blue,
                     code)  # fmt: skip
        view.upright(x - 0.4 * size, x - 0.12 * size, y - 0.6 * size, y + 0.6 * size, z, white,
                     None)  # fmt: skip
        view.disc(x + 0.06 * size, y + 0.28 * size, z, 0.38 * size, 0.34 * size, white, None,
                  hole=0.45)  # fmt: skip
    elif kind == "turn":
        view.disc(x, y, z, size, size, blue, code)
        view.rod((x - 0.1, y - 0.5 * size), (x - 0.1, y + 0.1), z, 0.14, white, None)
        view.rod((x - 0.1, y + 0.1), (x + 0.5 * size, y + 0.1), z, 0.14, white, None)
    elif kind == "way":
        for scale, colour in ((1.0, white), (0.76, (232, 186, 40))):
            view.face([(x - scale * size, y, z), (x, y - scale * size, z),
                       (x + scale * size, y, z), (x, y + scale * size, z)],
                      colour, "front", code if scale == 1.0 else None)  # fmt: skip
    else:
        view.upright(x - 1.6 * size, x + 1.6 * size, y - 0.45 * size, y + 0.55 * size, z,
                     (224, 186, 52), code)  # fmt: skip
        for row in (-0.12, 0.24):
            view.upright(x - 1.2 * size, x + 0.8 * size, y + row * size,
                         y + (row + 0.18) * size, z, (34, 34, 36), None)  # fmt: skip


def litter_bin(view: View, draws: Draws, x: float, z: float) -> None:
    """Paint a bin, which is void (``static``)."""
    code = view.canvas.stuff(Id.STATIC)
    hue = draws.tint(draws.pick(((60, 96, 66), (70, 72, 78), (150, 90, 40), (50, 70, 120))), 14)
    half, top = draws.uniform(0.26, 0.45), draws.uniform(0.9, 1.3)
    view.upright(x - half, x + half, 0, top, z, hue, code)
    view.upright(x - 1.12 * half, x + 1.12 * half, top - 0.12, top, z, [0.7 * c for c in hue], code)


def hoarding(view: View, draws: Draws, x: float, z: float) -> None:
    """Paint an advertisement on two legs, which is void (``static``)."""
    code = view.canvas.stuff(Id.STATIC)
    hues = [draws.tint((draws.uniform(40, 220), draws.uniform(40, 220), draws.uniform(40, 220)), 20)
            for _ in range(3)]  # fmt: skip
    half = draws.uniform(0.6, 0.9)
    for leg in (-0.8 * half, 0.8 * half):
        view.upright(x + leg - 0.05, x + leg + 0.05, 0, 0.8, z, (60, 60, 62), code)
    view.upright(x - half - 0.08, x + half + 0.08, 0.62, 2.38, z, (50, 50, 52), code)
    view.upright(x - half, x + half, 0.7, 2.3, z, hues[0], code)
    view.upright(x - half, x + half, 0.7, 1.3, z, hues[1], None)
    view.disc(x + 0.2 * half, 1.6, z, 0.45 * half, 0.5 * half, hues[2], None)


def dog(view: View, draws: Draws, x: float, z: float) -> None:
    """Paint a dog, which is void (``dynamic``)."""
    code = view.canvas.stuff(Id.DYNAMIC)
    fur = draws.tint(draws.pick(((70, 52, 40), (200, 180, 140), (40, 38, 38))), 12)
    ahead = draws.pick((-1, 1))
    for leg in (-0.26, -0.16, 0.16, 0.26):
        view.upright(x + leg - 0.04, x + leg + 0.04, 0, 0.3, z, fur, code)
    view.disc(x, 0.4, z, 0.36, 0.15, fur, code)
    view.disc(x + ahead * 0.4, 0.56, z, 0.14, 0.12, fur, code)
    view.rod((x - ahead * 0.34, 0.44), (x - ahead * 0.5, 0.66), z, 0.06, fur, code)


def container(view: View, draws: Draws, x0: float, x1: float, z: float, length: float) -> None:
    """Paint a skip or container beside the road, which is void (``static``)."""
    code = view.canvas.stuff(Id.STATIC)
    hue = draws.tint(draws.pick(((170, 120, 40), (60, 96, 130), (110, 60, 50), (90, 110, 90))), 14)
    top = draws.uniform(1.2, 1.7)
    inner = x1 if x1 < 0 else x0 if x0 > 0 else None
    if inner is not None:
        facing = "left" if inner > 0 else "right"
        view.face([(inner, 0.1, z), (inner, top, z - 0.1), (inner, top, z + length + 0.1),
                   (inner, 0.1, z + length)], hue, facing, code)  # fmt: skip
    view.face([(x0, top, z), (x1, top, z), (x1, top, z + length), (x0, top, z + length)],
              (60, 54, 48), "up", code)  # fmt: skip
    view.upright(x0, x1, 0.1, top, z, hue, code)
    for n in range(4):
        edge = x0 + (n + 0.5) * (x1 - x0) / 4
        view.upright(edge - 0.05, edge + 0.05, 0.1, top, z, [0.75 * c for c in hue], None)


def bonnet(view: View, draws: Draws) -> None:
    """Paint the car that carries the camera: a part of its bonnet (``ego vehicle``, void)."""
    canvas = view.canvas
    code = canvas.stuff(Id.EGO_VEHICLE)
    paint = draws.tint(
        draws.pick(((40, 42, 46), (120, 122, 126), (180, 182, 184), (70, 40, 40))), 10
    )
    rise = draws.uniform(0.045, 0.085) * canvas.height
    middle = canvas.width / 2 + draws.uniform(-0.06, 0.06) * canvas.height
    lit = view.lit(paint, "up", 2.0)
    centre = (middle, canvas.height + 2.0 * rise)
    canvas.ellipse(centre, 1.16 * canvas.height, 3.0 * rise, lit, code)
    sky = view.lit((235, 238, 242), "up", 2.0)
    shine = (
        0.72 * lit[0] + 0.28 * sky[0],
        0.72 * lit[1] + 0.28 * sky[1],
        0.72 * lit[2] + 0.28 * sky[2],
    )
    canvas.ellipse(centre, 0.86 * canvas.height, 2.75 * rise, shine, None, opacity=0.7)
    canvas.ellipse(centre, 0.80 * canvas.height, 2.5 * rise, lit, None)
