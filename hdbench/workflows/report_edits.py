"""Edited scenes before and after: labels and images, and the changed part enlarged."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hdbench.data.edited import EditedScene, find_edited, read_edited
from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_photograph, read_scene
from hdbench.data.scene import Scene
from hdbench.data.sheets import Cell, contact_sheet, encode_png
from hdbench.editing.session import SESSION_SUFFIX, parse_base
from hdbench.errors import UsageError
from hdbench.reporting.document import Picture, SceneStrip, Section
from hdbench.reporting.insets import Inset
from hdbench.schema.report import Edits
from hdbench.storage import read_bytes
from hdbench.workspace.bench import Bench

#: Of the image's height: the smallest part that is enlarged.
_SMALLEST = 0.25
#: A larger part is not enlarged: it would be the same picture again.
_LARGEST = 0.7


def edits_section(bench: Bench, edits: Edits) -> tuple[Section | None, dict[str, bytes]]:
    """Return the scenes of the bench's folder of edited scenes, and the same as a PNG file.

    None if the workspace's own folder has none yet.

    Raises:
        UsageError: the folder that is asked for is none of edited scenes, or of another size.
        DataError: a file of it is missing or damaged.
    """
    folder = bench.edited or bench.workspace.root / "edited"
    if bench.edited is None and not folder.is_dir():
        return None, {}
    listed = read_edited(folder)
    width, height = listed.size
    files = {entry.name: entry for entry in find_edited(folder, bench.space.name, width, height)}
    strips = [
        _strip(folder, entry, files[entry.name], bench.space, edits) for entry in listed.scenes
    ]
    if not strips:
        raise UsageError(f"{folder}: no scene in it")
    rows = [
        [Cell(picture.caption, picture.pixels) for picture in row]
        for strip in strips
        for row in strip.rows
    ]
    section = Section(
        "",
        notes=[f"Images by '{listed.method}', as 'hdbench edit' exported them to {folder}."],
        strips=strips,
        legend=bench.space.legend(strip.label for strip in strips),
    )
    return section, {"pictures.png": encode_png(contact_sheet(rows), optimize=True)}


def _strip(
    folder: Path, entry: EditedScene, files: SceneFiles, space: LabelSpace, edits: Edits
) -> SceneStrip:
    session = folder / "sessions" / f"{entry.name}{SESSION_SUFFIX}"
    first = parse_base(read_bytes(session), str(session), space).scene
    scene = read_scene(files, space, photograph=False)
    before = read_photograph(folder / "before" / f"{entry.name}.png")
    after = read_photograph(folder / "images" / f"{entry.name}.png")
    what = entry.title or entry.name
    columns: list[tuple[str, Tensor, bool]] = [
        ("labels before", space.paint(first.label), False),
        ("before", before, True),
        (f"labels after: {what}", space.paint(scene.label), False),
        (f"after: {what}", after, True),
    ]
    rows = [[Picture(title, pixels, smooth) for title, pixels, smooth in columns]]
    inset = _changed(first, scene, before, after)
    if edits.enlarged and inset.height < _LARGEST * scene.size[0]:
        factor = f"{scene.size[0] / inset.height:.1f} times"
        rows.append(
            [
                Picture(
                    f"{title.partition(':')[0]}, {factor}", inset.enlarged(pixels, smooth), smooth
                )
                for title, pixels, smooth in columns
            ]
        )
    return SceneStrip(f"{entry.name} ({entry.seeded_as})", scene.label, rows)


def _changed(first: Scene, scene: Scene, before: Tensor, after: Tensor) -> Inset:
    """Return the part around the changed labels and instances; of a change of style, of pixels."""
    changed = (first.label != scene.label) | (first.regions != scene.regions)
    if not bool(changed.any()):
        away = (before.int() - after.int()).abs().amax(dim=0)
        changed = away > away.max() / 2
    height, width = scene.size
    rows, columns = (torch.nonzero(changed.any(dim=n)).flatten() for n in (1, 0))
    if not len(rows):
        return Inset(0, 0, height, width)
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    share = min(1.0, max(_SMALLEST, 1.3 * tall / height, 1.3 * wide / width))
    sides = max(1, round(share * height)), max(1, round(share * width))
    middle = int(rows[0]) + tall / 2, int(columns[0]) + wide / 2
    top, left = (
        min(max(0, round(centre - side / 2)), whole - side)
        for centre, side, whole in zip(middle, sides, (height, width), strict=True)
    )
    return Inset(top, left, *sides)
