"""``study build``: writes a packet of images, trials and pages.

The same inputs and the same key give the same bytes; a new packet gets a random key.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hdbench.errors import DataError, HdbenchError, UsageError, counted, listing
from hdbench.provenance import differing_fields, digest, versions
from hdbench.runtime.progress import progress
from hdbench.schema.packet import (
    PACKET_SCHEMA,
    BuildInputs,
    DisplayedSize,
    PacketImage,
    StudyRecord,
)
from hdbench.schema.study import StudyProtocol
from hdbench.storage import folder_atomically
from hdbench.study.design.trials import MASKS, Trial, design, design_hash, pairs_of
from hdbench.study.packet.files import (
    KEY_FILE,
    PREVIEW_FILE,
    RESULTS_FOLDER,
    STUDY_FILE,
    TRIALS_FILE,
    Packet,
    canonical_bytes,
    key_bytes,
    packet_files,
    read_study,
    study_bytes,
    sums_of,
    trials_bytes,
    write_sums,
)
from hdbench.study.packet.gathering import Material
from hdbench.study.packet.images import control_png, mask_pngs, method_png, photograph_png
from hdbench.study.packet.manifest import MANIFEST_FILE, manifest_bytes
from hdbench.study.packet.mturk import write_mturk
from hdbench.study.packet.padding import ROOM, paddable, padded
from hdbench.study.packet.page import participant_page
from hdbench.study.packet.preview import preview_page
from hdbench.study.packet.rendering import hex_name, image_names, public_packet, trial_rows
from hdbench.study.packet.verify import require_sound
from hdbench.workspace.bench import Bench

#: The largest share of a pair's scenes that may have identical images.
_MOST_IDENTICAL = 0.01


@dataclass(frozen=True)
class Flags:
    """The options of a build, beside methods and protocol."""

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
    """The result of ``build``."""

    folder: Path
    study: StudyRecord
    #: Whether the packet was written; False if it existed already.
    written: bool
    warnings: list[str]


def build(
    bench: Bench,
    protocol: StudyProtocol,
    material: Material,
    reference: str | None,
    flags: Flags,
    folder: Path,
    key: str | None = None,
) -> Built:
    """Write a packet, or accept an existing one of the same inputs; both must pass ``verify``.

    ``reference`` is the method that others are compared with, or None. ``key`` is 64 hexadecimal
    digits, to make a packet again with the names that it had; None for a random key.

    Raises:
        UsageError: the folder holds another packet, or something else.
        DataError: an image is damaged, or too many pairs of images are identical.
        HdbenchError: verification fails, for example because a text names a method.
    """
    page = participant_page().encode()
    inputs = _inputs(bench, protocol, material, reference, flags, page)
    known = _known(folder, inputs)
    if known is not None:
        _require_whole(folder)
        return Built(folder, known, False, _warnings(known))
    sizes = len(material.methods), len(material.scenes), len(material.controls)
    trials = design(*sizes, protocol, flags.seed)
    study = _study(material, inputs, trials, key or secrets.token_hex(32))
    packet = Packet(folder, study, trial_rows(trials, study))
    with folder_atomically(folder) as staging:
        hashes, size = write_images(staging, bench, material, study)
        manifest = manifest_bytes(study, hashes, _source_digests(bench, material, study))
        updated = {
            "identical": _identical(study, hashes),
            "image_bytes": size,
            "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        }
        study = study.model_copy(update=updated)
        for rows in packet.by_packet.values():
            public = public_packet(study, rows)
            place = staging / "web" / "packets" / f"{public.packet}.json"
            _write(place, canonical_bytes(public))
        _write(staging / "web" / "index.html", page)
        _write(staging / MANIFEST_FILE, manifest)
        _write(staging / TRIALS_FILE, trials_bytes(packet.trials))
        _write(staging / STUDY_FILE, study_bytes(study))
        _write(staging / KEY_FILE, key_bytes(study.key))
        (staging / KEY_FILE).chmod(0o600)
        write_mturk(staging)
        (staging / RESULTS_FOLDER).mkdir()
        sums = sums_of(staging, packet_files(staging))
        write_sums(staging, sums)
        findings = require_sound(staging)
        preview = staging / PREVIEW_FILE
        _write(preview, preview_page(Packet(staging, study, packet.trials), findings).encode())
        write_sums(staging, sums | sums_of(staging, [preview]))
    return Built(folder, study, True, _warnings(study))


def _inputs(
    bench: Bench,
    protocol: StudyProtocol,
    material: Material,
    reference: str | None,
    flags: Flags,
    page: bytes,
) -> BuildInputs:
    """Return the inputs that determine a packet."""
    digests = bench.file_digests
    controls = [
        path
        for entry in material.controls
        for path in (entry.image, *entry.label_files, entry.instance)
        if path is not None
    ]
    size = bench.benchmark.size
    return BuildInputs(
        version=PACKET_SCHEMA,
        protocol=protocol,
        benchmark=bench.benchmark.name,
        size=(size.width, size.height),
        methods=material.methods,
        reference=reference,
        scenes=[entry.name for entry in material.scenes],
        anchors=[entry.name for entry in material.anchors],
        regions=dict(sorted(material.regions.items())),
        **asdict(flags),
        images=digest(digests.of(material.images.values())),
        controls=digest(digests.of(controls)),
        page=hashlib.sha256(page).hexdigest(),
    )


def _known(folder: Path, inputs: BuildInputs) -> StudyRecord | None:
    """Return the record of an existing packet with the same inputs, None for an empty place."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        study = read_study(folder)
    except HdbenchError as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{folder}: exists and is not a packet ({reason}); choose another --output"
        ) from None
    differing = differing_fields(
        study.inputs.model_dump(mode="json", by_alias=True),
        inputs.model_dump(mode="json", by_alias=True),
    )
    if differing:
        raise UsageError(
            f"{folder}: holds a packet of other inputs, and packets are never changed\n"
            f"{listing(differing)}\n"
            "Next: choose another --output, or move this one away"
        )
    return study


