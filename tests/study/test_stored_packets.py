"""Packets built before their files became typed records: they verify and tally as they did then.

``stored/`` holds two packets with answers, simulated answers and the tallies of both, all written
by the code before. ``unlimited``: three methods, one of them the photographs, a scene left out.
``timed``: two durations with masks, an outlined region, skipped objects.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hdbench.errors import DataError
from hdbench.schema.judgment import Submission
from hdbench.study.analysis.export import judgments_csv, read_summary, tally_folder
from hdbench.study.analysis.simulate import Participants, simulate
from hdbench.study.analysis.summary import analyse
from hdbench.study.analysis.tally import answer_files, tally
from hdbench.study.packet.files import (
    canonical_bytes,
    open_packet,
    public_packets,
    study_bytes,
    trials_bytes,
)
from hdbench.study.packet.rendering import public_study_id
from hdbench.study.packet.verify import verify

STORED = Path(__file__).parent / "stored"


@pytest.fixture(params=["unlimited", "timed"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "packet"
    shutil.unpack_archive(STORED / f"{request.param}.tar.xz", folder, filter="data")
    # Their answers were made without a page, which writes the id of the study in each.
    study = public_study_id(open_packet(folder).study)
    for path in (folder / "results").glob("*.*"):
        path.write_text(re.sub(r'(study"+: ?"+)0{16}', rf"\g<1>{study}", path.read_text()))
    return folder


def test_it_verifies(stored: Path) -> None:
    assert [line for finding in verify(stored) for line in finding.violations] == []


def test_what_is_read_is_written_with_the_same_bytes(stored: Path) -> None:
    packet = open_packet(stored)
    assert study_bytes(packet.study) == (stored / "study.json").read_bytes()
    assert trials_bytes(packet.trials) == (stored / "trials.jsonl").read_bytes()
    for path, public in public_packets(stored).items():
        assert canonical_bytes(public) == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("simulated", [False, True])
def test_it_tallies_to_the_same_numbers(stored: Path, simulated: bool) -> None:
    packet = open_packet(stored)
    given = [] if simulated else [stored / "results" / "batch.csv"]
    found = tally(packet, answer_files(packet, given, simulated=simulated), simulated=simulated)
    folder = tally_folder(stored, simulated=simulated)
    assert judgments_csv(found.table) == (folder / "judgments.csv").read_bytes()
    before = json.loads((folder / "summary.json").read_text())
    now = json.loads(json.dumps(analyse(found, {}).content()))
    computed = {"pairs", "side", "bradley_terry", "durations", "trends", "created_with"}
    computed |= {"schema", "digest"}
    for key in before.keys() - computed - {"judgments_sha256"}:
        assert now[key] == before[key], key
    for row, old in zip(now["pairs"], before["pairs"], strict=True):
        assert counts(row) == pytest.approx(counts(old))


def test_a_tally_of_the_version_before_is_to_be_written_again(stored: Path) -> None:
    """Its p-values and intervals were those of two tests."""
    with pytest.raises(DataError, match=r"summary\.json: schema = 1(.|\n)*hdbench study tally"):
        read_summary(tally_folder(stored, simulated=True) / "summary.json")


def counts(row: dict[str, Any]) -> dict[str, Any]:
    """What was counted, without intervals and p-values, which other tests give now."""
    inferred = ("p_value", "clustered", "wilson", "exact", "design_effect")
    return {
        place: value
        for place, value in leaves(row).items()
        if not any(name in place for name in inferred)
    }


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {place: value}
    found: dict[str, Any] = {}
    for key, entry in value.items():
        found |= leaves(entry, f"{place}/{key}")
    return found


def test_the_same_seed_simulates_the_same_answers(stored: Path) -> None:
    packet = open_packet(stored)
    lines = (stored / "results" / "simulated.jsonl").read_text().splitlines()
    people = Participants(packet.study.packets + 1, void=0.2)
    assert simulate(packet, people, 0) == [Submission.model_validate_json(line) for line in lines]
