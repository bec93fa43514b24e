"""The table of a report's scores: measured columns first, published columns after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hdbench.errors import counted
from hdbench.evaluation.seeds import Estimate, Estimates, estimates_of
from hdbench.reporting.measured import Measured, require_comparable
from hdbench.reporting.tables import Best
from hdbench.schema.report import Column, Report, Row
from hdbench.text import NOTHING, Style

#: Marks a row whose training saw another number of images than most.
OTHER_BUDGET = "†"
_SECOND = "second segmenter ({architecture})"


@dataclass(frozen=True)
class ScoreTable:
    """A report's scores."""

    #: As people read it.
    shown: pd.DataFrame
    #: As programs read it: each number in a column of its own.
    numbers: pd.DataFrame
    #: The best value of each measured column among methods of the usual budget, oracle and floors
    #: aside; it has at least one rival.
    best: Best
    #: By name of method, in the table's order.
    estimates: dict[str, Estimates]
    #: Methods that saw another number of images than most.
    other_budget: frozenset[str]


def with_rows(report: Report, always: Iterable[Row], others: Iterable[Row]) -> Report:
    """Return a report with rows appended for methods that it does not name.

    ``always`` are the oracle and the floors, ``others`` all further methods that are measured; the
    report says whether it shows these.
    """
    named = {row.method for row in report.rows}
    more = [*always, *(others if report.every_method else ())]
    appended = {row.method: row for row in more if row.method not in named}
    return report.model_copy(update={"rows": [*report.rows, *appended.values()]})


def score_table(report: Report, measured: Mapping[str, Measured], benchmark: str) -> ScoreTable:
    """Return the table of a report's rows from what is measured, by method.

    ``benchmark`` is the title of what it was measured on. The mean IoU under the second segmenter
    has a column of its own and ranks nothing.

    Raises:
        HdbenchError: the results' fingerprints differ; each choice that differs is named.
    """
    names = [row.method or "" for row in report.rows]
    shown = {name: measured[name] for name in names if name in measured}
    require_comparable(shown)
    estimates = estimates_of({name: one.results for name, one in shown.items()})
    second = estimates_of({name: one.second for name, one in shown.items() if one.second})
    other = _other_budget(shown)
    rivals = {name for name, one in shown.items() if one.ranked} - other
    titles = [
        f"{row.title} {OTHER_BUDGET}" if row.method in other else row.title for row in report.rows
    ]
    group, second_by = f"measured: {benchmark}", _second_by(shown.values())
    people, programs, best = _Columns(names), _Columns(names), set[tuple[int, int]]()
    for column in report.columns:
        found = {name: one.of(column.score) for name, one in estimates.items()}
        best |= _best(column, names, found, rivals, len(people.heads))
        style = style_of(column)
        people.add(group, column.title, {n: estimate_text(e, style) for n, e in found.items()})
        for head, values in _parts(found).items():
            programs.add(group, f"{column.title} {head}", _texts(values, style))
    counts = {name: _seeds(one) for name, one in shown.items()}
    programs.add(group, "seeds", counts)
    if any(len(one.results) > 1 for one in shown.values()):
        people.add(group, "seeds", counts)
    for column in report.columns:
        if second and column.score == "mean_iou":
            style = style_of(column)
            found = {name: one.of(column.score) for name, one in second.items()}
            cells = {
                name: _of_fewer(estimate_text(one, style, False), one, shown[name])
                for name, one in found.items()
            }
            people.add(second_by, column.title, cells)
            for head, values in _parts(found).items():
                programs.add(second_by, f"{column.title} {head}", _texts(values, style))
    for column in report.columns:
        if any(row.published and column.score in row.published for row in report.rows):
            cells = [_published(row, column) for row in report.rows]
            for columns in (people, programs):
                columns.add_list(f"published: {report.published_on}", column.title, cells)
    return ScoreTable(
        people.frame(titles), programs.frame(titles), frozenset(best), estimates, other
    )


