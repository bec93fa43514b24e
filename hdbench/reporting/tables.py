"""Tables as pandas frames, and their text, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import pandas as pd

from hdbench.evaluation.significance import Interval
from hdbench.evaluation.uncertainty import Intervals, in_words
from hdbench.inert import escaped, neutralised
from hdbench.schema.method import Method
from hdbench.schema.report import Column, Report, Row, Score
from hdbench.schema.result import ORACLE, Result, oracle_ratio

Format = Literal["text", "markdown", "csv"]
#: What a cell says where nobody measured or published anything.
NOTHING = "–"

#: How overall scores are printed where no report says it: heading, score, factor, digits.
OVERALL_COLUMNS: tuple[tuple[str, Score, float, int], ...] = (
    ("pixel acc. %", "pixel_accuracy", 100.0, 2),
    ("mean IoU", "mean_iou", 1.0, 4),
    ("of oracle's IoU", "oracle_ratio", 1.0, 3),
)


def score_tables(
    results: Sequence[Result], intervals: Mapping[str, Intervals] | None = None
) -> list[pd.DataFrame]:
    """Return the overall scores of results, and their class IoU, one method to a line or column.

    Args:
        results: one for each method.
        intervals: by method, printed beside the overall scores; None prints none.
    """
    names = [result.method for result in results]
    by_method = dict(zip(names, results, strict=True))
    overall = pd.DataFrame(
        {
            title: [score_cell(name, score, factor, digits, by_method, intervals) for name in names]
            for title, score, factor, digits in OVERALL_COLUMNS
        },
        index=pd.Index(names, name="method"),
    )
    classes = pd.DataFrame(
        {
            result.method: {
                name: number(value, 1, 3) for name, value in result.scores.class_iou.items()
            }
            for result in results
        }
    )
    classes.index.name = "class IoU"
    return [overall, classes]


def with_rows(report: Report, rows: Iterable[Row]) -> Report:
    """Return a report with those rows appended whose methods it does not name."""
    named = {row.method for row in report.rows}
    more = [row for row in rows if row.method not in named]
    return report.model_copy(update={"rows": [*report.rows, *more]})


def row_beside(method: Method, benchmark: str) -> Row:
    """Return the row of a method that was trained on the benchmark beside a report's own."""
    title = f"{method.title}, trained on '{benchmark}'"
    return Row(title=title, method=f"{method.name} ({benchmark})")


def report_table(
    report: Report,
    results: Mapping[str, Result],
    measured_on: str,
    intervals: Mapping[str, Intervals] | None = None,
    bounds_apart: bool = False,
    second: Mapping[str, Result] | None = None,
    second_by: str = "",
) -> pd.DataFrame:
    """Return a report's table: columns measured here, then columns published, never mixed.

    Args:
        report: rows and columns.
        results: what was measured, by method.
        measured_on: heading of the measured columns.
        intervals: of what was measured, by method; None prints none.
        bounds_apart: give each bound a column of its own, for machines, instead of
            ``83.8 [82.9, 84.6]``.
        second: what the second segmenter measured, by method; its mean IoU gets a column.
        second_by: heading of that column's group.
    """
    heads: list[tuple[str, str]] = []
    columns: list[list[str]] = []
    methods = [row.method or "" for row in report.rows]
    for column in report.columns:
        score, factor, digits = column.score, column.factor, column.digits
        beside = None if bounds_apart else intervals
        heads.append((measured_on, column.title))
        columns.append(
            [score_cell(name, score, factor, digits, results, beside) for name in methods]
        )
        for bound in ("low", "high") if bounds_apart else ():
            found = [_interval(name, score, intervals) for name in methods]
            heads.append((measured_on, f"{column.title} {bound}"))
            columns.append(
                [number(getattr(interval, bound, None), factor, digits) for interval in found]
            )
    for column in report.columns:
        if second and column.score == "mean_iou":
            heads.append((second_by, column.title))
            columns.append(
                [
                    score_cell(name, column.score, column.factor, column.digits, second, None)
                    for name in methods
                ]
            )
    for column in report.columns:
        if any(row.published and column.score in row.published for row in report.rows):
            heads.append((f"published: {report.published_on}", column.title))
            columns.append([_published(row, column) for row in report.rows])
    index = pd.Index([row.title for row in report.rows], name="method")
    lines = [list(line) for line in zip(*columns, strict=True)]
    return pd.DataFrame(lines, index=index, columns=pd.MultiIndex.from_tuples(heads))


def render(table: pd.DataFrame, form: Format) -> str:
    """Return a table as aligned text, Markdown or CSV.

    Names of rows and columns may be anybody's: in Markdown no HTML runs, in CSV no formula.
    """
    if form == "csv":
        flat = table.copy()
        if isinstance(flat.columns, pd.MultiIndex):
            flat.columns = [" | ".join(map(str, names)) for names in flat.columns]
        flat.columns = [neutralised(str(name)) for name in flat.columns]
        flat.index = pd.Index([neutralised(str(name)) for name in flat.index], name=flat.index.name)
        return flat.replace(NOTHING, "").to_csv().rstrip("\n")
    heads = _heads(table)
    rows = [
        [str(name), *map(str, line)]
        for name, line in zip(table.index, table.values.tolist(), strict=True)
    ]
    if form == "markdown":
        titles = ["<br>".join(escaped(part) for part in head if part) for head in heads]
        rows = [[escaped(name), *line] for name, *line in rows]
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


def score_cell(
    method: str,
    score: Score,
    factor: float,
    digits: int,
    results: Mapping[str, Result],
    intervals: Mapping[str, Intervals] | None,
) -> str:
    """Return one method's score, with its interval if there is one, or that there is nothing."""
    result = results.get(method)
    if result is None:
        return NOTHING
    if score == "oracle_ratio":
        oracle = results.get(ORACLE)
        value = None if oracle is None else oracle_ratio(result, oracle)
    else:
        value = result.scores.overall(score)
    return in_words(value, _interval(method, score, intervals), factor, digits) or NOTHING


def _interval(
    method: str, score: str, intervals: Mapping[str, Intervals] | None
) -> Interval | None:
    return intervals[method].of(score) if intervals and method in intervals else None


def _published(row: Row, column: Column) -> str:
    if row.published is None or column.score not in row.published:
        return NOTHING
    return number(row.published[column.score], 1, column.digits)


def p_words(value: float | None) -> str:
    """Return a p-value with three digits, or that there is none."""
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def number(value: float | None, factor: float, digits: int, sign: str = "") -> str:
    """Return a number in print, or that there is none."""
    return in_words(value, None, factor, digits, sign) or NOTHING
