"""The plan of a street: how wide its road is, and what lies beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from hdbench.streets.draws import Draws
from hdbench.streets.ground import Crossing, Ground, Strip
from hdbench.streets.ids import Id

LANE = 3.2  # width of a lane, in metres

#: A strip of a street on which things stand.
Zone = Literal["pavement", "verge", "track", "kerbside", "road"]


@dataclass
class Side:
    """One side of the street; all borders are distances from the camera, in metres."""

    #: -1 for left, 1 for right.
    sign: float
    #: Inner and outer border of each zone that is there.
    borders: dict[Zone, tuple[float, float]] = field(default_factory=dict)
    #: Where houses stand.
    houses: float = 0.0
    #: Inner border and label of each strip of ground, from the road outwards.
    strips: list[tuple[float, Id]] = field(default_factory=list)


class Plan:
    """Road, sides, and a street that crosses."""

    def __init__(self, stream: Callable[[str], Draws]) -> None:
        draws = stream("plan")
        self.far = draws.uniform(60, 105)
        near = draws.uniform(11, 26)
        self.crossing = (
            Crossing(near, near + draws.uniform(6.5, 9.5)) if draws.chance(0.5) else None
        )
        self.oncoming, self.extra = draws.integer(1, 2), draws.chance(0.3)
        self.road = (
            -(0.5 + self.oncoming) * LANE,
            (1.5 if self.extra else 0.5) * LANE + draws.uniform(0, 0.5),
        )
        tracks = draws.pick((-1.0, 1.0)) if draws.chance(0.36) else 0.0
        self.sides = [
            self._plan_side(stream(f"side {sign:+.0f}"), sign, abs(border), sign == tracks)
            for sign, border in zip((-1.0, 1.0), self.road, strict=True)
        ]
        self.ground = self._plan_ground(stream("ground"))

    def _plan_side(self, draws: Draws, sign: float, road: float, track: bool) -> Side:
        side = Side(sign)
        at = road
        if draws.chance(0.62):
            side.strips.append((at, draws.pick((Id.PARKING, Id.ROAD, Id.ROAD))))
            side.borders["kerbside"] = (at, at + 2.3)
            at += 2.3
        if track:
            side.borders["track"] = (at, at + 3.3)
            side.strips.append((at, Id.RAIL_TRACK))
            at += 3.3
        if draws.chance(0.5):
            wide = draws.uniform(1.4, 3.2)
            side.borders["verge"] = (at, at + wide)
            side.strips.append((at, Id.TERRAIN))
            at += wide
        wide = draws.uniform(2.2, 4.0)
        side.borders["pavement"] = (at, at + wide)
        side.strips.append((at, Id.SIDEWALK))
        side.houses = at + wide
        side.strips.append((side.houses, draws.pick((Id.TERRAIN, Id.TERRAIN, Id.SIDEWALK))))
        return side

    def _plan_ground(self, draws: Draws) -> Ground:
        grey = draws.uniform(74, 116)
        colours = {
            Id.ROAD: draws.tint((grey, grey, grey + draws.uniform(-4, 10)), 6),
            Id.SIDEWALK: draws.tint(
                draws.pick(((150, 146, 140), (138, 134, 130), (160, 150, 138), (120, 118, 116))), 12
            ),
            Id.TERRAIN: draws.tint(draws.pick(((92, 112, 60), (82, 104, 56), (108, 112, 64))), 8),
            Id.PARKING: draws.tint((grey + 22, grey + 18, grey + 16), 10),
            Id.RAIL_TRACK: draws.tint((104, 94, 86), 14),
        }
        left, right = self.sides
        strips: list[Strip] = []
        outer = -1e6
        for label, inner in _outer_to_inner(left):
            strips.append(Strip(outer, label, colours[label]))
            outer = -inner
        strips.append(Strip(outer, Id.ROAD, colours[Id.ROAD]))
        strips += [Strip(at, label, colours[label]) for at, label in right.strips]
        lanes = [-0.5 * LANE]
        if self.oncoming == 2:
            lanes.append(-1.5 * LANE)
        if self.extra:
            lanes.append(0.5 * LANE)
        return Ground(strips, self.road, lanes, self.crossing, draws)


def _outer_to_inner(side: Side) -> Iterator[tuple[Id, float]]:
    """Yield the left side's strips from the outside: label and inner border."""
    for at, label in reversed(side.strips):
        yield label, at
