"""Folders of scenes that ``hdbench edit`` exported: their list, and the files of each.

edited.json                     the scenes, their label space and size
labels/NAME.png                 label ids, 8 bits, as the dataset's own files hold them
instances/NAME.png              ids of instances, 16 bits, where the dataset has them
styles/NAME.json                the styles that regions were given
before/NAME.png images/NAME.png the images before and after the edits
sessions/NAME.session.jsonl     the edits, for 'hdbench edit --session'
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from hdbench.data.survey import SceneFiles
from hdbench.errors import DataError, UsageError
from hdbench.schema.editing import SceneStyles
from hdbench.schema.record import Record, first_problem
from hdbench.storage import read_bytes

EDITED_FILE = "edited.json"
NAME = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,150}$"


class EditedScene(Record):
    """One scene of such a folder."""

    name: Annotated[str, Field(pattern=NAME)]
    #: The name on which noise and random styles depend: that of the scene that was edited.
    seeded_as: str
    #: For people: what was edited.
    title: str = ""


class EditedScenes(Record):
    """What ``edited.json`` says."""

    schema_: Literal[1] = Field(1, alias="schema")
    kind: Literal["hdbench-edited"] = "hdbench-edited"
    label_space: str
    #: Width and height in pixels.
    size: tuple[int, int] = Field(strict=False)
    #: Whether there are instance maps.
    instances: bool
    #: The method whose images are in it, for people.
    method: str
    scenes: list[EditedScene]


def read_edited(folder: Path) -> EditedScenes:
    """Return what a folder of edited scenes holds.

    Raises:
        UsageError: it is none.
        DataError: its list is damaged.
    """
    path = folder / EDITED_FILE
    if not path.is_file():
        raise UsageError(
            f"{folder}: no {EDITED_FILE}; expected a folder that 'hdbench edit' exported.\n"
            "Next: 'hdbench edit', then Export; or 'hdbench edit --script edits.json --out DIR'"
        )
    try:
        found = EditedScenes.model_validate_json(read_bytes(path))
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}") from None
    names = [entry.name for entry in found.scenes]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: a scene is listed twice")
    return found


def find_edited(folder: Path, label_space: str, width: int, height: int) -> list[SceneFiles]:
    """Return the scenes of a folder of edited scenes, by name.

    Raises:
        UsageError: it is none, or its scenes have other labels or another size than is expected.
        DataError: its list is damaged, or a file that it lists is missing.
    """
    found = read_edited(folder)
    if (found.label_space, found.size) != (label_space, (width, height)):
        raise UsageError(
            f"{folder}: scenes of {found.size[0]}x{found.size[1]} with labels of "
            f"'{found.label_space}'; the benchmark has {width}x{height} and '{label_space}'"
        )
    scenes = []
    for entry in sorted(found.scenes, key=lambda one: one.name):
        label, styles = folder / "labels" / f"{entry.name}.png", styles_file(folder, entry.name)
        instance = folder / "instances" / f"{entry.name}.png" if found.instances else None
        for path in (label, instance, styles):
            if path is not None and not path.is_file():
                raise DataError(f"{path}: missing; {EDITED_FILE} lists scene '{entry.name}'")
        scenes.append(
            SceneFiles(
                entry.name,
                label,
                folder / "before" / f"{entry.name}.png",
                instance,
                seeded_as=entry.seeded_as,
                styles=styles,
            )
        )
    return scenes


def styles_file(folder: Path, name: str) -> Path:
    """Return where the styles of an edited scene lie."""
    return folder / "styles" / f"{name}.json"


def read_scene_styles(path: Path) -> SceneStyles | None:
    """Return the styles of an edited scene; None: it was edited with a method that has none.

    Raises:
        DataError: the file is missing or damaged.
    """
    content = read_bytes(path)
    if content.strip() == b"null":
        return None
    try:
        found = SceneStyles.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}") from None
    wrong = [region for region in found.styles if not region.isdecimal()]
    if wrong:
        raise DataError(f"{path}: styles: region '{wrong[0][:20]}' is not a number")
    return found


def edited_json(found: EditedScenes) -> bytes:
    """Return the content of ``edited.json``."""
    return (json.dumps(found.model_dump(mode="json", by_alias=True), indent=1) + "\n").encode()
