"""Datasets of faces, whose label maps are one file per part: Helen and CelebAMask-HQ."""

from __future__ import annotations

from pathlib import Path

from hdbench.data.survey import Parts, SceneFiles, Survey

_HELEN_PARTS = 11
#: Smith et al.'s lists; the paper trains on 2000 faces and tests on the other 330.
_HELEN_LISTS = {"train": ("exemplars.txt",), "test": ("testing.txt", "tuning.txt")}

#: In the order in which the official preparation paints them; the ids are 1 to 18.
_CELEBAMASK_PARTS = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear"),
    *("mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
_CELEBAMASK_MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_MASKS_PER_FOLDER = 2000
#: CelebA's own partition: its first 162,770 images are for training, the next 19,867 to validate.
_CELEBA_TRAIN, _CELEBA_VAL = 162_770, 182_637


def survey_helen(root: Path, split: str) -> Survey:
    """Survey ``SmithCVPR2013_dataset_resized``: ``images/``, ``labels/<name>/`` and three lists.

    The label map is the most probable part of the 11 in ``<name>_lbl00.png`` to ``_lbl10.png``.
    """
    if split not in _HELEN_LISTS:
        known = ", ".join(f"{name} ({' and '.join(its)})" for name, its in _HELEN_LISTS.items())
        return Survey([], [f"{root}: no split '{split}'; there are {known}"])
    names, problems = _helen_names(root, split)
    scenes = []
    for name in sorted(names):
        image = root / "images" / f"{name}.jpg"
        folder = root / "labels" / name
        parts = tuple((n, folder / f"{name}_lbl{n:02}.png") for n in range(_HELEN_PARTS))
        missing = [path for path in (image, *(path for _, path in parts)) if not path.is_file()]
        problems += [f"{path}: no such file; scene '{name}' needs it" for path in missing]
        if not missing:
            whole = Parts("probabilities", parts, image)
            scenes.append(SceneFiles(name, parts[0][1], image, None, whole))
    return Survey(scenes, problems)


def _helen_names(root: Path, split: str) -> tuple[set[str], list[str]]:
    """Return the names in a split's lists, whose lines are like ``12 , 100032540_1``."""
    names: set[str] = set()
    problems: list[str] = []
    for part in _HELEN_LISTS[split]:
        path = root / part
        if not path.is_file():
            problems.append(
                f"{path}: no such file; expected exemplars.txt, testing.txt, tuning.txt, images/ "
                "and labels/, as SmithCVPR2013_dataset_resized has them"
            )
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        names.update(line.split(",")[-1].strip() for line in lines if "," in line)
    return names, problems


def survey_celebamask(root: Path, split: str) -> Survey:
    """Survey ``CelebA-HQ-img/`` and ``CelebAMask-HQ-mask-anno/<n // 2000>/``.

    The splits ``train``, ``val`` and ``test`` are CelebA's, by the mapping file of the dataset.
    Part masks are 512x512; maps are enlarged to the photographs' 1024x1024.
    """
    mapping = root / _CELEBAMASK_MAPPING
    if split not in ("train", "val", "test"):
        return Survey([], [f"{root}: no split '{split}'; there are train, val and test"])
    if not mapping.is_file():
        return Survey(
            [],
            [
                f"{mapping}: no such file; expected it beside CelebA-HQ-img/ and "
                "CelebAMask-HQ-mask-anno/, as CelebAMask-HQ has them"
            ],
        )
    scenes: list[SceneFiles] = []
    problems: list[str] = []
    for number in _celebamask_numbers(mapping, split, problems):
        name = f"{number:05}"
        image = root / "CelebA-HQ-img" / f"{number}.jpg"
        folder = root / "CelebAMask-HQ-mask-anno" / str(number // _MASKS_PER_FOLDER)
        masks = ((n, folder / f"{name}_{part}.png") for n, part in enumerate(_CELEBAMASK_PARTS, 1))
        present = tuple((n, path) for n, path in masks if path.is_file())  # only visible parts
        if not image.is_file():
            problems.append(f"{image}: no such file; {mapping.name} names it")
        elif not present:
            problems.append(f"{image}: no part mask {folder / name}_*.png")
        else:
            whole = Parts("masks", present, image)
            scenes.append(SceneFiles(name, present[0][1], image, None, whole))
    return Survey(scenes, problems)


def _celebamask_numbers(mapping: Path, split: str, problems: list[str]) -> list[int]:
    """Return a split's images; a line has the number here, the index in CelebA, and its file."""
    numbers = []
    for n, line in enumerate(mapping.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or not words[0].isdigit():  # the title
            continue
        if len(words) < 2 or not words[1].isdigit():
            problems.append(f"{mapping}: line {n}: '{line}'; expected a number and an index")
            continue
        index = int(words[1])
        its = "train" if index < _CELEBA_TRAIN else "val" if index < _CELEBA_VAL else "test"
        if its == split:
            numbers.append(int(words[0]))
    return sorted(numbers)
