"""Submissions of participants: a server's database, own files, results CSVs of MTurk or Turkle."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hdbench.errors import DataError, UsageError
from hdbench.schema.judgment import Attempt, Source, Submission
from hdbench.schema.packet import StudyRecord
from hdbench.schema.record import first_problem
from hdbench.study.answers.database import reading, submissions

#: The one form field that the participant's page fills.
ANSWER = "Answer.judgments"
_TURKLE_MARK = "Turkle.Username"
_NEEDED = ("AssignmentId", "WorkerId", ANSWER)
#: Last columns that the requester site adds to the header only, for the requester to fill in.
_TO_FILL_IN = ["Approve", "Reject"]
_SPREADSHEET_CELL = 32_767  # the longest text that a cell of a spreadsheet holds
_QUOTED_OTHERWISE = re.compile('"[;\t]"')
_LONGEST_FIELD = 64 * 2**20


@dataclass(frozen=True)
class Received:
    """One submission and where it came from."""

    #: File and line, for messages.
    where: str
    source: Source
    #: Keyed hash; the venue's name for a person is used only in this module.
    participant: str
    #: Whether the venue named the person; else ``participant`` stands for the session, and nobody
    #: knows how many sessions one person took.
    named: bool
    #: The public ids that the answers name.
    study: str
    packet: str
    session: str
    rows: list[Attempt]

    @property
    def simulated(self) -> bool:
        """Whether no person gave these answers."""
        return self.source == "simulated"


@dataclass(frozen=True)
class Blank:
    """A submission without answers; they count as missing."""

    where: str


def hashed_participant(study: StudyRecord, venue: str, name: str) -> str:
    """Return the keyed hash (16 hex digits) of a person at a venue."""
    text = f"participant/{venue}/{name}".encode()
    return hmac.new(bytes.fromhex(study.key), text, hashlib.sha256).hexdigest()[:16]


def read_answers(path: Path, study: StudyRecord) -> Iterator[Received | Blank]:
    """Yield the submissions of a file.

    ``.sqlite`` is the database of ``study serve``, ``.jsonl`` holds own rows, ``.json`` is saved by
    the participant's page, anything else is a results CSV. The study's key hashes the participants'
    names.

    Raises:
        UsageError: there is no such file, or it is no results CSV.
        DataError: a line is truncated, ragged or mangled; the message names it.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; expected a results CSV, a server's .sqlite, a .jsonl of own "
            "rows, or a .json that a participant saved"
        )
    match path.suffix:
        case ".sqlite":
            return _served(path, study)
        case ".jsonl":
            return _own(path)
        case ".json":
            return _saved(path, study)
        case _:
            return _table(path, study)


def _served(path: Path, study: StudyRecord) -> Iterator[Received]:
    with reading(path, study) as connection:
        for submission in submissions(connection, study):
            where = f"{path} session {submission.session}"
            yield _received(where, submission, str(submission.participant), named=submission.named)


def _own(path: Path) -> Iterator[Received]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            where = f"{path} line {number}"
            submission = _submission(line, where)
            if submission.participant is None:
                raise DataError(f"{where}: no participant; expected the keyed hash of one")
            yield _received(where, submission, submission.participant, named=submission.named)


def _saved(path: Path, study: StudyRecord) -> Iterator[Received]:
    """Yield what somebody saved; the file does not say who."""
    submission = _submission(_text(path), str(path))
    participant = hashed_participant(study, "own", submission.session)
    yield _received(str(path), submission, participant, named=False)


def _received(
    where: str,
    submission: Submission,
    participant: str,
    source: Source | None = None,
    *,
    named: bool = True,
) -> Received:
    if any(row.simulated != submission.simulated for row in submission.rows):
        raise DataError(f"{where}: simulated rows and people's rows in one submission")
    return Received(
        where=where,
        source=source or ("simulated" if submission.simulated else "own"),
        participant=participant,
        named=named,
        study=submission.study,
        packet=submission.packet,
        session=submission.session,
        rows=submission.rows,
    )


def _table(path: Path, study: StudyRecord) -> Iterator[Received | Blank]:
    rows = _csv_rows(path)
    try:
        _, header = next(rows)
    except StopIteration:
        raise DataError(f"{path}: the file is empty; download the results again") from None
    _require_columns(path, header)
    source: Source = "turkle" if _TURKLE_MARK in header else "mturk"
    place = {name: n for n, name in enumerate(header)}
    for number, row in rows:
        where = f"{path} line {number}"
        if header[-2:] == _TO_FILL_IN and len(row) == len(header) - len(_TO_FILL_IN):
            row = [*row, "", ""]
        if len(row) != len(header):
            raise DataError(
                f"{where}: {len(row)} cells, the header has {len(header)}; the file is truncated "
                "or was edited. Download the results again"
            )
        worker = row[place["WorkerId"]].strip()
        if not worker:
            raise DataError(f"{where}: WorkerId is blank; download the results again")
        answer = row[place[ANSWER]].strip()
        if answer in ("", "{}"):
            yield Blank(where)
            continue
        if len(answer) >= _SPREADSHEET_CELL and not answer.endswith("}"):
            raise DataError(
                f"{where}: {ANSWER} stops after {len(answer):,} characters; a spreadsheet cut it. "
                "Download the results again and do not save them from a spreadsheet"
            )
        submission = _submission(answer, f"{where}, {ANSWER}")
        if submission.simulated or any(row.simulated for row in submission.rows):
            raise DataError(f"{where}: simulated rows in a venue's results")
        participant = hashed_participant(study, source, worker)
        yield _received(where, submission, participant, source)


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row begins, and its cells; blank lines are skipped."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    limit = csv.field_size_limit(_LONGEST_FIELD)
    begins = 1
    try:
        for row in reader:
            if row:
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error as error:
        if begins == 1 and _QUOTED_OTHERWISE.search(_text(path).split("\n", 1)[0]):
            raise _other_separator(path) from None
        raise DataError(
            f"{path} line {begins}: not readable as CSV ({error}); the file is truncated or was "
            "edited. Download the results again"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _require_columns(path: Path, header: list[str]) -> None:
    missing = [name for name in _NEEDED if name not in header]
    if not missing:
        doubled = sorted({name for name in header if header.count(name) > 1})
        if doubled:
            raise DataError(f"{path} line 1: column '{doubled[0]}' comes twice")
        return
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise _other_separator(path)
    answers = ", ".join(name for name in header if name.startswith("Answer.")) or "none"
    raise UsageError(
        f"{path} line 1: no column {', '.join(missing)}; expected the results CSV of Mechanical "
        f"Turk or Turkle (its Answer columns: {answers})"
    )


def _other_separator(path: Path) -> DataError:
    return DataError(
        f"{path} line 1: the cells are not separated by commas; a spreadsheet saved the file. "
        "Download the results again"
    )


def _submission(text: str, where: str) -> Submission:
    try:
        return Submission.model_validate_json(text)
    except ValidationError as error:
        problem = first_problem(error)
        broken = error.errors()[0]["type"] == "json_invalid"
    quotes = ", with a spreadsheet's quotation marks" if broken and "\u201c" in text else ""
    raise DataError(
        f"{where}: {problem}{quotes}; the answers were {'cut or mangled' if broken else 'edited'}. "
        "Take the file from its source again"
    )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} line {line}: not UTF-8; a spreadsheet saved the file. "
            "Download the results again"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
