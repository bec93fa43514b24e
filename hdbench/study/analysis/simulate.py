"""Simulated participants, to rehearse a study and to measure what an analysis recovers.

P(left is chosen) = logistic(s (worth of left - worth of right) + side bias). The worth of a method
is its ability plus two random effects, of the participant and of the image; s grows with the time
that images are shown. Every record and file says ``simulated``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from hdbench.errors import UsageError, counted, suggestion
from hdbench.provenance import derived_seed
from hdbench.runtime.progress import progress
from hdbench.schema.judgment import Attempt, Submission
from hdbench.schema.packet import PACKET_SCHEMA, TrialRecord
from hdbench.storage import write_atomically
from hdbench.study.analysis.submissions import hashed_participant
from hdbench.study.packet.files import RESULTS_FOLDER, SIMULATED_FILE, Packet
from hdbench.study.packet.rendering import public_study_id

_HZ = 60.0
_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)  # no clock: the same seed gives the same bytes
_TIME_CONSTANT_MS = 500.0
#: Logit units: an average method is preferred over the anchor in 95 %.
ANCHOR_ABILITY = -3.0


@dataclass(frozen=True)
class Participants:
    """The simulated participants: how many, and how they choose."""

    count: int
    #: Share of participants who answer at random, in [0, 1].
    careless: float = 0.0
    #: Logit of everybody's preference for the left side.
    side_bias: float = 0.0
    #: Standard deviation, between participants, of the preference of one method over another.
    worker_sd: float = 0.6
    #: The same between images.
    image_sd: float = 1.0
    #: Share of attempts that are void and asked again.
    void: float = 0.01
    #: Logit units, by method; a method without one gets a random one from N(0, 0.7), an anchor
    #: ``ANCHOR_ABILITY``.
    abilities: Mapping[str, float] = field(default_factory=dict)


def simulate(packet: Packet, participants: Participants, seed: int) -> list[Submission]:
    """Return the submissions of simulated participants, packet by packet.

    Participants take the packets in turn, again from the first if there are more participants.

    Raises:
        UsageError: an ability is stated for a method that is not in the study.
    """
    study, people = packet.study, participants.count
    methods, scenes = study.every_method, [*study.scenes, *study.anchors]
    for method in participants.abilities:
        if method not in methods:
            raise UsageError(f"--ability {method}: not in this study{suggestion(method, methods)}")
    random = np.random.default_rng(derived_seed("simulate", study.design_hash, seed))
    place = {method: n for n, method in enumerate(methods)}
    abilities = random.normal(0, 0.7, len(place))
    if study.protocol.anchor is not None:
        abilities[-1] = ANCHOR_ABILITY
    for method, value in participants.abilities.items():
        abilities[place[method]] = value
    # The difference of two independent effects has twice the variance of one.
    tastes = random.normal(0, participants.worker_sd / 2**0.5, (people, len(place)))
    luck = random.normal(0, participants.image_sd / 2**0.5, (len(scenes), len(place)))
    scene_of = {scene: n for n, scene in enumerate(scenes)}
    careless = random.random(people) < participants.careless
    numbers = sorted(packet.by_packet)
    submissions = []
    for person in progress(range(people), desc="simulating", unit="participant", delay=2):
        number = numbers[person % len(numbers)]
        trials = packet.by_packet[number]
        logits = np.zeros(len(trials))
        for n, trial in enumerate(trials):
            if trial.left and trial.right and trial.scene:
                left, right = place[trial.left], place[trial.right]
                worth = abilities + tastes[person] + luck[scene_of[trial.scene]]
                logits[n] = (worth[left] - worth[right]) * _seen(trial.duration_ms)
            else:  # attentive participants recognise the photograph
                logits[n] = 4.0 if trial.expected == "left" else -4.0
        if careless[person]:
            logits[:] = 0
        chance = 1 / (1 + np.exp(-logits - participants.side_bias))
        submissions.append(
            Submission(
                version=PACKET_SCHEMA,
                study=public_study_id(study),
                packet=study.packet_ids[number],
                session=f"{derived_seed('session', seed, person):016x}",
                user_agent="simulated",
                viewport=[1366, 768],
                rows=_attempts(trials, chance, bool(careless[person]), participants.void, random),
                participant=hashed_participant(study, "simulated", f"{seed}/{person}"),
                simulated=True,
            )
        )
    return submissions


def _seen(duration_ms: int | None) -> float:
    """Return the part of a difference that is seen in a time, in (0, 1]."""
    return 1.0 if duration_ms is None else float(1 - np.exp(-duration_ms / _TIME_CONSTANT_MS))


def _attempts(
    trials: Sequence[TrialRecord],
    chance: np.ndarray,
    careless: bool,
    void: float,
    random: np.random.Generator,
) -> list[Attempt]:
    count = len(trials)
    left = random.random(count) < chance
    times = random.lognormal(np.log(220.0 if careless else 1800.0), 0.4, count)
    voided = random.random(count) < void
    late = random.random(count) < 0.02  # one frame more than planned
    attempts = []
    clock = _BEGIN
    for n, trial in enumerate(trials):
        planned = trial.duration_ms
        frames = None if planned is None else int(planned * _HZ / 1000 + 0.5)
        shown = None if frames is None else frames + int(late[n])
        clock += timedelta(milliseconds=float(times[n]) + (planned or 0))
        answered = Attempt(
            trial=trial.trial,
            attempt=2 if voided[n] else 1,
            choice="left" if left[n] else "right",
            response_ms=round(float(times[n]), 1),
            input="key",
            void=None,
            planned_ms=planned,
            frames_planned=frames,
            frames_shown=shown,
            dropped=None if shown is None else int(late[n]),
            shown_ms=None if shown is None else round(1000 * shown / _HZ, 1),
            refresh_hz=_HZ,
            at=clock.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            simulated=True,
        )
        if voided[n]:
            nothing = dict.fromkeys(
                ("choice", "response_ms", "input", "frames_shown", "dropped", "shown_ms")
            )
            attempts.append(answered.model_copy(update={**nothing, "attempt": 1, "void": "hidden"}))
        attempts.append(answered)
    return attempts


def write_simulated(packet: Packet, submissions: Sequence[Submission]) -> Path:
    """Write simulated submissions to their own file and return it."""
    path = packet.folder / RESULTS_FOLDER / SIMULATED_FILE
    lines = [
        json.dumps(entry.model_dump(mode="json", by_alias=True), separators=(",", ":")) + "\n"
        for entry in submissions
    ]
    write_atomically(path, "".join(lines).encode())
    return path


def description(participants: Participants, submissions: Sequence[Submission]) -> str:
    """Return in a sentence what was simulated."""
    rows = sum(len(entry.rows) for entry in submissions)
    return (
        f"{counted(participants.count, 'simulated participant')}, {rows:,} rows: "
        f"worker SD {participants.worker_sd:g}, image SD {participants.image_sd:g}, "
        f"side bias {participants.side_bias:g}, {100 * participants.careless:g} % careless"
    )
