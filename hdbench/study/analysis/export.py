"""Files of a tally: the anonymous judgments and the summary that reports read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from hdbench.errors import DataError
from hdbench.provenance import digest
from hdbench.schema.record import first_problem
from hdbench.schema.summary import StoredSummary, Summary
from hdbench.storage import write_atomically
from hdbench.study.packet.files import RESULTS_FOLDER
from hdbench.text import csv_cell

JUDGMENTS_CSV = "judgments.csv"
SUMMARY_FILE = "summary.json"
METHODS_FILE = "methods.md"


def tally_folder(packet: Path, *, simulated: bool) -> Path:
    """Return the folder of a packet's tally; simulated answers have their own."""
    return packet / RESULTS_FOLDER / ("tally-simulated" if simulated else "tally")


def judgments_csv(table: pd.DataFrame) -> bytes:
    """Return the judgments as CSV (RFC 4180), safe to open in a spreadsheet."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(csv_cell, na_action="ignore")
    for name in ("duration_ms", "frames_planned", "frames_shown"):
        safe[name] = safe[name].astype("Int64")  # whole numbers stay whole beside blanks
    return safe.to_csv(index=False, lineterminator="\r\n").encode()


def write_tally(
    folder: Path, table: pd.DataFrame, analysis: Summary, paragraph: str
) -> dict[str, Path]:
    """Write a tally's files and return their paths by kind.

    The summary is written last, with the digest of the judgments that it was computed from.
    """
    rows = judgments_csv(table)
    content = analysis.content() | {"judgments_sha256": hashlib.sha256(rows).hexdigest()}
    content["digest"] = digest(content)
    paths = {
        "judgments": folder / JUDGMENTS_CSV,
        "methods": folder / METHODS_FILE,
        "summary": folder / SUMMARY_FILE,
    }
    write_atomically(paths["judgments"], rows)
    write_atomically(paths["methods"], paragraph.encode())
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(paths["summary"], text.encode())
    return paths


def read_summary(path: Path) -> StoredSummary:
    """Return a stored analysis.

    Raises:
        DataError: it is damaged or of another version, or it or its judgments were edited.
    """
    again = "Next: 'hdbench study tally' writes it again"
    try:
        rows = (path.parent / JUDGMENTS_CSV).read_bytes()
        summary = StoredSummary.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}).\n{again}") from None
    except ValidationError as error:
        other = error.errors()[0]["loc"] == ("schema",)
        hint = "; written by another version of hdbench" if other else ""
        raise DataError(f"{path}: {first_problem(error)}{hint}.\n{again}") from None
    content = summary.content() | {"judgments_sha256": hashlib.sha256(rows).hexdigest()}
    if (content["judgments_sha256"], digest(content)) != (summary.judgments_sha256, summary.digest):
        raise DataError(
            f"{path}: its numbers or {JUDGMENTS_CSV} beside it were changed after "
            f"it was written.\n{again}"
        )
    return summary
