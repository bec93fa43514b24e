"""``study build``: a packet of images, trials and pages, whole or not there, always the same."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hdbench.errors import DataError, HdbenchError, UsageError, counted, listing
from hdbench.provenance import canonical_json, differing_fields, digest, file_digest, versions
from hdbench.schema.study import StudyProtocol
from hdbench.storage import folder_atomically
from hdbench.study.design import MASKS, design, design_hash, pairs_of
from hdbench.study.files import (
    PREVIEW_FILE,
    RESULTS_FOLDER,
    STUDY_FILE,
    SUMS_FILE,
    TRIALS_FILE,
    packet_files,
)
from hdbench.study.gathering import Material
from hdbench.study.mturk import write_mturk
from hdbench.study.page import participant_page
from hdbench.study.pictures import control_png, mask_pngs, method_png, photograph_png
from hdbench.study.preview import preview_page
from hdbench.study.rendering import (
    SCHEMA,
    by_packet,
    hex_name,
    image_names,
    public_packet,
    trial_rows,
)
from hdbench.study.verify import require_sound
from hdbench.text import csv_cell
from hdbench.workspace.bench import Bench

#: More of a pair's scenes than this share with identical images make no comparison.
_MOST_IDENTICAL = 0.01


@dataclass(frozen=True)
class Flags:
    """What was asked for beside methods and protocol."""

    #: Seed of the design.
    seed: int
    #: Seed of the runs whose images are shown.
    run_seed: int
    #: Whether scenes that a method lacks may be left out.
    intersect: bool
    #: How many scenes, spread over the split; None for all.
    most_scenes: int | None


@dataclass(frozen=True)
class Built:
    """What ``build`` did."""

    folder: Path
    #: What ``study.json`` says.
    study: dict[str, Any]
    #: Whether the packet was written; False if it was there already.
    written: bool
    warnings: list[str]


def build(
    bench: Bench,
    protocol: StudyProtocol,
    material: Material,
    reference: str | None,
    flags: Flags,
    folder: Path,
) -> Built:
    """Write a packet, or find it there already; either way it is proved before it takes its name.

    Args:
        bench: the benchmark.
        protocol: the study.
        material: what is shown (``hdbench.study.gathering.gather``).
        reference: the method that others are compared with, or None.
        flags: seeds and what may be left out.
        folder: the packet's place.

    Raises:
        UsageError: the folder holds another packet, or something else.
        DataError: an image is damaged, or too many pairs of images are identical.
        HdbenchError: the packet is not what it should be, such as a text that names a method.
        StorageError: the folder cannot be written.
    """
    page = participant_page().encode()
    inputs, key = _inputs(bench, protocol, material, reference, flags, page)
    known = _known(folder, inputs)
    if known is not None:
        _require_whole(folder)
        return Built(folder, known, False, _warnings(known))
    pairs = pairs_of(material.methods)
    trials = design(len(pairs), len(material.scenes), len(material.controls), protocol, flags.seed)
    study = _study(bench, protocol, material, reference, flags, key, inputs)
    study["design_hash"] = design_hash(trials)
    study["packets"] = trials[-1].packet + 1
    study["packet_ids"] = [hex_name(key, "packet", n) for n in range(study["packets"])]
    rows = trial_rows(trials, study)
    with folder_atomically(folder) as staging:
        hashes = _write_images(staging, bench, material, study)
        study["identical"] = _identical(study, hashes)
        for packet in by_packet(rows).values():
            public = canonical_json(public_packet(study, protocol, packet))
            name = f"{study['packet_ids'][packet[0]['packet']]}.json"
            _write(staging / "web" / "packets" / name, public.encode())
        _write(staging / "web" / "index.html", page)
        _write(staging / "manifest.csv", _manifest(study, hashes))
        lines = "".join(f"{canonical_json(row)}\n" for row in rows)
        _write(staging / TRIALS_FILE, lines.encode())
        _write(staging / STUDY_FILE, json.dumps(study, indent=1, ensure_ascii=False).encode())
        write_mturk(staging)
        (staging / RESULTS_FOLDER).mkdir()
        _add_sums(staging, packet_files(staging))
        findings = require_sound(staging)
        _write(staging / PREVIEW_FILE, preview_page(study, protocol, rows, findings).encode())
        _add_sums(staging, [staging / PREVIEW_FILE])
    return Built(folder, study, True, _warnings(study))


def _inputs(
    bench: Bench,
    protocol: StudyProtocol,
    material: Material,
    reference: str | None,
    flags: Flags,
    page: bytes,
) -> tuple[dict[str, Any], str]:
    """Return everything that a packet depends on, and the key of its names.

    The key depends on seeds, protocol and the shown files, not on what methods are called:
    another name for a method changes the names of its images alone.
    """
    digests = bench.file_digests
    controls = [
        path
        for entry in material.controls
        for path in (entry.image, entry.label, entry.instance)
        if path is not None
    ]
    pixels = {
        "images": digest(digests.of(material.images.values())),
        "controls": digest(digests.of(controls)),
    }
    size = bench.benchmark.size
    inputs = {
        "schema": SCHEMA,
        "protocol": protocol.model_dump(mode="json"),
        "benchmark": bench.benchmark.name,
        "size": [size.width, size.height],
        "methods": material.methods,
        "reference": reference,
        "scenes": [entry.name for entry in material.scenes],
        "regions": {name: list(box) for name, box in sorted(material.regions.items())},
        **asdict(flags),
        **pixels,
        "page": hashlib.sha256(page).hexdigest(),
    }
    key = digest(["hdbench study", flags.seed, inputs["protocol"], pixels])
    return inputs, key


def _known(folder: Path, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the packet in a folder says if it was made from the same, None if none is there.

    Raises:
        UsageError: something else is there.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        study = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
        known = study["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{folder}: is there already, and is no packet; choose another --output"
        ) from None
    differing = differing_fields(known, json.loads(canonical_json(inputs)))
    if differing:
        raise UsageError(
            f"{folder}: holds a packet made from something else, and packets are never changed\n"
            f"{listing(differing)}\n"
            "Next: choose another --output, or move this one away"
        )
    return study


def _require_whole(folder: Path) -> None:
    """Check that a packet that was found is still as it was built."""
    try:
        require_sound(folder)
    except HdbenchError as error:
        raise HdbenchError(
            f"{folder}: {error}\n"
            "Next: move this packet away, with its results, and build it again; the same inputs "
            "make the same packet"
        ) from None


def _study(
    bench: Bench,
    protocol: StudyProtocol,
    material: Material,
    reference: str | None,
    flags: Flags,
    key: str,
    inputs: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what ``study.json`` says, but for what follows from the design and the images."""
    content = protocol.model_dump(mode="json")
    size = bench.benchmark.size
    width, height = protocol.display.fit(size.width, size.height)
    study = {
        "schema": SCHEMA,
        "study": protocol.name,
        "protocol": content,
        "protocol_hash": digest(content),
        "benchmark": bench.benchmark.name,
        "size": [size.width, size.height],
        "display": {"width": width, "height": height},
        "methods": material.methods,
        "reference": reference if reference is None else material.methods[-1],
        "pairs": [list(pair) for pair in pairs_of(material.methods)],
        "scenes": [entry.name for entry in material.scenes],
        "controls": [entry.name for entry in material.controls],
        "regions": {name: list(box) for name, box in material.regions.items()},
        "skipped": [asdict(entry) for entry in material.skipped],
        "subset": flags.most_scenes is not None,
        "intersect": flags.intersect,
        "left_out": material.left_out,
        "seed": flags.seed,
        "run_seed": flags.run_seed,
        "quality": content["quality"],
        "key": key,
        "inputs": inputs,
        "created_with": versions(),
    }
    named = image_names(study)
    sources = _sources(material, named)
    study["images"] = {name: {**named[name], "source": sources[name]} for name in sorted(named)}
    expected = len(material.images) + 2 * len(material.controls)
    assert len(named) == expected + MASKS * protocol.design.mask  # no two share a name
    return study


