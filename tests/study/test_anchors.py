"""Anchor trials: balanced, hidden, in no comparison, and counted as they were answered."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import add_images
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import designed, named, protocol_with, rows_of, study_of
from small_packet import submission, write_own

from hdbench.errors import DataError, HdbenchError, UsageError
from hdbench.library import Library
from hdbench.reporting.preference_report import preference_sections, with_every_pair
from hdbench.reporting.preferences import tally_text
from hdbench.schema.packet import TrialRecord
from hdbench.schema.study import StudyProtocol
from hdbench.schema.summary import Summary
from hdbench.study.analysis.prose import methods_paragraph
from hdbench.study.analysis.simulate import Participants, simulate
from hdbench.study.analysis.summary import analyse
from hdbench.study.analysis.tally import Tally, tally
from hdbench.study.design.anchors import encounters
from hdbench.study.design.balance import anchor_balance
from hdbench.study.packet.build import Flags, build
from hdbench.study.packet.files import open_packet, study_bytes, trials_bytes
from hdbench.study.packet.gathering import Material, gather
from hdbench.study.packet.verify import verify
from hdbench.study.rehearsal.people import crowd
from hdbench.workspace.bench import Bench

Cli = Callable[..., Result]


def anchored(base: str = "pilot", count: int = 1, **tables: dict[str, Any]) -> StudyProtocol:
    return protocol_with(base, anchor={"method": "low", "count": count}, **tables)


def off_balance(counts: Counter[Any]) -> int:
    return max(counts.values()) - min(counts.values())


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(2, 7), st.integers(1, 9), st.booleans())
def test_methods_take_turns_on_both_sides_and_on_every_scene(
    packets: int, methods: int, count: int, swapped: bool
) -> None:
    found = encounters(packets, methods, count, swapped)
    assert len(found) == packets
    turns, sides = Counter(range(methods)), defaultdict[int, int](int)
    for of_packet in found:
        assert sorted(entry.scene for entry in of_packet) == [*range(count)]
        assert abs(sum(1 if entry.method_left else -1 for entry in of_packet)) <= 1
        for entry in of_packet:
            turns[entry.method] += 1
            sides[entry.method] += 1 if entry.method_left else -1
    assert off_balance(turns) <= 1
    assert all(abs(lean) <= 1 for lean in sides.values())


@given(st.integers(2, 7), st.integers(1, 9))
def test_after_enough_packets_methods_and_scenes_are_crossed(methods: int, count: int) -> None:
    found = encounters(methods * count, methods, count, False)
    crossed = Counter((entry.method, entry.scene) for packet in found for entry in packet)
    assert len(crossed) == methods * count
    assert off_balance(crossed) == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(1, 20), st.integers(1, 5), st.integers(0, 2**32))
def test_the_proof_finds_nothing_in_any_design(
    methods: int, scenes: int, count: int, seed: int
) -> None:
    protocol = anchored(count=count)
    study, rows = named([f"m{n}" for n in range(methods)], [f"s{n}" for n in range(scenes)],
                        protocol, seed)  # fmt: skip
    assert protocol.anchor is not None
    found = anchor_balance(rows, study.methods, study.scenes, study.anchors, protocol.anchor)
    assert [line for finding in found for line in finding.violations] == []
    assert sum(row.kind == "anchor" for row in rows) == count * study.packets


def with_row(rows: list[TrialRecord], **changes: Any) -> list[TrialRecord]:
    n = next(n for n, row in enumerate(rows) if row.kind == "anchor")
    return [*rows[:n], rows[n].model_copy(update=changes), *rows[n + 1 :]]


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"scene": "s1"}, 0),
        ({"b": "m1"}, 0),
        ({"left": "m0", "right": "m0"}, 0),
        ({"scene": "anchor-9"}, 1),
        ({"kind": "judgment"}, 1),
    ],
)
def test_the_proof_finds_what_is_wrong(changes: dict[str, Any], number: int) -> None:
    protocol = anchored(count=2)
    study, rows = named(["m0", "m1"], ["s0", "s1", "s2"], protocol, 0)
    changed = with_row(rows, **changes)
    assert protocol.anchor is not None
    found = anchor_balance(changed, study.methods, study.scenes, study.anchors, protocol.anchor)
    assert found[number].violations


def test_sides_and_turns_of_methods_are_counted() -> None:
    protocol = anchored(count=2)
    study, rows = named(["m0", "m1"], [f"s{n}" for n in range(40)], protocol, 0)
    assert protocol.anchor is not None
    one_sided = [
        row.model_copy(update={"left": row.a, "right": row.b}) if row.kind == "anchor" else row
        for row in rows
    ]
    found = anchor_balance(one_sided, study.methods, study.scenes, study.anchors, protocol.anchor)
    assert found[2].violations
    one_method = [
        row.model_copy(update={"a": "m0"}) if row.kind == "anchor" else row for row in rows
    ]
    found = anchor_balance(one_method, study.methods, study.scenes, study.anchors, protocol.anchor)
    assert found[1].violations


@pytest.mark.parametrize("name", ["unlimited", "limited", "pilot"])
def test_an_anchor_changes_no_comparison(name: str) -> None:
    """The same judgments in the same packets on the same sides; only their order moves."""

    def compared(protocol: StudyProtocol) -> set[tuple[int, ...]]:
        return {
            (t.packet, t.pass_number, t.pair, t.scene, t.first_left, t.duration)
            for t in designed(3, 40, protocol, 5)
            if t.kind == "judgment"
        }

    assert compared(anchored(name, 4)) == compared(protocol_with(name))


def test_a_protocol_without_an_anchor_says_nothing_of_it() -> None:
    """So that hashes of protocols and packets from before stay."""
    assert "anchor" not in Library().study("unlimited").model_dump(mode="json")
    assert "anchor" in Library().study("unlimited-anchor").model_dump(mode="json")
    study, _ = named(["a", "b"], ["s0"], protocol_with("pilot"), 0)
    assert "anchors" not in json.loads(study_bytes(study))
    assert "anchors" not in json.loads(study_bytes(study))["inputs"]


# --- a packet ---


@pytest.fixture
def with_low(imaged: Bench) -> Bench:
    add_images(imaged, "low", 3)
    return imaged


def gathered(bench: Bench, protocol: StudyProtocol, scenes: int | None = None) -> Material:
    return gather(bench, protocol, ["alpha", "beta"], None, 0, False, scenes)


def test_a_packet_sets_scenes_aside_and_names_no_anchor(with_low: Bench, tmp_path: Path) -> None:
    protocol = anchored()
    material = gathered(with_low, protocol)
    flags = Flags(seed=0, run_seed=0, intersect=False, most_scenes=None)
    folder = build(with_low, protocol, material, None, flags, tmp_path / "packet").folder
    assert [line for finding in verify(folder) for line in finding.violations] == []
    study, rows = study_of(folder), rows_of(folder)
    assert study["methods"] == ["alpha", "beta"]
    assert len(study["scenes"]) == 2
    assert len(study["anchors"]) == 1
    assert not set(study["anchors"]) & {row["scene"] for row in rows if row["kind"] == "judgment"}
    anchors = [row for row in rows if row["kind"] == "anchor"]
    assert len(anchors) == study["packets"]
    for row in anchors:
        shown = {
            study["images"][row[f"{side}_image"].removesuffix(".png")]["method"]: row[side]
            for side in ("left", "right")
        }
        assert shown == {row["a"]: row["a"], "low": "low"}
    for path in (folder / "web" / "packets").iterdir():
        text = path.read_text()
        assert "low" not in text
        assert "anchor" not in text
    assert "Anchor trials" in (folder / "preview.html").read_text()
    again = build(with_low, protocol, material, None, flags, folder)
    assert not again.written


def test_the_served_files_are_searched_for_the_anchors_name(
    with_low: Bench, tmp_path: Path
) -> None:
    spoken = {"text": "Is the low image worse?"}
    protocol = protocol_with("pilot", anchor={"method": "low", "count": 1}, question=spoken)
    material = gathered(with_low, protocol)
    flags = Flags(seed=0, run_seed=0, intersect=False, most_scenes=None)
    with pytest.raises(HdbenchError, match="'low'"):
        build(with_low, protocol, material, None, flags, tmp_path / "packet")


@pytest.mark.parametrize("method", ["alpha", "oracle"])
def test_an_anchor_is_another_method_and_no_photograph(imaged: Bench, method: str) -> None:
    with pytest.raises(UsageError, match=rf"\[anchor\] method = '{method}'"):
        gathered(imaged, protocol_with("pilot", anchor={"method": method, "count": 1}))


def test_an_anchor_needs_images_and_scenes(imaged: Bench) -> None:
    with pytest.raises(HdbenchError, match="low"):
        gathered(imaged, anchored())
    add_images(imaged, "low", 3)
    with pytest.raises(DataError, match="3 scenes"):
        gathered(imaged, anchored(count=3))
    with pytest.raises(DataError, match="4 scenes"):
        gathered(imaged, anchored(count=4))
    with pytest.raises(UsageError, match="--scenes 3"):
        gathered(imaged, anchored(), scenes=3)
    assert len(gathered(imaged, anchored(), scenes=1).scenes) == 1


# --- the tally ---


def written(folder: Path) -> Path:
    """A packet of two methods on eight scenes with two anchor trials, without images."""
    study, rows = named(["good", "bad"], [f"s{n}" for n in range(8)], anchored(count=2), 0)
    study = study.model_copy(update={"key": "ab" * 32, "key_sha256": None})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_bytes(study_bytes(study))
    (folder / "trials.jsonl").write_bytes(trials_bytes(rows))
    return folder


def answers(folder: Path, person: int, lost_to: str) -> dict[str, Any]:
    """Sound answers, in which the anchor is preferred over one method and over no other."""
    trials = {row["trial"]: row for row in rows_of(folder)}
    entry = submission(folder, 0, person)
    for n, row in enumerate(entry["rows"]):
        trial = trials[row["trial"]]
        row["response_ms"] = 700.0 + 13 * n + 101 * person
        if trial["kind"] == "anchor":
            wanted = trial["b"] if trial["a"] == lost_to else trial["a"]
            row["choice"] = "left" if trial["left"] == wanted else "right"
    return entry


def analysed(folder: Path, entries: list[dict[str, Any]]) -> tuple[Tally, Summary]:
    found = tally(open_packet(folder), [write_own(folder, entries)], simulated=False)
    return found, analyse(found, {})


@pytest.mark.slow
def test_anchor_trials_are_counted_beside_the_comparisons(tmp_path: Path) -> None:
    folder = written(tmp_path)
    entries = [answers(folder, n, "bad" if n < 2 else "nobody") for n in range(5)]
    entries.append(answers(folder, 5, "bad"))
    for row in entries[5]["rows"]:
        row["response_ms"] = 10.0 + row["response_ms"] / 1000  # too fast: excluded
    for n, entry in enumerate(entries):
        entry["participant"] = f"{n:016x}"
    protocol = open_packet(folder).study.protocol
    assert protocol.design.passes == 1
    found, summary = analysed(folder, entries)
    anchor = summary.anchor
    assert anchor is not None
    assert (anchor.method, anchor.scenes) == ("low", 2)
    assert {rate.method: (rate.k, rate.n) for rate in anchor.rates} == {
        "good": (5, 5),
        "bad": (3, 5),
    }
    assert (anchor.over_all.k, anchor.over_all.n) == (8, 10)
    assert (anchor.sessions, anchor.preferring_anchor) == (5, 0)
    assert all({row.a, row.b} == {"good", "bad"} for row in summary.pairs)
    assert summary.counts.judgments == sum(row.n for row in summary.pairs) == 5 * 8
    assert "low" not in {entry.method for entry in getattr(summary.bradley_terry, "abilities", [])}
    report = Library().report("preferences")
    of_all = with_every_pair(report, {folder: summary})
    assert [(one.method, one.over) for one in of_all.comparisons] == [("good", "bad")]
    sections = preference_sections(of_all, {folder: summary}, lambda _: None, always=False)
    table = sections[1].table
    assert table is not None
    assert list(table.index) == ["good", "bad", "all methods"]
    assert list(table["preferred %"]) == ["100.0", "60.0", "80.0"]
    text = tally_text(summary)
    assert "low" in text
    assert "80.0" in text
    paragraph = methods_paragraph(found, summary)
    assert "low" in paragraph
    assert "10 trials" in paragraph
    assert json.dumps(summary.content())


@pytest.mark.slow
def test_who_prefers_the_anchor_is_counted_and_stays(tmp_path: Path) -> None:
    folder = written(tmp_path)
    trials = {row["trial"]: row for row in rows_of(folder)}
    odd = answers(folder, 1, "nobody")
    for row in odd["rows"]:
        trial = trials[row["trial"]]
        if trial["kind"] == "anchor":
            row["choice"] = "left" if trial["left"] == "low" else "right"
    _, summary = analysed(folder, [answers(folder, 0, "nobody"), odd])
    assert summary.anchor is not None
    assert (summary.anchor.sessions, summary.anchor.preferring_anchor) == (2, 1)
    assert summary.exclusions == []


def test_without_answers_to_anchors_there_is_no_rate(tmp_path: Path) -> None:
    folder = written(tmp_path)
    trials = {row["trial"]: row for row in rows_of(folder)}
    entry = answers(folder, 0, "nobody")
    entry["rows"] = [row for row in entry["rows"] if trials[row["trial"]]["kind"] != "anchor"]
    found, summary = analysed(folder, [entry])
    assert summary.anchor is not None
    assert summary.anchor.over_all.share is None
    assert "None" not in tally_text(summary) + methods_paragraph(found, summary)


def test_simulated_people_see_that_the_anchor_is_worse(tmp_path: Path) -> None:
    packet = open_packet(written(tmp_path))
    submissions = simulate(packet, Participants(200), 0)
    chosen = [
        getattr(packet.by_id[row.trial], row.choice)
        for entry in submissions
        for row in entry.rows
        if row.choice and packet.by_id[row.trial].kind == "anchor"
    ]
    assert chosen.count("low") < 0.25 * len(chosen)
    people = crowd(packet.study, {"attentive": 1}, 0)
    assert {people[0].choice(trial) for trial in packet.trials} <= {"left", "right"}
    simulate(packet, Participants(2, abilities={"low": 1.0}), 0)
