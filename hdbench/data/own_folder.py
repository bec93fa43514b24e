"""The layout of one's own data: ``photographs/``, ``inputs/`` and, optionally, ``instances/``.

These folders stand in a folder for each split (``train/inputs/``), or in the dataset's folder
itself, which is then divided by the names of the scenes, without moving a file. So are photographs
alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from hdbench.data.survey import MAPS, PHOTOGRAPHS, FilesOfKind, Survey, survey_kinds

#: One scene in so many is of the validation split where nothing else is said.
ONE_IN = 10
#: Names the validation scenes, one per line, where the user chooses them.
VALIDATION_LIST = "val.txt"


def survey_folder(root: Path, split: str) -> Survey:
    """Survey ``<split>/photographs/`` and so on, or a split of ``photographs/`` and so on."""
    own = root / split
    if own.is_dir():
        return _survey(own)
    if split not in ("train", "val") or _has_split_folders(root):
        there = f"{root}: no folder '{split}'"
        return Survey([], [f"{there}; a folder that is not divided has the splits train and val"])
    return _divided(root, split, _survey(root))


def survey_photographs(root: Path, split: str) -> Survey:
    """Survey photographs alone: those in ``<split>/``, or a split of those in the folder itself."""
    own = root / split
    survey = survey_kinds(
        root,
        FilesOfKind("photograph", own if own.is_dir() else root, "*", PHOTOGRAPHS, ("",)),
        None,
        None,
        f"{split}/ with photographs in {root}, or photographs in {root} itself",
    )
    if own.is_dir() or survey.problems:
        return survey
    if split not in ("train", "val"):
        there = f"{root}: no folder '{split}'"
        return Survey([], [f"{there}; a folder that is not divided has the splits train and val"])
    return _divided(root, split, survey)


def _divided(root: Path, split: str, survey: Survey) -> Survey:
    """Return the scenes of one split of a folder that is not divided."""
    chosen, problems = _validation(root, [entry.name for entry in survey.scenes])
    scenes = [entry for entry in survey.scenes if (entry.name in chosen) == (split == "val")]
    if survey.scenes and not scenes:
        problems.append(f"{root}: no scene is left for '{split}' of {len(survey.scenes)}")
    return Survey(scenes, [*survey.problems, *problems])


def label_folder(folder: Path) -> Path:
    """Return where the label maps are: ``labels/`` if it exists, else ``inputs/``.

    Where a method's inputs are images, these are in ``inputs/``.
    """
    return folder / "labels" if (folder / "labels").is_dir() else folder / "inputs"


def split_folders(root: Path) -> list[str]:
    """Return the splits that have a folder of their own."""
    return [path.parent.name for path in sorted(root.glob("*/photographs")) if path.is_dir()]


def _has_split_folders(root: Path) -> bool:
    return bool(split_folders(root)) and not (root / "photographs").is_dir()


def _survey(folder: Path) -> Survey:
    instances = folder / "instances"
    labels = label_folder(folder)
    return survey_kinds(
        folder,
        FilesOfKind("photograph", folder / "photographs", "*", PHOTOGRAPHS, ("",)),
        FilesOfKind("label map", labels, "*", MAPS, ("",)),
        FilesOfKind("instance map", instances, "*", MAPS, ("",)) if instances.is_dir() else None,
        f"photographs/, {labels.name}/ with label maps and, optionally, instances/ in {folder}",
    )


def _validation(root: Path, names: list[str]) -> tuple[set[str], list[str]]:
    """Return the names of the validation scenes, and what is wrong with the user's list of them."""
    path = root / VALIDATION_LIST
    if not path.is_file():
        return set(tenth(names)), []
    listed = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    chosen = {name for name in listed if name}
    absent = sorted(chosen - set(names))
    return chosen, [f"{path}: no scene is named '{name}'" for name in absent]


def tenth(names: Iterable[str]) -> list[str]:
    """Return a tenth of some names, at least one: those whose SHA-256 is smallest.

    It looks random, is the same on every machine, and hardly changes when scenes are added.
    """
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return ordered[: max(1, round(len(ordered) / ONE_IN))]
