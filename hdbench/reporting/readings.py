"""The same matrices read in several ways, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hdbench.evaluation.confusion import accumulated_scores
from hdbench.evaluation.policies import Variant
from hdbench.evaluation.recounting import rescored
from hdbench.reporting.tables import NOTHING
from hdbench.schema.result import Overall, Result

_ACCURACY, _IOU = "pixel acc. %", "mean IoU"
_OVERALL: tuple[tuple[Overall, float, int], ...] = (("pixel_accuracy", 100, 2), ("mean_iou", 1, 4))


def readings_table(results: Sequence[Result]) -> pd.DataFrame | None:
    """Return the further numbers of a convention, one method to a line; None where it has none."""
    names = list(results[0].scores.readings) if results else []
    if not names:
        return None
    lines = [
        [
            _number(result.scores.readings[name].overall(score), factor, digits)
            for name in names
            for score, factor, digits in _OVERALL
        ]
        for result in results
    ]
    return pd.DataFrame(
        lines,
        index=pd.Index([result.method for result in results], name="method"),
        columns=pd.MultiIndex.from_product([names, [_ACCURACY, _IOU]]),
    )


def policy_table(results: Sequence[Result], variants: Sequence[Variant]) -> pd.DataFrame:
    """Return the effect of counting policies, one to a line.

    Args:
        results: one or more, all under one convention.
        variants: the first is the convention's own way; the others' difference to it stands in
            parentheses.
    """
    columns: dict[tuple[str, str], list[str]] = {}
    for result in results:
        scores = [accumulated_scores(result.matrices, variant.counting) for variant in variants]
        for title, values, digits in (
            (_ACCURACY, [100 * one.pixel_accuracy for one in scores], 2),
            (_IOU, [one.mean_iou for one in scores], 4),
        ):
            columns[result.method, title] = [
                _with_change(value, values[0], digits, first=n == 0)
                for n, value in enumerate(values)
            ]
    index = pd.Index([variant.words for variant in variants], name="counting")
    return pd.DataFrame(columns, index=index)


def policy_record(results: Sequence[Result], variants: Sequence[Variant]) -> list[dict[str, Any]]:
    """Return ``policy_table`` as JSON values, in shares of 1."""
    return [
        {
            "method": result.method,
            "seed": result.seed,
            "scoring": result.scoring,
            "words": variant.words,
            "counting": variant.counting.model_dump(),
            **rescored(result.matrices, variant.counting),
        }
        for result in results
        for variant in variants
    ]


def _with_change(value: float, own: float, digits: int, first: bool) -> str:
    if math.isnan(value) or math.isnan(own):
        return NOTHING
    text = f"{value:.{digits}f}"
    return text if first or value == own else f"{text} ({value - own:+.{digits}f})"


def _number(value: float | None, factor: float, digits: int) -> str:
    return NOTHING if value is None else f"{value * factor:.{digits}f}"
