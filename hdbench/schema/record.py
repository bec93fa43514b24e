"""Records that hdbench writes as JSON and reads back, and their validation errors in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """A JSON object without unknown keys; keys without a default are required."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is an interval of."""

    low: float
    high: float


#: Tables and lists in each other, of any record.
_DEEPEST = 40


def parse_json(content: bytes) -> Any:
    """Return the value of a JSON file that somebody else may have written.

    Raises:
        ValueError: it is not JSON, or is JSON that no record has: nested deeper than any, with a
            key twice in a table, with numbers that are not finite.
    """

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key stands twice in one table")
        return found

    def refused(number: str) -> Any:
        raise ValueError(f"{number} is no number of JSON")

    try:
        value = json.loads(content.decode(), object_pairs_hook=table, parse_constant=refused)
    except RecursionError:
        raise ValueError(f"nested deeper than {_DEEPEST} levels") from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise ValueError(f"nested deeper than {_DEEPEST} levels")


def first_problem(error: ValidationError) -> str:
    """Return the first error of a record: key, value, what was expected."""
    problem = error.errors()[0]
    kind, shown = problem["type"], repr(problem["input"])
    *around, last = problem["loc"] or ("",)
    if kind == "json_invalid":
        return f"not JSON ({problem.get('ctx', {}).get('error')})"
    if kind == "missing":
        return f"{_place(around)}key '{last}' is missing"
    if kind == "extra_forbidden":
        return f"{_place(around)}key '{last}' is unknown"
    where, text = _place(problem["loc"]), problem["msg"]
    if kind == "value_error" and isinstance(problem["input"], dict):  # keys that contradict others
        return f"{where}{text.removeprefix('Value error, ')}"
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return f"{where}= {shown}: {text}" if where else f"{shown}: {text}"


def _place(location: list[int | str] | tuple[int | str, ...]) -> str:
    """Return a path in words: ``rows, 2, at`` is ``row 3 at``."""
    words: list[str] = []
    for part in location:
        if isinstance(part, int) and words:
            words[-1] = f"{words[-1].removesuffix('s')} {part + 1}"
        else:
            words.append(str(part))
    return "".join(f"{word} " for word in words)
