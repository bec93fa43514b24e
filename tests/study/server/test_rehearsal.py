"""Simulated people in the real page: everything that they do is marked, and the rules find them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import Result as Outcome

from hdbench.errors import UsageError
from hdbench.study.packet.files import Packet, open_packet
from hdbench.study.rehearsal.people import Person, crowd
from hdbench.study.rehearsal.rehearse import Rehearsed, rehearse

Cli = Callable[..., Outcome]


def rehearsed(packet: Packet, people: Sequence[Person]) -> Rehearsed:
    """In a thread of its own: in this one, the browser of another test may have a running loop."""
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(rehearse, packet, people, None).result()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_people_go_through_page_server_and_tally(bare_cli: Cli, packet: Path) -> None:
    opened = open_packet(packet)
    people = crowd(opened.study, {"attentive": 1, "hasty": 1, "bot": 1, "closing": 1}, 0)
    done = rehearsed(opened, people)
    assert [one.person.kind for one in done.visits] == ["attentive", "hasty", "bot", "closing"]
    assert [one.closed for one in done.visits] == [0, 0, 0, 1]
    excluded = {entry.session for entry in done.found.exclusions}
    quick = {one.session for one in done.visits if not one.person.looks}
    assert quick <= excluded
    assert done.found.simulated
    assert done.answers == len(done.found.table)
    text = (packet / "results" / "simulated.jsonl").read_text()
    submissions = [json.loads(line) for line in text.splitlines()]
    assert len(submissions) == 4
    assert all(row["simulated"] for one in submissions for row in [one, *one["rows"]])
    assert not (packet / "results" / "judgments.sqlite").exists()
    tallied = bare_cli("study", "tally", packet, "--simulated")
    assert tallied.exit_code == 0, tallied.stderr
    assert bare_cli("study", "tally", packet).exit_code == 2


def test_a_rehearsal_needs_somebody(packet: Path) -> None:
    with pytest.raises(UsageError):
        crowd(open_packet(packet).study, {"attentive": 0}, 0)


def test_people_answer_as_they_are(packet: Path) -> None:
    opened = open_packet(packet)
    counts = {"attentive": 2, "hasty": 1, "bot": 1}
    people = crowd(opened.study, counts, 0)  # pyright: ignore[reportArgumentType]
    again = crowd(opened.study, counts, 0)  # pyright: ignore[reportArgumentType]
    chosen = [[one.choice(trial) for trial in opened.trials] for one in people]
    assert chosen == [[one.choice(trial) for trial in opened.trials] for one in again]
    by_kind = {one.kind: sides for one, sides in zip(people, chosen, strict=True)}
    assert set(by_kind["bot"]) == {"left"}
    expected = [trial.expected for trial in opened.trials]
    right = [
        side == want for side, want in zip(by_kind["attentive"], expected, strict=True) if want
    ]
    assert sum(right) > 0.9 * len(right)
    assert [one.pause_ms() > 300 for one in people] == [True, False, False, True]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_study_with_limited_time_is_rehearsed_too(timed_packet: Path) -> None:
    opened = open_packet(timed_packet)
    done = rehearsed(opened, crowd(opened.study, {"closing": 1}, 0))
    assert done.answers == len(done.found.table)
    assert done.found.missing() <= done.answers - len(set(done.found.table["trial"]))
