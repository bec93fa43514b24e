"""Anchor trials: each packet shows ``count`` compared methods beside a method known to be worse.

Over all packets the methods take turns, so that each meets the anchor equally often, give or take
one. The n-th turn of method m (both from 0) has the method on the left if n + m is even, or odd:
sides then alternate for every method, and differ by at most one in every packet too. Each packet
shows every anchor scene once. Methods come to the same places of a packet again after M / gcd(M,
count) packets; then the scenes move on by one place, so that after ``count`` such periods every
method was shown equally often on every anchor scene.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple


class Encounter(NamedTuple):
    """A compared method beside the anchor; both numbers are indices."""

    method: int
    #: Of the anchor scenes.
    scene: int
    #: Whether the compared method is on the left.
    method_left: bool


def encounters(packets: int, methods: int, count: int, swapped: bool) -> list[list[Encounter]]:
    """Return the encounters of each packet: ``count`` of them, each on its own scene.

    ``swapped`` exchanges all sides.
    """
    period = methods // gcd(methods, count)
    found = []
    for packet in range(packets):
        turns = [divmod(packet * count + place, methods) for place in range(count)]
        found.append(
            [
                Encounter(
                    method,
                    (place + packet // period) % count,
                    (turn + method) % 2 == int(swapped),
                )
                for place, (turn, method) in enumerate(turns)
            ]
        )
    return found
