"""Packets of studies written by a few lines of their own, without images: what a tally reads."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

from packets import record_of

from hdbench.library import Library
from hdbench.schema.packet import TrialRecord
from hdbench.schema.study import StudyProtocol
from hdbench.study.analysis.submissions import ANSWER
from hdbench.study.packet.files import (
    JUDGMENTS_FILE,
    RESULTS_FOLDER,
    study_bytes,
    trials_bytes,
)
from hdbench.study.packet.rendering import hex_name

KEY = "ab" * 32

#: What the requester site writes before Input.* and Answer.*; Turkle writes eleven of these.
MTURK_COLUMNS = (
    "HITId",
    "HITTypeId",
    "Title",
    "Description",
    "Keywords",
    "Reward",
    "CreationTime",
    "MaxAssignments",
    "RequesterAnnotation",
    "AssignmentDurationInSeconds",
    "AutoApprovalDelayInSeconds",
    "Expiration",
    "NumberOfSimilarHITs",
    "LifetimeInSeconds",
    "AssignmentId",
    "WorkerId",
    "AssignmentStatus",
    "AcceptTime",
    "SubmitTime",
    "AutoApprovalTime",
    "ApprovalTime",
    "RejectionTime",
    "RequesterFeedback",
    "WorkTimeInSeconds",
    "LifetimeApprovalRate",
    "Last30DaysApprovalRate",
    "Last7DaysApprovalRate",
)
TURKLE_COLUMNS = (
    "HITId",
    "HITTypeId",
    "Title",
    "CreationTime",
    "MaxAssignments",
    "AssignmentDurationInSeconds",
    "AssignmentId",
    "WorkerId",
    "AcceptTime",
    "SubmitTime",
    "WorkTimeInSeconds",
)


def protocol_of(name: str = "unlimited", **design: Any) -> StudyProtocol:
    """A protocol of the library with some of its design changed."""
    protocol = Library().study(name)
    return protocol.model_copy(update={"design": protocol.design.model_copy(update=design)})


def write_packet(
    folder: Path,
    *,
    methods: tuple[str, ...] = ("ours", "pix2pix", "crn"),
    scenes: int = 12,
    packet_length: int = 12,
    judgments: int = 4,
    protocol: StudyProtocol | None = None,
) -> Path:
    """Write study.json and trials.jsonl: every (pair, scene) ``judgments`` times, sides in turn.

    No scene comes twice in a packet where a pass over the scenes fills whole packets.
    """
    protocol = protocol or protocol_of()
    names = [f"scene_{n:03}" for n in range(scenes)]
    pairs = [(a, b) for n, a in enumerate(methods) for b in methods[n + 1 :]]
    times = protocol.design.durations_ms or [None]
    dice = random.Random(0)
    views = []
    for turn in range(judgments):
        for shift in range(len(pairs)):
            order = [*range(scenes)]
            dice.shuffle(order)
            for n in order:
                a, b = pairs[(n + shift) % len(pairs)]
                time = times[(n + turn) % len(times)]
                views.append((a, b, names[n], (turn + n) % 2 == 0, time, turn))
    trials, packets = [], 0
    for start in range(0, len(views), packet_length):
        extra = ["practice"] * protocol.practice.count + ["check"] * protocol.checks.count
        shown: list[Any] = [*extra, *views[start : start + packet_length]]
        for position, view in enumerate(shown):
            kind = view if isinstance(view, str) else "judgment"
            trials.append(_trial(packets, position, kind, view))
        packets += 1
    folder.mkdir(parents=True, exist_ok=True)
    study = record_of(protocol, methods, names, packets, key=KEY)
    (folder / "study.json").write_bytes(study_bytes(study))
    (folder / "trials.jsonl").write_bytes(trials_bytes(map(TrialRecord.model_validate, trials)))
    return folder


def _trial(packet: int, position: int, kind: str, view: Any) -> dict[str, Any]:
    public = hashlib.sha256(f"{packet}/{position}".encode()).hexdigest()[:16]
    trial = {
        "trial": public,
        "packet": packet,
        "position": position,
        "pass": 0,
        "kind": kind,
        "a": None,
        "b": None,
        "scene": None,
        "left": None,
        "right": None,
        "left_image": f"{public}.png",
        "right_image": f"{public}.png",
        "mask_image": None,
        "duration_ms": None,
        "region": None,
        "expected": "left" if position % 2 else "right",
    }
    if kind == "judgment":
        a, b, scene, a_left, time, turn = view
        left, right = (a, b) if a_left else (b, a)
        trial |= {"a": a, "b": b, "scene": scene, "left": left, "right": right}
        trial |= {"duration_ms": time, "pass": turn, "expected": None}
    return trial


def trials_of(folder: Path, packet: int) -> list[dict[str, Any]]:
    """The trials of one packet."""
    lines = (folder / "trials.jsonl").read_text().splitlines()
    return [trial for line in lines if (trial := json.loads(line))["packet"] == packet]


def row_of(trial: dict[str, Any], n: int, choice: str | None = None, **more: Any) -> dict[str, Any]:
    """A sound row of the page: checks passed, sides in turn, 900 ms."""
    planned = trial["duration_ms"]
    frames = None if planned is None else round(planned * 0.06)
    row = {
        "trial": trial["trial"],
        "attempt": 1,
        "choice": choice or trial["expected"] or ("left", "right")[n % 2],
        "response_ms": 900.0,
        "input": "key",
        "void": None,
        "planned_ms": planned,
        "frames_planned": frames,
        "frames_shown": frames,
        "dropped": None if planned is None else 0,
        "shown_ms": planned,
        "refresh_hz": 60.0,
        "at": f"2030-01-02T03:{n // 60:02}:{n % 60:02}.000Z",
    }
    return row | more


def submission(folder: Path, packet: int, person: int, **more: Any) -> dict[str, Any]:
    """A sound submission of one packet; ``session`` and ``rows`` may be given."""
    rows = [row_of(trial, n) for n, trial in enumerate(trials_of(folder, packet))]
    return {
        "schema": 1,
        "study": hex_name(KEY, "study"),
        "packet": f"{packet:016x}",
        "session": f"{packet:08x}{person:08x}",
        "user_agent": "a browser",
        "viewport": [1366, 768],
        "rows": rows,
    } | more


def write_own(folder: Path, submissions: list[dict[str, Any]]) -> Path:
    """Write own rows of a packet; a submission without participant gets one of its number."""
    path = folder / RESULTS_FOLDER / JUDGMENTS_FILE
    path.parent.mkdir(exist_ok=True)
    named = [{"participant": f"{n:016x}", **entry} for n, entry in enumerate(submissions)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in named))
    return path


def csv_text(workers: list[str], answers: list[str], *, turkle: bool = False) -> str:
    """A results CSV as the requester site or Turkle writes it, one row for each worker.

    The requester site heads two columns more than its rows have, for the requester to fill in.
    """
    fixed = TURKLE_COLUMNS if turkle else MTURK_COLUMNS
    last = ("Turkle.Username",) if turkle else ("Approve", "Reject")
    header = [*fixed, "Input.packet", "Input.trials", "Answer.comment", ANSWER, *last]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(header)
    for n, (worker, answer) in enumerate(zip(workers, answers, strict=True)):
        values = {"HITId": f"H{n}", "AssignmentId": f"A{n}", "WorkerId": worker}
        values |= {"Input.packet": "0" * 16, "Input.trials": '[{"trial": "x"}]'}
        values |= {"Answer.comment": 'two\nlines, "quoted"', ANSWER: answer}
        filled = header if turkle else header[:-2]
        writer.writerow([values.get(name, "") for name in filled])
    return buffer.getvalue()
