"""From a design to what stands in a packet's files: hexadecimal names, trials, public packets.

Pure functions of ``study.json``, so that a packet can be proved from its files alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hdbench.provenance import canonical_json
from hdbench.schema.study import StudyProtocol
from hdbench.study.design.trials import MASKS, Trial

#: The version of ``study.json``, ``trials.jsonl`` and the public packets.
SCHEMA = 1


def hex_name(key: str, *parts: str | int | None) -> str:
    """Return 16 hex digits for something: HMAC-SHA-256 under the packet's key, shortened.

    Args:
        key: hexadecimal; whoever lacks it learns nothing from a name.
        parts: what is named.
    """
    message = canonical_json(list(parts)).encode()
    return hmac.digest(bytes.fromhex(key), message, "sha256").hex()[:16]


def image_names(study: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every image of a packet by its hexadecimal name, and what it shows.

    ``role`` is ``method``, ``control`` or ``mask``; ``shows`` is ``photograph``, ``label`` or
    ``blur`` for control images. Methods and scenes are null where there is none.
    """
    key = study["key"]
    named: dict[str, dict[str, Any]] = {}
    for method in study["methods"]:
        for scene in study["scenes"]:
            content = {"role": "method", "method": method, "scene": scene, "shows": None}
            named[hex_name(key, "method", method, scene)] = content
    for scene in study["controls"]:
        for shows in ("photograph", study["protocol"]["checks"]["kind"]):
            content = {"role": "control", "method": None, "scene": scene, "shows": shows}
            named[hex_name(key, "control", shows, scene)] = content
    if study["protocol"]["design"]["mask"]:
        for n in range(MASKS):
            content = {"role": "mask", "method": None, "scene": None, "shows": None}
            named[hex_name(key, "mask", n)] = content
    return named


def trial_rows(trials: Iterable[Trial], study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of ``trials.jsonl``.

    Args:
        trials: the design.
        study: what ``study.json`` says.
    """
    key, kind = study["key"], study["protocol"]["checks"]["kind"]
    masks = [f"{hex_name(key, 'mask', n)}.png" for n in range(MASKS)]
    names = {
        (content["role"], content["method"], content["scene"], content["shows"]): f"{name}.png"
        for name, content in study["images"].items()
    }
    rows = []
    for n, trial in enumerate(trials):
        judged = trial.kind == "judgment"
        if judged:
            first, second = study["pairs"][trial.pair]
            scene = study["scenes"][trial.scene]
            images = [names["method", method, scene, None] for method in (first, second)]
        else:
            first = second = None
            scene = study["controls"][trial.scene]
            images = [names["control", None, scene, shows] for shows in ("photograph", kind)]
        step = 1 if trial.first_left else -1
        left, right = (first, second)[::step]
        left_image, right_image = images[::step]
        region = study["regions"].get(scene)
        rows.append(
            {
                "trial": hex_name(key, "trial", n),
                "packet": trial.packet,
                "position": trial.position,
                "pass": trial.sheet,
                "kind": trial.kind,
                "a": first,
                "b": second,
                "scene": scene if judged else None,
                "left": left,
                "right": right,
                "left_image": left_image,
                "right_image": right_image,
                "mask_image": None if trial.mask < 0 else masks[trial.mask],
                "duration_ms": trial.duration or None,
                "region": region,
                "expected": None if judged else ("left" if trial.first_left else "right"),
            }
        )
    return rows


def public_packet(
    study: Mapping[str, Any], protocol: StudyProtocol, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what a participant's browser gets of one packet.

    It names no method and no scene, and its judgments and checks look alike.

    Args:
        study: what ``study.json`` says.
        protocol: the study.
        rows: the packet's rows of ``trials.jsonl``, in order.
    """
    return {
        "schema": SCHEMA,
        "study": hex_name(study["key"], "study"),
        "packet": study["packet_ids"][rows[0]["packet"]],
        "question": protocol.question.text,
        "left_label": protocol.question.left_label,
        "right_label": protocol.question.right_label,
        "instructions": protocol.question.instructions,
        "mode": protocol.design.mode,
        "display": study["display"],
        "images": "images/",
        "trials": [
            {
                "trial": row["trial"],
                "left": row["left_image"],
                "right": row["right_image"],
                "mask": row["mask_image"],
                "duration_ms": row["duration_ms"],
                "region": row["region"],
                "feedback": row["expected"] if row["kind"] == "practice" else None,
            }
            for row in rows
        ],
    }


def by_packet(rows: Iterable[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Return the rows of each packet, in their order."""
    packets: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        packets.setdefault(row["packet"], []).append(row)
    return packets
