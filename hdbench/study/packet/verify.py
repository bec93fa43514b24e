"""``study verify``: checks a packet from its own files."""

from __future__ import annotations

import html
import json
import re
import struct
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hdbench.errors import DataError, HdbenchError, counted
from hdbench.study.design.balance import Finding, anchor_balance, balance
from hdbench.study.design.trials import design, design_hash, pairs_of
from hdbench.study.packet.files import (
    STUDY_FILE,
    SUMS_FILE,
    TRIALS_FILE,
    Packet,
    canonical_bytes,
    changed_rules,
    packet_files,
    read_packet,
    read_sums,
    require_packet,
    sums_of,
)
from hdbench.study.packet.manifest import check_manifest
from hdbench.study.packet.mturk import standing_text
from hdbench.study.packet.page import participant_page
from hdbench.study.packet.rendering import image_names, public_packet, trial_rows

#: Folders for participants and venues; everything else in a packet is private.
_SERVED = ("web", "mturk")
#: PNG chunks of pixels; others may hold text, times or names.
_PIXEL_CHUNKS = (b"IHDR", b"IDAT", b"IEND")


def verify(folder: Path) -> list[Finding]:
    """Return every claim about a packet, with all violations; nothing is written.

    Raises:
        UsageError: the folder holds no packet.
    """
    require_packet(folder)
    hashes = sums_of(folder, packet_files(folder))
    sums = _sums(hashes, read_sums(folder))
    try:
        packet = read_packet(folder)
    except DataError as error:  # nothing else can be counted
        return [sums, Finding("study and trials can be read", "", [str(error)])]
    study = packet.study
    return [
        sums,
        _rules(packet),
        _repeated(packet),
        *balance(packet.trials, study.pairs, study.scenes, study.protocol),
        *_anchors(packet),
        _controls(packet),
        _images(packet, hashes),
        check_manifest(packet, hashes),
        _chunks(folder, hashes),
        _sizes(packet, hashes),
        _public(packet, hashes),
        *_anonymous(packet, hashes),
    ]


def require_sound(folder: Path) -> list[Finding]:
    """Return the claims about a packet if all hold; else HdbenchError lists every violation."""
    findings = verify(folder)
    problems = [line for finding in findings for line in finding.violations]
    if problems:
        raise HdbenchError(
            "\n".join([f"the packet has {counted(len(problems), 'problem')}", *problems])
        )
    return findings


def _sums(hashes: Mapping[str, str], listed: Mapping[str, str]) -> Finding:
    wrong = []
    for name in sorted({*hashes, *listed}):
        if name not in hashes:
            wrong.append(f"{name}: is listed in {SUMS_FILE} and missing")
        elif name not in listed:
            wrong.append(f"{name}: is not listed in {SUMS_FILE}")
        elif hashes[name] != listed[name]:
            wrong.append(f"{name}: has changed since it was built")
    return Finding("every file is as it was built", counted(len(hashes), "file"), wrong)


def _rules(packet: Packet) -> Finding:
    study = packet.study
    wrong = changed_rules(study)
    if study.pairs != pairs_of(study.methods):
        wrong.append(f"{STUDY_FILE}: pairs are not all pairs of its methods, in their order")
    return Finding(
        "the protocol and its quality rules are those of the build",
        f"{study.name}, version {study.protocol.version}, {study.protocol_hash[:16]}",
        wrong,
    )


def _repeated(packet: Packet) -> Finding:
    """Make the design again from its seed and compare every row."""
    study, rows = packet.study, packet.trials
    sizes = len(study.methods), len(study.scenes), len(study.controls)
    trials = design(*sizes, study.protocol, study.seed)
    wrong = []
    if design_hash(trials) != study.design_hash:
        wrong.append(f"{STUDY_FILE}: design_hash is not that of seed {study.seed}")
    # Wrong pairs are another claim's violation.
    expected = trial_rows(trials, study.model_copy(update={"pairs": pairs_of(study.methods)}))
    if len(expected) != len(rows):
        wrong.append(f"{TRIALS_FILE}: {len(rows)} trials; the seed makes {len(expected)}")
    for number, (row, other) in enumerate(zip(rows, expected, strict=False), start=1):
        if row != other:
            found, made = row.model_dump(by_alias=True), other.model_dump(by_alias=True)
            said = [
                f"{name} is {found[name]!r}, not {value!r}"
                for name, value in made.items()
                if found[name] != value
            ]
            wrong.append(f"{TRIALS_FILE} line {number}: {', '.join(said)}")
    return Finding(
        "the trials are those of the seed",
        f"seed {study.seed}, design {study.design_hash[:16]}",
        wrong,
    )


