"""Who gets which packet, which answers are kept, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from servers import TOKEN, Clock, Person, Site, right_answers, row_of, site

from hdbench.errors import DataError, UsageError
from hdbench.study.analysis.tally import answer_files, tally
from hdbench.study.answers.database import (
    backup,
    database_path,
    exported,
    open_database,
)
from hdbench.study.packet.files import open_packet
from hdbench.study.server.assignment import completion_codes


@pytest.fixture
def served(packet: Path) -> Iterator[Site]:
    with site(packet) as found:
        yield found


def link(number: int, submission: int = 0) -> dict[str, str]:
    """The ids in a link of Prolific."""
    return {
        "PROLIFIC_PID": f"{number:024x}",
        "STUDY_ID": "a" * 24,
        "SESSION_ID": f"{number:020x}{submission:04x}",
    }


def whole_table(folder: Path, name: str) -> list[Any]:
    with closing(sqlite3.connect(database_path(folder))) as connection:
        return connection.execute(f"SELECT * FROM {name}").fetchall()


def test_everybody_gets_another_packet_until_all_are_filled(served: Site) -> None:
    opened = open_packet(served.folder)
    right = right_answers(served.folder)
    people = [Person(served.client(), **link(n)).come() for n in range(opened.study.packets)]
    assert [person.packet["packet"] for person in people] == opened.study.packet_ids
    for person in people:
        person.answer(right)
        assert person.end is not None
        assert person.end["code"] == completion_codes(opened.study)[0]
        assert person.end["link"].endswith(person.end["code"])
    late = Person(served.client(), **link(99)).come()
    assert late.packet == {}
    assert late.end is not None
    assert (late.end["outcome"], late.end["code"]) == ("full", completion_codes(opened.study)[1])
    found = tally(opened, answer_files(opened, [], simulated=False), simulated=False)
    assert len(found.judgments()) == sum(trial.kind == "judgment" for trial in opened.trials)
    assert found.exclusions == []
    assert found.unnamed == frozenset()


def test_packets_of_who_was_excluded_or_left_are_given_again(served: Site) -> None:
    opened = open_packet(served.folder)
    right = right_answers(served.folder)
    wrong = {trial: "left" if side == "right" else "right" for trial, side in right.items()}
    Person(served.client()).come().answer(wrong)  # packet 0: fails its checks
    assert [Person(served.client()).come().packet["packet"] for _ in opened.study.packet_ids] == (
        opened.study.packet_ids
    )
    served.clock.later(20)
    silent = Person(served.client()).come()  # all are held; the longest silent one is packet 0's
    assert silent.packet["packet"] == opened.study.packet_ids[0]
    served.clock.later(20)  # all leases but that one are over
    assert Person(served.client()).come().packet["packet"] == opened.study.packet_ids[1]
    exclusions = tally(opened, [database_path(served.folder)], simulated=False).exclusions
    assert [entry.packet for entry in exclusions] == [0]


def test_nobody_who_is_named_takes_part_twice(served: Site) -> None:
    right = right_answers(served.folder)
    first = Person(served.client(), **link(1)).come()
    first.answer(right, 1)
    again = Person(served.client(), **link(1, submission=2))
    assert again.ask().status_code == 409  # begun elsewhere
    first.answer(right)
    assert again.ask().status_code == 409  # has taken part
    assert len(whole_table(served.folder, "sessions")) == 1
    named = Person(served.client(), participant="P01").come().answer(right, 1)
    assert Person(served.client(), participant="P01").ask().status_code == 409
    assert named.come().rows == named.rows


def test_a_page_that_is_loaded_again_goes_on(served: Site) -> None:
    right = right_answers(served.folder)
    person = Person(served.client(), **link(1)).come().answer(right, 2)
    before = person.session
    other = Person(served.client(), **link(1)).come()  # another browser, by the whole link
    assert (other.session, other.rows) == (before, person.rows)
    assert person.post(row_of(person.packet["trials"][2], "left")).status_code == 401
    assert other.answer(right).end is not None
    assert other.come().end == {**(other.end or {})}


def test_an_answer_that_was_lost_on_the_way_locks_nobody_out(served: Site) -> None:
    Person(served.client(), participant="P01").come()  # the browser never got its secret
    person = Person(served.client(), participant="P01").come()
    person.answer(right_answers(served.folder))
    assert len(whole_table(served.folder, "sessions")) == 1
    anonymous = served.client()
    first = Person(anonymous).come()
    secret = dict(anonymous.cookies)
    assert Person(anonymous).come().session == first.session
    assert dict(anonymous.cookies) == secret


def test_the_same_answer_counts_once_and_another_is_refused(served: Site) -> None:
    person = Person(served.client()).come()
    row = row_of(person.packet["trials"][0], "left")
    assert [person.post(row).status_code for _ in range(3)] == [200, 200, 200]
    for other in ({**row, "choice": "right"}, {**row, "response_ms": 901.0}):
        assert person.post(other).status_code == 409
    assert len(whole_table(served.folder, "judgments")) == 1


def test_the_newest_page_of_a_session_alone_may_answer(served: Site) -> None:
    client = served.client()
    old = Person(client).come()
    row = row_of(old.packet["trials"][0], "left")
    assert old.post(row).status_code == 200
    new = Person(client).come()
    assert old.post(row).status_code == 200  # what has arrived may be sent again
    assert old.post(row_of(old.packet["trials"][1], "left")).status_code == 409
    assert new.post(row_of(old.packet["trials"][1], "right")).status_code == 200


def test_a_void_pair_is_asked_again_once(served: Site) -> None:
    person = Person(served.client()).come()
    trial = person.packet["trials"][0]
    nothing = {"choice": None, "response_ms": None, "input": None}
    second = row_of(trial, "left", attempt=2)
    assert person.post(second).status_code == 422
    assert person.post(row_of(trial, None, **nothing, void="blur")).status_code == 200
    assert person.post(second).status_code == 200
    valid = person.packet["trials"][1]
    assert person.post(row_of(valid, "left")).status_code == 200
    assert person.post(row_of(valid, "left", attempt=2)).status_code == 422


def test_edited_requests_are_refused(served: Site) -> None:
    person, other = (Person(served.client()).come() for _ in range(2))
    mine, theirs = person.packet["trials"][0], other.packet["trials"][0]
    assert Person(served.client()).post(row_of(mine, "left"), page=person.page).status_code == 401
    assert person.post(row_of(theirs, "left")).status_code == 403
    assert person.post(row_of({**mine, "trial": "0" * 16}, "left")).status_code == 403
    for more in (
        {"planned_ms": 125},
        {"void": "blur"},
        {"choice": None},
        {"choice": "middle"},
        {"response_ms": None},
        {"response_ms": -1},
        {"attempt": 3},
        {"simulated": True},
        {"session": other.session},
    ):
        assert person.post(row_of(mine, "left", **more)).status_code == 422, more
    assert person.client.post("/api/judgment", content=b"{").status_code == 400
    assert person.client.post("/api/judgment", content=b"x" * 20_000).status_code == 413
    for entry in (
        {"PROLIFIC_PID": "1" * 24},
        {"PROLIFIC_PID": "{{%PROLIFIC_PID%}}", "STUDY_ID": "a", "SESSION_ID": "b"},
        {"participant": "a/b"},
        {**link(1), "participant": "a"},
        {"packet": "0"},
    ):
        assert Person(served.client(), **entry).ask().status_code == 422, entry
    assert whole_table(served.folder, "judgments") == []


def test_pages_of_other_sites_change_nothing(served: Site) -> None:
    person = Person(served.client()).come()
    said = {"page": person.page, "row": row_of(person.packet["trials"][0], "left")}
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = person.client.post("/api/judgment", json=said, headers=headers)
        assert answer.status_code == 403
    assert "samesite=strict" in Person(served.client()).ask().headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "path",
    [
        "/study.json", "/trials.jsonl", "/secret.key", "/manifest.csv", "/preview.html",
        "/packets/", "/results/judgments.sqlite", "/results/researcher.token", "/images/",
        "/images/..%2f..%2fstudy.json", "/images/../study.json", "/images/%2e%2e/%2e%2e/secret.key",
        "/images/..\\study.json", "/mturk/batch.csv",
    ],
)  # fmt: skip
def test_private_files_are_not_served(served: Site, path: str) -> None:
    assert served.client().get(path).status_code in (400, 404)


def test_nothing_that_is_served_names_a_method_a_scene_or_a_file(served: Site) -> None:
    opened, client = open_packet(served.folder), served.client()
    person = Person(client, **link(1))
    answers = [client.get("/"), client.get("/index.html"), person.ask()]
    person.come()
    shown = {trial[side] for trial in person.packet["trials"] for side in ("left", "right")}
    answers += [client.get(f"/images/{name}") for name in sorted(shown)]
    answers.append(person.post(row_of(person.packet["trials"][0], "left")))
    answers.append(person.post(row_of(person.packet["trials"][0], "right")))
    answers.append(client.get("/nothing"))
    answers.append(client.get("/researcher"))
    person.come().answer(right_answers(served.folder))
    answers.append(person.ask())
    sources = [image.source for image in opened.study.images.values() if image.source]
    names = {*opened.study.methods, *opened.study.scenes, *opened.study.controls, *sources}
    for answer in answers:
        text = answer.content.decode("latin-1").lower() + str(answer.headers).lower()
        found = [name for name in names if name.lower() in text]
        assert not found, (answer.url, found)
        if answer.headers["content-type"] == "image/png":
            chunks = {kind for kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tIME", b"iCCP")}
            assert not [kind for kind in chunks if kind in answer.content]
    assert {answer.status_code for answer in answers} == {200, 409, 404, 401}
    assert "packet_ids" not in json.dumps(person.packet)


def test_the_page_runs_under_a_strict_policy(served: Site) -> None:
    policy = served.client().get("/").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy


def test_participants_and_addresses_are_not_kept(served: Site) -> None:
    ids = link(0xABCDEF)
    Person(served.client(), **ids).come().answer(right_answers(served.folder))
    Person(served.client(), participant="Jane-Doe").come()
    kept = b"".join(
        path.read_bytes() for path in database_path(served.folder).parent.glob("judgments*")
    )
    for name in (ids["PROLIFIC_PID"], ids["SESSION_ID"], "Jane-Doe", "testclient", "127.0.0.1"):
        assert name.encode() not in kept


@pytest.mark.slow
def test_the_researchers_page_needs_its_token_and_shows_no_rates_before_the_end(
    served: Site,
) -> None:
    opened, right = open_packet(served.folder), right_answers(served.folder)
    client = served.client()
    assert client.get("/researcher").status_code == 401
    assert client.get("/researcher?token=x").status_code == 401
    assert client.get(f"/researcher?token={TOKEN}").headers["location"] == "/researcher"

    def page() -> str:
        return client.get("/researcher").text

    assert "0 of" in page()
    for n in range(opened.study.packets):
        assert " over " not in page()
        Person(served.client(), **link(n)).come().answer(right)
    assert page().count(" over ") == len(opened.study.pairs)


def test_looking_earlier_is_recorded(packet: Path) -> None:
    from hdbench.study.server.progress import unblind

    with site(packet) as served:
        path = database_path(packet)
        opened = open_packet(packet)
        Person(served.client()).come().answer(right_answers(packet))
        connection = open_database(path, opened.study, simulated=False)
        unblind(connection, "2030-01-02T00:00:00.000Z")
        connection.close()
        client = served.client()
        client.get(f"/researcher?token={TOKEN}")
        assert "2030-01-02T00:00:00.000Z" in client.get("/researcher").text
    ((at, what, detail),) = whole_table(packet, "events")
    assert (at, what, json.loads(detail)) == (
        "2030-01-02T00:00:00.000Z", "unblinded", {"filled": 1},
    )  # fmt: skip


def test_backups_and_exports_while_it_runs(served: Site, tmp_path: Path) -> None:
    opened, right = open_packet(served.folder), right_answers(served.folder)
    path = database_path(served.folder)
    person = Person(served.client(), **link(1)).come().answer(right, 3)
    copy = tmp_path / "copy.sqlite"
    assert backup(path, opened.study, copy) == 3
    with pytest.raises(UsageError):
        backup(path, opened.study, copy)
    (line,) = exported(path, opened.study)
    rows = json.loads(line)["rows"]
    assert [{k: row[k] for k in row if k != "simulated"} for row in rows] == person.rows
    text = tmp_path / "answers.jsonl"
    text.write_text(line)
    person.answer(right)
    found = tally(opened, [path, copy, text], simulated=False)
    assert found.duplicates == 6
    assert len(found.table) == len(person.rows)
    text.write_text(line.replace('"choice":"left"', '"choice":"right"', 1))
    with pytest.raises(DataError, match="two different answers"):
        tally(opened, [path, text], simulated=False)


def test_several_servers_are_tallied_together(packet: Path, tmp_path: Path) -> None:
    opened, right = open_packet(packet), right_answers(packet)
    copies = []
    for n in range(2):
        with site(packet) as served:
            Person(served.client(), **link(n)).come().answer(right)
            Person(served.client(), **link(7)).come().answer(right)  # the same person on both
        copies.append(tmp_path / f"{n}.sqlite")
        database_path(packet).rename(copies[-1])
    found = tally(opened, copies, simulated=False)
    assert found.duplicates == 0
    assert [entry.kind for entry in found.exclusions] == ["repeat"]


def test_an_anonymous_session_says_that_it_is(served: Site) -> None:
    opened, right = open_packet(served.folder), right_answers(served.folder)
    Person(served.client()).come().answer(right)
    Person(served.client(), participant="P2").come().answer(right)
    found = tally(opened, [database_path(served.folder)], simulated=False)
    assert len(found.unnamed) == 1
    assert len(set(found.table["participant"])) == 2


def test_databases_of_others_are_refused(packet: Path, tmp_path: Path) -> None:
    study = open_packet(packet).study
    path = database_path(packet)
    with pytest.raises(UsageError):
        exported(path, study)
    open_database(path, study, simulated=False).close()
    assert path.stat().st_mode & 0o77 == 0
    other = study.model_copy(update={"design_hash": "0" * 64})
    with pytest.raises(DataError):
        open_database(path, other, simulated=False)
    with pytest.raises(DataError):
        open_database(path, study, simulated=True)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(DataError):
        open_database(path, study, simulated=False)


def test_a_packet_whose_page_cannot_post_is_refused(packet: Path) -> None:
    page = packet / "web" / "index.html"
    page.write_text(page.read_text().replace(' data-server=""', ""))
    with pytest.raises(DataError, match=r"index\.html"), site(packet):
        pass


def test_a_full_disk_acknowledges_nothing(packet: Path) -> None:
    from hdbench.study.server.application import Settings, application

    opened = open_packet(packet)
    connection = open_database(database_path(packet), opened.study, simulated=False)
    served = Site(packet, application(opened, connection, Settings(TOKEN)), Clock())
    people = [Person(served.client()).come() for _ in range(4)]
    asked = [(person, trial) for person in people for trial in person.packet["trials"]]
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    said = [person.post(row_of(trial, "left")).status_code for person, trial in asked]
    kept = said.index(507)
    assert set(said[:kept]) == {200}
    assert len(whole_table(packet, "judgments")) == said.count(200)
    connection.execute(f"PRAGMA max_page_count = {10 * pages}")
    person, trial = asked[kept]
    assert person.post(row_of(trial, "left")).status_code == 200
    connection.close()
