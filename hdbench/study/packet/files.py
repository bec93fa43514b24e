"""The files of a packet: one reader and one writer for each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from hdbench.errors import DataError, UsageError
from hdbench.provenance import canonical_json, digest, file_digest
from hdbench.schema.packet import PublicPacket, StudyRecord, TrialRecord
from hdbench.schema.record import Record, first_problem
from hdbench.storage import read_bytes, write_atomically

STUDY_FILE, TRIALS_FILE, SUMS_FILE = "study.json", "trials.jsonl", "SHA256SUMS"
#: Whoever has it can compute the names of images and find out participants; never published.
KEY_FILE = "secret.key"
PREVIEW_FILE = "preview.html"
#: The folder for participants: the page, ``packets/<id>.json`` and images.
WEB_FOLDER = "web"
#: Answers arrive after the packet is built, so no sum covers them.
RESULTS_FOLDER = "results"
#: In that folder: participants' answers, one submission per line.
JUDGMENTS_FILE = "judgments.jsonl"
#: Simulated answers, in the same format, never in the same file.
SIMULATED_FILE = "simulated.jsonl"
#: Keys of ``study.json`` that packets built earlier lack.
_LATER_KEYS = ("manifest_sha256", "key_sha256", "image_bytes")

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class Packet:
    """A packet as its researcher reads it: the study's record and every trial."""

    folder: Path
    study: StudyRecord
    #: In the order of the file, which is that of packets and positions.
    trials: list[TrialRecord]

    @cached_property
    def by_id(self) -> dict[str, TrialRecord]:
        """Every trial by its public name."""
        return {trial.trial: trial for trial in self.trials}

    @cached_property
    def by_packet(self) -> dict[int, list[TrialRecord]]:
        """The trials of each participant's packet, in order."""
        return by_packet(self.trials)


def by_packet(trials: Iterable[TrialRecord]) -> dict[int, list[TrialRecord]]:
    """Return the trials of each participant's packet, in their order."""
    packets: dict[int, list[TrialRecord]] = {}
    for trial in trials:
        packets.setdefault(trial.packet, []).append(trial)
    return packets


def open_packet(folder: Path) -> Packet:
    """Return a packet whose answers are analysed; DataError too if its rules were changed."""
    _require_as_built(folder)
    packet = read_packet(folder)
    problems = changed_rules(packet.study)
    if problems:
        raise DataError(
            f"{folder}: {problems[0]}; the rules are fixed when a packet is built.\n"
            "Next: restore the file"
        )
    return packet


def require_packet(folder: Path) -> None:
    """Check that a folder is a packet's; raises UsageError."""
    if not (folder / STUDY_FILE).is_file():
        raise UsageError(
            f"{folder}: no {STUDY_FILE} here; expected the folder of a packet.\n"
            "Next: 'hdbench study build --help'"
        )


def read_packet(folder: Path) -> Packet:
    """Return the validated content of ``study.json`` and ``trials.jsonl``.

    Raises:
        UsageError: the folder is no packet.
        DataError: a file is missing or damaged; the message names the key or line.
    """
    study = read_study(folder)
    trials = []
    for number, line in enumerate(read_bytes(folder / TRIALS_FILE).splitlines(), start=1):
        where = f"{folder / TRIALS_FILE} line {number}"
        trial = _parsed(TrialRecord, line, where)
        if trial.packet >= study.packets:
            raise DataError(
                f"{where}: packet {trial.packet}, but {STUDY_FILE} says packets = {study.packets}"
            )
        trials.append(trial)
    if not any(trial.kind == "judgment" for trial in trials):
        raise DataError(f"{folder / TRIALS_FILE}: no judgment; expected one trial in each line")
    return Packet(folder, study, trials)


def read_study(folder: Path) -> StudyRecord:
    """Return the content of ``study.json`` with the packet's key; raises like ``read_packet``."""
    require_packet(folder)
    path = folder / STUDY_FILE
    study = _parsed(StudyRecord, read_bytes(path), str(path))
    missing = [name for name in _LATER_KEYS if getattr(study, name) is None]
    if missing and (len(missing) < len(_LATER_KEYS) or not study.key):
        raise DataError(f"{path}: key '{missing[0]}' is missing; restore the file")
    if study.key_sha256 is None:
        return study
    key = read_key(folder / KEY_FILE)
    if hashlib.sha256(key_bytes(key)).hexdigest() != study.key_sha256:
        raise DataError(
            f"{folder / KEY_FILE}: is not the key of this packet (key_sha256 of {STUDY_FILE} "
            "differs); restore the file"
        )
    return study.model_copy(update={"key": key})