def _anchors(packet: Packet) -> list[Finding]:
    study, anchor = packet.study, packet.study.protocol.anchor
    if anchor is None:
        return []
    return anchor_balance(packet.trials, study.methods, study.scenes, study.anchors, anchor)


def _controls(packet: Packet) -> Finding:
    study = packet.study
    wrong = [
        f"{scene}: is a scene of the study and of its checks"
        for scene in study.controls
        if scene in study.scenes or scene in study.anchors
    ]
    for row in packet.trials:
        if row.kind not in ("practice", "check"):
            continue
        for name in (row.left_image, row.right_image):
            image = study.images.get(name.removesuffix(".png"))
            if image is None or image.role != "control":
                wrong.append(f"trial {row.trial}: {name} is no control image")
    return Finding(
        "practice and checks use no method and no scene under comparison",
        f"{counted(len(study.controls), 'training scene')}",
        wrong,
    )


def _images(packet: Packet, hashes: Mapping[str, str]) -> Finding:
    """Check that images are named by the keyed hash of their content, in both folders."""
    named, listed = image_names(packet.study), packet.study.images
    wrong = []
    for name, content in named.items():
        said = listed.get(name)
        if said is None:
            wrong.append(f"images/{name}.png: {STUDY_FILE} does not list it")
        elif said.model_copy(update={"source": None}) != content:
            wrong.append(f"images/{name}.png: {STUDY_FILE} says it is {said}, its name {content}")
    wrong += [
        f"images/{name}.png: is the keyed hash of nothing" for name in listed if name not in named
    ]
    for place in ("images", "web/images"):
        found = {Path(name).name for name in hashes if str(Path(name).parent) == place}
        expected = {f"{name}.png" for name in named}
        wrong += [f"{place}/{name}: is missing" for name in sorted(expected - found)]
        wrong += [f"{place}/{name}: belongs to no trial" for name in sorted(found - expected)]
    wrong += [
        f"web/{name}: is not the same file as {name}"
        for name in hashes
        if name.startswith("images/") and hashes[name] != hashes.get(f"web/{name}", hashes[name])
    ]
    return Finding(
        "images are named by a keyed hash of what they show",
        counted(len(named), "image"),
        wrong,
    )


def _chunks(folder: Path, hashes: Mapping[str, str]) -> Finding:
    """Check that image files hold pixels and nothing else."""
    paths = [name for name in hashes if Path(name).suffix == ".png"]
    wrong = []
    for name in paths:
        content = (folder / name).read_bytes()
        extra = _beyond_pixels(content)
        if extra:
            wrong.append(f"{name}: {extra}")
    return Finding("image files hold pixels and nothing else", counted(len(paths), "file"), wrong)


def _sizes(packet: Packet, hashes: Mapping[str, str]) -> Finding:
    """Check that no image can be told from another by the size of its file."""
    claim, size = "all images have files of one size", packet.study.image_bytes
    if size is None:
        return Finding(claim, "not so in packets built earlier; sizes may tell checks apart", [])
    wrong = []
    for name, image in packet.study.images.items():
        for file in (f"images/{name}.png", f"web/images/{name}.png"):
            found = (packet.folder / file).stat().st_size if file in hashes else size
            if image.role != "mask" and found != size:
                wrong.append(f"{file}: has {found:,} bytes; expected {size:,} as all images have")
    return Finding(claim, f"{size:,} bytes", wrong)


