"""Where each dataset keeps its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hdbench.data.faces import survey_celebamask, survey_helen
from hdbench.data.own_folder import survey_folder, survey_photographs
from hdbench.data.survey import (
    INPUTS,
    MAPS,
    PHOTOGRAPHS,
    FilesOfKind,
    SceneFiles,
    Survey,
    survey_kinds,
)
from hdbench.errors import DataError, counted, listing
from hdbench.schema.split import Split

Entry = TypeVar("Entry")


def survey_split(layout: str, root: Path, split: str) -> Survey:
    """Return what a split holds, without reading pixels; raises ValueError like ``Split.parse``.

    For ``train[:16]``, its first scenes, the problems are those of the whole split, because they
    may change which scenes are first.
    """
    wanted = Split.parse(split)
    survey = LAYOUTS[layout](root, wanted.name)
    problems = survey.problems
    if not problems and wanted.count is not None and wanted.count > len(survey.scenes):
        problems = [
            f"{root}: '{split}' asks for {counted(wanted.count, 'scene')}, "
            f"'{wanted.name}' has {len(survey.scenes)}"
        ]
    return Survey(survey.scenes[: wanted.count], problems)


def find_scenes(layout: str, root: Path, split: str) -> list[SceneFiles]:
    """Return the scenes of a split (``train``, ``train[:16]``) in the order of their names.

    Raises:
        DataError: folders, files or scenes are missing; all problems are listed.
    """
    survey = survey_split(layout, root, split)
    if survey.problems:
        count = counted(len(survey.problems), "problem")
        raise DataError(
            f"{root}: not usable as {layout} ({count} in '{split}')\n"
            f"{listing(survey.problems)}\n"
            "Next: 'hdbench data check' lists everything that is wrong, files included."
        )
    return survey.scenes


def spread(scenes: Sequence[Entry], count: int) -> list[Entry]:
    """Return up to ``count`` of some scenes, spread evenly over all of them, in their order."""
    count = min(count, len(scenes))
    return [scenes[n * len(scenes) // count] for n in range(count)]


def _camvid(root: Path, split: str) -> Survey:
    """Survey ``train/`` and ``trainannot/``: same stems; there are no instance maps."""
    return survey_kinds(
        root,
        FilesOfKind("photograph", root / split, "*", PHOTOGRAPHS, ("",)),
        FilesOfKind("label map", root / f"{split}annot", "*", MAPS, ("",)),
        None,
        f"{split}/ with photographs and {split}annot/ with label maps in {root}",
    )


def _cityscapes(root: Path, split: str) -> Survey:
    """Survey the official tree: ``leftImg8bit/<split>/<city>/`` and ``gtFine/<split>/<city>/``."""
    images, labels = root / "leftImg8bit" / split, root / "gtFine" / split
    return survey_kinds(
        root,
        FilesOfKind("photograph", images, "*/*", PHOTOGRAPHS, ("_leftImg8bit",)),
        FilesOfKind("label map", labels, "*/*", MAPS, ("_gtFine_labelIds",)),
        FilesOfKind("instance map", labels, "*/*", MAPS, ("_gtFine_instanceIds",)),
        f"leftImg8bit/{split}/<city>/ and gtFine/{split}/<city>/ in {root}",
    )


def _pix2pixhd(root: Path, split: str) -> Survey:
    """Survey the flat folders of the official pix2pixHD: ``train_label/``, ``_inst``, ``_img``.

    The three files of a scene share their stem, with or without Cityscapes' endings. (The official
    loader matches them by their positions in the sorted folders.)
    """
    images, labels, instances = (root / f"{split}_{part}" for part in ("img", "label", "inst"))
    return survey_kinds(
        root,
        FilesOfKind("photograph", images, "*", PHOTOGRAPHS, ("_leftImg8bit", "")),
        FilesOfKind("label map", labels, "*", MAPS, ("_gtFine_labelIds", "")),
        FilesOfKind("instance map", instances, "*", MAPS, ("_gtFine_instanceIds", "")),
        f"{split}_label/, {split}_inst/ and {split}_img/ in {root}",
    )


def _images(root: Path, split: str) -> Survey:
    """Survey ``<split>/inputs/`` and ``photographs/``, with ``labels/``, ``instances/`` if any."""
    folder = root / split
    maps = {part: folder / part for part in ("labels", "instances")}
    nouns = {"labels": "label map", "instances": "instance map"}
    kinds = {
        part: FilesOfKind(nouns[part], path, "*", MAPS, ("",)) if path.is_dir() else None
        for part, path in maps.items()
    }
    return survey_kinds(
        root,
        FilesOfKind("photograph", folder / "photographs", "*", PHOTOGRAPHS, ("",)),
        kinds["labels"],
        kinds["instances"],
        f"{split}/inputs/ and {split}/photographs/ in {root}",
        FilesOfKind("input image", folder / "inputs", "*", INPUTS, ("",)),
    )


def _ade20k(root: Path, split: str) -> Survey:
    """Survey the SceneParsing tree: ``images/training/`` and ``annotations/training/``."""
    return survey_kinds(
        root,
        FilesOfKind("photograph", root / "images" / split, "*", PHOTOGRAPHS, ("",)),
        FilesOfKind("label map", root / "annotations" / split, "*", MAPS, ("",)),
        None,
        f"images/{split}/ and annotations/{split}/ in {root}; its splits: training, validation",
    )


def _coco_stuff(root: Path, split: str) -> Survey:
    """Survey ``train2017/`` and ``stuffthingmaps/train2017/``, as COCO's archives unpack.

    Or ``images/train2017/`` and ``annotations/train2017/``, as the README of COCO-Stuff has them.
    There are no instance maps.
    """
    labels = root / "stuffthingmaps" / split
    images = root / split
    if (root / "images").is_dir() and not images.is_dir():
        images = root / "images" / split
    if (root / "annotations" / split).is_dir() and not labels.is_dir():
        labels = root / "annotations" / split
    return survey_kinds(
        root,
        FilesOfKind("photograph", images, "*", PHOTOGRAPHS, ("",)),
        FilesOfKind("label map", labels, "*", MAPS, ("",)),
        None,
        f"{split}/ and stuffthingmaps/{split}/ (or images/{split}/ and annotations/{split}/) "
        f"in {root}; its splits: train2017, val2017",
    )


#: A layout surveys one split below a dataset's root; it reads no pixels.
LAYOUTS: dict[str, Callable[[Path, str], Survey]] = {
    "ade20k": _ade20k,
    "coco-stuff": _coco_stuff,
    "camvid": _camvid,
    "celebamask-hq": survey_celebamask,
    "cityscapes": _cityscapes,
    "folder": survey_folder,
    "helen": survey_helen,
    "streets": _cityscapes,  # drawn into the official tree (hdbench/streets/)
    "pix2pixhd": _pix2pixhd,
    "images": _images,
    "photographs": survey_photographs,
}
