"""Scenes as edited, written as a folder that ``synthesize`` and ``study build`` take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hdbench.data.edited import (
    EDITED_FILE,
    EditedScene,
    EditedScenes,
    edited_json,
    read_edited,
    styles_file,
)
from hdbench.data.labels import LabelSpace
from hdbench.data.sheets import encode_png, png_bytes
from hdbench.editing.rendering import Renderer
from hdbench.editing.session import SESSION_SUFFIX, Session
from hdbench.errors import UsageError
from hdbench.schema.editing import SceneStyles
from hdbench.storage import read_bytes, write_atomically


def export_scene(
    folder: Path,
    session: Session,
    renderer: Renderer,
    space: LabelSpace,
    method: str,
    name: str,
    title: str = "",
) -> Path:
    """Write a session's scene into a folder of edited scenes, and return the path of its image.

    A scene of the same name is replaced. The list of scenes is written last, so that a folder that
    lists a scene has all of its files.

    Raises:
        UsageError: the folder holds scenes of another size, with other labels, or something else.
        StorageError: it cannot be written.
    """
    state = session.state
    height, width = state.size
    known = _known(folder)
    before = [] if known is None else [one for one in known.scenes if one.name != name]
    found = EditedScenes(
        schema=1,
        label_space=space.name,
        size=(width, height),
        instances=state.instance is not None,
        method=method,
        scenes=[*before, EditedScene(name=name, seeded_as=state.name, title=title)],
    )
    if known is not None and before and _facts(known) != _facts(found):
        raise UsageError(
            f"{folder}: holds scenes of another size, label space or method "
            f"({_facts(known)}); this one is {_facts(found)}.\nNext: another --out"
        )
    exact, first = renderer.image(state), renderer.image(session.first)
    assert exact is not None
    assert first is not None
    label = Image.fromarray(_on_disk(state.label, space))
    write_atomically(folder / "labels" / f"{name}.png", encode_png(label))
    if state.instance is not None:
        instance = Image.fromarray(state.instance.astype(np.uint16))
        write_atomically(folder / "instances" / f"{name}.png", encode_png(instance))
    write_atomically(styles_file(folder, name), _styles(session, renderer))
    write_atomically(folder / "before" / f"{name}.png", png_bytes(first))
    write_atomically(folder / "sessions" / f"{name}{SESSION_SUFFIX}", read_bytes(session.path))
    image = folder / "images" / f"{name}.png"
    write_atomically(image, png_bytes(exact))
    write_atomically(folder / EDITED_FILE, edited_json(found))
    return image


def _known(folder: Path) -> EditedScenes | None:
    """Return what a folder holds already; None: nothing yet."""
    if (folder / EDITED_FILE).is_file():
        return read_edited(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        parts = {"labels", "instances", "styles", "before", "images", "sessions"}
        if not folder.is_dir() or {path.name for path in folder.iterdir()} - parts:
            raise UsageError(f"{folder}: holds something else; expected a new or empty folder")
    return None


def _facts(found: EditedScenes) -> str:
    maps = "with" if found.instances else "without"
    return (
        f"{found.size[0]}x{found.size[1]}, '{found.label_space}', {maps} instances, "
        f"by '{found.method}'"
    )


def _on_disk(label: np.ndarray, space: LabelSpace) -> np.ndarray:
    table = np.arange(256, dtype=np.uint8)
    for entry in space.classes:
        if entry.stored is not None:
            table[entry.id] = entry.stored
    return table[label]


def _styles(session: Session, renderer: Renderer) -> bytes:
    if renderer.styles is None:
        return b"null\n"
    given = session.state.given_styles
    record = SceneStyles(
        encoder=renderer.styles.digest,
        centres=renderer.styles.centres.digest,
        styles={str(region): style for region, style in sorted(given.items())},
    )
    return (record.model_dump_json(indent=1) + "\n").encode()
