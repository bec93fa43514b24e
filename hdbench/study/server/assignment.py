"""Who a participant is to the server, and which packet they get: the least filled one.

A packet is filled by a session that was completed and passes the quality rules. A session that is
not completed holds its packet by a lease, which each answer renews; after its end others come first
to the packets that nobody holds, then to the one that has been silent longest.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator

from hdbench.provenance import canonical_json
from hdbench.schema.packet import StudyRecord
from hdbench.schema.record import Record
from hdbench.study.analysis.submissions import hashed_participant
from hdbench.study.packet.files import Packet
from hdbench.web.guard import RequestRefused

VENUE = "prolific"
_Name = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]
_COMPLETE, _SCREENED = "complete", "screened"


class Entry(Record):
    """The names in the link that a participant followed; without any, nobody knows who it is."""

    #: Prolific's ids of the person, of its study and of this submission.
    PROLIFIC_PID: _Name | None = None
    STUDY_ID: _Name | None = None
    SESSION_ID: _Name | None = None
    #: The researcher's own name for the person, such as a number.
    participant: _Name | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Entry:
        ids = [self.PROLIFIC_PID, self.STUDY_ID, self.SESSION_ID]
        if any(ids) and not all(ids):
            raise ValueError("a link of Prolific has PROLIFIC_PID, STUDY_ID and SESSION_ID")
        if all(ids) and self.participant:
            raise ValueError("a link has Prolific's ids or participant, not both")
        return self


class Browser(Record):
    """What a page says of itself when it asks for its packet."""

    entry: Entry
    user_agent: Annotated[str, Field(max_length=500)]
    #: Width and height of the window in CSS pixels.
    viewport: Annotated[list[float], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Identity:
    """Who somebody is, as keyed hashes."""

    #: None: nobody was named.
    participant: str | None
    #: Stands for Prolific's three ids together, which only this person and the researcher know.
    entry: str | None


@dataclass(frozen=True)
class Seat:
    """A session and what its page needs."""

    session: str
    packet: int
    #: The newest page of the session; answers of older ones are refused.
    page: str
    #: What the browser keeps to come back; None if it has it already.
    secret: str | None
    outcome: str | None
    #: Whether the person came by a link of Prolific.
    venue: bool


def identity_of(study: StudyRecord, entry: Entry) -> Identity:
    """Return the keyed hashes of a link's names; the names themselves are not kept."""
    if entry.PROLIFIC_PID:
        ids = canonical_json([entry.PROLIFIC_PID, entry.STUDY_ID, entry.SESSION_ID])
        key = bytes.fromhex(study.key)
        whole = hmac.new(key, f"entry/{ids}".encode(), hashlib.sha256).hexdigest()[:32]
        return Identity(hashed_participant(study, VENUE, entry.PROLIFIC_PID), whole)
    if entry.participant:
        return Identity(hashed_participant(study, "own", entry.participant), None)
    return Identity(None, None)


def completion_codes(study: StudyRecord) -> tuple[str, str]:
    """Return the code for who has answered a packet, and the one for who could not begin."""

    def code(what: str) -> str:
        message = f"code/{what}".encode()
        return hmac.new(bytes.fromhex(study.key), message, hashlib.sha256).hexdigest()[:10].upper()

    return code(_COMPLETE), code(_SCREENED)


def passes_of(packet: Packet) -> dict[int, frozenset[int]]:
    """Return the passes that each packet's judgments belong to."""
    return {
        number: frozenset(trial.pass_number for trial in trials if trial.kind == "judgment")
        for number, trials in packet.by_packet.items()
    }


