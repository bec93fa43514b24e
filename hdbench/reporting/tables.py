"""Tables as pandas frames, and how they are written as text, Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
from tabulate import TableFormat, tabulate

from hdbench.evaluation.uncertainty import Intervals
from hdbench.reporting.latex import Best, latex_table, lines_of
from hdbench.schema.record import Interval
from hdbench.schema.report import Score
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


def render(table: pd.DataFrame, form: Format, best: Best = frozenset()) -> str:
    """Return a table as aligned text, Markdown, CSV or LaTeX (booktabs); all names are escaped.

    Cells of ``best``, by row and column, are bold in Markdown and LaTeX.
    """
    if form == "text":
        return _aligned(table)
    if form == "latex":
        return latex_table(table, best)
    heads = [head if isinstance(head, tuple) else (head,) for head in table.columns]
    if form == "csv":
        flat = table.replace(NOTHING, "")
        flat.columns = [csv_cell(" | ".join(map(str, head))) for head in heads]
        flat.index = pd.Index([csv_cell(str(name)) for name in flat.index], name=flat.index.name)
        return flat.to_csv().rstrip("\n")
    lines = [
        [markdown(str(name)), *(f"**{cell}**" if (n, m) in best else cell for m, cell in cells)]
        for n, (name, cells) in enumerate(lines_of(table))
    ]
    names = [str(table.index.name), *("<br>".join(markdown(str(p)) for p in h) for h in heads)]
    return _laid_out(pd.DataFrame(lines, columns=pd.Index(names)), _MARKDOWN)


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
