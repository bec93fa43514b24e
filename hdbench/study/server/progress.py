"""What the researcher's page says while a study runs: progress, balance, exclusions.

Preference rates are not computed before every packet is filled: who sees them earlier could stop
when they please. ``unblind`` lifts this, is recorded in the database, and is shown from then on.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hdbench.errors import HdbenchError
from hdbench.schema.summary import PairRate
from hdbench.study.analysis.summary import pair_rates
from hdbench.study.analysis.tally import tally
from hdbench.study.packet.files import Packet
from hdbench.study.server.assignment import filled_packets

_UNBLINDED = "unblinded"


@dataclass(frozen=True)
class Exclusion:
    """A completed session that breaks quality rules."""

    session: str
    packet: int
    reasons: list[str]


@dataclass(frozen=True)
class Balance:
    """How often each method of a pair stood on the left, in the answers of filled packets."""

    a: str
    b: str
    duration_ms: int | None
    judgments: int
    planned: int
    a_left: int


@dataclass(frozen=True)
class Progress:
    """The state of a study; nothing in it depends on which method was preferred but ``rates``."""

    packets: int
    #: Packets with a completed session that passes the quality rules.
    filled: int
    #: Sessions that go on and whose lease is not over, that were left, completed, screened out.
    active: int
    left: int
    completed: int
    screened: int
    judgments: int
    void: int
    #: Share of valid answers on the left; None without any. Sides are balanced over methods.
    left_share: float | None
    exclusions: list[Exclusion]
    balance: list[Balance]
    #: When rates were looked at before the end, and after how many filled packets.
    unblinded: list[tuple[str, int]]
    #: None until every packet is filled or ``unblind`` was asked for.
    rates: list[PairRate] | None
    #: Why there are no rates although there could be.
    problem: str | None


def unblind(connection: sqlite3.Connection, at: str) -> None:
    """Record that preference rates are looked at before the planned number is reached."""
    detail = json.dumps({"filled": len(filled_packets(connection))})
    connection.execute("INSERT INTO events VALUES (?, ?, ?)", (at, _UNBLINDED, detail))


def progress_of(
    connection: sqlite3.Connection, path: Path, packet: Packet, lease_from: str, *, simulated: bool
) -> Progress:
    """Return the state of a study; ``path`` is the file behind ``connection``.

    Leases are over that were last renewed before ``lease_from``.
    """
    sessions = connection.execute(
        "SELECT session, packet, outcome, broken_rules, seen FROM sessions ORDER BY began"
    ).fetchall()
    outcomes = Counter(outcome for _, _, outcome, _, _ in sessions)
    active = sum(outcome is None and seen >= lease_from for _, _, outcome, _, seen in sessions)
    answers = dict(
        connection.execute(
            "SELECT ifnull(json_extract(answer, '$.choice'), 'void'), count(*) FROM judgments "
            "GROUP BY 1"
        )
    )
    valid = answers.get("left", 0) + answers.get("right", 0)
    filled = filled_packets(connection)
    unblinded = [
        (at, json.loads(detail)["filled"])
        for at, detail in connection.execute(
            "SELECT at, detail FROM events WHERE what = ? ORDER BY at", (_UNBLINDED,)
        )
    ]
    rates, problem = None, None
    if len(filled) == packet.study.packets or unblinded:
        try:
            found = tally(packet, [path], simulated=simulated)
            rates = pair_rates(found, found.judgments())
        except HdbenchError as error:
            problem = str(error)
    return Progress(
        packets=packet.study.packets,
        filled=len(filled),
        active=active,
        left=outcomes[None] - active,
        completed=outcomes["complete"],
        screened=outcomes["screened"],
        judgments=valid,
        void=answers.get("void", 0),
        left_share=answers.get("left", 0) / valid if valid else None,
        exclusions=[
            Exclusion(session, number, json.loads(broken))
            for session, number, outcome, broken, _ in sessions
            if outcome == "complete" and broken != "[]"
        ],
        balance=_balance(connection, packet),
        unblinded=unblinded,
        rates=rates,
        problem=problem,
    )


def _balance(connection: sqlite3.Connection, packet: Packet) -> list[Balance]:
    answered = Counter[str](
        dict(
            connection.execute(
                "SELECT trial, count(*) FROM judgments JOIN sessions USING (session) "
                "WHERE outcome = 'complete' AND broken_rules = '[]' "
                "AND json_extract(answer, '$.void') IS NULL GROUP BY trial"
            )
        )
    )
    counts = Counter[tuple[str | None, str | None, int | None, str]]()
    for trial in packet.trials:
        if trial.kind != "judgment":
            continue
        cell = trial.a, trial.b, trial.duration_ms
        counts[*cell, "planned"] += 1
        counts[*cell, "judged"] += answered[trial.trial]
        if trial.left == trial.a:
            counts[*cell, "left"] += answered[trial.trial]
    return [
        Balance(
            a,
            b,
            duration,
            judgments=counts[a, b, duration, "judged"],
            planned=counts[a, b, duration, "planned"],
            a_left=counts[a, b, duration, "left"],
        )
        for a, b in packet.study.pairs
        for duration in packet.study.protocol.design.durations_ms or [None]
    ]
