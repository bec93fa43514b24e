"""Images that another program made, brought in as a method that is scored like any other.

All of them are decoded and checked before any is kept: what is missing, ambiguous or not what it
should be is listed in full, and nothing is half imported.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from hdbench.data.agreement import (
    explained_variance,
    label_thumbnail,
    suspected_trades,
    thumbnail,
)
from hdbench.data.foreign_images import ForeignImage, read_foreign_image
from hdbench.data.label_maps import read_label_of
from hdbench.data.layouts import SceneFiles
from hdbench.data.matching import Matching, match_names, unmatched_advice
from hdbench.data.sheets import png_bytes
from hdbench.errors import CheckpointError, DataError, UsageError, counted, listing
from hdbench.library import METHODS
from hdbench.provenance import file_digest, tensors_digest
from hdbench.runtime.claims import IDENTITY_FILE, held, move_aside
from hdbench.runtime.progress import progress
from hdbench.schema.imported import IMPORT_SCHEMA, Import, ImportedImage
from hdbench.storage import cannot_write, write_atomically
from hdbench.synthesis import image_paths
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import MANIFEST_FILE, read_import, save_import

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def import_images(
    bench: Bench,
    name: str,
    folder: Path,
    *,
    template: str | None = None,
    title: str | None = None,
    allow_subset: bool = False,
    restart: bool = False,
) -> Import:
    """Bring the images of a folder, and all folders in it, into the workspace as method ``name``.

    Originals are copied; those that are no 8-bit PNG are decoded once and stored as one, so that
    their pixels no longer depend on a decoder. The same images again are a success that changes
    nothing. ``template`` is that of ``match_names``; ``title`` is what tables call the method, else
    its name. ``allow_subset`` accepts scenes without an image; scores then are of the others alone.
    ``restart`` moves an earlier import, and its results, aside.

    Raises:
        UsageError: the name is taken or no file name, or there is no such folder.
        DataError: anything is wrong with the images; all of it is listed, nothing is kept.
        CheckpointError: other images were imported under this name, and ``restart`` is off.
    """
    require_name(bench, name)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected one with the images of '{name}'")
    scenes = bench.dataset.test_scenes
    matching = match_names(folder, [entry.name for entry in scenes], template)
    run = bench.run_folder(name, 0)
    scratch = run.with_name(f".{run.name}.importing")
    with held(run):
        try:
            shutil.rmtree(scratch, ignore_errors=True)  # of an import that was killed
            images, problems, warnings = _copied(bench, matching, folder, scratch)
            missing = [] if allow_subset and images else matching.missing
            problems = matching.problems + problems
            if problems or missing:
                raise DataError(_refusal(bench, name, folder, matching, problems, missing))
            record = Import(
                version=IMPORT_SCHEMA,
                method=name,
                benchmark=bench.benchmark.name,
                split=bench.benchmark.data.test,
                size=[bench.benchmark.size.width, bench.benchmark.size.height],
                source=str(folder),
                template=template,
                scenes_of_split=len(scenes),
                images=images,
                warnings=warnings,
            )
            if run.exists() and not restart:
                _require_same(run, record)
            else:
                _move_into_place(bench, record, scratch, run)
        except OSError as error:
            raise cannot_write(run, error) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    _write_method(bench, name, title or name, folder)
    return record


def require_name(bench: Bench, name: str) -> None:
    """Raise UsageError unless something may be imported as a method of this name."""
    if not _NAME.fullmatch(name) or name.endswith(".toml"):
        raise UsageError(
            f"'{name}': expected a short name of letters, digits, '.', '_' and '-', like 'spade'"
        )
    path = bench.library.entries(METHODS).get(name)
    if path is not None and path.parent != bench.workspace.methods():
        raise UsageError(f"'{name}' is a method of hdbench's library; choose another name")


def _copied(
    bench: Bench, matching: Matching, folder: Path, scratch: Path
) -> tuple[list[ImportedImage], list[str], list[str]]:
    """Copy all images that are sound; return their records, all problems, and warnings."""
    size = bench.benchmark.size
    scenes = [entry for entry in bench.dataset.test_scenes if entry.name in matching.files]
    place = scratch / bench.image_folder("", 0).relative_to(bench.run_folder("", 0))
    images: list[ImportedImage] = []
    problems: list[str] = []
    thumbnails: list[Tensor] = []
    for entry, target in zip(
        progress(scenes, desc="importing", unit="image"), image_paths(place, scenes), strict=True
    ):
        path = matching.files[entry.name]
        try:
            picture = read_foreign_image(path, size.width, size.height)
        except DataError as error:
            problems.append(str(error))
            continue
        thumbnails.append(thumbnail(picture.pixels))
        content = path.read_bytes() if picture.format == "PNG" else png_bytes(picture.pixels)
        write_atomically(target, content)
        images.append(_image_record(entry, path, folder, picture))
    return images, problems, _warnings(bench, scenes, images, thumbnails) if not problems else []


def _image_record(
    entry: SceneFiles, path: Path, folder: Path, picture: ForeignImage
) -> ImportedImage:
    return ImportedImage(
        scene=entry.name,
        source=path.relative_to(folder).as_posix(),
        file=file_digest(path),
        pixels=tensors_digest({"photograph": picture.pixels}),
        format=picture.format,
        lossy=picture.lossy,
    )


def _warnings(
    bench: Bench,
    scenes: Sequence[SceneFiles],
    images: Sequence[ImportedImage],
    thumbnails: Sequence[Tensor],
) -> list[str]:
    found: list[str] = []
    lossy = sum(image.lossy for image in images)
    if lossy:
        found.append(
            f"{lossy} of {counted(len(images), 'image')} came as JPEG: what is scored has lost "
            "something that the method synthesized; PNG is what other results are of"
        )
    by_pixels: dict[str, list[str]] = {}
    for image in images:
        by_pixels.setdefault(image.pixels, []).append(image.scene)
    found += [
        f"the same pixels for {len(names)} scenes: {', '.join(names)}"
        for names in by_pixels.values()
        if len(names) > 1
    ]
    if not bench.benchmark.data.labelled:
        return found
    labels = [label_thumbnail(read_label_of(entry, bench.space)) for entry in scenes]
    names = [entry.name for entry in scenes]
    for cycle in suspected_trades(explained_variance(thumbnails, labels)) if names else []:
        others = [names[n] for n in (*cycle[1:], cycle[0])]
        moves = [f"{names[n]} -> {other}" for n, other in zip(cycle, others, strict=True)]
        found.append(
            f"{counted(len(cycle), 'image')} fit the labels of other scenes better than their "
            f"own; are names swapped? (image -> labels)\n{listing(moves)}"
        )
    return found


def _refusal(
    bench: Bench,
    name: str,
    folder: Path,
    matching: Matching,
    problems: Sequence[str],
    missing: Sequence[str],
) -> str:
    scenes = bench.dataset.test_scenes
    size = bench.benchmark.size
    lines = [
        f"{folder}: nothing imported as '{name}' for '{bench.benchmark.name}' "
        f"({counted(len(scenes), 'scene')}, images of {size.width}x{size.height})"
    ]
    if problems:
        lines += [f"{counted(len(problems), 'problem')}:", listing(problems, len(problems))]
    if missing:
        lines += [f"no image of {len(missing)} of {counted(len(scenes), 'scene')}:"]
        lines += [listing(missing, len(missing))]
        lines += [advice] if (advice := unmatched_advice(matching, missing)) else []
    if missing and matching.files:
        lines.append(
            "Next: synthesize these too (the official test scripts stop at 50 images unless "
            f"--how_many {len(scenes)} is given), or import the others alone with --allow-subset, "
            "which gives their scores a fingerprint of their own"
        )
    elif missing:
        lines.append(
            "Next: name the images after their scenes, or say with --template how they are named"
        )
    else:
        lines.append("Next: mend or synthesize these files again, then repeat the command")
    return "\n".join(lines)


def _require_same(run: Path, record: Import) -> None:
    try:
        known = read_import(run / MANIFEST_FILE).identity
    except CheckpointError:
        known = None
    if known != record.identity:
        raise CheckpointError(
            f"{run}: holds other images of '{record.method}'.\n"
            "Next: --restart moves them and their results aside; another name keeps both"
        )


def _move_into_place(bench: Bench, record: Import, scratch: Path, run: Path) -> None:
    save_import(scratch / MANIFEST_FILE, record)
    write_atomically(scratch / IDENTITY_FILE, json.dumps(record.identity, indent=2).encode())
    results = bench.workspace.result(bench.benchmark.name, record.method, 0, "any").parent
    for folder in (run, results):
        if folder.exists():
            move_aside(folder)
    scratch.rename(run)


def _write_method(bench: Bench, name: str, title: str, folder: Path) -> None:
    """Write the method's file, unless another benchmark's import has done so."""
    path = bench.workspace.methods() / f"{name}.toml"
    if path.exists():
        return
    lines = {"name": name, "title": title, "kind": "images", "source": f"images in {folder}"}
    text = "".join(f"{key:<6} = {_quoted(value)}\n" for key, value in lines.items())
    write_atomically(path, text.encode())


def _quoted(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return json.dumps(printable, ensure_ascii=False)
