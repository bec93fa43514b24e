"""Tables of the same matrices counted under several policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hdbench.evaluation.confusion import accumulated_scores
from hdbench.evaluation.policies import Variant
from hdbench.evaluation.recounting import rescored
from hdbench.reporting.tables import COLUMNS
from hdbench.schema.result import Result
from hdbench.text import NOTHING, Style


def readings_table(results: Sequence[Result]) -> pd.DataFrame | None:
    """Return the additional scores of a scoring convention, one row per method, or None."""
    names = list(results[0].scores.readings) if results else []
    if not names:
        return None
    lines = [
        [
            style.text(result.scores.readings[name].overall(score))
            for name in names
            for score, (_, style) in COLUMNS.items()
        ]
        for result in results
    ]
    return pd.DataFrame(
        lines,
        index=pd.Index([result.method for result in results], name="method"),
        columns=pd.MultiIndex.from_product([names, [title for title, _ in COLUMNS.values()]]),
    )


def policy_table(results: Sequence[Result], variants: Sequence[Variant]) -> pd.DataFrame:
    """Return the scores under several counting policies, one row each.

    The first variant is the convention's own; differences from it are in parentheses.
    """
    columns: dict[tuple[str, str], list[str]] = {}
    for result in results:
        scores = [accumulated_scores(result.matrices, variant.counting) for variant in variants]
        for score, (title, style) in COLUMNS.items():
            own, *others = [getattr(one, score) for one in scores]
            changed = [_with_change(value, own, style) for value in others]
            columns[result.method, title] = [style.text(own), *changed]
    index = pd.Index([variant.words for variant in variants], name="counting")
    return pd.DataFrame(columns, index=index)


def policy_record(results: Sequence[Result], variants: Sequence[Variant]) -> list[dict[str, Any]]:
    """Return ``policy_table`` as JSON values, with scores from 0 to 1."""
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


def _with_change(value: float, own: float, style: Style) -> str:
    text, change = style.text(value), style.text(value - own, sign="+")
    return text if value == own or change == NOTHING else f"{text} ({change})"
