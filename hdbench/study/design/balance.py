"""Checks the balance of a packet's trials.

Every claim is counted from the rows of ``trials.jsonl``, independently of the code that makes
designs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from hdbench.errors import counted
from hdbench.schema.packet import TrialRecord
from hdbench.schema.study import Anchor, StudyProtocol
from hdbench.study.design.trials import check_segments

Pair = tuple[str, str]
Group = tuple[Any, ...]


@dataclass(frozen=True)
class Finding:
    """A claim about a packet, the measured value, and the violations."""

    claim: str
    measured: str
    violations: list[str] = field(default_factory=list)


def balance(
    rows: Sequence[TrialRecord],
    pairs: Sequence[Pair],
    scenes: Sequence[str],
    protocol: StudyProtocol,
) -> list[Finding]:
    """Return the claims of a balanced design about all trials, pairs and scenes of a study."""
    judged = [row for row in rows if row.kind == "judgment"]
    return [
        _whole(judged, pairs, scenes),
        *(
            _unlimited(judged, pairs, scenes, protocol)
            if protocol.design.mode == "unlimited"
            else _timed(judged, pairs, scenes, protocol)
        ),
        _scene_once(judged, "packet", "packet"),
        _scene_once(judged, "pass", "pass_number"),
        _mirrors(judged, len(pairs), protocol),
        _lengths(judged, protocol),
        _order(rows),
        *_controls(rows, protocol),
    ]


def anchor_balance(
    rows: Sequence[TrialRecord],
    methods: Sequence[str],
    scenes: Sequence[str],
    anchors: Sequence[str],
    anchor: Anchor,
) -> list[Finding]:
    """Return the claims about anchor trials: ``scenes`` are those of comparisons, not theirs."""
    shown = [row for row in rows if row.kind == "anchor"]
    wrong = [
        f"{_where(row)}: {row.left} against {row.right} on {row.scene} is no anchor trial"
        for row in shown
        if row.a not in methods
        or row.b != anchor.method
        or {row.left, row.right} != {row.a, row.b}
        or row.scene not in anchors
    ]
    wrong += [
        f"{scene}: is a scene of comparisons and of anchor trials"
        for scene in anchors
        if scene in scenes
    ]
    packets: dict[int, list[str | None]] = {row.packet: [] for row in rows}
    for row in shown:
        packets[row.packet].append(row.scene)
    uneven = [
        f"packet {number}: anchor trials on {', '.join(map(str, found)) or 'no scene'}; expected "
        "each anchor scene once"
        for number, found in packets.items()
        if sorted(map(str, found)) != sorted(anchors)
    ]
    turns = Counter(row.a for row in shown)
    uneven += _spread_over("anchor trials of a method", [turns[method] for method in methods])
    sides = {
        group: abs(left - right)
        for key in (("packet",), ("a",))
        for group, (left, right) in side_counts(shown, key).items()
    }
    return [
        Finding(
            "each anchor trial shows a compared method beside the anchor, on a scene of its own",
            f"{counted(len(shown), 'trial')} with {anchor.method} on "
            f"{counted(len(anchors), 'scene')}",
            wrong,
        ),
        Finding(
            "methods meet the anchor equally often, give or take 1",
            f"{min(turns.values(), default=0)} to {max(turns.values(), default=0)} times, "
            f"{anchor.count} in each packet",
            uneven,
        ),
        _at_most(1, "and on both sides, in each packet and in all", sides, "anchors of {0}"),
    ]


def side_counts(rows: Iterable[TrialRecord], key: tuple[str, ...]) -> dict[Group, tuple[int, int]]:
    """Return how often the pair's first method was left and right, by the fields in ``key``."""
    counts: dict[Group, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        counts[tuple(getattr(row, name) for name in key)][row.left != row.a] += 1
    return {group: (left, right) for group, (left, right) in counts.items()}


def _whole(judged: Sequence[TrialRecord], pairs: Sequence[Pair], scenes: Sequence[str]) -> Finding:
    """Check that judgments show both methods of these pairs on these scenes."""
    known_pairs, known_scenes = set(pairs), set(scenes)
    wrong = [
        f"{_where(row)}: {row.left} against {row.right} on {row.scene} is no judgment of "
        f"{row.a} and {row.b}"
        for row in judged
        if (row.a, row.b) not in known_pairs
        or row.scene not in known_scenes
        or {row.left, row.right} != {row.a, row.b}
    ]
    return Finding(
        "each judgment shows both methods of its pair on one scene",
        f"{counted(len(judged), 'judgment')} of {counted(len(pairs), 'pair')} on "
        f"{counted(len(scenes), 'scene')}",
        wrong,
    )


def _unlimited(
    judged: Sequence[TrialRecord],
    pairs: Sequence[Pair],
    scenes: Sequence[str],
    protocol: StudyProtocol,
) -> list[Finding]:
    each = protocol.design.judgments_per_pair
    cells = side_counts(judged, ("a", "b", "scene"))
    uneven = []
    for a, b in pairs:
        for scene in scenes:
            left, right = cells.get((a, b, scene), (0, 0))
            if left != each // 2 or right != each // 2:
                uneven.append(
                    f"{a} against {b} on {scene}: {left} with {a} left, {right} with {a} right; "
                    f"expected {each // 2} and {each // 2}"
                )
    packets = _differences(side_counts(judged, ("packet",)))
    within = _differences(side_counts(judged, ("packet", "a", "b")))
    return [
        Finding(
            f"each pair is judged {each} times on each scene, half of them with each side",
            f"{each // 2} + {each // 2} for each of {len(cells)}",
            uneven,
        ),
        _at_most(1, "sides differ by at most 1 in each packet", packets, "packet {0}"),
        _at_most(
            1, "and so they do for each pair of a packet", within, "packet {0}, {1} against {2}"
        ),
    ]


def _timed(
    judged: Sequence[TrialRecord],
    pairs: Sequence[Pair],
    scenes: Sequence[str],
    protocol: StudyProtocol,
) -> list[Finding]:
    each = protocol.design.judgments_per_pair
    durations = protocol.design.durations_ms
    shown = Counter((row.a, row.b, row.scene) for row in judged)
    cells = side_counts(judged, ("a", "b", "duration_ms"))
    every_cell = [(a, b, duration) for a, b in pairs for duration in durations]
    sizes = {cell: sum(cells.get(cell, (0, 0))) for cell in every_cell}
    sizes |= {cell: sum(sides) for cell, sides in cells.items() if cell not in sizes}
    mean = len(judged) / max(1, len(every_cell))
    crossed = side_counts(judged, ("a", "b", "duration_ms", "scene"))
    uses: dict[Group, list[int]] = {
        (a, b, duration): [sum(crossed.get((a, b, duration, scene), (0, 0))) for scene in scenes]
        for a, b, duration in every_cell
    }
    findings = [
        Finding(
            f"each pair is judged {each} times on each scene",
            f"{counted(len(judged), 'judgment')}",
            [
                f"{a} against {b} on {scene}: {shown[a, b, scene]} times; expected {each}"
                for a, b in pairs
                for scene in scenes
                if shown[a, b, scene] != each
            ],
        ),
        Finding(
            "each pair and duration has the same count, give or take 1",
            f"{min(sizes.values())} to {max(sizes.values())} judgments",
            [
                f"{_against(cell)}: {size} judgments; the mean is {mean:.1f}"
                for cell, size in sizes.items()
                if abs(size - mean) >= 1
            ]
            or _spread_over("judgments of a pair and duration", sizes.values()),
        ),
        _at_most(
            1,
            "sides differ by at most 1 in each pair and duration",
            _differences(cells),
            "{0} against {1} at {2} ms",
        ),
        Finding(
            "no scene returns to a pair and duration before all scenes were there",
            f"each scene {min(map(min, uses.values()))} to {max(map(max, uses.values()))} times",
            [
                f"{_against(cell)}: one scene {max(counts)} times, another {min(counts)} times"
                for cell, counts in uses.items()
                if max(counts) - min(counts) > 1
            ],
        ),
    ]
    if each % (2 * len(durations)) == 0:
        findings.append(
            _at_most(
                0,
                "scene, duration and side are crossed completely",
                _differences(crossed),
                "{0} against {1} at {2} ms on {3}",
            )
        )
    return findings


def _scene_once(judged: Sequence[TrialRecord], unit: str, field: str) -> Finding:
    of_unit = attrgetter(field)
    seen = Counter((of_unit(row), row.scene) for row in judged)
    return Finding(
        f"no scene comes twice in a {unit}",
        f"none in {len({of_unit(row) for row in judged})}",
        [
            f"{unit} {number}: {scene} comes {count} times"
            for (number, scene), count in seen.items()
            if count > 1
        ],
    )


def _mirrors(judged: Sequence[TrialRecord], pairs: int, protocol: StudyProtocol) -> Finding:
    """Check that passes 2k and 2k + 1 hold the same pairs and scenes with the sides exchanged."""
    rounds = protocol.design.judgments_per_pair
    mirrored = (rounds - rounds % 2) * pairs
    shown: dict[int, dict[Group, str | None]] = defaultdict(dict)
    for row in judged:
        shown[row.pass_number][row.a, row.b, row.scene] = row.left
    wrong = []
    for first in range(0, mirrored, 2):
        ours, theirs = shown[first], shown[first + 1]
        alike = sum(ours[key] == theirs.get(key, ours[key]) for key in ours)
        if alike or len(ours) != len(theirs):
            wrong.append(
                f"passes {first} and {first + 1}: {counted(alike, 'judgment')} of {len(ours)} and "
                f"{len(theirs)} have no mirror"
            )
    return Finding(
        "pass 2k + 1 is pass 2k with the sides exchanged",
        f"{counted(mirrored // 2, 'pair')} of passes",
        wrong,
    )


def _lengths(judged: Sequence[TrialRecord], protocol: StudyProtocol) -> Finding:
    lengths = Counter(row.packet for row in judged)
    least, most = min(lengths.values()), max(lengths.values())
    wrong = _spread_over("judgments of a packet", lengths.values())
    if most > protocol.design.packet_length:
        wrong.append(f"a packet has {most} judgments; at most {protocol.design.packet_length}")
    if sorted(lengths) != list(range(len(lengths))):
        wrong.append("packets are not numbered from 0 onwards")
    return Finding(
        "packets have equally many judgments, give or take 1",
        f"{counted(len(lengths), 'packet')} of {least}"
        + (f" to {most}" if most > least else "")
        + f", at most {protocol.design.packet_length}",
        wrong,
    )


def _order(rows: Sequence[TrialRecord]) -> Finding:
    wrong = []
    last = (-1, -1)
    for row in rows:
        packet, position = row.packet, row.position
        if (packet, position) not in ((last[0], last[1] + 1), (last[0] + 1, 0)):
            wrong.append(f"{_where(row)}: comes after packet {last[0]}, position {last[1]}")
        last = (packet, position)
    wrong += [
        f"trial {name}: comes {count} times"
        for name, count in Counter(row.trial for row in rows).items()
        if count > 1
    ]
    return Finding(
        "every trial has a name of its own and its place",
        f"{counted(len(rows), 'trial')}, practice and checks included",
        wrong,
    )


def _controls(rows: Sequence[TrialRecord], protocol: StudyProtocol) -> list[Finding]:
    packets: dict[int, list[TrialRecord]] = defaultdict(list)
    for row in rows:
        packets[row.packet].append(row)
    practice, checks = protocol.practice.count, protocol.checks.count
    first, spread, even = [], [], []
    for number, members in packets.items():
        kinds = [row.kind for row in members]
        if kinds.count("practice") != practice or set(kinds[:practice]) - {"practice"}:
            first.append(f"packet {number}: does not begin with its {practice} practice trials")
        body = [row for row in members if row.kind != "practice"]
        places = [n for n, row in enumerate(body) if row.kind == "check"]
        segments = check_segments(len(body), checks)
        if len(places) != checks or any(
            place not in segment for place, segment in zip(places, segments, strict=False)
        ):
            spread.append(f"packet {number}: checks at {places}; expected one in each {checks}th")
        images = {image for row in body for image in (row.left_image, row.right_image)}
        if len(images) != 2 * len(body):
            spread.append(f"packet {number}: an image comes twice")
    for kind in ("practice", "check"):
        sides: dict[int, Counter[str | None]] = defaultdict(Counter)
        for row in rows:
            if row.kind == kind:
                sides[row.packet][row.expected] += 1
        for number, counts in [*sides.items(), ("all", sum(sides.values(), Counter()))]:
            if abs(counts["left"] - counts["right"]) > 1:
                even.append(
                    f"{kind} of packet {number}: {counts['left']} left, {counts['right']} right"
                )
    return [
        Finding("practice opens each packet", f"{practice} in each", first),
        Finding("checks are spread over each packet, none twice", f"{checks} in each", spread),
        Finding("the right answers to both are on both sides, give or take 1", "", even),
    ]


def _differences(cells: Mapping[Group, tuple[int, int]]) -> dict[Group, int]:
    return {group: abs(left - right) for group, (left, right) in cells.items()}


def _at_most(bound: int, claim: str, values: Mapping[Group, int], place: str) -> Finding:
    return Finding(
        claim,
        f"at most {max(values.values(), default=0)} in {len(values)}",
        [
            f"{place.format(*group)}: sides differ by {value}"
            for group, value in values.items()
            if value > bound
        ],
    )


def _spread_over(noun: str, values: Iterable[int]) -> list[str]:
    values = list(values)
    if max(values) - min(values) <= 1:
        return []
    return [f"{noun}: {min(values)} to {max(values)}; they may differ by 1"]


def _against(cell: Group) -> str:
    a, b, duration = cell
    return f"{a} against {b} at {duration} ms"


def _where(row: TrialRecord) -> str:
    return f"packet {row.packet}, position {row.position}"
