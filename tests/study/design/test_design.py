"""Invariants of every design, counted here without the code that makes or proves them."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import designed, named, protocol_with

from hdbench.library import Library
from hdbench.schema.study import StudyProtocol
from hdbench.study.design import trials as designs
from hdbench.study.design.balance import balance
from hdbench.study.design.trials import Trial, design_hash, pairs_of


@st.composite
def unlimited_protocols(draw: st.DrawFn) -> StudyProtocol:
    return protocol_with(
        design={
            "judgments_per_pair": 2 * draw(st.integers(1, 5)),
            "packet_length": draw(st.integers(1, 30)),
        },
        checks={"count": draw(st.integers(0, 9))},
        practice={"count": draw(st.integers(0, 6))},
    )


@st.composite
def timed_protocols(draw: st.DrawFn) -> StudyProtocol:
    durations = draw(st.sets(st.sampled_from([125, 250, 500, 1000, 2000, 4000, 8000]), min_size=1))
    return protocol_with(
        "limited",
        design={
            "judgments_per_pair": draw(st.integers(1, 16)),
            "packet_length": draw(st.integers(1, 30)),
            "durations_ms": sorted(durations),
        },
        checks={"count": draw(st.integers(0, 9))},
        practice={"count": draw(st.integers(0, 6))},
    )


protocols = st.one_of(unlimited_protocols(), timed_protocols())
methods_and_scenes = st.tuples(st.integers(2, 4), st.integers(1, 25))
seeds = st.integers(0, 2**32)


def judgments(trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.kind == "judgment"]


def sides(trials: list[Trial], *fields: str) -> dict[tuple[int, ...], tuple[int, int]]:
    counts: dict[tuple[int, ...], list[int]] = defaultdict(lambda: [0, 0])
    for trial in judgments(trials):
        counts[tuple(getattr(trial, field) for field in fields)][trial.first_left] += 1
    return {group: (right, left) for group, (right, left) in counts.items()}


@settings(max_examples=20, deadline=None)
@given(methods_and_scenes, unlimited_protocols(), seeds)
def test_unlimited_every_pair_and_scene_has_r_judgments_half_with_each_side(
    size: tuple[int, int], protocol: StudyProtocol, seed: int
) -> None:
    methods, scenes = size
    trials = designed(methods, scenes, protocol, seed)
    half = protocol.design.judgments_per_pair // 2
    cells = sides(trials, "pair", "scene")
    assert len(cells) == methods * (methods - 1) // 2 * scenes
    assert set(cells.values()) == {(half, half)}
    for group in (("packet",), ("packet", "pair")):
        assert all(abs(left - right) <= 1 for left, right in sides(trials, *group).values())


@settings(max_examples=20, deadline=None)
@given(methods_and_scenes, timed_protocols(), seeds)
def test_timed_every_pair_and_duration_has_the_same_count_and_both_sides(
    size: tuple[int, int], protocol: StudyProtocol, seed: int
) -> None:
    methods, scenes = size
    trials = designed(methods, scenes, protocol, seed)
    rounds, durations = protocol.design.judgments_per_pair, protocol.design.durations_ms
    pairs = range(methods * (methods - 1) // 2)
    cells = sides(trials, "pair", "duration")
    counts = [sum(cells.get((pair, time), (0, 0))) for pair in pairs for time in durations]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == len(pairs) * scenes * rounds
    assert all(abs(left - right) <= 1 for left, right in cells.values())
    # No scene comes back to a cell before all scenes were there.
    uses = Counter((trial.pair, trial.duration, trial.scene) for trial in judgments(trials))
    for pair in pairs:
        for time in durations:
            column = [uses[pair, time, scene] for scene in range(scenes)]
            assert max(column) - min(column) <= 1
    assert set(Counter((t.pair, t.scene) for t in judgments(trials)).values()) == {rounds}
    if rounds % (2 * len(durations)) == 0:
        crossed = sides(trials, "pair", "duration", "scene")
        assert len(crossed) == len(pairs) * len(durations) * scenes
        each = rounds // (2 * len(durations))
        assert set(crossed.values()) == {(each, each)}


@settings(max_examples=20, deadline=None)
@given(methods_and_scenes, protocols, seeds)
def test_no_scene_comes_twice_in_a_packet_or_pass_and_packets_are_alike(
    size: tuple[int, int], protocol: StudyProtocol, seed: int
) -> None:
    trials = designed(*size, protocol, seed)
    for unit in ("packet", "pass_number"):
        seen = Counter((getattr(trial, unit), trial.scene) for trial in judgments(trials))
        assert set(seen.values()) == {1}
    lengths = Counter(trial.packet for trial in judgments(trials)).values()
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= protocol.design.packet_length
    assert [(t.packet, t.position) for t in trials] == sorted(
        (t.packet, t.position) for t in trials
    )
    assert {trial.packet for trial in trials} == set(range(len(lengths)))


@settings(max_examples=20, deadline=None)
@given(methods_and_scenes, protocols, seeds)
def test_each_odd_pass_mirrors_the_one_before(
    size: tuple[int, int], protocol: StudyProtocol, seed: int
) -> None:
    methods, scenes = size
    rounds = protocol.design.judgments_per_pair
    passes: dict[int, dict[tuple[int, int], bool]] = defaultdict(dict)
    for trial in judgments(designed(methods, scenes, protocol, seed)):
        passes[trial.pass_number][trial.pair, trial.scene] = trial.first_left
    pairs = methods * (methods - 1) // 2
    assert sorted(passes) == list(range(rounds * pairs))
    for first in range(0, rounds // 2 * 2 * pairs, 2):
        mirror = {key: not left for key, left in passes[first].items()}
        assert passes[first + 1] == mirror


@settings(max_examples=20, deadline=None)
@given(methods_and_scenes, protocols, seeds)
def test_checks_are_spread_and_balanced_and_practice_comes_first(
    size: tuple[int, int], protocol: StudyProtocol, seed: int
) -> None:
    packets: dict[int, list[Trial]] = defaultdict(list)
    for trial in designed(*size, protocol, seed):
        packets[trial.packet].append(trial)
    practice, checks = protocol.practice.count, protocol.checks.count
    totals: Counter[tuple[str, bool]] = Counter()
    for members in packets.values():
        assert [trial.kind == "practice" for trial in members].index(False) == practice
        body = members[practice:]
        places = [n for n, trial in enumerate(body) if trial.kind == "check"]
        assert len(places) == checks
        for n, place in enumerate(places):  # one in each stretch
            assert n * len(body) // checks <= place < (n + 1) * len(body) // checks
        controls = [trial.scene for trial in members if trial.kind != "judgment"]
        assert len(set(controls)) == practice + checks
        for kind in ("practice", "check"):
            left = [trial.first_left for trial in members if trial.kind == kind]
            assert abs(2 * sum(left) - len(left)) <= 1
            totals.update((kind, side) for side in left)
    for kind in ("practice", "check"):
        assert abs(totals[kind, True] - totals[kind, False]) <= 1


@settings(max_examples=15, deadline=None)
@given(methods_and_scenes, protocols, seeds)
def test_the_proof_finds_nothing_in_any_design(
    size: tuple[int, int], protocol: StudyProtocol, seed: int
) -> None:
    methods = [f"m{n}" for n in range(size[0])]
    scenes = [f"s{n}" for n in range(size[1])]
    study, rows = named(methods, scenes, protocol, seed)
    findings = balance(rows, pairs_of(methods), scenes, protocol)
    assert [line for finding in findings for line in finding.violations] == []
    assert len({row.trial for row in rows}) == len(rows)
    assert len(study.images) == len(methods) * len(scenes) + 2 * len(study.controls) + 8 * (
        protocol.design.mask
    )


@settings(max_examples=8, deadline=None)
@given(methods_and_scenes, protocols, seeds)
def test_the_same_seed_makes_the_same_design(
    size: tuple[int, int], protocol: StudyProtocol, seed: int
) -> None:
    assert designed(*size, protocol, seed) == designed(*size, protocol, seed)


def test_the_bytes_of_a_design_are_those_of_every_machine() -> None:
    hashes = {
        name: design_hash(designed(3, 20, Library().study(name), 7))[:16]
        for name in ("unlimited", "limited", "pilot")
    }
    assert hashes == {
        "unlimited": "fd02fc752e876deb",
        "limited": "d6a71463febcd040",
        "pilot": "7816f201b63a3cf7",
    }


def test_another_seed_makes_another_design() -> None:
    protocol = Library().study("unlimited")
    one, other = designed(2, 40, protocol, 0), designed(2, 40, protocol, 1)
    assert [trial.scene for trial in one] != [trial.scene for trial in other]
    assert [trial.first_left for trial in one] != [trial.first_left for trial in other]


def test_renaming_methods_only_renames() -> None:
    protocol = Library().study("pilot")
    scenes = [f"s{n}" for n in range(30)]
    _, before = named(["a", "b", "c"], scenes, protocol, 3)
    _, after = named(["zebra", "b", "a"], scenes, protocol, 3)
    new = {"a": "zebra", "b": "b", "c": "a", None: None}
    images = {"left_image", "right_image"}
    for row, other in zip(before, after, strict=True):
        renamed = {key: new[getattr(row, key)] for key in ("a", "b", "left", "right")}
        assert {**row.model_dump(exclude=images), **renamed} == other.model_dump(exclude=images)


@pytest.mark.parametrize("name", ["unlimited", "limited"])
def test_where_a_trial_stands_says_nothing_about_its_side(name: str) -> None:
    trials = judgments(designed(2, 200, Library().study(name), 5))
    position = np.array([trial.position for trial in trials])
    left = np.array([trial.first_left for trial in trials])
    scene = np.array([trial.scene for trial in trials])
    for other in (left, scene):
        correlation = np.corrcoef(position, other)[0, 1]
        assert abs(correlation) < 4 / np.sqrt(len(trials))  # four standard deviations of chance
    runs = [a == b for a, b in pairwise(left)]
    assert 0.45 < np.mean(runs) < 0.52  # balanced packets alternate a little more than coins do


def test_order_and_side_come_from_streams_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other draws of one change nothing in the other."""
    protocol = Library().study("unlimited")

    def with_other(*purposes: str) -> list[Trial]:
        class Other(streams):
            def __init__(self, seed: int, purpose: str) -> None:
                super().__init__(seed + (purpose in purposes), purpose)

        monkeypatch.setattr(designs, "RandomStream", Other)
        return judgments(designed(3, 60, protocol, 5))

    streams = designs.RandomStream
    before = with_other()

    def side_of(trials: list[Trial]) -> dict[tuple[int, ...], bool]:
        return {(t.pass_number, t.packet, t.pair, t.scene): t.first_left for t in trials}

    def place_of(trials: list[Trial]) -> list[tuple[int, ...]]:
        return [(t.packet, t.position, t.pair, t.scene) for t in trials]

    other_order = with_other("order")
    assert side_of(other_order) == side_of(before)
    assert place_of(other_order) != place_of(before)
    other_sides = with_other("side", "control-side")
    assert side_of(other_sides) != side_of(before)
    assert place_of(other_sides) == place_of(before)


@pytest.mark.parametrize("name", ["unlimited", "limited"])
def test_first_passes_are_as_balanced_as_can_be(name: str) -> None:
    """Also what is collected first, before its mirror, is fair to each side."""
    trials = designed(3, 101, Library().study(name), 2)
    assert max(abs(left - right) for left, right in sides(trials, "pass_number").values()) <= 5
