"""Protocols, designs, and what a packet's private files say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdbench.library import Library
from hdbench.provenance import digest
from hdbench.schema.packet import (
    PACKET_SCHEMA,
    BuildInputs,
    DisplayedSize,
    StudyRecord,
    TrialRecord,
)
from hdbench.schema.study import StudyProtocol
from hdbench.study.design.trials import Trial, controls_needed, design, pairs_of
from hdbench.study.packet.rendering import image_names, trial_rows


def protocol_with(base: str = "pilot", **tables: dict[str, Any]) -> StudyProtocol:
    """A protocol of the library with some keys of its tables changed."""
    content = Library().study(base).model_dump()
    for table, keys in tables.items():
        content[table] = content.get(table, {}) | keys
    content["quality"]["checks_passed"] = min(
        content["quality"]["checks_passed"], content["checks"]["count"]
    )
    return StudyProtocol.model_validate(content)


def designed(methods: int, scenes: int, protocol: StudyProtocol, seed: int) -> list[Trial]:
    return design(methods, scenes, controls_needed(protocol)[1], protocol, seed)


def record_of(
    protocol: StudyProtocol,
    methods: Sequence[str],
    scenes: Sequence[str],
    packets: int = 1,
    key: str = "00" * 32,
) -> StudyRecord:
    """What study.json says of a study without images."""
    controls = [f"control-{n}" for n in range(controls_needed(protocol)[1])]
    anchors = [f"anchor-{n}" for n in range(protocol.anchor.count if protocol.anchor else 0)]
    inputs = BuildInputs(
        version=PACKET_SCHEMA,
        protocol=protocol,
        benchmark="tiny",
        size=(64, 48),
        methods=list(methods),
        reference=None,
        scenes=list(scenes),
        anchors=anchors,
        regions={},
        seed=0,
        run_seed=0,
        intersect=False,
        most_scenes=None,
        images="0" * 64,
        controls="0" * 64,
        page="0" * 64,
    )
    return StudyRecord(
        version=PACKET_SCHEMA,
        name=protocol.name,
        protocol=protocol,
        protocol_hash=digest(protocol.model_dump(mode="json")),
        benchmark=inputs.benchmark,
        size=inputs.size,
        display=DisplayedSize(width=640, height=480),
        methods=inputs.methods,
        reference=None,
        pairs=pairs_of(methods),
        scenes=inputs.scenes,
        anchors=anchors,
        controls=controls,
        regions={},
        skipped=[],
        subset=False,
        intersect=False,
        left_out=[],
        seed=0,
        run_seed=0,
        quality=protocol.quality,
        key=key,
        inputs=inputs,
        created_with={},
        images={},
        design_hash="d" * 64,
        packets=packets,
        packet_ids=[f"{n:016x}" for n in range(packets)],
        identical={},
    )


def named(
    methods: list[str], scenes: list[str], protocol: StudyProtocol, seed: int
) -> tuple[StudyRecord, list[TrialRecord]]:
    """What study.json says of a design, and the trials."""
    trials = designed(len(methods), len(scenes), protocol, seed)
    study = record_of(protocol, methods, scenes, trials[-1].packet + 1)
    study = study.model_copy(update={"images": image_names(study)})
    return study, trial_rows(trials, study)


def copied(packet: Path, name: str) -> Path:
    """A second packet of the same files."""
    return Path(shutil.copytree(packet, packet.with_name(name)))


def study_of(packet: Path) -> dict[str, Any]:
    return json.loads((packet / "study.json").read_text())


def rows_of(packet: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (packet / "trials.jsonl").read_text().splitlines()]