def _require_whole(folder: Path) -> None:
    """Check that an existing packet is still as it was built."""
    try:
        require_sound(folder)
    except HdbenchError as error:
        raise HdbenchError(
            f"{folder}: {error}\n"
            f"Next: move this packet away, with its results, and build it again with '--key' and "
            f"its {KEY_FILE}, which gives the same packet"
        ) from None


def _study(material: Material, inputs: BuildInputs, trials: list[Trial], key: str) -> StudyRecord:
    """Return the content of ``study.json``, except what is known when images are written.

    The key of all hexadecimal names is random: from inputs, everybody who has the images could
    compute it, and with it every name and the hashes of participants.
    """
    protocol = inputs.protocol
    content = protocol.model_dump(mode="json")
    width, height = protocol.display.fit(*inputs.size)
    packets = trials[-1].packet + 1
    study = StudyRecord(
        version=PACKET_SCHEMA,
        name=protocol.name,
        protocol=protocol,
        protocol_hash=digest(content),
        benchmark=inputs.benchmark,
        size=inputs.size,
        display=DisplayedSize(width=width, height=height),
        methods=material.methods,
        reference=inputs.reference if inputs.reference is None else material.methods[-1],
        pairs=pairs_of(material.methods),
        scenes=inputs.scenes,
        anchors=inputs.anchors,
        controls=[entry.name for entry in material.controls],
        regions=material.regions,
        skipped=material.skipped,
        subset=inputs.most_scenes is not None,
        intersect=inputs.intersect,
        left_out=material.left_out,
        seed=inputs.seed,
        run_seed=inputs.run_seed,
        quality=protocol.quality,
        key=key,
        key_sha256=hashlib.sha256(key_bytes(key)).hexdigest(),
        inputs=inputs,
        created_with=versions(),
        images={},
        design_hash=design_hash(trials),
        packets=packets,
        packet_ids=[hex_name(key, "packet", n) for n in range(packets)],
        identical={},
    )
    named = image_names(study)
    expected = len(material.images) + 2 * len(material.controls)
    assert len(named) == expected + MASKS * protocol.design.mask  # no two share a name
    images = {}
    for name in sorted(named):
        path = _source_path(material, named[name])
        images[name] = named[name].model_copy(update={"source": path and path.name})
    return study.model_copy(update={"images": images})


