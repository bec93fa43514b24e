"""Streets as files: the built-in scenes in Cityscapes' official layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from hdbench.data.labels import shipped_space
from hdbench.data.scene import Scene
from hdbench.data.sheets import encode_png, png_bytes
from hdbench.errors import DataError, UsageError, suggestion
from hdbench.runtime.children import in_children, usable_cores
from hdbench.runtime.progress import progress
from hdbench.schema.streets import require_streets_size
from hdbench.storage import write_atomically
from hdbench.streets.scene import VERSION, draw_scene, scene_name

MARKER_FILE = "streets.json"

#: Scenes that take longer to draw than a process takes to start.
_WORTH_A_PROCESS = 16


@dataclass(frozen=True)
class StreetsSplit:
    """One split of Streets."""

    #: All of its scenes are drawn from this seed.
    seed: int
    #: Number of its scenes.
    scenes: int


SPLITS = {
    "train": StreetsSplit(seed=1, scenes=600),
    "val": StreetsSplit(seed=2, scenes=100),
    "judge": StreetsSplit(seed=3, scenes=3000),  # what the segmenters that ship learnt from
    "perceptual": StreetsSplit(seed=4, scenes=1000),  # what the perceptual network learnt from
    "watch": StreetsSplit(seed=5, scenes=32),  # validation of trainings
}


def folder_name(width: int, height: int) -> str:
    """Return the name of a folder of Streets, which says version and size."""
    return f"streets-v{VERSION}-{width}x{height}"


def require_drawable(splits: Iterable[str], count: int | None, width: int, height: int) -> None:
    """Raise UsageError unless scenes of some splits can be drawn, before any file is written."""
    try:
        require_streets_size(width, height)
    except ValueError as error:
        raise UsageError(str(error)) from None
    for split in splits:
        if split not in SPLITS:
            raise UsageError(f"Streets has no split '{split}'{suggestion(split, SPLITS)}")
        most = SPLITS[split].scenes
        if count is not None and count > most:
            raise UsageError(f"Streets' split '{split}' has {most} scenes; {count} are asked for")


def write_streets(root: Path, split: str, count: int | None, width: int, height: int) -> int:
    """Draw the missing ones of the first scenes of a split into files, and return their number.

    Files are written atomically, and an incomplete scene is completed, so that the same call
    resumes. Where there are many, each core draws a part. Raises what ``require_drawable`` raises,
    and DataError if the folder holds something else, or Streets of another version or size.
    """
    require_drawable([split], count, width, height)
    spec = SPLITS[split]
    count = spec.scenes if count is None else count
    _claim(root, width, height)
    missing = missing_scenes(root, split, count)
    title = f"drawing streets/{split}"
    draw = partial(_draw, root, split, (width, height))
    workers = min(usable_cores(), len(missing) // _WORTH_A_PROCESS)
    drawn = in_children(draw, missing, workers if workers > 1 else 0)
    for _ in progress(drawn, desc=title, unit="scene", total=len(missing), disable=not missing):
        pass
    return count


def missing_scenes(root: Path, split: str, count: int | None) -> list[int]:
    """Return the indices of the scenes that ``write_streets`` has to draw."""
    spec = SPLITS[split]
    count = spec.scenes if count is None else count
    files = [_files(root, split, index) for index in range(spec.scenes)]
    found = [sum(path.is_file() for path in paths) for paths in files]
    return [
        index
        for index, number in enumerate(found)
        if number < len(files[index]) and (index < count or number > 0)
    ]


def _claim(root: Path, width: int, height: int) -> None:
    """Mark a new or empty folder as Streets of this version and size, or check its marker."""
    marker = root / MARKER_FILE
    ours = {"version": VERSION, "width": width, "height": height}
    if not root.exists() or (root.is_dir() and not any(_visible(root))):
        write_atomically(marker, (json.dumps(ours) + "\n").encode())
        return
    if not marker.is_file():
        raise DataError(
            f"{root}: holds something else than Streets (there is no {MARKER_FILE}); "
            "choose a new or empty folder"
        )
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        theirs = "version {version} at {width}x{height}".format(**found)
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{marker}: not readable; delete {root}, and its scenes are drawn again"
        ) from None
    if found != ours:
        raise DataError(
            f"{root}: holds Streets {theirs}, not version {VERSION} at {width}x{height}; "
            "choose another folder, or delete this one"
        )


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _files(root: Path, split: str, index: int) -> list[Path]:
    """Return where photograph, label, instance and colour map of a scene lie.

    The split's seed stands where Cityscapes has the sequence, so no name is in two splits.
    """
    stem = scene_name(SPLITS[split].seed, index)
    images, maps = (root / folder / split / "streets" for folder in ("leftImg8bit", "gtFine"))
    kinds = ("labelIds", "instanceIds", "color")
    return [
        images / f"{stem}_leftImg8bit.png",
        *(maps / f"{stem}_gtFine_{kind}.png" for kind in kinds),
    ]


def _draw(root: Path, split: str, size: tuple[int, int], index: int) -> None:
    """Draw a scene, and write those of its files that are not there."""
    contents = _contents(draw_scene(SPLITS[split].seed, index, *size))
    for path, content in zip(_files(root, split, index), contents, strict=True):
        if not path.is_file():
            write_atomically(path, content)


def _contents(scene: Scene) -> list[bytes]:
    """Return the contents of a scene's files, in the order of ``_files``."""
    assert scene.image is not None
    assert scene.instance is not None
    return [
        png_bytes(scene.image),
        encode_png(Image.fromarray(scene.label.numpy())),
        encode_png(Image.fromarray(scene.instance.numpy().astype(np.uint16))),
        png_bytes(shipped_space("cityscapes").paint(scene.label)),
    ]
