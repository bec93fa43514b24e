"""``hdbench init --from-folder``: benchmark, label space and convention for one's own data."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from hdbench.data.decoding import decoded, photograph_size
from hdbench.data.layouts import SceneFiles, survey_split
from hdbench.data.own_folder import split_folders
from hdbench.errors import DataError, UsageError, counted, listing
from hdbench.library import BENCHMARKS, Library
from hdbench.runtime.progress import progress
from hdbench.storage import write_atomically
from hdbench.workspace.paths import CONFIG_FILE, write_config

#: States the classes of a folder, in the folder itself.
CLASSES_FILE = "classes.toml"
_VOID = 255  # by custom, pixels without a class
_SIDE = 32  # divides the sides for every generator, segmenter and perceptual network of the library
_MOST_CLASSES = 255


@dataclass(frozen=True)
class _Machine:
    """What a training can take where it runs."""

    #: Pixels of an image.
    area: int
    width: float
    downsamplings: int
    #: Steps of a generator, a segmenter (8 scenes each) and a perceptual network (8 scenes each).
    steps: tuple[int, int, int]


_CPU = _Machine(256 * 192, 0.25, 3, (12_000, 900, 1_400))  # those of the benchmark camvid
_GPU = _Machine(512 * 384, 0.5, 4, (100_000, 5_000, 5_000))


@dataclass(frozen=True)
class OwnFolder:
    """What was found in a folder and written for it."""

    #: For people, one line each.
    facts: list[str]
    #: The files that were written.
    written: list[Path]
    #: Whether the classes have names that say nothing yet.
    unnamed: Path | None


@dataclass(frozen=True)
class _Found:
    """The classes of label maps as they are on disk."""

    #: Whether a value is an RGB colour, as ``r << 16 | g << 8 | b``, or an id.
    coloured: bool
    #: Pixels by value.
    pixels: Counter[int]
    #: Colours by id, where the maps have a palette.
    palette: dict[int, list[int]]


def init_from_folder(folder: Path, here: Path, workspace: Path, overwrite: bool) -> OwnFolder:
    """Inspect a folder of photographs and label maps; write what later commands need.

    Raises:
        DataError: its files do not fit together, or cannot be read.
        UsageError: a file that would be written exists, and ``overwrite`` is false.
        LibraryError: its ``classes.toml`` is wrong.
    """
    folder = folder.resolve()
    name = _name(folder)
    classes = folder / CLASSES_FILE
    derived = None if classes.is_file() else here / f"{name}-classes.toml"
    benchmark, scoring = here / f"{name}.toml", here / f"{name}-std-v1.toml"
    files = [path for path in (derived, scoring, benchmark, here / CONFIG_FILE) if path]
    present = [path for path in files if path.exists()]
    if present and not overwrite:
        raise UsageError(
            f"{', '.join(map(str, present))}: exists already; delete it, work in another folder, "
            "or add --overwrite"
        )
    train, test = _splits(folder)
    scenes = {split: _scenes(folder, split) for split in (train, test)}
    every = [entry for found in scenes.values() for entry in found]
    sizes = Counter(photograph_size(entry.image) for entry in every)
    found = None
    if derived is None:
        label_space = str(classes)
        count = len(Library().label_space(label_space).train_ids)
    else:
        label_space = f"./{derived.name}"
        found = _values(every)
        text, count = _classes_file(name, folder, found)
        write_atomically(derived, text.encode())
    machine = _GPU if torch.cuda.is_available() else _CPU
    width, height = _size(sizes, machine.area)
    write_atomically(scoring, _scoring_file(name, label_space).encode())
    content = _benchmark_file(
        name, folder, label_space, (train, test), (width, height), len(scenes[train]), machine
    )
    write_atomically(benchmark, content.encode())
    Library().benchmark(str(benchmark))  # what was written is read as later commands read it
    config = here / CONFIG_FILE
    config.unlink(missing_ok=True)
    write_config(here, str(benchmark.resolve()), folder, workspace)
    instances = every[0].instance is not None
    shown = ", ".join(f"{number} of {size}" for size, number in sizes.most_common(4))
    more = f" and {len(sizes) - 4} more sizes" if len(sizes) > 4 else ""
    facts = [
        f"{folder}: {counted(len(scenes[train]), 'scene')} in '{train}', "
        f"{len(scenes[test])} in '{test}' ({shown}{more})",
        f"label maps: {counted(count, 'class') if count == 1 else f'{count} classes'}, "
        + ("in colours" if found is not None and found.coloured else "by id")
        + (f", stated by {classes}" if derived is None else f", listed in {derived.name}"),
        f"instance maps: {'yes' if instances else 'no; boundaries are those of the label maps'}",
        f"chosen: {width}x{height}, {machine.width:g} of the paper's channels, for "
        + ("a GPU" if machine is _GPU else "a CPU")
        + f"; {benchmark.name} says it and may be edited",
    ]
    return OwnFolder(facts, files, derived)


def _name(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "own"
    return f"{name}-own" if name in Library().entries(BENCHMARKS) else name


def _splits(folder: Path) -> tuple[str, str]:
    """Return the training and the test split of a folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; --from-folder is that of photographs/")
    present = split_folders(folder)
    if not present or (folder / "photographs").is_dir():
        return "train", "val"
    tests = [name for name in ("val", "test", "validation") if name in present]
    if "train" not in present or not tests:
        raise DataError(
            f"{folder}: photographs/ in {', '.join(present)}; expected them in train/ and in val/ "
            "or test/, or in the folder itself"
        )
    return "train", tests[0]


