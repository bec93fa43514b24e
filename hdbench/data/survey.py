"""What a split of a dataset holds: the files of each scene, matched by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hdbench.errors import DataError
from hdbench.schema.image_input import ImageInput

PHOTOGRAPHS = (".png", ".jpg", ".jpeg")
MAPS = (".png",)
INPUTS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy")


@dataclass(frozen=True)
class Parts:
    """A label map in one file per class, composed when it is read (``label_maps.py``)."""

    #: ``probabilities``: the class with the largest value; the first of equal ones. ``masks``: the
    #: class that is not 0; a later one is painted over an earlier one, and 0 where there is none.
    kind: Literal["probabilities", "masks"]
    #: Class id and file, in the order of the ids.
    files: tuple[tuple[int, Path], ...]
    #: Whose size the map has, if its files are smaller by a whole factor.
    photograph: Path


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene."""

    name: str
    #: The label map; the first of its files where it has ``parts``; None where there is none.
    label: Path | None
    image: Path
    instance: Path | None
    #: None for a label map in one file.
    parts: Parts | None = None
    #: The image that the scene is made from, where the dataset has one.
    input: Path | None = None
    #: What the input is; None where methods are given the labels.
    input_spec: ImageInput | None = None
    #: The name on which noise and random styles depend; None: ``name``.
    seeded_as: str | None = None
    #: The styles that its regions were given, where it was edited.
    styles: Path | None = None

    @property
    def label_map(self) -> Path:
        """The label map's file; raises DataError where the dataset has none."""
        if self.label is None:
            raise DataError(f"{self.image}: no label map; this dataset has none")
        return self.label

    @property
    def label_files(self) -> tuple[Path, ...]:
        """All files of the label map; raises DataError where the dataset has none."""
        if self.parts is None:
            return (self.label_map,)
        return tuple(path for _, path in self.parts.files)

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


@dataclass(frozen=True)
class FilesOfKind:
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

    def lacking(self, name: str, partner: Path, partners: FilesOfKind) -> str:
        """Return the line that names the missing file of this kind beside its partner."""
        folder = self.folder / partner.parent.relative_to(partners.folder)
        ending = self.endings[partners._ending(partner) or 0]
        extensions = " or ".join(self.extensions[:2])
        return f"{partner}: no {self.noun} {folder / name}{ending}{extensions}"

    def _ending(self, path: Path) -> int | None:
        fitting = (n for n, text in enumerate(self.endings) if path.stem.endswith(text))
        return next(fitting, None)


def survey_kinds(
    root: Path,
    images: FilesOfKind,
    labels: FilesOfKind | None,
    instances: FilesOfKind | None,
    expected: str,
    inputs: FilesOfKind | None = None,
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
