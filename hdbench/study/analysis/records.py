"""A packet as the tally needs it: what was fixed at build time, and every trial."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hdbench.errors import DataError, UsageError
from hdbench.provenance import digest, file_digest
from hdbench.schema.study import StudyProtocol
from hdbench.study.packet.files import STUDY_FILE, SUMS_FILE, TRIALS_FILE

#: People's answers, one submission to a line.
JUDGMENTS_FILE = "judgments.jsonl"
#: Simulated answers, in the same format, never in the same file.
SIMULATED_FILE = "simulated.jsonl"
SCHEMA = 1


@dataclass(frozen=True)
class StudyRecord:
    """What ``study.json`` and ``trials.jsonl`` of a packet say."""

    folder: Path
    name: str
    protocol: StudyProtocol
    protocol_hash: str
    design_hash: str
    methods: list[str]
    #: The method that stands for photographs, if one does.
    reference: str | None
    scenes: list[str]
    #: Compared pairs; rates say how often the first of a pair is preferred.
    pairs: list[tuple[str, str]]
    packets: int
    key: bytes = field(repr=False)
    #: Every trial by its public id.
    trials: dict[str, dict[str, Any]] = field(repr=False)

    def participant(self, venue: str, name: str) -> str:
        """Return the keyed hash (16 hex digits) that stands for a person of a venue."""
        text = f"participant/{venue}/{name}".encode()
        return hmac.new(self.key, text, hashlib.sha256).hexdigest()[:16]

    @cached_property
    def by_packet(self) -> dict[int, list[dict[str, Any]]]:
        """The trials of each packet, in order."""
        found: dict[int, list[dict[str, Any]]] = {}
        for trial in self.trials.values():
            found.setdefault(trial["packet"], []).append(trial)
        for trials in found.values():
            trials.sort(key=lambda trial: trial["position"])
        return found


def open_study(folder: Path) -> StudyRecord:
    """Return what a packet says of its study.

    Raises:
        UsageError: the folder is no packet.
        DataError: a file is damaged, or is not the one that was built.
    """
    path = folder / STUDY_FILE
    if not path.is_file():
        raise UsageError(
            f"{folder}: no packet of a study; expected a folder with {STUDY_FILE}.\n"
            "Next: 'hdbench study build --help'"
        )
    _require_as_built(folder)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise DataError(
                f"{path}: schema {record['schema']!r}; this hdbench reads {SCHEMA}. "
                "Tally the packet with the version that built it"
            )
        protocol = StudyProtocol.model_validate(record["protocol"])
        quality = record["quality"]
        study = StudyRecord(
            folder,
            record["study"],
            protocol,
            record["protocol_hash"],
            record["design_hash"],
            list(record["methods"]),
            record["reference"],
            list(record["scenes"]),
            [(a, b) for a, b in record["pairs"]],
            int(record["packets"]),
            bytes.fromhex(record["key"]),
            _trials(folder / TRIALS_FILE),
        )
    except (ValueError, KeyError, TypeError, ValidationError, OSError) as error:
        raise DataError(
            f"{path}: not a readable study ({_first_line(error)}); build the packet again"
        ) from None
    if study.protocol_hash != digest(record["protocol"]):
        raise DataError(
            f"{path}: protocol_hash is not the hash of its protocol, which is fixed when a packet "
            "is built. Restore the file"
        )
    if quality != protocol.quality.model_dump():
        raise DataError(
            f"{path}: the quality rules are not those of its protocol; they are fixed when a "
            "packet is built. Restore the file"
        )
    return study


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no {error}"
    return str(error).partition("\n")[0]


def _require_as_built(folder: Path) -> None:
    """Check the two files against ``SHA256SUMS``, so that nobody moves the rules afterwards."""
    sums = folder / SUMS_FILE
    if not sums.is_file():
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        path = folder / name
        if name in (STUDY_FILE, TRIALS_FILE) and path.is_file() and file_digest(path) != expected:
            raise DataError(
                f"{path}: not the file that was built (its SHA-256 differs from {SUMS_FILE}); "
                "restore it.\nNext: 'hdbench study verify' lists everything that differs"
            )


def _trials(path: Path) -> dict[str, dict[str, Any]]:
    trials: dict[str, dict[str, Any]] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                trial = json.loads(line)
                trials[trial["trial"]] = trial
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{path} line {number}: no trial; restore the file") from None
    if not trials:
        raise DataError(f"{path}: no trials; restore the file")
    return trials
