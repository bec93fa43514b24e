"""Pedestrians, riders, bicycles and motorcycles."""

from __future__ import annotations

from hdbench.streets.canvas import Point
from hdbench.streets.draws import Draws
from hdbench.streets.view import RGB, View

_CLOTHES: tuple[RGB, ...] = (
    (34, 36, 44), (60, 64, 76), (96, 98, 102), (150, 148, 142), (206, 204, 196), (150, 40, 44),
    (44, 74, 130), (60, 104, 70), (190, 150, 70), (110, 76, 54), (126, 70, 110), (200, 110, 60),
    (80, 120, 140), (170, 130, 130),
)  # fmt: skip
_SKIN: tuple[RGB, ...] = ((236, 196, 166), (206, 158, 122), (160, 112, 80), (104, 70, 52))
_HAIR: tuple[RGB, ...] = (
    (32, 26, 24),
    (84, 58, 38),
    (160, 124, 72),
    (150, 148, 146),
    (120, 52, 34),
)


def person(view: View, draws: Draws, x: float, z: float, code: int) -> None:
    """Paint someone who stands or walks."""
    tall = draws.uniform(1.05, 1.35) if draws.chance(0.15) else draws.uniform(1.6, 1.9)
    jacket, trousers = (draws.tint(draws.pick(_CLOTHES), 12) for _ in range(2))
    skin, hair = draws.tint(draws.pick(_SKIN), 10), draws.pick(_HAIR)
    stride = draws.uniform(0.02, 0.2) * tall
    wide = draws.uniform(0.125, 0.16) * tall
    dress, bag, band = draws.chance(0.2), draws.chance(0.35), draws.chance(0.3)
    hip, neck = 0.5 * tall, 0.83 * tall
    for side, shade in ((-1, 0.82), (1, 1.0)):
        foot = x + side * (0.3 * wide + stride * 0.5)
        leg = [part * shade for part in trousers]
        view.face([(foot - 0.075, 0.05, z), (foot + 0.075, 0.05, z),
                   (x + side * 0.3 * wide + 0.1, hip + 0.04, z),
                   (x + side * 0.3 * wide - 0.1, hip + 0.04, z)], leg, "front", code)  # fmt: skip
        view.upright(foot - 0.09, foot + 0.11, 0, 0.08, z, (38, 34, 32), code)
    if dress:
        view.face([(x - 1.25 * wide, 0.3 * tall, z), (x + 1.25 * wide, 0.3 * tall, z),
                   (x + 0.8 * wide, 0.6 * tall, z), (x - 0.8 * wide, 0.6 * tall, z)],
                  jacket, "front", code)  # fmt: skip
    for side, shade in ((-1, 0.78), (1, 0.92)):
        sleeve = [part * shade for part in jacket]
        hand = (x + side * (1.25 * wide + 0.3 * stride), hip + 0.02)
        view.rod((x + side * 1.0 * wide, neck - 0.06), hand, z, 0.11, sleeve, code)
        view.disc(*hand, z, 0.06, 0.06, skin, code)
    view.face([(x - 0.78 * wide, hip - 0.04, z), (x + 0.78 * wide, hip - 0.04, z),
               (x + 1.08 * wide, neck, z), (x - 1.08 * wide, neck, z)],
              jacket, "front", code)  # fmt: skip
    if band:
        hue = draws.tint(draws.pick(_CLOTHES), 12)
        view.upright(x - 0.95 * wide, x + 0.95 * wide, 0.62 * tall, 0.69 * tall, z, hue, None)
    if bag:
        hue = draws.tint(draws.pick(_CLOTHES), 12)
        view.upright(x + 0.7 * wide, x + 1.75 * wide, 0.38 * tall, 0.54 * tall, z, hue, code)
    head = 0.068 * tall
    view.upright(x - 0.05, x + 0.05, neck - 0.02, neck + 0.06, z, skin, code)
    view.disc(x, tall - 1.2 * head, z, 1.02 * head, 1.25 * head, hair, code)
    view.disc(x + 0.12 * head, tall - 1.5 * head, z, 0.82 * head, 1.0 * head, skin, None)


class Cycle:
    """A two-wheeler seen from its side, turned a little towards the camera.

    ``x`` is its middle and ``z`` its distance, in metres; ``ahead`` is -1 or 1, which way its front
    wheel points; ``turned`` is how much of its length is seen, 0.4 to 1.
    """

    def __init__(self, draws: Draws, x: float, z: float, ahead: float, turned: float) -> None:
        self.x, self.z, self._reach = x, z, ahead * turned
        self._turned = turned
        self.paint = draws.tint(draws.pick(_CLOTHES), 14)
        self.second = draws.tint(draws.pick(_CLOTHES), 14)

    def at(self, along: float, up: float) -> Point:
        """Return the (x, y) of a place along the cycle, measured from its middle."""
        return self.x + along * self._reach, up

    def wheel(
        self, view: View, along: float, radius: float, tyre: float, code: int, spoked: bool
    ) -> None:
        """Paint a wheel."""
        x, y = self.at(along, radius)
        wide = radius * max(self._turned, 0.25)
        fill: RGB = (70, 72, 74)
        view.disc(x, y, self.z, wide, radius, fill, code, opacity=0.3 if spoked else 1.0)
        view.disc(x, y, self.z, wide, radius, (24, 24, 26), code, hole=1 - tyre)


