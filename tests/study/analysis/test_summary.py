"""``summary.json``: what is written is read, and whoever changes it is told what is wrong."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_packet import protocol_of, write_packet

from hdbench.errors import DataError
from hdbench.schema.summary import StoredSummary, Summary
from hdbench.study.analysis.export import read_summary, write_tally
from hdbench.study.analysis.simulate import Participants, simulate, write_simulated
from hdbench.study.analysis.summary import Scores, analyse
from hdbench.study.analysis.tally import Tally, tally
from hdbench.study.packet.files import open_packet

#: Of ``timed`` below, written before summaries became typed records.
BEFORE = Path(__file__).parents[1] / "stored" / "summary.json"
SCENES = [f"scene_{n:03}" for n in range(12)]
METRICS: dict[str, Scores] = {
    "colour": {
        method: {scene: n * 7 % 5 * factor for n, scene in enumerate(SCENES)}
        for method, factor in (("ours", 1.0), ("crn", 0.25))
    },
    "constant": {method: dict.fromkeys(SCENES, 0.5) for method in ("ours", "crn")},
}


def answered(folder: Path, people: Participants) -> Tally:
    packet = open_packet(folder)
    return tally(packet, [write_simulated(packet, simulate(packet, people, 0))], simulated=True)


def timed(folder: Path) -> tuple[Tally, Summary]:
    protocol = protocol_of("limited", judgments_per_pair=14)
    methods = ("ours", "crn")
    write_packet(folder, methods=methods, scenes=12, judgments=14, protocol=protocol)
    found = answered(folder, Participants(15, careless=0.2))
    return found, analyse(found, METRICS)


def unlimited(folder: Path) -> tuple[Tally, Summary]:
    found = answered(write_packet(folder), Participants(12, careless=0.3))
    return found, analyse(found, {})


def one_sided(folder: Path) -> tuple[Tally, Summary]:
    write_packet(folder, methods=("ours", "crn"))
    people = Participants(4, worker_sd=0, image_sd=0, abilities={"ours": 20.0, "crn": -20.0})
    found = answered(folder, people)
    return found, analyse(found, {})


def nobody_counts(folder: Path) -> tuple[Tally, Summary]:
    found = answered(write_packet(folder), Participants(3, careless=1.0))
    return found, analyse(found, {})


Study = Callable[[Path], tuple[Tally, Summary]]
Analysed = Callable[[Study], tuple[Tally, Summary]]


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """Answer and analyse each study once; tests write files of their own."""
    return functools.cache(lambda study: study(tmp_path_factory.mktemp("study") / "packet"))


@pytest.mark.parametrize("study", [timed, unlimited, one_sided, nobody_counts])
def test_what_is_read_is_written_with_the_same_bytes(
    tmp_path: Path, analysed: Analysed, study: Study
) -> None:
    found, summary = analysed(study)
    first = write_tally(tmp_path / "first", found.table, summary, "")["summary"]
    read = read_summary(first)
    assert read.content() == summary.content()
    second = write_tally(tmp_path / "second", found.table, read, "")["summary"]
    assert second.read_bytes() == first.read_bytes()


def test_a_summary_of_the_version_before_has_the_same_keys_and_numbers(
    analysed: Analysed,
) -> None:
    before = json.loads(BEFORE.read_text())
    read = StoredSummary.model_validate_json(BEFORE.read_text()).content()
    del before["judgments_sha256"], before["digest"]
    assert json.dumps(read) == json.dumps(before)
    now = analysed(timed)[1].content() | {"created_with": before["created_with"]}
    expected, found = leaves(before), leaves(now)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected)


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(value, dict | list):
        return {place: value}
    found: dict[str, Any] = {}
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        found |= leaves(entry, f"{place}/{key}")
    return found


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content: content.pop("counts"), "key 'counts' is missing"),
        (lambda content: content["counts"].pop("judgments"), "counts key 'judgments' is missing"),
        (lambda content: content["pairs"][1].update(k="3"), "pair 2 k = '3'"),
        (lambda content: content["pairs"][0]["exact"].update(low=None), "exact low = None"),
        (lambda content: content.update(mode="quick"), "mode = 'quick'"),
        (lambda content: content["side"].update(width=3), "side key 'width' is unknown"),
        (lambda content: content.pop("digest"), "key 'digest' is missing"),
        (lambda content: content.update(schema=3), "schema = 3"),
        (lambda content: content["pairs"][0].update(share=0.9), "its numbers"),
        (lambda content: content.update(judgments_sha256="0" * 64), "judgments.csv"),
        (lambda content: content["counts"].update(participants=60), "its numbers"),
    ],
)
def test_a_changed_summary_names_file_and_key(
    tmp_path: Path,
    analysed: Analysed,
    change: Callable[[dict[str, Any]], object],
    named: str,
) -> None:
    found, summary = analysed(unlimited)
    path = write_tally(tmp_path, found.table, summary, "")["summary"]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        read_summary(path)
    assert str(path) in str(error.value)
    assert named in str(error.value)
    assert "hdbench study tally" in str(error.value)


@pytest.mark.parametrize("name", ["summary", "judgments"])
@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", None])
def test_a_damaged_file_of_a_tally_is_named(
    tmp_path: Path, analysed: Analysed, name: str, text: str | None
) -> None:
    found, summary = analysed(one_sided)
    paths = write_tally(tmp_path, found.table, summary, "")
    if text is None:
        paths[name].unlink()
    else:
        paths[name].write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=paths[name].name):
        read_summary(paths["summary"])
