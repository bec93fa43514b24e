"""A judgment that arrives: whose it is, whether it may be, and that it is kept once.

A judgment is named by session, trial and attempt. The same one again is acknowledged and changes
nothing, so that a browser may send it until it hears of it; another one under the same name is
refused.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from hdbench.schema.judgment import Attempt
from hdbench.schema.packet import TrialRecord
from hdbench.schema.record import Record
from hdbench.study.analysis.tally import broken_rules_of
from hdbench.study.answers.database import attempts
from hdbench.study.packet.files import Packet
from hdbench.study.server.assignment import secret_hash
from hdbench.web.guard import RequestRefused

_PageName = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class PostedJudgment(Record):
    """An answer and the page that it was given on."""

    page: _PageName
    row: Attempt


class PostedReason(Record):
    """Why a page cannot be used, and which page."""

    page: _PageName
    reason: Literal["phone"]


@dataclass(frozen=True)
class Outcome:
    """How a session ended; ``outcome`` is None while it goes on."""

    outcome: str | None
    venue: bool


@dataclass(frozen=True)
class _Session:
    session: str
    packet: int
    page: str
    outcome: str | None
    venue: bool


def accept(
    connection: sqlite3.Connection,
    packet: Packet,
    secret: str,
    posted: PostedJudgment,
    at: str,
    *,
    simulated: bool,
) -> Outcome:
    """Keep a judgment, unless it is kept already; the last of a packet ends the session.

    Raises:
        RequestRefused: the browser has no session, the trial is not in its packet, the answer
            contradicts one that is kept, or the study goes on on another page.
    """
    session, row = _session(connection, secret), posted.row
    kept = connection.execute(
        "SELECT answer FROM judgments WHERE session = ? AND trial = ? AND attempt = ?",
        (session.session, row.trial, row.attempt),
    ).fetchone()
    if row.simulated:
        raise RequestRefused("row simulated: only the server says so", 422)
    row = row.model_copy(update={"simulated": simulated})
    if kept is not None:
        if Attempt.model_validate_json(kept[0]) != row:
            raise RequestRefused("another answer to this pair is kept already", 409)
        return Outcome(session.outcome, session.venue)
    _require_newest(session, posted.page)
    _require_possible(connection, packet, session, row)
    answer = json.dumps(row.model_dump(mode="json"), separators=(",", ":"))
    settles = row.void is None or row.attempt == 2
    connection.execute(
        "INSERT INTO judgments (session, trial, attempt, settles, answer, received) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (session.session, row.trial, row.attempt, settles, answer, at),
    )
    connection.execute("UPDATE sessions SET seen = ? WHERE session = ?", (at, session.session))
    settled = connection.execute(
        "SELECT count(*) FROM judgments WHERE session = ? AND settles", (session.session,)
    ).fetchone()[0]
    if settled < len(packet.by_packet[session.packet]):
        return Outcome(None, session.venue)
    broken = broken_rules_of(packet, session.packet, attempts(connection, session.session))
    _end(connection, session, "complete", at, broken)
    return Outcome("complete", session.venue)


def screen_out(
    connection: sqlite3.Connection, packet: Packet, secret: str, posted: PostedReason, at: str
) -> Outcome:
    """End a session that cannot be carried out on its device; its packet is free again.

    Raises:
        RequestRefused: the browser has no session, or the study has no such reason.
    """
    session = _session(connection, secret)
    if session.outcome is None:
        _require_newest(session, posted.page)
        if packet.study.protocol.design.mode != "timed":
            raise RequestRefused("a phone may be used for this study", 422)
        _end(connection, session, "screened", at, [posted.reason])
        return Outcome("screened", session.venue)
    return Outcome(session.outcome, session.venue)


def _session(connection: sqlite3.Connection, secret: str) -> _Session:
    row = connection.execute(
        "SELECT session, packet, page, outcome, entry IS NOT NULL FROM sessions WHERE secret = ?",
        (secret_hash(secret) if secret else "",),
    ).fetchone()
    if row is None:
        raise RequestRefused("this browser has no session; load the page again", 401)
    session, packet, page, outcome, venue = row
    return _Session(session, packet, page, outcome, bool(venue))


def _require_newest(session: _Session, page: str) -> None:
    if page != session.page:
        raise RequestRefused("the study goes on in another window", 409)


def _require_possible(
    connection: sqlite3.Connection, packet: Packet, session: _Session, row: Attempt
) -> None:
    """Raise RequestRefused unless a page that was not edited can have sent an answer."""
    if session.outcome is not None:
        raise RequestRefused("this session is over", 409)
    trial = packet.by_id.get(row.trial)
    if trial is None or trial.packet != session.packet:
        raise RequestRefused("row trial: not in the packet of this session", 403)
    if problem := _contradiction(trial, row):
        raise RequestRefused(f"row {problem}", 422)
    if row.attempt == 2:
        first = connection.execute(
            "SELECT settles FROM judgments WHERE session = ? AND trial = ? AND attempt = 1",
            (session.session, row.trial),
        ).fetchone()
        if first is None or first[0]:
            raise RequestRefused("row attempt = 2: only a pair that was void is asked again", 422)


def _contradiction(trial: TrialRecord, row: Attempt) -> str:
    """Return what an answer says that its trial does not allow, or ""."""
    if row.planned_ms != trial.duration_ms:
        return f"planned_ms = {row.planned_ms}; the trial has {trial.duration_ms}"
    if (row.choice is None) == (row.void is None):
        return "choice and void: expected one of the two"
    if row.choice is not None and row.response_ms is None:
        return "response_ms: missing beside a choice"
    if row.choice is not None and trial.duration_ms is not None and row.frames_shown is None:
        return "frames_shown: missing in a timed trial"
    return ""


def _end(
    connection: sqlite3.Connection, session: _Session, outcome: str, at: str, broken: list[str]
) -> None:
    connection.execute(
        "UPDATE sessions SET ended = ?, outcome = ?, broken_rules = ? WHERE session = ?",
        (at, outcome, json.dumps(broken), session.session),
    )
