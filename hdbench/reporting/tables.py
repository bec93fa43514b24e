"""Tables as pandas frames, and how they are written as text, Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import pandas as pd
from tabulate import TableFormat, tabulate

from hdbench.evaluation.uncertainty import Intervals
from hdbench.schema.method import Method
from hdbench.schema.record import Interval
from hdbench.schema.report import Column, Report, Row, Score
from hdbench.schema.result import ORACLE, Overall, Result, oracle_ratio
from hdbench.text import (
    ACCURACY,
    CLASS_IOU,
    NOTHING,
    RATIO,
    SCORE,
    Style,
    csv_cell,
    markdown,
)

Format = Literal["text", "markdown", "csv", "latex"]
#: What a report's files are called, by format.
SUFFIXES: dict[Format, str] = {"text": "txt", "markdown": "md", "csv": "csv", "latex": "tex"}

#: The heading and style of each overall score, as printed outside reports.
COLUMNS: dict[Overall, tuple[str, Style]] = {
    "pixel_accuracy": ("pixel acc. %", ACCURACY),
    "mean_iou": ("mean IoU", SCORE),
}


def score_tables(
    results: Sequence[Result], intervals: Mapping[str, Intervals] | None = None
) -> list[pd.DataFrame]:
    """Return the overall scores, one row per method, and the class IoU, one column per method."""
    names = [result.method for result in results]
    by_method = dict(zip(names, results, strict=True))
    columns: dict[Score, tuple[str, Style]] = {
        **COLUMNS,
        "oracle_ratio": ("of oracle's IoU", RATIO),
    }
    overall = pd.DataFrame(
        {
            title: [score_cell(name, score, style, by_method, intervals) for name in names]
            for score, (title, style) in columns.items()
        },
        index=pd.Index(names, name="method"),
    )
    classes = pd.DataFrame(
        {
            result.method: {
                name: CLASS_IOU.text(value) for name, value in result.scores.class_iou.items()
            }
            for result in results
        }
    )
    classes.index.name = "class IoU"
    return [overall, classes]


def with_rows(report: Report, rows: Iterable[Row]) -> Report:
    """Return a report with rows appended for the methods that it does not name."""
    named = {row.method for row in report.rows}
    more = [row for row in rows if row.method not in named]
    return report.model_copy(update={"rows": [*report.rows, *more]})


def row_beside(method: Method, benchmark: str) -> Row:
    """Return the row of a method that was trained on the benchmark named in ``beside``."""
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
    """Return a report's table: measured columns first, published columns after them.

    ``measured_on`` is the heading of the measured columns. ``bounds_apart`` gives each bound of an
    interval its own column, for CSV, instead of printing ``83.8 [82.9, 84.6]``. The mean IoU of
    ``second``, the results under the second segmenter, gets a column under ``second_by``.
    """
    heads: list[tuple[str, str]] = []
    columns: list[list[str]] = []
    methods = [row.method or "" for row in report.rows]
    for column in report.columns:
        score, style = column.score, Style(column.digits, column.factor)
        beside = None if bounds_apart else intervals
        heads.append((measured_on, column.title))
        columns.append([score_cell(name, score, style, results, beside) for name in methods])
        for bound in ("low", "high") if bounds_apart else ():
            found = [_interval(name, score, intervals) for name in methods]
            heads.append((measured_on, f"{column.title} {bound}"))
            columns.append([style.text(getattr(interval, bound, None)) for interval in found])
    for column in report.columns:
        if second and column.score == "mean_iou":
            style = Style(column.digits, column.factor)
            heads.append((second_by, column.title))
            columns.append(
                [score_cell(name, column.score, style, second, None) for name in methods]
            )
    for column in report.columns:
        if any(row.published and column.score in row.published for row in report.rows):
            heads.append((f"published: {report.published_on}", column.title))
            columns.append([_published(row, column) for row in report.rows])
    index = pd.Index([row.title for row in report.rows], name="method")
    lines = [list(line) for line in zip(*columns, strict=True)]
    return pd.DataFrame(lines, index=index, columns=pd.MultiIndex.from_tuples(heads))


def render(table: pd.DataFrame, form: Format) -> str:
    """Return a table as aligned text, Markdown, CSV or LaTeX (booktabs); all names are escaped."""
    if form == "text":
        return _aligned(table)
    heads = [head if isinstance(head, tuple) else (head,) for head in table.columns]
    flat = table.copy()
    if form == "csv":
        flat.columns = [csv_cell(" | ".join(map(str, head))) for head in heads]
        flat.index = pd.Index([csv_cell(str(name)) for name in flat.index], name=flat.index.name)
        return flat.replace(NOTHING, "").to_csv().rstrip("\n")
    if form == "markdown":
        flat.columns = ["<br>".join(markdown(str(part)) for part in head) for head in heads]
        flat.index = pd.Index([markdown(str(name)) for name in flat.index], name=flat.index.name)
        return _laid_out(flat.reset_index(allow_duplicates=True), _MARKDOWN)
    flat.columns = [" | ".join(map(str, head)) for head in heads]
    return _laid_out(flat.reset_index(allow_duplicates=True), "latex_booktabs")


def _aligned(table: pd.DataFrame) -> str:
    """Return a table as text; where columns have groups, each group's name stands above them."""
    if not isinstance(table.columns, pd.MultiIndex):
        return _laid_out(table.reset_index(allow_duplicates=True), "simple")
    of_column = table.columns.get_level_values(0)
    groups = [("", table.index.to_frame())]
    for group in of_column.unique():
        groups.append((str(group), table.loc[:, of_column == group].droplevel(0, axis=1)))
    blocks: list[list[str]] = []
    for group, own in groups:
        lines = _laid_out(own, "simple", names=not group).splitlines()
        width = max(len(group), len(lines[1]))
        blocks.append(
            [group.ljust(width), *(line.ljust(len(lines[1])).rjust(width) for line in lines)]
        )
    return "\n".join("  ".join(parts).rstrip() for parts in zip(*blocks, strict=True))