def _source_path(material: Material, image: PacketImage) -> Path | None:
    """Return the file that an image is made from, None for patterns."""
    if image.role == "mask" or image.scene is None:
        return None
    if image.method is not None:
        return material.images[image.method, image.scene]
    entry = next(entry for entry in material.controls if entry.name == image.scene)
    return entry.label if image.shows == "label" else entry.image


def _source_digests(bench: Bench, material: Material, study: StudyRecord) -> dict[str, str]:
    """Return the SHA-256 of the file that each image is made from, by hexadecimal name."""
    paths = {name: _source_path(material, image) for name, image in study.images.items()}
    found = {name: path for name, path in paths.items() if path is not None}
    return dict(zip(found, bench.file_digests.of(found.values()), strict=True))


def write_images(
    staging: Path, bench: Bench, material: Material, study: StudyRecord
) -> tuple[dict[str, str], int]:
    """Write every image; return the SHA-256 of each file by its hexadecimal name, and their size.

    All but the patterns get the same size in bytes, that of the largest, when all are known.
    """
    size = bench.benchmark.size
    controls = {entry.name: entry for entry in material.controls}
    masked = study.protocol.design.mask
    masks = iter(mask_pngs(bench, MASKS, study.seed) if masked else [])
    (staging / "images").mkdir()
    (staging / "web" / "images").mkdir(parents=True)
    hashes, largest = {}, 0
    for name, image in progress(study.images.items(), desc="images", unit="image", delay=2):
        if image.role == "mask" or image.scene is None:
            png = next(masks)
        elif image.method is None:
            png = control_png(bench, controls[image.scene], str(image.shows))
        elif image.method in material.photographic:
            path = material.images[image.method, image.scene]
            png = photograph_png(path, size.height, size.width)
        else:
            png = method_png(material.images[image.method, image.scene])
        if image.role != "mask":
            png = paddable(png)
            largest = max(largest, len(png))
        _write(staging / "images" / f"{name}.png", png)
    size = largest + ROOM
    for name, image in study.images.items():
        path = staging / "images" / f"{name}.png"
        png = path.read_bytes()
        if image.role != "mask":
            png = padded(png, size)
            _write(path, png)
        _link(path, staging / "web" / "images" / path.name)
        hashes[name] = hashlib.sha256(png).hexdigest()
    return hashes, size


def _identical(study: StudyRecord, hashes: Mapping[str, str]) -> dict[str, int]:
    """Return the number of scenes with identical images, by pair, without zeros."""
    by_content = {
        (image.method, image.scene): hashes[name]
        for name, image in study.images.items()
        if image.role == "method"
    }
    found = {}
    for a, b in study.pairs:
        alike = [scene for scene in study.scenes if by_content[a, scene] == by_content[b, scene]]
        if len(alike) > _MOST_IDENTICAL * len(study.scenes):
            raise DataError(
                f"{a} and {b}: {counted(len(alike), 'scene')} of {len(study.scenes)} with "
                f"identical images; at most {_MOST_IDENTICAL:.0%} may be\n"
                f"{listing(alike)}\n"
                "Next: check where both come from; one may be a copy of the other"
            )
        if alike:
            found[f"{a} and {b}"] = len(alike)
    return found


def _warnings(study: StudyRecord) -> list[str]:
    warnings = [
        f"{pair}: {counted(count, 'scene')} with identical images; answers on them are guesses"
        for pair, count in study.identical.items()
    ]
    if study.left_out:
        warnings.append(
            f"{counted(len(study.left_out), 'scene')} left out because a method lacks them "
            "(--intersect)"
        )
    if study.skipped:
        scenes = sum(entry.instance is None for entry in study.skipped)
        objects = len(study.skipped) - scenes
        warnings.append(
            f"{counted(objects, 'object')} and {counted(scenes, 'scene')} skipped for their size; "
            f"{STUDY_FILE} lists them"
        )
    return warnings


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _link(path: Path, second: Path) -> None:
    """Hard-link a file, or copy it if the file system has no links."""
    try:
        os.link(path, second)
    except OSError:
        shutil.copyfile(path, second)