def _beyond_pixels(content: bytes) -> str:
    """Return the non-pixel content of a PNG in words, or ""."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return "is no PNG"
    place, kind = 8, b""
    while place + 8 <= len(content) and kind != b"IEND":
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind not in _PIXEL_CHUNKS:
            return f"has a chunk {kind.decode('latin-1')!r} of {length} bytes"
        place += 12 + length
    if kind != b"IEND" or place > len(content):
        return "is cut short"
    if place < len(content):
        return f"has {len(content) - place} bytes after its end"
    return ""


def _public(packet: Packet, hashes: Mapping[str, str]) -> Finding:
    """Check that public packets are the trials without the private fields."""
    expected = {"web/index.html"}
    wrong = []
    study, packets = packet.study, packet.by_packet
    if len(packets) != study.packets:
        wrong.append(f"{STUDY_FILE}: {study.packets} packets; {TRIALS_FILE} has {len(packets)}")
    for members in packets.values():
        public = public_packet(study, members)
        name = f"web/packets/{public.packet}.json"
        expected.add(name)
        if name not in hashes:
            wrong.append(f"{name}: is missing")
        elif (packet.folder / name).read_bytes() != canonical_bytes(public):
            wrong.append(f"{name}: is not what the trials say")
    wrong += [
        f"{name}: does not belong there"
        for name in hashes
        if name.startswith("web/") and name not in expected and not name.startswith("web/images/")
    ]
    return Finding(
        "participants get the trials, and nothing tells checks from judgments",
        counted(len(packets), "packet"),
        wrong,
    )


def _anonymous(packet: Packet, hashes: Mapping[str, str]) -> Iterator[Finding]:
    """Search for names in everything that is served.

    In public packets, every text must be a hexadecimal name or one of the protocol's texts, which
    may name no method. Other files are searched for whole words. A name that is an ordinary word in
    the files of every study, or a short number, cannot be searched for; the finding counts such
    names.
    """
    study = packet.study
    secrets = {name: f"method '{name}'" for name in study.every_method}
    sources = (image.source for image in study.images.values())
    others = {Path(source).stem: f"file '{source}'" for source in sources if source}
    others |= {name: f"scene '{name}'" for name in (*study.scenes, *study.anchors, *study.controls)}
    own_page = participant_page().encode()
    usual = f"{own_page.decode()}\n{standing_text()}".lower()
    question = study.protocol.question
    texts = [question.text, question.left_label, question.right_label, *question.instructions]
    spoken = "\n".join(texts).lower()
    wrong = [
        f"the protocol's texts hold the {what}; participants could notice the name. Rename the "
        "method, or use other words in a protocol of your own"
        for name, what in secrets.items()
        if _holds(spoken, name)
    ]
    allowed = {*texts, "unlimited", "timed", "images/", "left", "right"}
    names = [name for name in hashes if name.startswith("web/packets/")]
    for name in names:
        try:
            content = json.loads((packet.folder / name).read_bytes())
        except ValueError as error:
            wrong.append(f"{name}: not readable as JSON ({error})")
            continue
        wrong += [
            f"{name}: holds {text!r}, which is no hexadecimal name"
            for text in _strings(content)
            if text not in allowed and not re.fullmatch(r"[0-9a-f]{16}(\.png)?", text)
        ]
    yield Finding("public packets name no method, scene or file", f"{len(names)} of them", wrong)

    every = others | secrets
    searched = {
        name: what
        for name, what in every.items()
        if not (name.isdigit() and len(name) < 6)
        and not _holds(usual, name)
        and (name in secrets or not _holds(spoken, name))
    }
    ordinary = len(every) - len(searched)
    files = [
        name
        for name in hashes
        if name.split("/")[0] in _SERVED and not name.startswith(("web/packets/", "web/images/"))
    ]
    leaks = []
    for name in files:
        content = (packet.folder / name).read_bytes()
        if name == "web/index.html" and content == own_page:
            continue  # the same for every study
        text = f"{name}\n{content.decode(errors='replace')}".lower()
        leaks += [
            f"{name}: holds the {what}" for word, what in searched.items() if _holds(text, word)
        ]
    yield Finding(
        "pages and forms name no method, scene or file",
        f"{counted(len(files), 'file')}, {counted(len(searched), 'name')}"
        + (f"; {ordinary} not told from ordinary words" if ordinary else ""),
        leaks,
    )


def _holds(text: str, name: str) -> bool:
    """Return whether a text in lower case contains a name as a word, in any escaping."""
    spellings = {
        name,
        html.escape(name),
        json.dumps(name)[1:-1],
        json.dumps(name, ensure_ascii=False)[1:-1],
        urllib.parse.quote(name),
    }
    for spelling in {entry.lower() for entry in spellings if entry}:
        place = text.find(spelling)
        while place >= 0:
            around = (
                text[place - 1 : place] + text[place + len(spelling) : place + len(spelling) + 1]
            )
            if not any(character.isalnum() for character in around):
                return True
            place = text.find(spelling, place + 1)
    return False


def _strings(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value but the keys of its objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)