def _laid_out(table: pd.DataFrame, layout: str | TableFormat, names: bool = True) -> str:
    """Return a table without its index; its first column is left-aligned."""
    return tabulate(
        [list(map(str, line)) for line in table.to_numpy().tolist()],
        headers=list(map(str, table.columns)),
        tablefmt=layout,
        stralign="right",
        colalign=["left"] if names else None,
        disable_numparse=True,
    )


def _markdown_row(cells: list[str], widths: list[int], aligns: list[str]) -> str:
    return f"| {' | '.join(cell.strip() for cell in cells)} |"


def _markdown_rule(widths: list[int], aligns: list[str]) -> str:
    cells = ["---" if align == "left" else "---:" for align in aligns]
    return _markdown_row(cells, widths, aligns)


#: Without padding, so that a changed number changes one line of a committed table.
_MARKDOWN = TableFormat(None, _markdown_rule, None, None, _markdown_row, _markdown_row, 0, None)


def score_cell(
    method: str,
    score: Score,
    style: Style,
    results: Mapping[str, Result],
    intervals: Mapping[str, Intervals] | None,
) -> str:
    """Return a method's score with its interval, or ``NOTHING`` if it was not measured."""
    result = results.get(method)
    if result is None:
        return NOTHING
    if score == "oracle_ratio":
        oracle = results.get(ORACLE)
        value = None if oracle is None else oracle_ratio(result, oracle)
    else:
        value = result.scores.overall(score)
    return style.text(value, _interval(method, score, intervals))


def _interval(
    method: str, score: str, intervals: Mapping[str, Intervals] | None
) -> Interval | None:
    return intervals[method].of(score) if intervals and method in intervals else None


def _published(row: Row, column: Column) -> str:
    if row.published is None or column.score not in row.published:
        return NOTHING
    return Style(column.digits).text(row.published[column.score])
