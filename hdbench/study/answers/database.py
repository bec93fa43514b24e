"""The database of a study's server, ``results/judgments.sqlite``: sessions, judgments, events.

SQLite in WAL mode with full synchronisation: what was acknowledged survives the end of the process
and of the power. Participants are in it only as keyed hashes; there are no addresses.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hdbench.errors import DataError, StorageError, UsageError
from hdbench.schema.judgment import Attempt, Submission
from hdbench.schema.packet import PACKET_SCHEMA, StudyRecord
from hdbench.storage import cannot_write
from hdbench.study.packet.files import RESULTS_FOLDER
from hdbench.study.packet.rendering import public_study_id

DATABASE_FILE = "judgments.sqlite"
#: Answers of rehearsals; never in the same file as those of people.
REHEARSAL_FILE = "rehearsal.sqlite"
#: The version of the tables, kept in ``user_version``.
_VERSION = 1
_BUSY_S = 10
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
  session TEXT PRIMARY KEY, packet INTEGER NOT NULL,
  participant TEXT NOT NULL, named INTEGER NOT NULL,
  secret TEXT NOT NULL, entry TEXT, page TEXT NOT NULL,
  user_agent TEXT, viewport TEXT,
  began TEXT NOT NULL, seen TEXT NOT NULL,
  ended TEXT, outcome TEXT, broken_rules TEXT);
CREATE UNIQUE INDEX sessions_secret ON sessions (secret);
CREATE UNIQUE INDEX sessions_entry ON sessions (entry);
CREATE INDEX sessions_participant ON sessions (participant);
CREATE TABLE judgments (
  number INTEGER PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions,
  trial TEXT NOT NULL, attempt INTEGER NOT NULL, settles INTEGER NOT NULL,
  answer TEXT NOT NULL, received TEXT NOT NULL,
  UNIQUE (session, trial, attempt));
CREATE TABLE events (at TEXT NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL);
"""


def now() -> str:
    """Return the time, ISO 8601, UTC, to the millisecond; such texts sort by time."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """Return a time as the database holds it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def database_path(packet: Path, *, simulated: bool = False) -> Path:
    """Return where the database of a packet is."""
    return packet / RESULTS_FOLDER / (REHEARSAL_FILE if simulated else DATABASE_FILE)


def open_database(path: Path, study: StudyRecord, *, simulated: bool) -> sqlite3.Connection:
    """Return a connection that writes, for one thread at a time; the file is made if need be.

    Every transaction is begun explicitly.

    Raises:
        DataError: the file is damaged, or belongs to another packet or another kind of answers.
        StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        with _closed_on_error(_connected(f"file:{_quoted(path)}")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    connection.execute(statement)
                facts = _facts(study, simulated)
                connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
            _require_own(connection, path, study)
            if _is_simulated(connection) != simulated:
                raise DataError(
                    f"{path}: rehearsals and people's answers are never in one database"
                )
            return connection
    except OSError as error:
        raise cannot_write(path, error) from error
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from None


def read_database(path: Path, study: StudyRecord) -> sqlite3.Connection:
    """Return a connection that only reads; raises like ``open_database``, UsageError without it."""
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; expected the database of a server.\n"
            f"Next: 'hdbench study serve {path.parent.parent}'"
        )
    try:
        with _closed_on_error(_connected(f"file:{_quoted(path)}?mode=ro")) as connection:
            _require_own(connection, path, study)
            return connection
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from None


@contextlib.contextmanager
def reading(path: Path, study: StudyRecord) -> Iterator[sqlite3.Connection]:
    """Give a connection that only reads, within one transaction: nothing changes meanwhile."""
    with contextlib.closing(read_database(path, study)) as connection:
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.DatabaseError as error:
            raise unusable(path, error) from None


def backup(path: Path, study: StudyRecord, copy: Path) -> int:
    """Write a copy of a database, also while it is written to; return how many judgments it has.

    Raises:
        UsageError: there is no database, or the copy exists already.
    """
    if copy.exists():
        raise UsageError(f"{copy}: exists; a backup never replaces a file.\nNext: another name")
    with contextlib.closing(read_database(path, study)) as source:
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=copy.parent) as scratch:
                half = Path(scratch) / copy.name
                with contextlib.closing(sqlite3.connect(half, isolation_level=None)) as target:
                    source.backup(target)
                    target.execute("PRAGMA journal_mode = DELETE")  # one file, whole by itself
                    count = target.execute("SELECT count(*) FROM judgments").fetchone()[0]
                half.chmod(0o600)
                half.replace(copy)
        except OSError as error:
            raise cannot_write(copy, error) from error
        except sqlite3.DatabaseError as error:
            raise unusable(path, error) from None
    return count


def submissions(connection: sqlite3.Connection, study: StudyRecord) -> Iterator[Submission]:
    """Yield the answers of every session that has any, in the order of their beginnings."""
    simulated = _is_simulated(connection)
    sessions = connection.execute(
        "SELECT session, packet, participant, named, user_agent, viewport FROM sessions "
        "ORDER BY began, session"
    ).fetchall()
    for session, packet, participant, named, user_agent, viewport in sessions:
        rows = attempts(connection, session)
        if rows:
            yield Submission(
                version=PACKET_SCHEMA,
                study=public_study_id(study),
                packet=study.packet_ids[packet],
                session=session,
                user_agent=user_agent,
                viewport=None if viewport is None else json.loads(viewport),
                rows=rows,
                participant=participant,
                named=bool(named),
                simulated=simulated,
            )


def exported(path: Path, study: StudyRecord) -> list[str]:
    """Return the answers of a database as lines of JSON, one for each session that has any.

    Raises:
        UsageError: there is no database.
    """
    with reading(path, study) as connection:
        return [
            json.dumps(entry.model_dump(mode="json", by_alias=True), separators=(",", ":")) + "\n"
            for entry in submissions(connection, study)
        ]


def attempts(connection: sqlite3.Connection, session: str) -> list[Attempt]:
    """Return a session's answers in the order in which they came."""
    rows = connection.execute(
        "SELECT answer FROM judgments WHERE session = ? ORDER BY number", (session,)
    )
    return [Attempt.model_validate_json(answer) for (answer,) in rows]


def unusable(path: Path, error: sqlite3.Error) -> DataError | StorageError:
    """Return the error that says what is wrong with a database."""
    if isinstance(error, sqlite3.OperationalError):
        return StorageError(
            f"{path}: cannot be used ({error}); check free space, permissions, and that it is on a "
            "disk of this machine"
        )
    return DataError(f"{path}: is damaged ({error}).\nNext: restore a backup")


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(contextlib.closing(connection))
        stack.pop_all()


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _facts(study: StudyRecord, simulated: bool) -> dict[str, str]:
    return {
        "study": public_study_id(study),
        "design_hash": study.design_hash,
        "protocol_hash": study.protocol_hash,
        "simulated": "1" if simulated else "0",
    }


def _require_own(connection: sqlite3.Connection, path: Path, study: StudyRecord) -> None:
    """Check that a database is of this version and this packet."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    found = dict(connection.execute("SELECT name, value FROM facts")) if version == _VERSION else {}
    expected = {k: v for k, v in _facts(study, False).items() if k != "simulated"}
    if any(found.get(name) != value for name, value in expected.items()):
        what = f"of version {version}" if version != _VERSION else "of another packet"
        raise DataError(f"{path}: a database {what}; expected version {_VERSION} and this packet")


def _is_simulated(connection: sqlite3.Connection) -> bool:
    row = connection.execute("SELECT value FROM facts WHERE name = 'simulated'").fetchone()
    return row is not None and row[0] == "1"
