"""One street: what stands where, and painting it from far to near.

A ray from the camera meets what stands near the road before what stands near the houses, so a
side is painted from the houses inwards, and within each zone from far to near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hdbench.streets import furniture, people, vehicles
from hdbench.streets.buildings import Structure, paint_skyline
from hdbench.streets.canvas import Canvas
from hdbench.streets.draws import Draws
from hdbench.streets.ground import Crossing, cast_shadow, paint_rails, paint_sky
from hdbench.streets.ids import Id
from hdbench.streets.plan import LANE, Plan, Side, Zone
from hdbench.streets.plants import tree
from hdbench.streets.vehicles import Box
from hdbench.streets.view import View

_FINE = 14.0  # people, cycles and what is thin stand no farther away than this, in metres
_OVERHANG = 3.5  # how far lamps and crowns reach beyond what stands on the ground, in metres

#: What stands along a side, and how often: in the town, and where it ends.
_MOODS: tuple[dict[str, float], ...] = (
    {"building": 8, "wall": 1, "fence": 1, "hedge": 1},
    {"building": 3, "wall": 2, "fence": 3, "hedge": 1, "garden": 1},
)

#: From the houses inwards: the order in which things are painted.
_ZONES: tuple[Zone, ...] = ("pavement", "verge", "track", "kerbside", "road")


@dataclass(frozen=True)
class Thing:
    """Something that stands on the ground, to be painted when its turn comes."""

    z: float
    #: x0, x1, z0, z1 and height of what casts its shadow, in metres.
    shadow: tuple[float, float, float, float, float]
    paint: Callable[[View], None]


class Street:
    """A street with everything on it."""

    def __init__(self, stream: Callable[[str], Draws], canvas: Canvas) -> None:
        self._stream, self._canvas, self._count = stream, canvas, 0
        self.things: dict[tuple[Zone, float], list[Thing]] = {}
        plan = Plan(stream)
        self.far, self.road, self.crossing = plan.far, plan.road, plan.crossing
        self.oncoming, self.extra = plan.oncoming, plan.extra
        self.sides, self.ground = plan.sides, plan.ground
        self.structures = [entry for side in self.sides for entry in self._houses(side)]
        for side in self.sides:
            self._fill_pavement(side)
            self._fill_verge(side)
            self._fill_track(side)
            self._fill_kerbside(side)
        self._fill_road()

    # What stands on it

    def _houses(self, side: Side) -> Iterator[Structure]:
        """Yield the structures of a side from near to far."""
        draws = self._stream(f"houses {side.sign:+.0f}")
        z, neighbour = 1.7, 1e6
        mood = draws.pick(_MOODS)
        while z < self.far:
            if self.crossing is not None and self.crossing.holds(z, 1.0):
                z, neighbour = self.crossing.far + 1.0, 0.0
                continue
            kind = draws.weighted(mood)
            end = z + draws.uniform(6, 16) * (1 + z / 35)
            if self.crossing is not None and z < self.crossing.near < end + 3:
                end = self.crossing.near - 1.0
            height = {
                "building": draws.uniform(6, 19),
                "wall": draws.uniform(1.6, 2.7),
                "fence": draws.uniform(1.3, 2.1),
                "hedge": draws.uniform(1.3, 2.2),
                "garden": 0.0,
            }[kind]
            x = side.sign * side.houses
            yield Structure(kind, x, z, end, height, neighbour, self._next("house"))
            z, neighbour = end, height

    def _fill_pavement(self, side: Side) -> None:
        inner, outer = side.borders["pavement"]
        draws = self._stream(f"pavement {side.sign:+.0f}")
        z = draws.uniform(4.8, 7.5)
        while z < _FINE:
            what = draws.weighted(
                {"person": 7, "lamp": 2.2, "sign": 3.4, "light": 1.4, "tree": 1.6, "bicycle": 2.0,
                 "motorcycle": 1.6, "bin": 0.8, "hoarding": 0.7, "dog": 0.3, "rack": 0.6,
                 "crowd": 0.5, "nothing": 2}
            )  # fmt: skip
            edge = side.sign * (inner + draws.uniform(0.35, 0.6))
            middle = side.sign * draws.uniform(inner + 0.7, outer - 0.5)
            if self.crossing is None or not self.crossing.holds(z):
                self._stand(what, ("pavement", side.sign), edge, middle, z)
            z += draws.uniform(0.9, 2.2) * (1 + z / 24)
        if self.crossing is not None and draws.chance(0.85):
            edge = side.sign * (inner + 0.4)
            self._stand("light", ("pavement", side.sign), edge, edge, self.crossing.near - 1.0)

    def _stand(
        self, what: str, place: tuple[Zone, float], edge: float, middle: float, z: float
    ) -> None:
        """Plan one thing of a pavement: furniture at its edge, people in its middle."""
        draws = self._next("stand")
        if what == "person":
            for step in range(draws.weighted({1: 6, 2: 3, 3: 1})):
                self._person(
                    place, draws, middle + 0.7 * step * draws.pick((-1, 1)), z + 0.2 * step
                )
        elif what == "crowd":  # too many to tell apart: one group, the bare label id
            code = self._canvas.stuff(Id.PERSON)
            for step in range(draws.integer(4, 7)):
                x, at = middle + draws.uniform(-1.2, 1.2), z + 3 + 0.25 * step
                self._add(
                    place,
                    at,
                    (x - 0.3, x + 0.3, at, at + 0.4, 1.7),
                    lambda view, x=x, at=at: people.person(view, draws, x, at, code),
                )
        elif what in ("bicycle", "motorcycle"):
            self._parked_cycle(place, what, draws, middle, z)
        elif what == "rack":
            code, turned = self._canvas.stuff(Id.BICYCLE), draws.uniform(0.5, 0.8)
            for step in range(draws.integer(3, 6)):
                at = z + 2 + 0.5 * step
                cycle = people.Cycle(draws, middle, at, 1.0, turned)
                self._add(place, at, (middle - 0.6, middle + 0.6, at, at + 0.3, 0.9),
                          lambda view, cycle=cycle: people.bicycle(view, cycle, code))  # fmt: skip
        elif what != "nothing":
            paint, x, half, tall = {
                "lamp": (furniture.lamp_post, edge, 0.15, 3.0),
                "sign": (furniture.traffic_sign, edge, 0.15, 2.6),
                "light": (furniture.traffic_light, edge, 0.2, 3.0),
                "bin": (furniture.litter_bin, middle, 0.4, 1.1),
                "hoarding": (furniture.hoarding, middle, 0.8, 2.0),
                "dog": (furniture.dog, middle, 0.4, 0.5),
                "tree": (_street_tree, edge, 0.9, 4.0),
            }[what]
            self._add(place, z, (x - half, x + half, z, z + 0.3, tall),
                      lambda view: paint(view, draws, x, z))  # fmt: skip

    def _person(self, place: tuple[Zone, float], draws: Draws, x: float, z: float) -> None:
        code = self._canvas.thing(Id.PERSON)
        self._add(place, z, (x - 0.3, x + 0.3, z, z + 0.4, 1.7),
                  lambda view: people.person(view, draws, x, z, code))  # fmt: skip

    def _parked_cycle(
        self, place: tuple[Zone, float], what: str, draws: Draws, x: float, z: float
    ) -> None:
        cycle = people.Cycle(draws, x, z, draws.pick((-1.0, 1.0)), draws.uniform(0.55, 1.0))
        paint = people.bicycle if what == "bicycle" else people.motorcycle
        code = self._canvas.thing(Id.BICYCLE if what == "bicycle" else Id.MOTORCYCLE)
        self._add(place, z, (x - 0.8, x + 0.8, z - 0.1, z + 0.3, 1.0),
                  lambda view: paint(view, cycle, code))  # fmt: skip

    def _fill_verge(self, side: Side) -> None:
        if "verge" not in side.borders:
            return
        inner, outer = side.borders["verge"]
        draws = self._stream(f"verge {side.sign:+.0f}")
        x = side.sign * (inner + outer) / 2
        z, step = draws.uniform(6, 12), draws.uniform(6, 11)
        while z < 55:
            if draws.chance(0.8) and not (self.crossing and self.crossing.holds(z, 1.5)):
                own = self._next("tree")
                self._add(("verge", side.sign), z, (x - 0.9, x + 0.9, z, z + 0.6, 4.0),
                          lambda view, own=own, z=z: _street_tree(view, own, x, z))  # fmt: skip
            z += step

    def _fill_track(self, side: Side) -> None:
        if "track" not in side.borders:
            return
        inner, outer = side.borders["track"]
        draws = self._stream("track")
        if not draws.chance(0.85):
            return
        x = side.sign * (inner + outer) / 2
        z, length, tall = draws.uniform(5, 22), draws.uniform(16, 34), draws.uniform(3.3, 3.9)
        box = Box(x - 1.25, x + 1.25, z, z + length, tall, side.sign > 0)
        self._vehicle(("track", side.sign), "train", draws, box)

    def _fill_kerbside(self, side: Side) -> None:
        if "kerbside" not in side.borders:
            return
        inner, outer = side.borders["kerbside"]
        place: tuple[Zone, float] = ("kerbside", side.sign)
        draws = self._stream(f"kerbside {side.sign:+.0f}")
        z = draws.uniform(4.0, 8.0)
        while z < 36:
            what = draws.weighted({"car": 7, "truck": 1.3, "bus": 0.5, "motorcycle": 1.4,
                                   "container": 0.5, "nothing": 2.0})  # fmt: skip
            x = side.sign * (inner + outer) / 2 + draws.uniform(-0.12, 0.12)
            long = 2.5
            if self.crossing is not None and self.crossing.holds(z, 7.0):
                z += 2.0
                continue
            own = self._next("parked")
            if what in ("car", "truck", "bus"):
                box = _room(own, what, x, z, side.sign > 0)
                self._vehicle(place, what, own, box)
                long = box.z1 - box.z0
            elif what == "motorcycle" and z < _FINE:
                self._parked_cycle(place, what, own, x, z)
                long = 1.2
            elif what == "container":
                long = own.uniform(3.0, 4.5)
                self._add(place, z, (x - 0.95, x + 0.95, z, z + long, 1.4),
                          lambda view, own=own, x=x, z=z, long=long: furniture.container(
                              view, own, x - 0.95, x + 0.95, z, long))  # fmt: skip
            z += long + draws.uniform(0.5, 1.6)

    def _fill_road(self) -> None:
        draws = self._stream("traffic")
        lanes = [(0.0, draws.uniform(9, 24), True)]
        lanes += [(-(n + 1) * LANE, draws.uniform(6, 18), False) for n in range(self.oncoming)]
        if self.extra:
            lanes.append((LANE, draws.uniform(6, 20), True))
        for x, start, away in lanes:
            z = start
            while z < 45:
                what = draws.weighted({"car": 5, "truck": 1.8, "bus": 1.8, "bicycle": 1.2,
                                       "motorcycle": 1.3, "nothing": 2.5})  # fmt: skip
                if self.crossing is None or not self.crossing.holds(z, 5.0):
                    z += self._drive(draws, what, x + draws.uniform(-0.25, 0.25), z, away)
                z += draws.uniform(4, 17)
        if draws.chance(0.75):
            x = self.road[1] - 0.55 if draws.chance(0.6) else self.road[0] + 0.55
            self._ride("bicycle", self._next("ride"), x, draws.uniform(5.0, 13))
        if self.crossing is not None:
            self._cross(draws, self.crossing)

    def _drive(self, draws: Draws, what: str, x: float, z: float, away: bool) -> float:
        """Plan something on a lane and return the length that it takes."""
        if what == "nothing" or (what in ("bicycle", "motorcycle") and z > _FINE):
            return 0.0
        own = self._next("drive")
        if what in ("bicycle", "motorcycle"):
            self._ride(what, own, x, z)
            return 2.0
        box = _room(own, what, x, z, away)
        self._vehicle(("road", 0.0), what, own, box)
        return box.z1 - box.z0

    def _ride(self, what: str, draws: Draws, x: float, z: float) -> None:
        cycle = people.Cycle(draws, x, z, draws.pick((-1.0, 1.0)), draws.uniform(0.42, 0.8))
        machine = self._canvas.thing(Id.BICYCLE if what == "bicycle" else Id.MOTORCYCLE)
        human = self._canvas.thing(Id.RIDER)

        def paint(view: View) -> None:
            (people.bicycle if what == "bicycle" else people.motorcycle)(view, cycle, machine)
            people.rider(view, draws, cycle, 0.88 if what == "bicycle" else 0.78, human)

        self._add(("road", 0.0), z, (x - 0.5, x + 0.5, z - 0.1, z + 0.4, 1.6), paint)

    def _cross(self, draws: Draws, crossing: Crossing) -> None:
        """Plan who crosses: cars and riders on the other street, people on the zebra."""
        for n in range(draws.integer(0, 2)):
            z = crossing.near + (0.3 + 0.4 * n) * (crossing.far - crossing.near)
            x, own = draws.uniform(-7, 7), self._next("crossing")
            if z > _FINE or draws.chance(0.65):
                code = self._canvas.thing(Id.CAR)
                self._add(("road", 0.0), z, (x - 2.1, x + 2.1, z - 0.2, z + 1.6, 1.4),
                          lambda view, own=own, x=x, z=z, code=code: vehicles.crossing_car(
                              view, own, x, z, code))  # fmt: skip
            else:
                self._ride(draws.pick(("bicycle", "motorcycle")), own, x, z)
        for _ in range(draws.weighted({0: 3, 1: 3, 2: 2, 3: 1})):
            z = crossing.near - draws.uniform(1.4, 3.8)
            x, own = draws.uniform(*self.road), self._next("walker")
            if z < _FINE:
                self._person(("road", 0.0), own, x, z)

    def _vehicle(self, place: tuple[Zone, float], what: str, draws: Draws, box: Box) -> None:
        label, paint = {
            "car": (Id.CAR, vehicles.car),
            "truck": (Id.TRUCK, vehicles.truck),
            "bus": (Id.BUS, vehicles.bus),
            "train": (Id.TRAIN, vehicles.train),
        }[what]
        code = self._canvas.thing(label)
        self._add(place, box.z0, (box.x0, box.x1, box.z0, box.z1, box.height),
                  lambda view: paint(view, draws, box, code))  # fmt: skip

    def _add(
        self,
        place: tuple[Zone, float],
        z: float,
        shadow: tuple[float, float, float, float, float],
        paint: Callable[[View], None],
    ) -> None:
        self.things.setdefault(place, []).append(Thing(z, shadow, paint))

    def _next(self, what: str) -> Draws:
        self._count += 1
        return self._stream(f"{what} {self._count}")

    # Painting

    def paint(self, view: View) -> None:
        """Paint everything from far to near."""
        paint_sky(view, self._stream("sky"))
        self.ground.paint(view)
        for side in self.sides:
            if "track" in side.borders:
                paint_rails(view, side.sign * sum(side.borders["track"]) / 2, self.far)
        self._cast_shadows(view)
        paint_skyline(view, self._stream("skyline"), self.far)
        for structure in sorted(self.structures, key=lambda entry: -entry.near):
            structure.paint(view)
        for zone in _ZONES:
            for sign in (-1.0, 1.0, 0.0):
                things = self.things.get((zone, sign), [])
                for thing in sorted(things, key=lambda entry: -entry.z):
                    if view.shows(thing.shadow[0] - _OVERHANG, thing.shadow[1] + _OVERHANG,
                                  thing.z, thing.shadow[3]):  # fmt: skip
                        thing.paint(view)
        furniture.bonnet(view, self._stream("bonnet"))

    def _cast_shadows(self, view: View) -> None:
        if view.light.sun[0] > 0.2:
            for entry in self.structures:
                if entry.x * view.sun_side > 0 and entry.height > 0:
                    reach = entry.x - view.sun_side * 0.42 * entry.height
                    view.shadow([(entry.x, entry.near), (reach, entry.near + 1),
                                 (reach, entry.far + 1), (entry.x, entry.far)])  # fmt: skip
        for things in self.things.values():
            for thing in things:
                cast_shadow(view, *thing.shadow)


def _room(draws: Draws, what: str, x: float, z: float, away: bool) -> Box:
    """Return the room that a vehicle takes."""
    wide, length, height = {
        "car": (draws.uniform(1.7, 1.95), draws.uniform(3.8, 4.7), draws.uniform(1.4, 1.75)),
        "truck": (draws.uniform(2.1, 2.4), draws.uniform(6, 9), draws.uniform(2.7, 3.6)),
        "bus": (2.45, draws.uniform(9, 13), draws.uniform(2.9, 3.3)),
    }[what]
    return Box(x - wide / 2, x + wide / 2, z, z + length, height, away)


def _street_tree(view: View, draws: Draws, x: float, z: float) -> None:
    tree(view, draws, x, z, draws.uniform(4.5, 8.5))
