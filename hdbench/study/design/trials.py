"""The trials of a study: a pure function of the numbers of methods and scenes, protocol and seed.

Each of P pairs of methods is judged R times on each of S scenes. A *round* of a pair shows it once
on every scene. A *pass* shows every scene once, each pair on its own part of the scenes; there are
R x P passes. Passes 2k and 2k + 1 show the same pairs on the same scenes with the sides exchanged.
(With an odd R, which only timed studies allow, the last P passes have no such mirror.) A pass is
divided among ceil(S / packet_length) packets, whose lengths differ by at most one.

In timed studies with D durations, round r shows the i-th scene for duration number (i + c_r) mod D.
The offsets c_r are chosen so that after any number of rounds each pair has used all durations
equally often, give or take one, and no scene returns to a duration before it was shown for all of
them. A mirrored pass therefore keeps pair and scene, but shows another duration.

Sides are a two-colouring. Every view (a pair on a scene, in a pass) is matched with two others:
with one of the same scene, its mirror if possible, and with one of the same packet (in timed
studies: of the same duration). Smaller groups are matched first, and the rest is matched within
larger ones. Two matchings together form paths and even cycles, so sides can alternate along both;
in a group that is matched within itself the sides then differ by at most one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from math import gcd
from typing import NamedTuple

import numpy as np

from hdbench.provenance import derived_seed, digest
from hdbench.schema.packet import Kind
from hdbench.schema.study import StudyProtocol
from hdbench.study.design.anchors import Encounter, encounters

#: How many patterns cover images; a packet uses them in turn.
MASKS = 8
#: Check scenes per check of a packet, so that packets have different checks.
_CHECK_SCENES = 4


class Trial(NamedTuple):
    """One trial without names, which are added when the packet is written."""

    packet: int
    #: From 0, practice included.
    position: int
    #: Number of the pass.
    pass_number: int
    kind: Kind
    #: Index of the pair; for anchors, of the compared method; -1 for practice and checks.
    pair: int
    #: Index of the scene; for anchors and for practice and checks, of their own scenes.
    scene: int
    #: Whether the pair's first method is on the left; for anchors, the compared method; for
    #: practice and checks, the photograph.
    first_left: bool
    #: In milliseconds, or 0 where images stay until an answer.
    duration: int
    #: Index of the pattern, or -1 for none.
    mask: int


def pairs_of(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Return every pair of methods, in the order of the methods."""
    return [(a, b) for n, a in enumerate(methods) for b in methods[n + 1 :]]


def controls_needed(protocol: StudyProtocol) -> tuple[int, int]:
    """Return the number of control scenes that a packet needs, and how many are of use.

    The first ``practice.count`` of them are for practice, the others for checks.
    """
    practice, checks = protocol.practice.count, protocol.checks.count
    return practice + checks, practice + _CHECK_SCENES * checks