class _Columns:
    """Columns of cells, collected one by one."""

    def __init__(self, names: Sequence[str]) -> None:
        """Begin with none; ``names`` are the methods of the rows."""
        self.names = names
        self.heads: list[tuple[str, str]] = []
        self.cells: list[list[str]] = []

    def add(self, group: str, head: str, cells: Mapping[str, str]) -> None:
        """Add a column with a cell for each method that has one."""
        self.add_list(group, head, [cells.get(name, NOTHING) for name in self.names])

    def add_list(self, group: str, head: str, cells: list[str]) -> None:
        """Add a column with a cell for each row."""
        self.heads.append((group, head))
        self.cells.append(cells)

    def frame(self, titles: Sequence[str]) -> pd.DataFrame:
        """Return the table of these columns."""
        lines = [list(line) for line in zip(*self.cells, strict=True)]
        index = pd.Index(titles, name="method")
        return pd.DataFrame(lines, index=index, columns=pd.MultiIndex.from_tuples(self.heads))


def style_of(column: Column) -> Style:
    """Return how a column prints its score."""
    return Style(column.digits, column.factor)


def estimate_text(estimate: Estimate, style: Style, intervals: bool = True) -> str:
    """Return a score as a cell: each kind of uncertainty has brackets of its own.

    With one seed ``83.8 [82.9, 84.6]``, the interval over images; with two ``83.8 (83.1 to 84.5)``;
    with more ``83.8 ± 0.4``.
    """
    if estimate.mean is None:
        return NOTHING
    mean = style.text(estimate.mean)
    if estimate.deviation is not None:
        return f"{mean} ± {style.text(estimate.deviation)}"
    if estimate.range is not None:
        return f"{mean} ({style.text(estimate.range.low)} to {style.text(estimate.range.high)})"
    return style.text(estimate.mean, estimate.interval if intervals else None)


def _parts(found: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    """Return the numbers of a score by heading and method."""
    parts: dict[str, dict[str, float | None]] = {"mean": {}, "low": {}, "high": {}, "spread": {}}
    for name, one in found.items():
        numbers = (
            one.mean,
            one.interval and one.interval.low,
            one.interval and one.interval.high,
            one.spread,
        )
        for part, number in zip(parts.values(), numbers, strict=True):
            part[name] = number
    return parts


def _texts(values: Mapping[str, float | None], style: Style) -> dict[str, str]:
    return {name: style.text(value) for name, value in values.items()}


def _seeds(one: Measured) -> str:
    """Return how many seeds a method has; photographs, floors and imports have none."""
    trained = any(result.provenance.training for result in one.results)
    return str(len(one.results)) if trained or len(one.results) > 1 else NOTHING


def _of_fewer(text: str, second: Estimate, one: Measured) -> str:
    """Return a cell of the second segmenter, which says so if it has not scored all seeds."""
    if second.seeds == len(one.results):
        return text
    return f"{text}, {counted(second.seeds, 'seed')}"


def _second_by(shown: Iterable[Measured]) -> str:
    found = [result for one in shown for result in one.second]
    return _SECOND.format(**found[0].choices["segmenter"]) if found else ""


def _best(
    column: Column,
    names: Sequence[str],
    found: Mapping[str, Estimate],
    rivals: Container[str],
    place: int,
) -> set[tuple[int, int]]:
    """Return the cells of the highest mean, as printed, among the methods that are compared."""
    means = {
        name: round(one.mean * column.factor, column.digits)
        for name, one in found.items()
        if name in rivals and one.mean is not None
    }
    if len(means) < 2:
        return set()
    highest = max(means.values())
    return {(n, place) for n, name in enumerate(names) if means.get(name) == highest}


def _other_budget(shown: Mapping[str, Measured]) -> frozenset[str]:
    """Return the methods that saw another number of images than most, or than the first."""
    seen = {name: one.images_seen for name, one in shown.items() if one.images_seen is not None}
    usual = Counter(seen.values()).most_common(1)
    return frozenset(name for name, images in seen.items() if images != usual[0][0])


def _published(row: Row, column: Column) -> str:
    if row.published is None or column.score not in row.published:
        return NOTHING
    return Style(column.digits).text(row.published[column.score])
