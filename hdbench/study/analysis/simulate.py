"""Simulated participants: to rehearse a study, and to measure what an analysis recovers.

P(left is chosen) = logistic(s (ability of left - ability of right) + side), where an ability is the
method's own, plus the participant's taste, plus the image's luck with that method; s grows with the
time shown. Every record and file says ``simulated``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hdbench.errors import UsageError, counted, suggestion
from hdbench.provenance import derived_seed
from hdbench.storage import write_atomically
from hdbench.study.analysis.records import SIMULATED_FILE, StudyRecord
from hdbench.study.packet.files import RESULTS_FOLDER

_HZ = 60.0
_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)  # no clock: the same seed gives the same bytes
_TIME_CONSTANT_MS = 500.0


@dataclass(frozen=True)
class Crowd:
    """Who answers."""

    participants: int
    #: Share of participants who do not look, in [0, 1].
    careless: float = 0.0
    #: Logit by which everybody prefers the left side.
    side_bias: float = 0.0
    #: Standard deviation, between participants, of the preference of one method over another.
    worker_sd: float = 0.6
    #: The like between images.
    image_sd: float = 1.0
    #: Share of attempts that are void and asked again.
    void: float = 0.01
    #: Logit units, by method; a method without one gets a random one from N(0, 0.7).
    abilities: Mapping[str, float] = field(default_factory=dict)


def simulate(study: StudyRecord, crowd: Crowd, seed: int) -> list[dict[str, Any]]:
    """Return the submissions of simulated participants, packet by packet.

    Participants take the packets in turn; where there are more of them than packets, packets are
    taken again.

    Args:
        study: the packet.
        crowd: who answers.
        seed: of all randomness.

    Raises:
        UsageError: an ability is given for a method that is not in the study.
    """
    for method in crowd.abilities:
        if method not in study.methods:
            raise UsageError(
                f"--ability {method}: not in this study{suggestion(method, study.methods)}"
            )
    random = np.random.default_rng(derived_seed("simulate", study.design_hash, seed))
    place = {method: n for n, method in enumerate(study.methods)}
    abilities = random.normal(0, 0.7, len(place))
    for method, value in crowd.abilities.items():
        abilities[place[method]] = value
    # The difference of two independent effects has twice the variance of one.
    tastes = random.normal(0, crowd.worker_sd / 2**0.5, (crowd.participants, len(place)))
    luck = random.normal(0, crowd.image_sd / 2**0.5, (len(study.scenes), len(place)))
    scene_of = {scene: n for n, scene in enumerate(study.scenes)}
    careless = random.random(crowd.participants) < crowd.careless
    public = _public_ids(study)
    packets = sorted(study.by_packet)
    submissions = []
    for person in tqdm(range(crowd.participants), desc="simulating", unit="person", delay=2):
        packet = packets[person % len(packets)]
        trials = study.by_packet[packet]
        logits = np.zeros(len(trials))
        for n, trial in enumerate(trials):
            if trial["kind"] == "judgment":
                left, right = place[trial["left"]], place[trial["right"]]
                worth = abilities + tastes[person] + luck[scene_of[trial["scene"]]]
                logits[n] = (worth[left] - worth[right]) * _seen(trial["duration_ms"])
            else:  # nobody who looks takes a label map for a photograph
                logits[n] = 4.0 if trial["expected"] == "left" else -4.0
        if careless[person]:
            logits[:] = 0
        chance = 1 / (1 + np.exp(-logits - crowd.side_bias))
        submissions.append(
            {
                "schema": 1,
                "simulated": True,
                "study": public[0],
                "packet": public[1].get(packet, f"{packet:016x}"),
                "participant": study.participant("simulated", f"{seed}/{person}"),
                "session": f"{derived_seed('session', seed, person):016x}",
                "user_agent": "simulated",
                "viewport": [1366, 768],
                "rows": _rows(trials, chance, bool(careless[person]), crowd.void, random),
            }
        )
    return submissions


def _seen(duration_ms: int | None) -> float:
    """Return which part of a difference is seen in a time, in (0, 1]."""
    return 1.0 if duration_ms is None else float(1 - np.exp(-duration_ms / _TIME_CONSTANT_MS))


def _rows(
    trials: list[dict[str, Any]],
    chance: np.ndarray,
    careless: bool,
    void: float,
    random: np.random.Generator,
) -> list[dict[str, Any]]:
    count = len(trials)
    choices = np.where(random.random(count) < chance, "left", "right")
    times = random.lognormal(np.log(220.0 if careless else 1800.0), 0.4, count)
    voided = random.random(count) < void
    late = random.random(count) < 0.02  # one frame more than planned
    rows = []
    clock = _BEGIN
    for n, trial in enumerate(trials):
        planned = trial["duration_ms"]
        frames = None if planned is None else int(planned * _HZ / 1000 + 0.5)
        shown = None if frames is None else frames + int(late[n])
        clock += timedelta(milliseconds=float(times[n]) + (planned or 0))
        base = {
            "simulated": True,
            "trial": trial["trial"],
            "planned_ms": planned,
            "frames_planned": frames,
            "refresh_hz": _HZ,
            "at": clock.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        missing = {"frames_shown": None, "dropped": None, "shown_ms": None}
        if voided[n]:
            rows.append(
                {
                    **base,
                    **missing,
                    "attempt": 1,
                    "choice": None,
                    "response_ms": None,
                    "input": None,
                    "void": "hidden",
                }
            )
        rows.append(
            {
                **base,
                "attempt": 2 if voided[n] else 1,
                "choice": str(choices[n]),
                "response_ms": round(float(times[n]), 1),
                "input": "key",
                "void": None,
                "frames_shown": shown,
                "dropped": None if shown is None else int(late[n]),
                "shown_ms": None if shown is None else round(1000 * shown / _HZ, 1),
            }
        )
    return rows


def _public_ids(study: StudyRecord) -> tuple[str, dict[int, str]]:
    """Return the ids that the packet's pages carry, of the study and of each packet."""
    name, packets = "0" * 16, {}
    for path in sorted((study.folder / "web" / "packets").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        name = content["study"]
        first = next((study.trials.get(trial["trial"]) for trial in content["trials"]), None)
        if first is not None:
            packets[first["packet"]] = content["packet"]
    return name, packets


def write_simulated(study: StudyRecord, submissions: list[dict[str, Any]]) -> Path:
    """Write simulated submissions beside people's, never among them, and return the file."""
    path = study.folder / RESULTS_FOLDER / SIMULATED_FILE
    lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in submissions]
    write_atomically(path, "".join(lines).encode())
    return path


def said(crowd: Crowd, submissions: list[dict[str, Any]]) -> str:
    """Return in a sentence what was simulated."""
    rows = sum(len(entry["rows"]) for entry in submissions)
    return (
        f"{counted(crowd.participants, 'simulated participant')}, {rows:,} rows: "
        f"worker SD {crowd.worker_sd:g}, image SD {crowd.image_sd:g}, "
        f"side bias {crowd.side_bias:g}, {100 * crowd.careless:g} % careless"
    )