def design(
    methods: int, scenes: int, controls: int, protocol: StudyProtocol, seed: int
) -> list[Trial]:
    """Return all trials, in the order of packets and positions.

    All pairs of M ``methods``, S ``scenes``, and ``controls`` scenes for practice and checks, at
    least ``controls_needed``. Scenes, packets, order and sides use independent streams of the seed.
    """
    assert methods >= 2
    assert scenes >= 1
    assert controls >= controls_needed(protocol)[0]
    pairs = methods * (methods - 1) // 2
    shown = _judgments(pairs, scenes, protocol, seed)
    parts = -(-scenes // protocol.design.packet_length)
    draws, coins = RandomStream(seed, "packets"), RandomStream(seed, "side")
    if protocol.design.mode == "timed":  # packets follow the sides, which durations settle
        sides = _sides(shown, _by_duration(shown), coins)
        strata = [(left, view.pair, view.duration) for left, view in zip(sides, shown, strict=True)]
        packets = _dealt(shown, strata, parts, draws)
    else:  # sides follow the packets, each of which must be balanced
        packets = _dealt(shown, [(view.pair,) for view in shown], parts, draws)
        sides = _sides(shown, _by_packet(shown, packets), coins)
    anchors = [[]] * (max(packets) + 1)
    if protocol.anchor is not None:
        coin = RandomStream(seed, "anchor-side").numbers(1)[0]
        anchors = encounters(max(packets) + 1, methods, protocol.anchor.count, bool(coin >> 63))
    return _ordered(shown, packets, sides, anchors, controls, protocol, seed)


def design_hash(trials: Iterable[Trial]) -> str:
    """Return the SHA-256 of a design; the names of methods and scenes do not enter."""
    return digest([list(trial) for trial in trials])


class RandomStream:
    """Random 64-bit numbers that are the same on every machine: PCG64's raw output."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._bits = np.random.PCG64(derived_seed("study", purpose, seed))

    def numbers(self, count: int) -> list[int]:
        """Return the next numbers."""
        return self._bits.random_raw(count).tolist() if count else []

    def shuffled(self, count: int) -> list[int]:
        """Return 0 to ``count - 1`` in random order."""
        keys = self.numbers(count)
        return sorted(range(count), key=lambda n: (keys[n], n))


class _View(NamedTuple):
    """A pair on a scene for a duration, in a pass, before packet and side are chosen."""

    pass_number: int
    pair: int
    scene: int
    duration: int


def _judgments(pairs: int, scenes: int, protocol: StudyProtocol, seed: int) -> list[_View]:
    """Return the views, pass by pass."""
    rounds = protocol.design.judgments_per_pair
    durations = protocol.design.durations_ms or [0]
    offsets = _offsets(scenes, len(durations), rounds)
    order = RandomStream(seed, "scenes").shuffled(scenes)
    shown = []
    for turn in range(rounds):
        for shift in range(pairs):
            number = _pass_of(turn, shift, rounds, pairs)
            for n, scene in enumerate(order):
                # Contiguous parts, so that each pair meets all durations within a pass.
                pair = (n * pairs // scenes + shift) % pairs
                duration = durations[(n + offsets[turn]) % len(durations)]
                shown.append(_View(number, pair, scene, duration))
    return sorted(shown, key=lambda view: view.pass_number)


def _pass_of(turn: int, shift: int, rounds: int, pairs: int) -> int:
    """Return the number of a pass: rounds 2k and 2k + 1 alternate, so that mirrors are adjacent."""
    if turn == rounds - 1 and rounds % 2:
        return turn * pairs + shift
    return 2 * (turn // 2 * pairs + shift) + turn % 2


def _offsets(scenes: int, durations: int, rounds: int) -> list[int]:
    """Return c_r for every round, modulo the number of durations.

    A round shows ``over`` durations once more than the others. Steps of ``over`` let each round
    continue where the last one ended. If these steps return to their start too early, all durations
    have been used equally often, and one further step gives every scene another duration.
    """
    over = scenes % durations
    common = gcd(over, durations)
    turns = (turn % durations for turn in range(rounds))
    return [(turn * over + turn * common // durations) % durations for turn in turns]


def _dealt(
    shown: Sequence[_View], strata: Sequence[tuple[int, ...]], parts: int, draws: RandomStream
) -> list[int]:
    """Return each view's packet: each packet of a pass gets its share of every stratum.

    Shares differ by at most one, also for the groups that the first entries of a stratum make.
    """
    packets = [0] * len(shown)
    keys = draws.numbers(len(shown))
    for number, members in _grouped(view.pass_number for view in shown).items():
        members.sort(key=lambda n: (strata[n], keys[n], n))
        for rank, n in enumerate(members):
            packets[n] = number * parts + rank % parts
    return packets


#: The group of each view; one such list for each level, from the innermost outwards.
_Levels = Sequence[Sequence[Hashable]]


def _by_scene(shown: Sequence[_View]) -> _Levels:
    return (
        [(view.pair, view.scene, view.pass_number // 2) for view in shown],  # a view and its mirror
        [(view.pair, view.scene) for view in shown],
    )


def _by_packet(shown: Sequence[_View], packets: Sequence[int]) -> _Levels:
    return (
        [(packet, view.pair) for packet, view in zip(packets, shown, strict=True)],
        packets,
        [view.pass_number for view in shown],
    )


def _by_duration(shown: Sequence[_View]) -> _Levels:
    return (
        [(view.pair, view.duration, view.scene) for view in shown],  # both sides, where R allows
        [(view.pair, view.duration, "pass", view.pass_number) for view in shown],
        [(view.pair, view.duration) for view in shown],
        [view.pair for view in shown],
    )


def _sides(shown: Sequence[_View], levels: _Levels, coins: RandomStream) -> list[bool]:
    """Return whether the first method is on the left; sides alternate along both matchings.

    A path or cycle can still be swapped as a whole: this balances the passes, and is random where
    they are balanced.
    """
    matchings = (_matched(_by_scene(shown)), _matched(levels))
    left = [False] * len(shown)
    done = [False] * len(shown)
    surplus: dict[int, int] = defaultdict(int)  # of each pass, on the left
    heads = coins.numbers(len(shown))
    for start in coins.shuffled(len(shown)):
        if done[start]:
            continue
        component = _alternating(start, matchings)
        lean = sum(surplus[shown[n].pass_number] * (1 if side else -1) for n, side in component)
        swap = bool(heads[start] >> 63) if lean == 0 else lean > 0
        for n, side in component:
            left[n], done[n] = side != swap, True
            surplus[shown[n].pass_number] += 1 if left[n] else -1
    return left


def _matched(levels: _Levels) -> list[int]:
    """Return the partner of each view, or -1: from its smallest group with an unmatched one."""
    partner = [-1] * len(levels[0])
    waiting = list(range(len(levels[0])))
    for groups in levels:
        alone: dict[Hashable, int] = {}
        for n in waiting:
            group = groups[n]
            if group in alone:
                other = alone.pop(group)
                partner[n], partner[other] = other, n
            else:
                alone[group] = n
        waiting = sorted(alone.values())
    return partner


def _alternating(start: int, matchings: Sequence[Sequence[int]]) -> list[tuple[int, bool]]:
    """Return the path or cycle of both matchings through a view, with alternating sides."""
    found = {start: True}
    open_ends = [start]
    while open_ends:
        n = open_ends.pop()
        for matching in matchings:
            other = matching[n]
            if other >= 0 and other not in found:
                found[other] = not found[n]
                open_ends.append(other)
    return list(found.items())


def _ordered(
    shown: Sequence[_View],
    packets: Sequence[int],
    sides: Sequence[bool],
    anchors: Sequence[Sequence[Encounter]],
    controls: int,
    protocol: StudyProtocol,
    seed: int,
) -> list[Trial]:
    """Return the packets in order: practice, then all else with the checks spread among it."""
    order, coins = RandomStream(seed, "order"), RandomStream(seed, "control-side")
    practice, checks = protocol.practice.count, protocol.checks.count
    longest = max(protocol.design.durations_ms, default=0)
    pool = [practice + n for n in RandomStream(seed, "controls").shuffled(controls - practice)]
    result: list[Trial] = []
    for packet, members in sorted(_grouped(packets).items()):
        sequence: list[tuple[Kind, int, int, bool, int]] = [  # kind, pair, scene, side, duration
            ("practice", -1, n, left, _practice_duration(n, protocol))
            for n, left in enumerate(_balanced(practice, packet, coins))
        ]
        members.sort(key=lambda n: shown[n].scene)  # so that the order reveals nothing
        compared: list[tuple[Kind, int, int, bool, int]] = []
        for n in members:
            view = shown[n]
            compared.append(("judgment", view.pair, view.scene, sides[n], view.duration))
        for method, scene, left in anchors[packet]:
            compared.append(("anchor", method, scene, left, longest))
        shuffled = [compared[n] for n in order.shuffled(len(compared))]
        places = _check_places(len(compared) + checks, checks, order)
        control_sides = _balanced(checks, packet, coins)
        used = 0
        for place in range(len(compared) + checks):
            if place in places:
                scene = pool[(packet * checks + used) % len(pool)]
                sequence.append(("check", -1, scene, control_sides[used], longest))
                used += 1
            else:
                sequence.append(shuffled[place - used])
        number = shown[members[0]].pass_number
        for position, (kind, pair, scene, left, duration) in enumerate(sequence):
            mask = position % MASKS if protocol.design.mask else -1
            result.append(Trial(packet, position, number, kind, pair, scene, left, duration, mask))
    return result


def _practice_duration(n: int, protocol: StudyProtocol) -> int:
    """Return the duration of a practice trial: from the longest down to the shortest."""
    durations = protocol.design.durations_ms[::-1] or [0]
    return durations[n * len(durations) // protocol.practice.count]


def _balanced(count: int, packet: int, draws: RandomStream) -> list[bool]:
    """Return sides in random order, half of them left; packets alternate with an odd one."""
    left = (count + packet % 2) // 2
    return [rank < left for rank in draws.shuffled(count)]


def check_segments(length: int, checks: int) -> list[range]:
    """Return the parts of a packet, without practice, that hold one check each."""
    edges = [n * length // checks for n in range(checks + 1)] if checks else []
    return [range(*edge) for edge in pairwise(edges)]


def _check_places(length: int, checks: int, draws: RandomStream) -> set[int]:
    segments = check_segments(length, checks)
    numbers = draws.numbers(checks)
    return {
        segment[number % len(segment)] for segment, number in zip(segments, numbers, strict=True)
    }


def _grouped(keys: Iterable[int]) -> dict[int, list[int]]:
    """Return the indices of each key."""
    groups: dict[int, list[int]] = defaultdict(list)
    for n, key in enumerate(keys):
        groups[key].append(n)
    return groups