def secret_hash(secret: str) -> str:
    """Return what the database keeps of a browser's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class Assignment:
    """The rules by which sessions are begun and taken up again."""

    study: StudyRecord
    #: As ``passes_of`` returns them.
    passes: dict[int, frozenset[int]]

    def enrol(
        self,
        connection: sqlite3.Connection,
        browser: Browser,
        secret: str,
        at: str,
        lease_from: str,
    ) -> Seat | None:
        """Return a person's session, begun or taken up again; None if every packet is filled.

        ``secret`` is what the browser kept, or ""; ``at`` is the time, and leases are over that
        were last renewed before ``lease_from``.

        Raises:
            RequestRefused: the person has begun in another browser, or has taken part already.
        """
        identity = identity_of(self.study, browser.entry)
        known = self._known(connection, identity, secret)
        if known is not None:
            return self._again(connection, known, identity, secret, at)
        others = self._of_participant(connection, identity.participant)
        if any(outcome is None for _, outcome in others):
            raise RequestRefused(
                "You have begun this study in another browser or on another computer. Please go on "
                "there.",
                409,
            )
        if len(others) >= self.study.protocol.design.passes:
            raise RequestRefused("You have already taken part in this study. Thank you!", 409)
        seen = frozenset[int]().union(*(self.passes[number] for number, _ in others))
        number = self._least_filled(connection, seen, lease_from)
        if number is None:
            return None
        return self._begin(connection, browser, identity, number, at)

    def _known(
        self, connection: sqlite3.Connection, identity: Identity, secret: str
    ) -> tuple[Any, ...] | None:
        """Return the session that this browser, or this link of Prolific, may take up again."""
        columns = "SELECT session, packet, participant, entry, outcome, secret FROM sessions "
        if identity.entry is not None:
            row = connection.execute(columns + "WHERE entry = ?", (identity.entry,)).fetchone()
            if row is not None:
                return row
        row = connection.execute(
            columns + "WHERE secret = ?", (secret_hash(secret) if secret else "",)
        ).fetchone()
        if row is not None and identity.participant in (None, row[2]):
            same_entry = identity.entry in (None, row[3])
            if row[4] is None or same_entry:
                return row
        # The answer that brought the browser its secret may have been lost on the way.
        return connection.execute(
            columns + "WHERE participant = ? AND outcome IS NULL AND NOT EXISTS "
            "(SELECT 1 FROM judgments WHERE judgments.session = sessions.session)",
            (identity.participant,),
        ).fetchone()

    def _again(
        self,
        connection: sqlite3.Connection,
        known: tuple[Any, ...],
        identity: Identity,
        secret: str,
        at: str,
    ) -> Seat:
        session, packet, _, entry, outcome, kept = known
        page = secrets.token_hex(8)
        # A secret that the browser has stays: a new one could be lost on the way.
        fresh = None if secret and secret_hash(secret) == kept else secrets.token_hex(16)
        entry = identity.entry or entry
        connection.execute(
            "UPDATE sessions SET page = ?, secret = ?, entry = ? WHERE session = ?",
            (page, kept if fresh is None else secret_hash(fresh), entry, session),
        )
        if outcome != _COMPLETE:  # who was screened out may come back with another device
            outcome = None
            connection.execute(
                "UPDATE sessions SET seen = ?, ended = NULL, outcome = NULL, broken_rules = NULL "
                "WHERE session = ?",
                (at, session),
            )
        return Seat(session, packet, page, fresh, outcome, entry is not None)

    def _of_participant(
        self, connection: sqlite3.Connection, participant: str | None
    ) -> list[tuple[int, str | None]]:
        if participant is None:
            return []
        return connection.execute(
            "SELECT packet, outcome FROM sessions WHERE participant = ?", (participant,)
        ).fetchall()

    def _least_filled(
        self, connection: sqlite3.Connection, seen: Collection[int], lease_from: str
    ) -> int | None:
        """Return the packet for a newcomer who has seen some passes; None if all are filled."""
        filled = filled_packets(connection)
        held: dict[int, int] = {}
        silent: dict[int, str] = {}
        for number, last in connection.execute(
            "SELECT packet, seen FROM sessions WHERE ended IS NULL AND seen >= ?", (lease_from,)
        ):
            held[number] = held.get(number, 0) + 1
            silent[number] = max(last, silent.get(number, ""))
        free = [
            number
            for number, passes in self.passes.items()
            if number not in filled and not passes & set(seen)
        ]
        return min(
            free,
            key=lambda number: (held.get(number, 0), silent.get(number, ""), number),
            default=None,
        )

    def _begin(
        self,
        connection: sqlite3.Connection,
        browser: Browser,
        identity: Identity,
        number: int,
        at: str,
    ) -> Seat:
        session, page, secret = (secrets.token_hex(n) for n in (16, 8, 16))
        participant = identity.participant or hashed_participant(self.study, "own", session)
        viewport = canonical_json(browser.viewport)
        connection.execute(
            "INSERT INTO sessions (session, packet, participant, named, secret, entry, page, "
            "user_agent, viewport, began, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session,
                number,
                participant,
                identity.participant is not None,
                secret_hash(secret),
                identity.entry,
                page,
                browser.user_agent,
                viewport,
                at,
                at,
            ),
        )
        return Seat(session, number, page, secret, None, identity.entry is not None)


def filled_packets(connection: sqlite3.Connection) -> set[int]:
    """Return the packets with a completed session that passes the quality rules."""
    rows = connection.execute(
        "SELECT DISTINCT packet FROM sessions WHERE outcome = ? AND broken_rules = '[]'",
        (_COMPLETE,),
    )
    return {number for (number,) in rows}
