"""The files of a packet, and reading them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdbench.errors import HdbenchError, LibraryError
from hdbench.schema.base import parse
from hdbench.schema.study import StudyProtocol

STUDY_FILE, TRIALS_FILE, SUMS_FILE = "study.json", "trials.jsonl", "SHA256SUMS"
PREVIEW_FILE = "preview.html"
#: What people answer grows after the packet is built, so no sum covers it.
RESULTS_FOLDER = "results"


def packet_files(folder: Path) -> Iterator[Path]:
    """Yield every file that ``SHA256SUMS`` covers, in the order of their paths."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and place.parts[0] not in (RESULTS_FOLDER, SUMS_FILE):
            yield path


def read_packet(folder: Path) -> tuple[dict[str, Any], StudyProtocol, list[dict[str, Any]]]:
    """Return what ``study.json`` says, its protocol, and the rows of ``trials.jsonl``.

    Raises:
        HdbenchError: a file is missing or damaged; the message names the line.
    """
    try:
        study = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
        protocol = parse(StudyProtocol, study["protocol"], STUDY_FILE)
        lines = (folder / TRIALS_FILE).read_text(encoding="utf-8").splitlines()
    except LibraryError as error:
        raise HdbenchError(str(error)) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HdbenchError(f"{folder}: not readable as a packet: {error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise HdbenchError(f"{TRIALS_FILE} line {number}: not JSON: {error}") from None
        rows.append(row)
    if not rows:
        raise HdbenchError(f"{TRIALS_FILE}: empty; expected one trial in each line")
    return study, protocol, rows
