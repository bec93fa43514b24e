"""Servers of studies for tests: within the test, and as a process of its own that can be killed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from forks import Forked
from starlette.testclient import TestClient

from hdbench.study.answers.database import database_path, open_database
from hdbench.study.packet.files import open_packet
from hdbench.study.server.application import Settings, application

TOKEN = "5" * 32


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = field(default=datetime(2030, 1, 2, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def later(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@dataclass
class Site:
    """A served packet; every client of it is another browser."""

    folder: Path
    app: Any
    clock: Clock

    def client(self) -> TestClient:
        return TestClient(self.app, base_url="http://127.0.0.1:8000", follow_redirects=False)


@contextmanager
def site(folder: Path, *, simulated: bool = False) -> Iterator[Site]:
    """Serve a packet within the test."""
    packet = open_packet(folder)
    clock = Clock()
    path = database_path(folder, simulated=simulated)
    with closing(open_database(path, packet.study, simulated=simulated)) as connection:
        settings = Settings(TOKEN, simulated=simulated, clock=clock)
        yield Site(folder, application(packet, connection, settings), clock)


class Person:
    """A browser that answers without a page, as the page would."""

    def __init__(self, client: Any, **entry: str) -> None:
        self.client, self.entry = client, entry
        self.session = ""
        self.page = ""
        self.packet: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self.judged = 0
        self.end: dict[str, Any] | None = None

    def ask(self) -> Any:
        said = {"entry": self.entry, "user_agent": "a browser", "viewport": [1366, 768]}
        return self.client.post("/api/session", json=said)

    def come(self) -> Person:
        answer = self.ask()
        assert answer.status_code == 200, answer.text
        said = answer.json()
        self.end = said["end"]
        self.session, self.page = said.get("session", ""), said.get("page", "")
        self.packet, self.rows = said.get("packet", {}), said.get("rows", [])
        return self

    def post(self, row: dict[str, Any], page: str | None = None) -> Any:
        answer = self.client.post(
            "/api/judgment", json={"page": self.page if page is None else page, "row": row}
        )
        if answer.status_code == 200:
            self.end = answer.json()["end"]
        return answer

    def answer(self, right: dict[str, str], count: int | None = None) -> Person:
        """Answer the open trials: checks as ``right`` says, judgments on both sides in turn."""
        done = {row["trial"] for row in self.rows}
        trials = [trial for trial in self.packet["trials"] if trial["trial"] not in done]
        for trial in trials[:count]:
            choice = right.get(trial["trial"]) or ("left", "right")[self.judged % 2]
            self.judged += trial["trial"] not in right
            # No two people take equally long; the tally would see copies.
            row = row_of(trial, choice, response_ms=round(random.uniform(500, 3000), 1))
            answer = self.post(row)
            assert answer.status_code == 200, answer.text
            self.rows.append(row)
        return self


def row_of(trial: dict[str, Any], side: str | None, /, **more: Any) -> dict[str, Any]:
    """A row as the page makes it."""
    planned = trial["duration_ms"]
    frames = None if planned is None else round(planned * 0.06)
    return {
        "trial": trial["trial"],
        "attempt": 1,
        "choice": side,
        "response_ms": 900.5,
        "input": "key",
        "void": None,
        "planned_ms": planned,
        "frames_planned": frames,
        "frames_shown": frames,
        "dropped": None if planned is None else 0,
        "shown_ms": planned,
        "refresh_hz": None if planned is None else 60.0,
        "at": "2030-01-02T03:04:05Z",
    } | more


def right_answers(folder: Path) -> dict[str, str]:
    """The right answer of every practice trial and check."""
    trials = (json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines())
    return {trial["trial"]: trial["expected"] for trial in trials if trial["expected"]}


@dataclass
class Process:
    """``hdbench study serve`` as a user starts it."""

    process: Forked
    url: str
    researcher: str

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def started(folder: Path, *options: str, port: int = 0) -> Process:
    """Start a server in a process of its own and wait until it listens."""
    words = ("study", "serve", folder, "--port", str(port), *options)
    process = Forked(*words, cwd=folder.parent)
    process.said(r"^(researcher|participants): \S+\n.*^(researcher|participants): \S+\n")
    links = dict(re.findall(r"^(researcher|participants): (\S+)$", process.output, re.MULTILINE))
    return Process(process, links["participants"], links["researcher"])


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Process]:
    """A server that ends with the test."""
    server = started(folder, *options)
    try:
        yield server
    finally:
        server.kill()