def _sources(material: Material, named: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """Return the name of the file that each image comes from, None for patterns."""
    controls = {entry.name: entry for entry in material.controls}
    sources: dict[str, str | None] = {}
    for name, content in named.items():
        match content["role"]:
            case "method":
                sources[name] = material.images[content["method"], content["scene"]].name
            case "control":
                entry = controls[content["scene"]]
                path = entry.label if content["shows"] == "label" else entry.image
                sources[name] = path.name
            case _:
                sources[name] = None
    return sources


def _write_images(
    staging: Path, bench: Bench, material: Material, study: Mapping[str, Any]
) -> dict[str, str]:
    """Write every image and return the SHA-256 of each file by its hexadecimal name."""
    size = bench.benchmark.size
    controls = {entry.name: entry for entry in material.controls}
    masks = iter(mask_pngs(bench, MASKS, study["seed"]) if _masked(study) else [])
    (staging / "images").mkdir()
    (staging / "web" / "images").mkdir(parents=True)
    hashes = {}
    for name, content in tqdm(study["images"].items(), desc="images", unit="image", delay=2):
        method, scene = content["method"], content["scene"]
        if content["role"] == "mask":
            png = next(masks)
        elif content["role"] == "control":
            png = control_png(bench, controls[scene], content["shows"])
        elif method in material.photographic:
            png = photograph_png(material.images[method, scene], size.height, size.width)
        else:
            png = method_png(material.images[method, scene])
        path = staging / "images" / f"{name}.png"
        _write(path, png)
        _link(path, staging / "web" / "images" / path.name)
        hashes[name] = hashlib.sha256(png).hexdigest()
    return hashes


def _masked(study: Mapping[str, Any]) -> bool:
    return study["protocol"]["design"]["mask"]


def _identical(study: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, int]:
    """Return how many scenes have identical images, by pair, of the pairs that have any.

    Raises:
        DataError: a pair has more of them than chance explains.
    """
    by_content = {
        (content["method"], content["scene"]): hashes[name]
        for name, content in study["images"].items()
        if content["role"] == "method"
    }
    found = {}
    for a, b in study["pairs"]:
        alike = [s for s in study["scenes"] if by_content[a, s] == by_content[b, s]]
        if len(alike) > _MOST_IDENTICAL * len(study["scenes"]):
            raise DataError(
                f"{a} and {b}: {counted(len(alike), 'scene')} of {len(study['scenes'])} with "
                f"identical images; more than {_MOST_IDENTICAL:.0%} cannot be chance\n"
                f"{listing(alike)}\n"
                "Next: look where both come from; one may be a copy of the other"
            )
        if alike:
            found[f"{a} and {b}"] = len(alike)
    return found


def _warnings(study: Mapping[str, Any]) -> list[str]:
    warnings = [
        f"{pair}: {counted(count, 'scene')} with identical images; answers on them are guesses"
        for pair, count in study["identical"].items()
    ]
    if study["left_out"]:
        warnings.append(
            f"{counted(len(study['left_out']), 'scene')} left out because a method lacks them "
            "(--intersect)"
        )
    if study["skipped"]:
        scenes = sum(entry["instance"] is None for entry in study["skipped"])
        objects = len(study["skipped"]) - scenes
        warnings.append(
            f"{counted(objects, 'object')} and {counted(scenes, 'scene')} skipped for their size; "
            f"{STUDY_FILE} lists them"
        )
    return warnings


def _manifest(study: Mapping[str, Any], hashes: Mapping[str, str]) -> bytes:
    """Return the private table of images, safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "role", "method", "scene", "shows", "source", "sha256"])
    for name, content in study["images"].items():
        cells = [content[column] for column in ("role", "method", "scene", "shows", "source")]
        cells = [csv_cell("" if cell is None else cell) for cell in cells]
        writer.writerow([f"{name}.png", *cells, hashes[name]])
    return text.getvalue().encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _link(path: Path, second: Path) -> None:
    """Give a file a second place, without its bytes where the file system can."""
    try:
        os.link(path, second)
    except OSError:
        shutil.copyfile(path, second)


def _add_sums(folder: Path, paths: Iterable[Path]) -> None:
    """Add the SHA-256 of files to the list, as ``sha256sum --check`` reads it."""
    with (folder / SUMS_FILE).open("a", encoding="utf-8") as sums:
        for path in paths:
            sums.write(f"{file_digest(path)}  {path.relative_to(folder).as_posix()}\n")
