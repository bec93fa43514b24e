"""Protocols, designs, and what a packet's private files say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from hdbench.library import Library
from hdbench.schema.study import StudyProtocol
from hdbench.study.design.trials import Trial, controls_needed, design, pairs_of
from hdbench.study.packet.rendering import image_names, trial_rows


def protocol_with(base: str = "pilot", **tables: dict[str, Any]) -> StudyProtocol:
    """A protocol of the library with some keys of its tables changed."""
    content = Library().study(base).model_dump()
    for table, keys in tables.items():
        content[table] |= keys
    content["quality"]["checks_passed"] = min(
        content["quality"]["checks_passed"], content["checks"]["count"]
    )
    return StudyProtocol.model_validate(content)


def designed(methods: int, scenes: int, protocol: StudyProtocol, seed: int) -> list[Trial]:
    pairs = methods * (methods - 1) // 2
    return design(pairs, scenes, controls_needed(protocol)[1], protocol, seed)


def named(
    methods: list[str], scenes: list[str], protocol: StudyProtocol, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What study.json says of a design as far as trials need it, and the trials."""
    study: dict[str, Any] = {
        "methods": methods,
        "pairs": [list(pair) for pair in pairs_of(methods)],
        "scenes": scenes,
        "controls": [f"control-{n}" for n in range(controls_needed(protocol)[1])],
        "regions": {},
        "protocol": protocol.model_dump(mode="json"),
        "key": "00" * 32,
    }
    study["images"] = image_names(study)
    return study, trial_rows(designed(len(methods), len(scenes), protocol, seed), study)


def copied(packet: Path, name: str) -> Path:
    """A second packet of the same files."""
    return Path(shutil.copytree(packet, packet.with_name(name)))


def study_of(packet: Path) -> dict[str, Any]:
    return json.loads((packet / "study.json").read_text())


def rows_of(packet: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (packet / "trials.jsonl").read_text().splitlines()]