def _scenes(folder: Path, split: str) -> list[SceneFiles]:
    survey = survey_split("folder", folder, split)
    if survey.problems:
        raise DataError(
            f"{folder}: {counted(len(survey.problems), 'problem')} in '{split}'\n"
            f"{listing(survey.problems)}\n"
            "Next: photographs/ and inputs/ hold files of the same names, like photographs/a.jpg "
            "and inputs/a.png"
        )
    if split == "train" and len(survey.scenes) < 2:
        raise DataError(f"{folder}: {counted(len(survey.scenes), 'scene')} to train on; 2 at least")
    return survey.scenes


def _values(scenes: list[SceneFiles]) -> _Found:
    """Return the values of all label maps."""
    coloured: Path | None = None
    indexed: Path | None = None
    pixels: Counter[int] = Counter()
    palette: dict[int, list[int]] = {}
    for entry in progress(scenes, desc="reading label maps", unit="map", delay=2):
        image = decoded(entry.label_map)
        if image.mode in ("RGB", "RGBA"):
            rgb = np.array(image.convert("RGB")).astype(np.int64)
            values, coloured = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], entry.label_map
        elif image.mode in ("L", "P"):
            values, indexed = np.array(image), entry.label_map
        else:
            raise DataError(f"{entry.label}: mode {image.mode}; expected 8-bit ids or colours")
        if coloured and indexed:
            raise DataError(f"{coloured}: colours, but {indexed} holds ids; use one of them")
        found, counts = np.unique(values, return_counts=True)
        pixels.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        if len(pixels) > _MOST_CLASSES:
            raise DataError(
                f"{entry.label}: more than {_MOST_CLASSES} different values so far; label maps "
                "hold one value per class, so these are photographs, or were compressed as JPEG"
            )
        colours = image.getpalette() or [] if image.mode == "P" else []
        for value in found.tolist() if image.mode == "P" else []:
            palette.setdefault(value, colours[3 * value : 3 * value + 3])
    return _Found(coloured is not None, pixels, palette)


