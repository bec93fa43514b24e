"""What each counting policy is worth: the same matrices, counted in every other way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from hdbench.evaluation.explain import explain
from hdbench.schema.scoring import Counting, Scoring


@dataclass(frozen=True)
class Variant:
    """One way to count."""

    words: str
    counting: Counting


def variants(scoring: Scoring, others: Iterable[Scoring]) -> list[Variant]:
    """Return ways to count the same matrices, each way once.

    First the convention's own way, then with each one policy changed to each of its other values,
    then the ways of its readings and of other conventions of the same label space.
    """
    own = scoring.counting
    found = [Variant(f"as {scoring.name} counts", own)]
    for field, info in Counting.model_fields.items():
        for value in get_args(info.annotation):
            if value != getattr(own, field):
                changed = own.model_copy(update={field: value})
                [choice] = explain({"scoring": {"counting": {field: value}}})
                found.append(Variant(choice.sentence(), changed))
    for other in (scoring, *others):
        ways = {f"as {other.name} counts": other.counting} | {
            f"as {other.name} counts, {name}": other.counting_of(name) for name in other.readings
        }
        for words, counting in ways.items():
            if all(counting != known.counting for known in found):
                found.append(Variant(words, counting))
    return found