def read_key(path: Path) -> str:
    """Return the key of a packet; raises DataError if the file is missing or damaged."""
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; expected the key of the packet, without which its names cannot "
            "be checked and its answers not be read.\nNext: restore the file"
        )
    key = read_bytes(path).decode(errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{64}", key):
        raise DataError(f"{path}: not a key; expected 64 hexadecimal digits. Restore the file")
    return key


def key_bytes(key: str) -> bytes:
    """Return the content of ``secret.key``."""
    return f"{key}\n".encode()


def study_bytes(study: StudyRecord) -> bytes:
    """Return the content of ``study.json``; keys that a packet has no use for are left out.

    The packet's key is left out too if it has a file of its own.
    """
    hidden: dict[str, Any] = {} if study.key_sha256 is None else {"key": True}
    if not study.anchors:
        hidden |= {"anchors": True, "inputs": {"anchors": True}}
    content = study.model_dump(mode="json", by_alias=True, exclude=hidden)
    content = {
        key: value for key, value in content.items() if key not in _LATER_KEYS or value is not None
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def trials_bytes(trials: Iterable[TrialRecord]) -> bytes:
    """Return the content of ``trials.jsonl``."""
    return b"".join(canonical_bytes(trial) + b"\n" for trial in trials)


def canonical_bytes(record: Record) -> bytes:
    """Return a record as canonical JSON: a line of trials, or the file of a public packet."""
    return canonical_json(record.model_dump(mode="json", by_alias=True)).encode()


def public_packets(folder: Path) -> dict[Path, PublicPacket]:
    """Return the packets for participants, by file; raises DataError if none, or one is damaged."""
    packets = folder / WEB_FOLDER / "packets"
    paths = sorted(packets.glob("*.json"))
    if not paths:
        raise DataError(
            f"{packets}: no packet; expected one JSON file for each.\nNext: 'hdbench study build'"
        )
    return {path: _parsed(PublicPacket, read_bytes(path), str(path)) for path in paths}


def changed_rules(study: StudyRecord) -> list[str]:
    """Return the signs that the protocol or its quality rules were changed after the build."""
    problems = []
    if study.protocol_hash != digest(study.protocol.model_dump(mode="json")):
        problems.append(f"{STUDY_FILE}: protocol_hash is not the hash of the protocol")
    if study.quality != study.protocol.quality:
        problems.append(f"{STUDY_FILE}: quality differs from the protocol's")
    return problems


def packet_files(folder: Path) -> Iterator[Path]:
    """Yield every file that ``SHA256SUMS`` covers, in the order of their paths."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and place.parts[0] not in (RESULTS_FOLDER, SUMS_FILE):
            yield path


def read_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that ``SHA256SUMS`` lists; nothing without that file."""
    path = folder / SUMS_FILE
    if not path.is_file():
        return {}
    lines = (
        line.partition("  ")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return {name: value for value, _, name in lines}


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write ``SHA256SUMS`` as ``sha256sum --check`` reads it."""
    lines = "".join(f"{value}  {name}\n" for name, value in sums.items())
    write_atomically(folder / SUMS_FILE, lines.encode())


def sums_of(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their names in a packet."""
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}


def _require_as_built(folder: Path) -> None:
    """Check the two files against ``SHA256SUMS``, so that rules cannot change afterwards."""
    for name, expected in read_sums(folder).items():
        path = folder / name
        if name in (STUDY_FILE, TRIALS_FILE) and path.is_file() and file_digest(path) != expected:
            raise DataError(
                f"{path}: not the file that was built (its SHA-256 differs from {SUMS_FILE}); "
                "restore it.\nNext: 'hdbench study verify' lists everything that differs"
            )


def _parsed(kind: type[AnyRecord], text: bytes, where: str) -> AnyRecord:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        other = error.errors()[0]["loc"] == ("schema",)
        hint = "read it with the version of hdbench that wrote it" if other else "restore the file"
        raise DataError(f"{where}: {first_problem(error)}; {hint}") from None