def _classes_file(name: str, folder: Path, found: _Found) -> tuple[str, int]:
    """Return the text of a label space for the values that were found, and its scored classes."""
    values = sorted(found.pixels)
    lines = []
    void = not found.coloured and values[-1] == _VOID and len(values) > 1
    scored = values[:-1] if void else values
    for train_id, value in enumerate(scored):
        its_id = train_id if found.coloured else value
        colour = found.palette.get(value) or distinct_colour(its_id + 1)
        if found.coloured:
            colour = [value >> 16, value >> 8 & 255, value & 255]
        lines.append(_class_line(its_id, f"class-{its_id}", colour, train_id))
    if void:
        stored = f", stored = {_VOID}" if scored[-1] + 1 != _VOID else ""
        lines.append(_class_line(scored[-1] + 1, "void", [0, 0, 0], '"void"', stored))
    text = (
        f"# Written by 'hdbench init --from-folder' for {folder}.\n"
        '# Give the classes their names. A class with train_id = "void" is never scored. Once a\n'
        "# network is trained, a change of names, ids or train ids makes it stale; colours are free"
        + (
            ",\n# except that they stand for the classes in your label maps"
            if found.coloured
            else ""
        )
        + ".\n"
        f'name   = "{name}"\ntitle  = "Classes of {name}"\n'
        f"source = {json.dumps(str(folder), ensure_ascii=False)}\n\nclasses = [\n"
        + "".join(lines)
        + "]\n"
    )
    return text, len(scored)


def _class_line(its_id: int, name: str, colour: list[int], train_id: object, more: str = "") -> str:
    return (
        f'  {{ id = {its_id}, name = "{name}", colour = {colour}, train_id = {train_id}{more} }},\n'
    )


def distinct_colour(number: int) -> list[int]:
    """Return the RGB colour of a number, 0 to 255, in PASCAL VOC's colour map; 0 is black."""
    colour = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            colour[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    return colour


def _size(sizes: Counter[str], area: int) -> tuple[int, int]:
    """Return a width and height of about an area, with the median form of the photographs."""
    pairs = [tuple(map(int, size.split("x"))) for size in sizes.elements()]
    form = median(width / height for width, height in pairs)
    area = min(area, int(median(width * height for width, height in pairs)))
    width, height = (area * form) ** 0.5, (area / form) ** 0.5
    return max(2, round(width / _SIDE)) * _SIDE, max(2, round(height / _SIDE)) * _SIDE


def _scoring_file(name: str, label_space: str) -> str:
    return (
        "# Written by 'hdbench init --from-folder': the standard convention for these classes.\n"
        f'extends     = "camvid-std-v1"\nname        = "{name}-std-v1"\n'
        f'title       = "{name} standard, version 1"\n'
        'source      = "IoU accumulated over the dataset; void ignored"\n'
        f"label_space = {json.dumps(label_space, ensure_ascii=False)}\n"
    )


def _benchmark_file(
    name: str,
    folder: Path,
    label_space: str,
    splits: tuple[str, str],
    size: tuple[int, int],
    scenes: int,
    machine: _Machine,
) -> str:
    generator, segmenter, perceptual = machine.steps
    epochs = _epochs(generator, scenes)
    batch = min(8, scenes)
    return f"""\
# Written by 'hdbench init --from-folder'; a file of your own, to be edited.
# All other keys are those of the benchmark that it extends: 'hdbench show {name}.toml --resolved'.
extends = "camvid"
name    = "{name}"
title   = "{name} {size[0]}x{size[1]}"
source  = {json.dumps(str(folder), ensure_ascii=False)}
scoring = "./{name}-std-v1.toml"

[data]
layout      = "folder"
label_space = {json.dumps(label_space, ensure_ascii=False)}
train       = "{splits[0]}"
test        = "{splits[1]}"

[size]
width  = {size[0]}
height = {size[1]}

[budget]
width         = {machine.width}  # of the paper's channels
downsamplings = {machine.downsamplings}
epochs        = {epochs - epochs * 3 // 8}  # with those of decay about {generator} steps
decay_epochs  = {epochs * 3 // 8}

[perceptual.training]
split      = "{splits[0]}"
epochs     = {_epochs(perceptual, scenes // batch)}
batch_size = {batch}

[segmenter.training]
split      = "{splits[0]}"
epochs     = {_epochs(segmenter, scenes // batch)}
batch_size = {batch}
"""


def _epochs(steps: int, per_epoch: int) -> int:
    """Return the epochs of about a number of steps; few scenes are not repeated without end."""
    return min(400, max(8, round(steps / max(1, per_epoch))))
