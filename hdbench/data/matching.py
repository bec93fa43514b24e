"""Matches the files of a foreign folder with scenes, by names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hdbench.errors import UsageError, listing

#: Extensions of image files.
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".npy")
#: How the test scripts of pix2pixHD (end of the file name) and SPADE (name of the folder) mark
#: synthesized images; label maps and photographs are beside them.
_SYNTHESIZED = "synthesized_image"
#: Cityscapes' city_sequence_frame, anywhere in a name.
_CITYSCAPES = re.compile(r"[A-Za-z-]+_\d{6}_\d{6}(?!\d)")
_PLACE = "{name}"


@dataclass(frozen=True)
class Matching:
    """The image files of a folder by scene."""

    #: The one file of each scene that has one, in the order of the scenes.
    files: dict[str, Path]
    #: Scenes without a file.
    missing: list[str]
    #: One line for each scene with several files, and for each file that names several scenes.
    problems: list[str]
    #: Ignored image files: of no scene, or labels and photographs that the official test scripts
    #: write beside the synthesized images.
    aside: list[Path]


def match_names(folder: Path, scenes: Sequence[str], template: str | None = None) -> Matching:
    """Match the image files below a folder with scenes, without reading pixels.

    Without a template a file belongs to a scene if its name without the extension is the scene's
    name, optionally followed by ``_synthesized_image``, or contains the scene's
    ``city_sequence_frame``. Hidden files and folders are ignored. Several files of one scene are a
    problem, never a choice.

    A template is the end of each image's path below the folder, with ``{name}`` once in place of
    the scene's name: ``{name}_fake.png``, ``{name}/fake_B.png``; UsageError otherwise.
    """
    images = [path for path in sorted(folder.rglob("*")) if _is_image(path, folder)]
    if template is None:
        synthesized = [path for path in images if _is_synthesized(path)]
        candidates = synthesized or images
    else:
        pattern = _pattern(template)
        candidates = images
    known = set(scenes)
    found: dict[str, list[Path]] = {}
    problems: list[str] = []
    aside = sorted(set(images) - set(candidates))
    for path in candidates:
        place = path.relative_to(folder)
        if template is None:
            names = _names_in(path, known)
        else:
            fit = pattern.search(place.as_posix())
            names = {fit["name"]} & known if fit else set()
        if len(names) > 1:
            problems.append(f"{place}: names several scenes: {', '.join(sorted(names))}")
        elif names:
            found.setdefault(names.pop(), []).append(path)
        else:
            aside.append(path)
    for name, paths in sorted(found.items()):
        if len(paths) > 1:
            places = ", ".join(str(path.relative_to(folder)) for path in paths)
            problems.append(f"{name}: {len(paths)} files of one scene: {places}")
    return Matching(
        files={name: found[name][0] for name in scenes if len(found.get(name, ())) == 1},
        missing=[name for name in scenes if name not in found],
        problems=problems,
        aside=aside,
    )


def suggested_template(aside: Iterable[Path], scenes: Sequence[str]) -> str | None:
    """Return a template that fits files whose names hold those of scenes, or None."""
    longest_first = sorted(scenes, key=len, reverse=True)
    for path in aside:
        for name in longest_first:
            if name in path.name:
                return path.name.replace(name, _PLACE, 1)
    return None


def unmatched_advice(matching: Matching, scenes: Sequence[str]) -> str:
    """Return lines that show the ignored files and a template that would match them; or ""."""
    if not matching.aside:
        return ""
    names = sorted(path.name for path in matching.aside)
    lines = [f"image files of no scene ({len(names)}):", listing(names, 5)]
    template = suggested_template(matching.aside, matching.missing or scenes)
    if template is not None:
        lines.append(f"  --template '{template}' would match such names")
    return "\n".join(lines)


def _is_image(path: Path, folder: Path) -> bool:
    place = PurePosixPath(path.relative_to(folder))
    hidden = any(part.startswith(".") for part in place.parts)
    return not hidden and path.suffix.lower() in _EXTENSIONS and path.is_file()


def _is_synthesized(path: Path) -> bool:
    return path.stem.endswith(f"_{_SYNTHESIZED}") or path.parent.name == _SYNTHESIZED


def _names_in(path: Path, known: set[str]) -> set[str]:
    stem = path.stem
    for name in (stem, stem.removesuffix(f"_{_SYNTHESIZED}")):
        if name in known:
            return {name}
    return set(_CITYSCAPES.findall(stem)) & known


def _pattern(template: str) -> re.Pattern[str]:
    if template.count(_PLACE) != 1:
        raise UsageError(
            f"--template '{template}': expected {_PLACE} exactly once, where the scene's name "
            f"stands, like '{_PLACE}_fake.png'"
        )
    before, after = (re.escape(part) for part in template.split(_PLACE))
    return re.compile(rf"(?:^|/){before}(?P<name>[^/]+){after}$")
