"""Recruiting on Prolific, against a server that answers as the documented API does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import Result as Outcome
from prolific_api import TOKEN, Api, prolific_api
from servers import Person, right_answers, site

from hdbench.study.packet.files import open_packet
from hdbench.study.server.assignment import completion_codes

Cli = Callable[..., Outcome]
URL = "https://study.example.org"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    with prolific_api() as found:
        yield found


def link(study: str, number: int) -> dict[str, str]:
    return {
        "PROLIFIC_PID": f"5{number:023x}",
        "STUDY_ID": study,
        "SESSION_ID": f"6{number:023x}",
    }


def submitted(api: Api, study: str, number: int, status: str = "AWAITING REVIEW") -> str:
    """A submission of somebody on Prolific; returns its id."""
    ids = link(study, number)
    submission = {
        "id": ids["SESSION_ID"],
        "participant_id": ids["PROLIFIC_PID"],
        "study_id": study,
        "status": status,
    }
    api.submissions.append(submission)
    return submission["id"]


def notes(packet: Path) -> list[dict[str, object]]:
    lines = (packet / "results" / "prolific.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line]


def created(bare_cli: Cli, api: Api, packet: Path) -> str:
    outcome = bare_cli("study", "prolific", "create", packet, "--url", URL, "--api", api.url)
    assert outcome.exit_code == 0, outcome.stderr
    return api.studies[0]["id"]


def test_a_dry_run_shows_the_draft_and_needs_no_token(bare_cli: Cli, packet: Path) -> None:
    outcome = bare_cli("study", "prolific", "create", packet, "--url", URL, "--dry-run")
    assert outcome.exit_code == 0, outcome.stderr
    first, _, body = outcome.stdout.partition("\n")
    assert first == "POST https://api.prolific.com/api/v1/studies/"
    assert json.loads(body)["total_available_places"] == open_packet(packet).study.packets
    assert not (packet / "results" / "prolific.jsonl").exists()


def test_a_draft_follows_from_the_plan(bare_cli: Cli, api: Api, packet: Path) -> None:
    opened = open_packet(packet)
    created(bare_cli, api, packet)
    (study,) = api.studies
    assert study["status"] == "UNPUBLISHED"
    asked = urlsplit(study["external_study_url"])
    assert f"{asked.scheme}://{asked.netloc}" == URL
    assert parse_qs(asked.query) == {
        name: [f"{{{{%{name}%}}}}"] for name in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
    }
    assert [code["code"] for code in study["completion_codes"]] == list(
        completion_codes(opened.study)
    )
    venue = opened.study.protocol.venue
    assert study["reward"] == pytest.approx(
        100 * venue.hourly_wage * study["estimated_completion_time"] / 60, abs=1
    )
    said = json.dumps(study).lower()
    assert not [name for name in opened.study.methods if name in said]
    assert [note["what"] for note in notes(packet)] == ["sent", "answered"]


def test_a_limited_study_asks_for_computers(
    bare_cli: Cli, api: Api, timed_packet: Path, tmp_path: Path
) -> None:
    filters = tmp_path / "filters.json"
    filters.write_text('[{"filter_id": "fluent-languages", "selected_values": ["19"]}]')
    command = ("study", "prolific", "create", timed_packet, "--url", URL, "--api", api.url)
    more = ("--places", "7", "--minutes", "9", "--reward", "2.25", "--filters", filters)
    assert bare_cli(*command, *more).exit_code == 0
    (study,) = api.studies
    asked = ("device_compatibility", "total_available_places", "reward", "filters")
    assert [study[name] for name in asked] == [
        ["desktop"], 7, 225, [{"filter_id": "fluent-languages", "selected_values": ["19"]}],
    ]  # fmt: skip
    filters.write_text("{}")
    assert bare_cli(*command, *more).exit_code == 1


@pytest.mark.slow
def test_no_command_makes_or_publishes_anything_twice(
    bare_cli: Cli, api: Api, packet: Path
) -> None:
    api.studies += [{"id": f"other{n}", "internal_name": "other"} for n in range(3)]
    create = ("study", "prolific", "create", packet, "--url", URL, "--api", api.url)
    api.cut = "POST .*/studies/$"  # made, and the answer lost
    assert bare_cli(*create).exit_code == 1
    api.cut = ""
    assert bare_cli(*create).exit_code == 0
    assert bare_cli(*create).exit_code == 0
    (packet / "results" / "prolific.jsonl").unlink()  # found by its name on Prolific
    publish = ("study", "prolific", "publish", packet, "--api", api.url)
    dry = bare_cli(*publish, "--dry-run")
    assert "transition" in dry.stdout
    assert api.studies[3]["status"] == "UNPUBLISHED"
    assert bare_cli(*publish).exit_code == 0
    assert bare_cli(*publish).exit_code == 0
    assert [path for path, _ in api.posts()] == [
        "/api/v1/studies/", f"/api/v1/studies/{api.studies[3]['id']}/transition/",
    ]  # fmt: skip
    assert len(api.studies) == 4


@pytest.mark.slow
def test_the_fixed_rules_approve_and_pay_once(bare_cli: Cli, api: Api, packet: Path) -> None:
    study, right = created(bare_cli, api, packet), right_answers(packet)
    wrong = {trial: "left" if side == "right" else "right" for trial, side in right.items()}
    with site(packet) as served:
        Person(served.client(), **link(study, 1)).come().answer(right)
        Person(served.client(), **link(study, 2)).come().answer(wrong)
        Person(served.client(), **link(study, 3)).come().answer(right, 2)
        Person(served.client(), **link(study, 5)).come().answer(right)
    good, other = submitted(api, study, 1), submitted(api, study, 5, "ACTIVE")
    for n in (2, 3, 4):
        submitted(api, study, n)
    verb = ("--api", api.url)
    listed = bare_cli("study", "prolific", "list", packet, *verb)
    assert len(listed.stdout.splitlines()) == 5 + 1
    assert bare_cli("study", "prolific", "approve", packet, *verb, "--dry-run").exit_code == 0
    assert [one["status"] for one in api.submissions].count("APPROVED") == 0
    for _ in range(2):
        assert bare_cli("study", "prolific", "approve", packet, *verb).exit_code == 0
    assert [one["id"] for one in api.submissions if one["status"] == "APPROVED"] == [good]
    bonus = ("study", "prolific", "bonus", packet, "--amount", "1.50", *verb)
    assert bare_cli(*bonus, "--dry-run").exit_code == 0
    assert api.paid == []
    for _ in range(2):
        assert bare_cli(*bonus).exit_code == 0
    assert api.paid == [f"{good},1.50"]
    api.submissions[1]["status"] = "APPROVED"
    assert bare_cli(*bonus).exit_code == 0
    assert api.paid == [f"{good},1.50", f"{other},1.50"]
    record = (packet / "results" / "prolific.jsonl").read_text()
    for name in (link(study, 1)["PROLIFIC_PID"], good, TOKEN):
        assert name not in record
    assert bare_cli(*bonus[:-4], "--amount", "30", *verb).exit_code == 2


def test_a_payment_whose_answer_was_lost_is_not_sent_again(
    bare_cli: Cli, api: Api, packet: Path
) -> None:
    study = created(bare_cli, api, packet)
    with site(packet) as served:
        Person(served.client(), **link(study, 1)).come().answer(right_answers(packet))
    name = submitted(api, study, 1, "APPROVED")
    bonus = ("study", "prolific", "bonus", packet, "--amount", "1.50", "--api", api.url)
    api.cut = "/pay/"
    assert bare_cli(*bonus).exit_code == 1
    api.cut = ""
    again = bare_cli(*bonus)
    assert again.exit_code == 1
    assert "prolific.jsonl" in again.stderr
    assert api.paid == [f"{name},1.50"]


def test_refusals_say_why_and_tokens_stay_secret(
    bare_cli: Cli, api: Api, packet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ("study", "prolific", "create", packet, "--url", URL)
    monkeypatch.setenv("PROLIFIC_TOKEN", "wrong-token")
    refused = bare_cli(*create, "--api", api.url)
    assert refused.exit_code == 1
    assert "PROLIFIC_TOKEN" in refused.stderr
    assert "wrong-token" not in refused.stderr
    assert bare_cli(*create, "--api", "http://api.example.org").exit_code == 2
    assert bare_cli(*create[:-1], "study.example.org", "--api", api.url).exit_code == 2
    monkeypatch.delenv("PROLIFIC_TOKEN")
    assert bare_cli(*create, "--api", api.url).exit_code == 2
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    missing = bare_cli("study", "prolific", "publish", packet, "--api", api.url)
    assert missing.exit_code == 2
    assert "create" in missing.stderr
