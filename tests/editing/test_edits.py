"""What each edit does to labels and instances, by hand and on random scenes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scenes import BUILDING, BUS, CAR, PERSON, ROAD, SKY, TREE, context_of, street_scene
from shapely.geometry import LineString, Point, Polygon  # an independent geometry

from hdbench.data.scene import Scene
from hdbench.editing.apply import applied, shifted
from hdbench.editing.rasters import brush_mask, joined_mask, polygon_mask
from hdbench.editing.state import Regions, SceneState
from hdbench.errors import UsageError
from hdbench.schema.editing import Edit

EDIT = TypeAdapter(Edit)
SCENE = street_scene()
CONTEXT = context_of(SCENE)
STATE = SceneState.of(SCENE)

points = st.lists(
    st.tuples(st.floats(-8, 30, allow_nan=False), st.floats(-8, 30, allow_nan=False)),
    min_size=1,
    max_size=5,
)


def edited(state: SceneState = STATE, **values: Any) -> SceneState:
    return applied(state, EDIT.validate_python(values), CONTEXT)


def centres(size: tuple[int, int]) -> list[tuple[int, int, Point]]:
    return [
        (row, column, Point(column + 0.5, row + 0.5))
        for row in range(size[0])
        for column in range(size[1])
    ]


@settings(max_examples=40, deadline=None)
@given(points, st.floats(0.6, 6))
def test_a_brush_covers_the_centres_near_its_line(
    line: list[tuple[float, float]], radius: float
) -> None:
    size = (12, 20)
    mask = brush_mask(size, line, radius)
    shape = Point(line[0]) if len(line) == 1 else LineString(line)
    for row, column, centre in centres(size):
        away = shape.distance(centre)
        if abs(away - radius) > 1e-6:
            assert mask[row, column] == (away < radius)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 23), st.integers(-3, 15)), min_size=3, max_size=3))
def test_a_triangle_covers_the_centres_inside(corners: list[tuple[int, int]]) -> None:
    size, shape = (12, 20), Polygon(corners)
    mask = polygon_mask(size, [(float(x), float(y)) for x, y in corners])
    for row, column, centre in centres(size):
        if shape.boundary.distance(centre) > 1e-9:
            assert mask[row, column] == shape.contains(centre)


def test_fill_stops_where_another_region_begins() -> None:
    regions = np.array([[1, 1, 2, 1], [1, 2, 2, 1], [2, 1, 2, 1]])
    assert joined_mask(regions, (0.2, 1.9)).tolist() == [
        [True, True, False, False],
        [True, False, False, False],
        [False, False, False, False],
    ]
    assert not joined_mask(regions, (-0.1, 1)).any()


def test_paint_gives_a_class_its_own_region_and_a_thing_a_new_one() -> None:
    stroke = {"do": "paint", "tool": "brush", "points": [[35, 12]], "radius": 3}
    wall = edited(**stroke, label=BUILDING)
    assert wall.label[12, 35] == BUILDING
    assert wall.regions[12, 35] == BUILDING
    car = edited(**stroke, label=CAR)
    assert car.regions[12, 35] == CAR * 1000 + 2
    grown = edited(**stroke, label=CAR, into=CAR * 1000)
    assert grown.regions[12, 35] == CAR * 1000
    with pytest.raises(UsageError, match=str(PERSON * 1000)):
        edited(**stroke, label=CAR, into=PERSON * 1000)
    same = wall.label == STATE.label
    assert (wall.label[~same] == BUILDING).all()
    assert (STATE.label[~same] == TREE).all()


def test_remove_fills_with_what_is_nearest() -> None:
    after = edited(do="remove", region=PERSON * 1000)
    assert PERSON not in after.label
    assert (after.label[21:24, 42:45] == ROAD).all()
    assert (after.label[16:19, 42:45] == BUILDING).all()
    assert (after.label == STATE.label)[STATE.label != PERSON].all()
    one = edited(do="remove", region=CAR * 1000)  # it touches the other car, which does not grow
    other = STATE.regions == CAR * 1000 + 1
    assert (one.regions == CAR * 1000 + 1).sum() == other.sum()


def test_relabel_moves_a_region_to_another_class() -> None:
    built = edited(do="relabel", region=TREE, label=BUILDING)
    assert (built.regions[STATE.label == TREE] == BUILDING).all()
    bus = edited(do="relabel", region=CAR * 1000 + 1, label=BUS)
    assert set(bus.regions[STATE.regions == CAR * 1000 + 1].tolist()) == {BUS * 1000}
    with pytest.raises(UsageError, match=f"class {CAR} already"):
        edited(do="relabel", region=CAR * 1000, label=CAR)


def test_move_takes_the_instance_along_and_closes_the_gap() -> None:
    after = edited(do="move", region=PERSON * 1000, by=[-6, 3])
    assert (after.regions[19:27, 36:39] == PERSON * 1000).all()
    assert after.label[20, 43] == ROAD
    assert after.label[17, 43] == BUILDING
    with pytest.raises(UsageError, match="covers no pixel"):
        edited(do="move", region=PERSON * 1000, by=[100, 0])


def test_stamps_are_whole_instances_of_the_data_on_their_feet() -> None:
    names = {shape.name: shape for shape in CONTEXT.shapes}
    cars = {f"street:{CAR * 1000}", f"street:{CAR * 1000 + 1}"}
    assert set(names) == cars  # the person is too small
    after = edited(do="stamp", shape=f"street:{CAR * 1000}", at=[40, 30], scale=0.5)
    mask = after.regions == CAR * 1000 + 2
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (26, 29, 38, 42)
    with pytest.raises(UsageError, match="street:26001"):
        edited(do="stamp", shape="street:2600", at=[40, 30])
    cut = edited(do="stamp", shape=f"street:{CAR * 1000}", at=[0, 4])
    assert (cut.regions == CAR * 1000 + 2).sum() == 4 * 5


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"do": "paint", "tool": "fill", "points": [[1, 1]], "label": 200}, "200"),
        ({"do": "paint", "tool": "fill", "points": [[99, 1]], "label": ROAD}, "48"),
        ({"do": "remove", "region": 5}, "region 5"),
        ({"do": "relabel", "region": SKY, "label": 255}, "255"),
        ({"do": "style", "region": SKY, "style": 0}, "ours-styles"),
    ],
)
def test_an_edit_that_fits_nothing_names_what(values: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        edited(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"do": "erase", "region": 1},
        {"do": "paint", "tool": "brush", "points": [[1, 1]], "label": 7},
        {"do": "paint", "tool": "brush", "points": [], "label": 7, "radius": 2},
        {"do": "paint", "tool": "brush", "points": [[1, 1]], "label": 7, "radius": -2},
        {"do": "paint", "tool": "brush", "points": [[1e9, 1]], "label": 7, "radius": 2},
        {"do": "paint", "tool": "brush", "points": [["nan", 1]], "label": 7, "radius": 2},
        {"do": "paint", "tool": "polygon", "points": [[1, 1], [2, 2]], "label": 7},
        {"do": "paint", "tool": "fill", "points": [[1, 1]], "label": 256},
        {"do": "remove", "region": -1},
        {"do": "remove", "region": 70_000},
        {"do": "stamp", "shape": "a", "at": [1, 1], "scale": 1e9},
        {"do": "style", "region": 1, "style": [2.0]},
        {"do": "remove", "region": 1, "more": 2},
    ],
)
def test_nonsense_is_no_edit(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EDIT.validate_python(values)


def test_ids_follow_the_dataset() -> None:
    assert Regions.of([SCENE]) == Regions(frozenset(range(24, 34)), True)
    plain = replace(SCENE, instance=None)
    assert Regions.of([plain]) == Regions(frozenset(), False)
    ids = torch.zeros(4, 6, dtype=torch.int32)
    ids[:2, :3], ids[:2, 3:], ids[2:] = 1, 2, 40
    label = torch.tensor([[5] * 6] * 2 + [[40] * 6] * 2, dtype=torch.uint8)
    free = Scene("free", label, ids, None)
    own = Regions.of([free])
    assert own == Regions(frozenset({5}), False)
    state = SceneState.of(free)
    assert [state.region_for(label, own) for label in (5, 40, 7)] == [41, 40, 41]


def test_without_instance_maps_a_class_is_a_region() -> None:
    scene = replace(SCENE, instance=None)
    state, context = SceneState.of(scene), context_of(scene)
    edit = EDIT.validate_python({"do": "relabel", "region": TREE, "label": BUILDING})
    after = applied(state, edit, context)
    assert after.instance is None
    assert TREE not in after.label
    assert after.scene.instance is None


@settings(max_examples=60, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 2**20))
def test_a_shift_moves_every_pixel_that_stays_inside(rows: int, columns: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((7, 8)) < 0.5
    expected = {
        (row + rows, column + columns)
        for row, column in zip(*np.nonzero(mask), strict=True)
        if 0 <= row + rows < 7 and 0 <= column + columns < 8
    }
    assert set(zip(*np.nonzero(shifted(mask, rows, columns)), strict=True)) == expected
