"""Sessions: undo and redo, the file that keeps them, and what a crash or another tab does to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import BUILDING, CAR, PERSON, ROAD, SKY, TREE, context_of, street_scene

from hdbench.data.labels import shipped_space
from hdbench.editing import session as sessions
from hdbench.editing.session import BaseScene, Session, SessionConflict, parse_base
from hdbench.editing.state import SceneState
from hdbench.errors import DataError, StorageError, UsageError
from hdbench.schema.editing import Operation, Paint, Relabel, Remove

SCENE = street_scene()
CONTEXT = context_of(SCENE)
FILL = Paint(label=BUILDING, tool="fill", points=[(35.0, 10.0)])
STROKE = Paint(label=CAR, tool="brush", points=[(20.0, 28.0), (30.0, 28.0)], radius=2.0)
EDITS = [FILL, STROKE, Remove(region=PERSON * 1000), Relabel(region=SKY, label=TREE)]


def new(folder: Path) -> Session:
    return Session.create(folder / "a.session.jsonl", BaseScene(SCENE, {}), CONTEXT)


def operate(session: Session, kind: str = "edit", edit=None, **values) -> Operation:
    values = {"id": f"op-{session.revision}", "revision": session.revision, **values}
    operation = Operation(kind=kind, edit=edit, **values)  # pyright: ignore[reportArgumentType]
    session.carry_out(operation)
    return operation


def same(one: SceneState, other: SceneState) -> bool:
    assert one.instance is not None
    assert other.instance is not None
    return (
        np.array_equal(one.label, other.label)
        and np.array_equal(one.instance, other.instance)
        and one.given_styles == other.given_styles
    )


def test_undo_all_is_the_first_scene_and_redo_the_last(tmp_path: Path) -> None:
    session = new(tmp_path)
    for edit in EDITS:
        operate(session, edit=edit)
    last = session.state
    assert not same(last, session.first)
    operate(session, "undo")
    operate(session, "undo-all")
    assert same(session.state, session.first)
    assert session.undone == len(EDITS)
    for _ in EDITS:
        operate(session, "redo")
    assert same(session.state, last)
    operate(session, "undo")
    operate(session, edit=FILL.model_copy(update={"points": [(1.0, 1.0)]}))
    assert session.undone == 0
    with pytest.raises(UsageError, match="redo"):
        operate(session, "redo")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["undo", "redo", "undo-all", 0, 1, 2, 3]), max_size=40))
def test_a_file_is_the_session_whatever_was_done(tmp_path_factory, steps: list) -> None:
    """Undone far back and done again, too: states are kept for a few steps only."""
    folder = tmp_path_factory.mktemp("session")
    session = new(folder)
    for step in steps:
        try:
            operate(session, *([] if isinstance(step, int) else [step]), edit=_edit(step))
        except UsageError:
            continue
    again = Session.load(session.path, CONTEXT)
    assert (again.revision, again.edits, again.undone) == (
        session.revision,
        session.edits,
        session.undone,
    )
    assert same(again.state, session.state)


def _edit(step):
    return EDITS[step] if isinstance(step, int) else None


def test_states_that_are_kept_change_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sessions, "_KEPT_STATES", 2)
    session = new(tmp_path)
    states = [session.state]
    for left in range(30):
        edit = Paint(label=ROAD, tool="brush", points=[(left + 0.5, 9.0)], radius=1.0)
        operate(session, edit=edit)
        states.append(session.state)
    for expected in reversed(states[:-1]):
        operate(session, "undo")
        assert same(session.state, expected)


def test_the_same_operation_twice_is_one_and_another_of_its_id_is_refused(tmp_path: Path) -> None:
    session = new(tmp_path)
    operation = operate(session, edit=FILL)
    before = session.path.read_bytes()
    session.carry_out(operation)
    assert session.path.read_bytes() == before
    assert session.position == 1
    with pytest.raises(SessionConflict):
        session.carry_out(operation.model_copy(update={"edit": STROKE}))
    with pytest.raises(SessionConflict, match="1"):
        operate(session, edit=STROKE, revision=0, id="late")
    assert session.position == 1


def test_what_is_not_on_disk_does_not_count(tmp_path: Path, monkeypatch) -> None:
    session = new(tmp_path)
    operate(session, edit=FILL)

    def full(*_: object) -> None:
        raise StorageError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "append_line", full)
        with pytest.raises(StorageError):
            operate(session, edit=STROKE)
    assert (session.revision, session.edits) == (1, [FILL])
    operate(session, edit=STROKE)
    assert Session.load(session.path, CONTEXT).edits == [FILL, STROKE]


def test_a_line_that_a_kill_cut_short_is_left_out_and_work_goes_on(tmp_path: Path) -> None:
    session = new(tmp_path)
    for edit in EDITS:
        operate(session, edit=edit)
    whole = session.path.read_bytes()
    for cut in (1, 2, 30):
        session.path.write_bytes(whole[:-cut])
        again = Session.load(session.path, CONTEXT)
        assert again.edits == (EDITS if cut == 1 else EDITS[:-1])
        operate(again, edit=FILL.model_copy(update={"label": ROAD}), id=f"after-{cut}")
        assert len(Session.load(session.path, CONTEXT).edits) == again.position


def test_a_damaged_line_in_between_names_its_number(tmp_path: Path) -> None:
    session = new(tmp_path)
    for edit in EDITS:
        operate(session, edit=edit)
    lines = session.path.read_bytes().splitlines()
    number = next(n for n, line in enumerate(lines) if b"op-1" in line)
    lost = next(n for n, line in enumerate(lines) if b"op-2" in line)
    for line, named in ((b'{"id": "op-1"}', number), (b'{"id": "op', lost)):
        damaged = [*lines[:number], line, *lines[number + 1 :]]
        session.path.write_bytes(b"\n".join(damaged) + b"\n")
        with pytest.raises(DataError, match=f":{named + 1}: "):
            Session.load(session.path, CONTEXT)


def test_a_base_that_is_none_is_refused(tmp_path: Path) -> None:
    session = new(tmp_path)
    space = shipped_space("cityscapes")
    base = json.loads(session.path.read_bytes().splitlines()[0])
    assert torch.equal(parse_base(json.dumps(base).encode(), "f", space).scene.label, SCENE.label)
    small = new_base(street_scene(height=16))
    for key, value in (
        ("kind", "something"),
        ("schema", 2),
        ("label_space", "camvid"),
        ("label", "no base64"),
        ("label", base["label"][:-40]),
        ("label", base["instance"]),
        ("instance", small["instance"]),
        ("styles", {"x": 1}),
        ("more", 1),
    ):
        with pytest.raises(DataError):
            parse_base(json.dumps({**base, key: value}).encode(), "f", space)
    for content in (b"", b"[]", b"\x89PNG", b"null"):
        with pytest.raises(DataError):
            parse_base(content, "f", space)


def new_base(scene) -> dict:
    return BaseScene(scene, {}).record(shipped_space("cityscapes")).model_dump(by_alias=True)
