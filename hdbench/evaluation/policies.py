"""What each counting policy is worth: the same matrices, counted in every other way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from hdbench.schema.scoring import Counting, Scoring

_WORDS = {
    ("void_in_accuracy", "ignored"): "void left out of pixel accuracy",
    ("void_in_accuracy", "errors"): "void counted as errors in pixel accuracy",
    ("void_in_iou", "ignored"): "void left out of IoU",
    ("void_in_iou", "false-positives"): "void counted as false positives in IoU",
    ("void_class", "left-out"): "void no class of the mean",
    ("void_class", "counted"): "void one more class of the mean",
    ("absent_class", "left-out"): "classes in neither truth nor prediction left out",
    ("absent_class", "zero"): "classes in neither truth nor prediction counted as 0",
    ("absent_class", "one"): "classes in neither truth nor prediction counted as 1",
    ("predicted_only", "zero"): "classes only predicted counted as 0",
    ("predicted_only", "left-out"): "classes only predicted left out",
    ("accumulation", "dataset"): "accumulated over the dataset",
    ("accumulation", "images"): "averaged over images",
}


@dataclass(frozen=True)
class Variant:
    """One way to count."""

    words: str
    counting: Counting


def variants(scoring: Scoring, others: Iterable[Scoring]) -> list[Variant]:
    """Return ways to count the same matrices.

    Args:
        scoring: the convention that the matrices were made under.
        others: conventions of the same label space, for their counting alone.

    Returns:
        The convention's own way, then with each one policy changed to each of its other values,
        then the ways of its readings and of the other conventions, each way once.
    """
    own = scoring.counting
    found = [Variant(f"as {scoring.name} counts", own)]
    for field, info in Counting.model_fields.items():
        for value in get_args(info.annotation):
            if value != getattr(own, field):
                changed = own.model_copy(update={field: value})
                found.append(Variant(_WORDS[field, value], changed))
    for other in (scoring, *others):
        ways = {f"as {other.name} counts": other.counting} | {
            f"as {other.name} counts, {name}": other.counting_of(name) for name in other.readings
        }
        for words, counting in ways.items():
            if all(counting != known.counting for known in found):
                found.append(Variant(words, counting))
    return found
