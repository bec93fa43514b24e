"""Tables as pandas frames, and their text, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import pandas as pd

from hdbench.results import ORACLE, Result, oracle_ratio
from hdbench.schema.method import Method
from hdbench.schema.report import Column, Report, Row

Format = Literal["text", "markdown", "csv"]
#: What a cell says where nobody measured or published anything.
NOTHING = "–"


def score_tables(results: Sequence[Result]) -> list[pd.DataFrame]:
    """Return the overall scores of results, and their class IoU, one method to a line or column."""
    oracle = next((result for result in results if result.method == ORACLE), None)
    overall = pd.DataFrame(
        {
            "pixel acc. %": [_number(r.scores["pixel_accuracy"], 100, 2) for r in results],
            "mean IoU": [_number(r.scores["mean_iou"], 1, 4) for r in results],
            "of oracle's IoU": [
                _number(None if oracle is None else oracle_ratio(r, oracle), 1, 3) for r in results
            ],
        },
        index=pd.Index([result.method for result in results], name="method"),
    )
    classes = pd.DataFrame(
        {
            result.method: {
                name: _number(value, 1, 3) for name, value in result.scores["class_iou"].items()
            }
            for result in results
        }
    )
    classes.index.name = "class IoU"
    return [overall, classes]


def with_rows_of(report: Report, methods: Iterable[Method]) -> Report:
    """Return a report with a row more for each method that it does not name."""
    named = {row.method for row in report.rows}
    more = [
        Row(title=method.title, method=method.name)
        for method in methods
        if method.name not in named
    ]
    return report.model_copy(update={"rows": [*report.rows, *more]})


def report_table(report: Report, results: Mapping[str, Result], measured_on: str) -> pd.DataFrame:
    """Return a report's table: columns measured here, then columns published, never mixed.

    Args:
        report: rows and columns.
        results: what was measured, by method.
        measured_on: heading of the measured columns.
    """
    groups = [(measured_on, column) for column in report.columns]
    groups += [
        (f"published: {report.published_on}", column)
        for column in report.columns
        if any(row.published and column.score in row.published for row in report.rows)
    ]
    heads = pd.MultiIndex.from_tuples([(group, column.title) for group, column in groups])
    lines = [
        [
            _measured(row, column, results) if group == measured_on else _published(row, column)
            for group, column in groups
        ]
        for row in report.rows
    ]
    index = pd.Index([row.title for row in report.rows], name="method")
    return pd.DataFrame(lines, index=index, columns=heads)


def render(table: pd.DataFrame, form: Format) -> str:
    """Return a table as aligned text, Markdown or CSV."""
    if form == "csv":
        flat = table.copy()
        if isinstance(flat.columns, pd.MultiIndex):
            flat.columns = [" | ".join(map(str, names)) for names in flat.columns]
        return flat.replace(NOTHING, "").to_csv().rstrip("\n")
    heads = _heads(table)
    rows = [
        [str(name), *map(str, line)]
        for name, line in zip(table.index, table.values.tolist(), strict=True)
    ]
    if form == "markdown":
        titles = ["<br>".join(part for part in head if part) for head in heads]
        rule = ["---", *["---:"] * (len(titles) - 1)]
        return "\n".join("| " + " | ".join(line) + " |" for line in [titles, rule, *rows])
    return _aligned(heads, rows)


def _heads(table: pd.DataFrame) -> list[tuple[str, str]]:
    first = ("", str(table.index.name or ""))
    if isinstance(table.columns, pd.MultiIndex):
        return [first, *[(str(group), str(title)) for group, title in table.columns]]
    return [first, *[("", str(title)) for title in table.columns]]


def _aligned(heads: list[tuple[str, str]], rows: list[list[str]]) -> str:
    widths = [
        max(len(head[1]), *(len(row[n]) for row in rows)) if rows else len(head[1])
        for n, head in enumerate(heads)
    ]
    spans = _spans(heads)
    for start, stop, group in spans:  # a group's heading may be wider than its columns
        lack = len(group) - sum(widths[start:stop]) - 2 * (stop - start - 1)
        widths[stop - 1] += max(0, lack)
    lines = []
    if any(group for _, _, group in spans):
        parts = [
            group.ljust(sum(widths[start:stop]) + 2 * (stop - start - 1))
            for start, stop, group in spans
        ]
        lines.append("  ".join(parts).rstrip())
    titles = [head[1] for head in heads]
    for cells in (titles, ["-" * width for width in widths], *rows):
        line = [cells[0].ljust(widths[0])]
        line += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        lines.append("  ".join(line).rstrip())
    return "\n".join(lines)


def _spans(heads: list[tuple[str, str]]) -> list[tuple[int, int, str]]:
    """Return (start, stop, group) of neighbouring columns that share a group."""
    spans: list[tuple[int, int, str]] = []
    for n, (group, _) in enumerate(heads):
        if spans and spans[-1][2] == group and n > 1:
            spans[-1] = (spans[-1][0], n + 1, group)
        else:
            spans.append((n, n + 1, group))
    return spans


def _measured(row: Row, column: Column, results: Mapping[str, Result]) -> str:
    result = results.get(row.method or "")
    if result is None:
        return NOTHING
    if column.score == "oracle_ratio":
        oracle = results.get(ORACLE)
        value = None if oracle is None else oracle_ratio(result, oracle)
    else:
        value = result.scores[column.score]
    return _number(value, column.factor, column.digits)


def _published(row: Row, column: Column) -> str:
    if row.published is None or column.score not in row.published:
        return NOTHING
    return _number(row.published[column.score], 1, column.digits)


def _number(value: float | None, factor: float, digits: int) -> str:
    return NOTHING if value is None else f"{value * factor:.{digits}f}"
