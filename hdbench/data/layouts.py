"""Where each dataset keeps its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from hdbench.errors import DataError, counted, listing
from hdbench.schema.image_input import ImageInput
from hdbench.schema.split import Split

Entry = TypeVar("Entry")

_PHOTOGRAPHS = (".png", ".jpg", ".jpeg")
_MAPS = (".png",)
_INPUTS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy")


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene."""

    name: str
    #: None where the dataset has no label maps.
    label: Path | None
    image: Path
    instance: Path | None
    #: The image that the scene is made from, where the dataset has one.
    input: Path | None = None
    #: What the input is; None where methods are given the labels.
    input_spec: ImageInput | None = None

    @property
    def label_map(self) -> Path:
        """The label map's file; raises DataError where the dataset has none."""
        if self.label is None:
            raise DataError(f"{self.image}: no label map; this dataset has none")
        return self.label

    @property
    def required_input(self) -> Path:
        """The input's file; raises DataError where the dataset has none."""
        if self.input is None:
            raise DataError(
                f"{self.image}: no input image; the benchmark has a table [input], so either its "
                "[data] layout has a file for each scene ('images'), or [input.edges] makes them"
            )
        return self.input


@dataclass(frozen=True)
class Survey:
    """What a split's folders hold, and everything that is wrong with them."""

    #: The scenes that have all of their files, in the order of their names.
    scenes: list[SceneFiles]
    problems: list[str]


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


@dataclass(frozen=True)
class _Kind:
    """One of the files that each scene of a split has: photograph, label map or instance map."""

    noun: str
    folder: Path
    #: Files below the folder; Cityscapes has a folder for each city.
    pattern: Literal["*", "*/*"]
    extensions: tuple[str, ...]
    #: Possible parts of a file name between scene name and extension; the first that fits is
    #: removed. All kinds of a layout list theirs in the same order.
    endings: tuple[str, ...]

    def find(self) -> tuple[dict[str, Path], list[str]]:
        """Return the files by scene name, and a line for each further file of the same scene.

        Hidden files and files with another ending or extension are ignored.
        """
        found: dict[str, Path] = {}
        problems: list[str] = []
        for path in sorted(self.folder.glob(self.pattern)):
            place = path.relative_to(self.folder)
            if any(part.startswith(".") for part in place.parts):
                continue
            ending = self._ending(path)
            if ending is None or path.suffix.lower() not in self.extensions:
                continue
            name = path.stem.removesuffix(self.endings[ending])
            if name in found:
                known = found[name].relative_to(self.folder)
                problems.append(f"{path}: {known} is the same scene; keep one")
            found[name] = path
        return found, problems

    def lacking(self, name: str, partner: Path, partners: _Kind) -> str:
        """Return the line that names the missing file of this kind beside its partner."""
        folder = self.folder / partner.parent.relative_to(partners.folder)
        ending = self.endings[partners._ending(partner) or 0]
        extensions = " or ".join(self.extensions[:2])
        return f"{partner}: no {self.noun} {folder / name}{ending}{extensions}"

    def _ending(self, path: Path) -> int | None:
        fitting = (n for n, text in enumerate(self.endings) if path.stem.endswith(text))
        return next(fitting, None)


def _survey(
    root: Path,
    images: _Kind,
    labels: _Kind | None,
    instances: _Kind | None,
    expected: str,
    inputs: _Kind | None = None,
) -> Survey:
    """Match the files of a split by the name of their scene, never by their position."""
    parts = {"image": images, "label": labels, "instance": instances, "input": inputs}
    chosen = {part: kind for part, kind in parts.items() if kind is not None}
    kinds = list(chosen.values())
    folders = dict.fromkeys(kind.folder for kind in kinds)  # labels and instances may share one
    absent = [folder for folder in folders if not folder.is_dir()] if root.is_dir() else [root]
    if absent:
        return Survey([], [f"{path}: no such folder; expected {expected}" for path in absent])
    found: list[dict[str, Path]] = []
    problems: list[str] = []
    for kind in kinds:
        files, doubled = kind.find()
        found.append(files)
        problems += doubled
    names = sorted(set().union(*found))
    if not names:
        listed = ", ".join(str(folder) for folder in folders)
        nouns = " and ".join(f"{kind.noun}s" for kind in kinds)
        problems.append(f"{listed}: empty; expected {nouns}: {expected}")
    complete: list[str] = []
    for name in names:
        present = [n for n in range(len(kinds)) if name in found[n]]
        if len(present) == len(kinds):
            complete.append(name)
            continue
        partner, partners = found[present[0]][name], kinds[present[0]]
        problems += [
            kind.lacking(name, partner, partners)
            for n, kind in enumerate(kinds)
            if n not in present
        ]
    files = dict(zip(chosen, found, strict=True))
    scenes = [
        SceneFiles(
            name,
            label=files["label"][name] if labels else None,
            image=files["image"][name],
            instance=files["instance"][name] if instances else None,
            input=files["input"][name] if inputs else None,
        )
        for name in complete
    ]
    return Survey(scenes, problems)