def bicycle(view: View, cycle: Cycle, code: int) -> None:
    """Paint a bicycle; as in Cityscapes its wheels count with what is seen through them."""
    for along in (-0.52, 0.52):
        cycle.wheel(view, along, 0.36, 0.16, code, spoked=True)
    at, z, paint = cycle.at, cycle.z, cycle.paint
    frame = (
        (at(-0.52, 0.36), at(-0.12, 0.34)), (at(-0.12, 0.34), at(0.34, 0.74)),
        (at(-0.12, 0.34), at(-0.24, 0.84)), (at(-0.2, 0.72), at(0.36, 0.78)),
        (at(-0.52, 0.36), at(-0.21, 0.74)), (at(0.52, 0.36), at(0.36, 0.92)),
    )  # fmt: skip
    for start, end in frame:
        view.rod(start, end, z, 0.07, paint, code)
    view.rod(at(-0.36, 0.88), at(-0.12, 0.88), z, 0.08, (36, 32, 30), code)
    view.rod(at(0.3, 0.98), at(0.46, 0.94), z, 0.06, (44, 44, 46), code)
    view.disc(*at(-0.12, 0.34), z, 0.07, 0.1, (60, 60, 62), code)


def motorcycle(view: View, cycle: Cycle, code: int) -> None:
    """Paint a motorcycle or scooter."""
    for along in (-0.62, 0.66):
        cycle.wheel(view, along, 0.33, 0.45, code, spoked=False)
        x, y = cycle.at(along, 0.33)
        view.disc(x, y, cycle.z, 0.12, 0.14, (150, 152, 156), None)
    at, z = cycle.at, cycle.z

    def piece(points: list[Point], colour: RGB) -> None:
        view.face([(x, y, z) for x, y in points], colour, "front", code)

    piece([at(-0.4, 0.28), at(0.35, 0.26), at(0.4, 0.62), at(-0.45, 0.6)], (48, 48, 52))
    piece([at(-0.85, 0.72), at(-0.2, 0.62), at(-0.1, 0.82), at(-0.8, 0.9)], (30, 28, 30))
    piece([at(-0.75, 0.55), at(-0.2, 0.5), at(-0.15, 0.74), at(-0.8, 0.76)], cycle.second)
    piece([at(-0.16, 0.62), at(0.36, 0.66), at(0.34, 0.96), at(-0.06, 0.92)], cycle.paint)
    piece([at(0.36, 0.5), at(0.62, 0.52), at(0.5, 1.16), at(0.3, 0.98)], cycle.paint)
    view.rod(at(0.66, 0.33), at(0.4, 1.02), z, 0.09, (120, 122, 126), code)
    view.rod(at(0.22, 1.08), at(0.5, 1.02), z, 0.07, (30, 30, 32), code)
    view.rod(at(-0.8, 0.36), at(-0.1, 0.34), z, 0.11, (168, 168, 172), code)
    view.disc(*at(0.58, 0.9), z, 0.1, 0.12, (240, 236, 214), None)


def rider(view: View, draws: Draws, cycle: Cycle, seat: float, code: int) -> None:
    """Paint the one who sits on a cycle; ``seat`` is the height of the saddle, in metres."""
    jacket, trousers = (draws.tint(draws.pick(_CLOTHES), 12) for _ in range(2))
    skin, helmet = draws.tint(draws.pick(_SKIN), 10), draws.tint(draws.pick(_CLOTHES), 14)
    at, z = cycle.at, cycle.z
    hip, knee, foot = at(-0.24, seat + 0.06), at(0.12, seat - 0.12), at(-0.06, seat - 0.5)
    shoulder, hand = at(0.1, seat + 0.58), at(0.36, seat + 0.14)
    dark: RGB = (trousers[0] * 0.75, trousers[1] * 0.75, trousers[2] * 0.75)
    for leg, tone in ((-0.05, dark), (0.0, trousers)):
        view.rod(hip, (knee[0], knee[1] + leg), z, 0.19, tone, code)
        view.rod((knee[0], knee[1] + leg), (foot[0], foot[1] + leg), z, 0.15, tone, code)
    view.rod(foot, (foot[0] + 0.1, foot[1]), z, 0.1, (34, 32, 32), code)
    view.rod(hip, shoulder, z, 0.34, jacket, code)
    view.rod(shoulder, hand, z, 0.12, [0.85 * part for part in jacket], code)
    head = (shoulder[0] + 0.05 * (1 if hand[0] > hip[0] else -1), shoulder[1] + 0.2)
    view.disc(*head, z, 0.12, 0.15, skin, code)
    view.disc(head[0], head[1] + 0.06, z, 0.14, 0.11, helmet, code)
