"""A study on Prolific: made as a draft, published, its submissions approved by the fixed rules."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdbench.errors import DataError, HdbenchError, UsageError, counted
from hdbench.study.answers.database import database_path, reading
from hdbench.study.packet.files import Packet
from hdbench.study.packet.rendering import public_study_id
from hdbench.study.prolific.calls import Prolific
from hdbench.study.server.assignment import Entry, completion_codes, identity_of

_STUDIES, _SUBMISSIONS = "/api/v1/studies/", "/api/v1/submissions/"
_PAYMENTS = "/api/v1/bulk-bonus-payments/"
_AWAITING, _APPROVED = "AWAITING REVIEW", "APPROVED"
#: The most people whom one bulk payment of Prolific pays.
_MOST_PAYMENTS = 200


@dataclass(frozen=True)
class Draft:
    """What is asked for on Prolific."""

    places: int
    #: The time that a session takes, in minutes.
    minutes: int
    #: For each participant, in cents of the account's currency.
    reward_cents: int
    title: str
    description: str
    #: As Prolific's API has them: who may take part.
    filters: list[dict[str, Any]]


@dataclass(frozen=True)
class Reviewed:
    """A submission on Prolific beside the session that it belongs to."""

    submission: str
    status: str
    #: ``complete``, ``screened``, None: unfinished; "" if the server knows no such session.
    outcome: str | None
    broken_rules: list[str]

    @property
    def passes(self) -> bool:
        """Whether the session was completed and breaks no quality rule."""
        return self.outcome == "complete" and not self.broken_rules

    @property
    def said(self) -> str:
        """The session in words."""
        if self.outcome == "":
            return "no session on this server"
        return "; ".join(self.broken_rules) or self.outcome or "unfinished"


def planned_draft(
    packet: Packet,
    *,
    places: int | None = None,
    minutes: int | None = None,
    reward_cents: int | None = None,
    title: str | None = None,
    description: str | None = None,
    filters: Path | None = None,
) -> Draft:
    """Return the draft that the protocol's plan implies, or what is stated instead.

    There is one place for each packet; time and reward follow from the protocol's seconds for a
    trial and its hourly wage.

    Raises:
        DataError: the file of filters is no list of JSON objects.
    """
    study = packet.study
    venue = study.protocol.venue
    trials = max(len(members) for members in packet.by_packet.values())
    minutes = minutes or max(1, math.ceil(trials * venue.seconds_per_trial / 60))
    cents = reward_cents or math.ceil(100 * venue.hourly_wage * minutes / 60)
    return Draft(
        places=places or study.packets,
        minutes=minutes,
        reward_cents=cents,
        title=title or "Compare pairs of images",
        description=description
        or f"You will compare up to {trials} pairs of images. {study.protocol.question.text}",
        filters=[] if filters is None else _filters(filters),
    )


def create(prolific: Prolific, packet: Packet, draft: Draft, address: str) -> str | None:
    """Make a draft on Prolific and return its id; one that was made before is found again.

    ``address`` is the server's. In a dry run the call is only shown, and None returned.
    """
    study = packet.study
    internal = f"hdbench {public_study_id(study)}"
    if not prolific.dry_run:
        for entry in prolific.pages(_STUDIES):
            if entry.get("internal_name") == internal:
                return str(entry["id"])
    complete, screened = completion_codes(study)
    timed = study.protocol.design.mode == "timed"
    ids = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
    query = "&".join(f"{name}={{{{%{name}%}}}}" for name in ids)
    review = [{"action": "MANUALLY_REVIEW"}]
    content = {
        "name": draft.title,
        "internal_name": internal,
        "description": draft.description,
        "external_study_url": f"{address}?{query}",
        "prolific_id_option": "url_parameters",
        "completion_codes": [
            {"code": complete, "code_type": "COMPLETED", "actions": review},
            {"code": screened, "code_type": "OTHER", "actions": review},
        ],
        "total_available_places": draft.places,
        "estimated_completion_time": draft.minutes,
        "reward": draft.reward_cents,
        "device_compatibility": ["desktop"] if timed else ["desktop", "tablet", "mobile"],
        "filters": draft.filters,
    }
    answer = prolific.post(_STUDIES, content, content)
    return None if answer is None else _id_of(answer, _STUDIES)


def study_id(prolific: Prolific) -> str:
    """Return the id of a packet's study on Prolific, from the record or from Prolific.

    Raises:
        UsageError: it was not created.
    """
    for note in reversed(prolific.notes()):
        if note.get("what") == "answered" and note.get("call") == f"POST {_STUDIES}":
            return str(note["answer"]["id"])
    internal = f"hdbench {public_study_id(prolific.study)}"
    for entry in prolific.pages(_STUDIES):
        if entry.get("internal_name") == internal:
            return str(entry["id"])
    raise UsageError(
        "this packet has no study on Prolific.\nNext: 'hdbench study prolific create --help'"
    )


def publish(prolific: Prolific) -> str:
    """Publish the draft and return its status; one that is published already stays so."""
    path = f"{_STUDIES}{study_id(prolific)}/"
    status = str(prolific.get(path).get("status"))
    if status != "UNPUBLISHED":
        return status
    content = {"action": "PUBLISH"}
    answer = prolific.post(f"{path}transition/", content, content)
    return status if answer is None else str(answer.get("status", "published"))


def review(prolific: Prolific, packet: Packet) -> list[Reviewed]:
    """Return every submission on Prolific beside its session, by the hash of its ids."""
    study = study_id(prolific)
    with reading(database_path(packet.folder), packet.study) as connection:
        sessions = {
            entry: (outcome, json.loads(broken or "[]"))
            for entry, outcome, broken in connection.execute(
                "SELECT entry, outcome, broken_rules FROM sessions WHERE entry IS NOT NULL"
            )
        }
    found = []
    for submission in prolific.pages(_SUBMISSIONS, study=study):
        names = (submission.get("participant_id"), submission.get("id"), submission.get("status"))
        if not all(isinstance(name, str) and name for name in names):
            raise DataError(f"{_SUBMISSIONS}: expected id, participant_id and status of each")
        person, name, status = map(str, names)
        link = Entry(PROLIFIC_PID=person, STUDY_ID=study, SESSION_ID=name)
        entry = identity_of(packet.study, link).entry
        outcome, broken = sessions.get(entry, ("", []))
        found.append(Reviewed(name, status.replace("_", " ").upper(), outcome, broken))
    return found


def approve(prolific: Prolific, found: Sequence[Reviewed]) -> list[str]:
    """Approve the submissions that await review and pass the rules; return their ids.

    The others are left for a person to decide: nothing is rejected.
    """
    passed = [one.submission for one in found if one.status == _AWAITING and one.passes]
    if passed:
        kept = {"submissions": [prolific.hashed(name) for name in passed]}
        prolific.post(f"{_SUBMISSIONS}bulk-approve/", {"submission_ids": passed}, kept)
    return passed


def pay_bonus(prolific: Prolific, found: Sequence[Reviewed], amount: str) -> list[str]:
    """Pay a bonus, once, to all who were approved and pass the rules; return their submissions.

    ``amount`` is a decimal number in the study's currency.

    Raises:
        HdbenchError: an earlier payment was sent and its answer lost: it must not be sent twice.
    """
    paid, unsure = _payments(prolific)
    if unsure:
        raise HdbenchError(
            f"{prolific.record}: payment {unsure[0]} was sent, and its answer was lost; Prolific "
            "pays again for every call.\nNext: look at the payments on Prolific's site; if it was "
            f"made, add a line {_answered(unsure[0])} to this file, else delete its line 'sent'"
        )
    due = [
        one.submission
        for one in found
        if one.status == _APPROVED and one.passes and prolific.hashed(one.submission) not in paid
    ]
    study = study_id(prolific)
    for start in range(0, len(due), _MOST_PAYMENTS):
        names = due[start : start + _MOST_PAYMENTS]
        kept = {"submissions": [prolific.hashed(name) for name in names], "amount": amount}
        lines = "\n".join(f"{name},{amount}" for name in names)
        content = {"study_id": study, "csv_bonuses": lines}
        answer = prolific.post(f"{_SUBMISSIONS}bonus-payments/", content, kept)
        payment = "ID" if answer is None else _id_of(answer, "bonus-payments")
        prolific.post(f"{_PAYMENTS}{payment}/pay/", {}, kept)
    return due


def _payments(prolific: Prolific) -> tuple[set[str], list[str]]:
    """Return the hashed submissions that were paid, and the payments of unknown outcome."""
    paid: dict[str, list[str]] = {}
    open_calls: dict[str, None] = {}
    for note in prolific.notes():
        call = str(note.get("call"))
        if not call.startswith(f"POST {_PAYMENTS}"):
            continue
        match note.get("what"):
            case "sent":
                open_calls[call] = None
                paid[call] = note.get("submissions", [])
            case "refused":
                open_calls.pop(call, None)
                paid.pop(call, None)
            case _:
                open_calls.pop(call, None)
    return {name for names in paid.values() for name in names}, list(open_calls)


def _answered(call: str) -> str:
    return json.dumps({"what": "answered", "call": call})


def _id_of(answer: Any, path: str) -> str:
    name = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(name, str) or not name:
        raise DataError(f"{path}: expected an object with an id in Prolific's answer")
    return name


def _filters(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no JSON ({error})") from None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DataError(f"{path}: expected a list of filters, as Prolific's API has them")
    return found


def table_of(found: Sequence[Reviewed]) -> Iterator[str]:
    """Yield a line for each submission, and how many pass."""
    for one in found:
        yield f"{one.submission}  {one.status:<16}  {one.said}"
    passing = sum(one.passes for one in found)
    yield f"{counted(len(found), 'submission')}, {passing} complete and within the quality rules"
