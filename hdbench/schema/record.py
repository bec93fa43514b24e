"""Records that hdbench writes as JSON and reads back, and their validation errors in words."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """A JSON object without unknown keys; keys without a default are required."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is an interval of."""

    low: float
    high: float


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
