"""From a design to the content of a packet's files: hexadecimal names, trials, public packets.

All are pure functions of ``study.json``, so that a packet can be verified from its files alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

from hdbench.provenance import canonical_json
from hdbench.schema.packet import (
    PACKET_SCHEMA,
    PacketImage,
    PublicPacket,
    PublicTrial,
    StudyRecord,
    TrialRecord,
)
from hdbench.study.design.trials import MASKS, Trial


def hex_name(key: str, *parts: str | int | None) -> str:
    """Return the name of ``parts``: 16 hex digits of HMAC-SHA-256 under the packet's key."""
    message = canonical_json(list(parts)).encode()
    return hmac.digest(bytes.fromhex(key), message, "sha256").hex()[:16]


def image_names(study: StudyRecord) -> dict[str, PacketImage]:
    """Return every image of a packet by its hexadecimal name, without sources."""

    def image(role: str, method: str | None, scene: str | None, shows: str | None) -> PacketImage:
        content = {"role": role, "method": method, "scene": scene, "shows": shows, "source": None}
        return PacketImage.model_validate(content)

    named: dict[str, PacketImage] = {}
    for method, scene in study.shown:
        named[_method_image(study, method, scene)] = image("method", method, scene, None)
    for scene in study.controls:
        for shows in ("photograph", study.protocol.checks.kind):
            named[_control_image(study, shows, scene)] = image("control", None, scene, shows)
    if study.protocol.design.mask:
        for n in range(MASKS):
            named[_mask_image(study, n)] = image("mask", None, None, None)
    return named


def _method_image(study: StudyRecord, method: str, scene: str) -> str:
    return hex_name(study.key, "method", method, scene)


def _control_image(study: StudyRecord, shows: str, scene: str) -> str:
    return hex_name(study.key, "control", shows, scene)


def _mask_image(study: StudyRecord, number: int) -> str:
    return hex_name(study.key, "mask", number)


def trial_rows(trials: Iterable[Trial], study: StudyRecord) -> list[TrialRecord]:
    """Return the rows of ``trials.jsonl``."""
    masks = [f"{_mask_image(study, n)}.png" for n in range(MASKS)]
    rows = []
    for n, trial in enumerate(trials):
        compares = trial.kind in ("judgment", "anchor")
        if compares:
            first, second, scene = _compared(trial, study)
            images = [_method_image(study, method, scene) for method in (first, second)]
        else:
            first = second = None
            scene = study.controls[trial.scene]
            kinds = ("photograph", study.protocol.checks.kind)
            images = [_control_image(study, shows, scene) for shows in kinds]
        step = 1 if trial.first_left else -1
        left, right = (first, second)[::step]
        left_image, right_image = (f"{name}.png" for name in images[::step])
        rows.append(
            TrialRecord(
                trial=hex_name(study.key, "trial", n),
                packet=trial.packet,
                position=trial.position,
                pass_number=trial.pass_number,
                kind=trial.kind,
                a=first,
                b=second,
                scene=scene if compares else None,
                left=left,
                right=right,
                left_image=left_image,
                right_image=right_image,
                mask_image=None if trial.mask < 0 else masks[trial.mask],
                duration_ms=trial.duration or None,
                region=study.regions.get(scene),
                expected=None if compares else ("left" if trial.first_left else "right"),
            )
        )
    return rows


def _compared(trial: Trial, study: StudyRecord) -> tuple[str, str, str]:
    """Return both methods of a judgment or an anchor trial, and the scene."""
    if trial.kind == "anchor":
        return study.methods[trial.pair], study.every_method[-1], study.anchors[trial.scene]
    return *study.pairs[trial.pair], study.scenes[trial.scene]


def public_packet(study: StudyRecord, rows: Sequence[TrialRecord]) -> PublicPacket:
    """Return one packet for a participant's browser, from its rows of ``trials.jsonl``.

    It names no method or scene, and its judgments, anchor trials and checks look the same.
    """
    question = study.protocol.question
    return PublicPacket(
        version=PACKET_SCHEMA,
        study=public_study_id(study),
        packet=study.packet_ids[rows[0].packet],
        question=question.text,
        left_label=question.left_label,
        right_label=question.right_label,
        instructions=question.instructions,
        mode=study.protocol.design.mode,
        display=study.display,
        images="images/",
        trials=[
            PublicTrial(
                trial=row.trial,
                left=row.left_image,
                right=row.right_image,
                mask=row.mask_image,
                duration_ms=row.duration_ms,
                region=row.region,
                feedback=row.expected if row.kind == "practice" else None,
            )
            for row in rows
        ],
    )


def public_study_id(study: StudyRecord) -> str:
    """Return the id under which participants' pages know the study."""
    return hex_name(study.key, "study")
