"""Where each dataset keeps its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdbench.errors import DataError, counted, listing

_PHOTOGRAPHS = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene."""

    name: str
    label: Path
    image: Path
    instance: Path | None


@dataclass(frozen=True)
class Survey:
    """What a split's folders hold, and everything that is wrong with them."""

    scenes: list[SceneFiles]
    problems: list[str]


def find_scenes(layout: str, root: Path, split: str) -> list[SceneFiles]:
    """Return the scenes of a split in the order of their names.

    Args:
        layout: a name in ``LAYOUTS``.
        root: the dataset's folder.
        split: the split's name in that layout.

    Raises:
        DataError: folders or files are missing; all of them are listed.
    """
    survey = LAYOUTS[layout](root, split)
    if survey.problems:
        count = counted(len(survey.problems), "problem")
        raise DataError(
            f"{root}: not usable as {layout} ({count} in '{split}')\n"
            f"{listing(survey.problems)}\n"
            "Next: 'hdbench data check' lists everything that is wrong, files included."
        )
    return survey.scenes


def spread(scenes: Sequence[SceneFiles], count: int) -> list[SceneFiles]:
    """Return up to ``count`` scenes, spread evenly over all of them, in their order."""
    count = min(count, len(scenes))
    return [scenes[n * len(scenes) // count] for n in range(count)]


def _camvid(root: Path, split: str) -> Survey:
    """Survey ``train/`` and ``trainannot/``: same stems, photographs PNG or JPEG, labels PNG."""
    images_dir, labels_dir = root / split, root / f"{split}annot"
    missing = [folder for folder in (root, images_dir, labels_dir) if not folder.is_dir()]
    if missing:
        expected = f"expected {split}/ with photographs and {split}annot/ with label maps"
        return Survey([], [f"{missing[0]}: no such folder; {expected} in {root}"])
    images: dict[str, Path] = {}
    problems: list[str] = []
    for path in _visible(images_dir):
        if path.suffix.lower() not in _PHOTOGRAPHS:
            continue
        if path.stem in images:
            problems.append(f"{path}: {images[path.stem].name} is the same scene; keep one")
        images[path.stem] = path
    labels = {path.stem: path for path in _visible(labels_dir) if path.suffix.lower() == ".png"}
    if not images and not labels:
        problems.append(f"{images_dir}, {labels_dir}: empty; expected photographs and label maps")
    for name in sorted(labels.keys() - images.keys()):
        problems.append(f"{labels[name]}: no photograph {images_dir / name}.png or .jpg")
    for name in sorted(images.keys() - labels.keys()):
        problems.append(f"{images[name]}: no label map {labels_dir / name}.png")
    both = sorted(images.keys() & labels.keys())
    return Survey([SceneFiles(name, labels[name], images[name], None) for name in both], problems)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


#: A layout surveys one split below a dataset's root; it reads no pixels.
LAYOUTS: dict[str, Callable[[Path, str], Survey]] = {"camvid": _camvid}