def _camvid(root: Path, split: str) -> Survey:
    """Survey ``train/`` and ``trainannot/``: same stems; there are no instance maps."""
    return _survey(
        root,
        _Kind("photograph", root / split, "*", _PHOTOGRAPHS, ("",)),
        _Kind("label map", root / f"{split}annot", "*", _MAPS, ("",)),
        None,
        f"{split}/ with photographs and {split}annot/ with label maps in {root}",
    )


def _cityscapes(root: Path, split: str) -> Survey:
    """Survey the official tree: ``leftImg8bit/<split>/<city>/`` and ``gtFine/<split>/<city>/``."""
    images, labels = root / "leftImg8bit" / split, root / "gtFine" / split
    return _survey(
        root,
        _Kind("photograph", images, "*/*", _PHOTOGRAPHS, ("_leftImg8bit",)),
        _Kind("label map", labels, "*/*", _MAPS, ("_gtFine_labelIds",)),
        _Kind("instance map", labels, "*/*", _MAPS, ("_gtFine_instanceIds",)),
        f"leftImg8bit/{split}/<city>/ and gtFine/{split}/<city>/ in {root}",
    )


def _pix2pixhd(root: Path, split: str) -> Survey:
    """Survey the flat folders of the official pix2pixHD: ``train_label/``, ``_inst``, ``_img``.

    The three files of a scene share their stem, with or without Cityscapes' endings. (The official
    loader matches them by their positions in the sorted folders.)
    """
    images, labels, instances = (root / f"{split}_{part}" for part in ("img", "label", "inst"))
    return _survey(
        root,
        _Kind("photograph", images, "*", _PHOTOGRAPHS, ("_leftImg8bit", "")),
        _Kind("label map", labels, "*", _MAPS, ("_gtFine_labelIds", "")),
        _Kind("instance map", instances, "*", _MAPS, ("_gtFine_instanceIds", "")),
        f"{split}_label/, {split}_inst/ and {split}_img/ in {root}",
    )


def _images(root: Path, split: str) -> Survey:
    """Survey ``<split>/inputs/`` and ``photographs/``, with ``labels/``, ``instances/`` if any."""
    folder = root / split
    maps = {part: folder / part for part in ("labels", "instances")}
    nouns = {"labels": "label map", "instances": "instance map"}
    kinds = {
        part: _Kind(nouns[part], path, "*", _MAPS, ("",)) if path.is_dir() else None
        for part, path in maps.items()
    }
    return _survey(
        root,
        _Kind("photograph", folder / "photographs", "*", _PHOTOGRAPHS, ("",)),
        kinds["labels"],
        kinds["instances"],
        f"{split}/inputs/ and {split}/photographs/ in {root}",
        _Kind("input image", folder / "inputs", "*", _INPUTS, ("",)),
    )


#: The share of a folder of photographs that is its split ``test``.
_TEST_SHARE = 10


def _photographs(root: Path, split: str) -> Survey:
    """Survey photographs alone: ``<split>/`` if there is such a folder, else the folder itself.

    The last tenth of one folder, in the order of names, is the split ``test``, the others are
    ``train``: frames of one film or person, which have similar names, are rarely in both.
    """
    own = (root / split).is_dir()
    survey = _survey(
        root,
        _Kind("photograph", root / split if own else root, "*", _PHOTOGRAPHS, ("",)),
        None,
        None,
        f"{split}/ with photographs in {root}, or photographs in {root} itself",
    )
    if own or survey.problems:
        return survey
    tested = -(-len(survey.scenes) // _TEST_SHARE)
    parts = {"train": survey.scenes[:-tested], "test": survey.scenes[-tested:]}
    if split not in parts:
        return Survey([], [f"{root}: no folder {split}/; one folder has splits train and test"])
    if not parts[split]:
        return Survey([], [f"{root}: one photograph; expected at least two, to train and to test"])
    return Survey(parts[split], [])


#: A layout surveys one split below a dataset's root; it reads no pixels.
LAYOUTS: dict[str, Callable[[Path, str], Survey]] = {
    "camvid": _camvid,
    "cityscapes": _cityscapes,
    "streets": _cityscapes,  # drawn into the official tree (hdbench/streets/)
    "pix2pixhd": _pix2pixhd,
    "images": _images,
    "photographs": _photographs,
}
