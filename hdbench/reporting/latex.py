"""Tables in LaTeX, for a paper that loads ``booktabs`` and ``graphicx``."""

from __future__ import annotations

import re
import textwrap
from itertools import groupby

import pandas as pd

from hdbench.text import latex, value_and_beside

#: Cells to be set off, by row and column.
Best = frozenset[tuple[int, int]]

#: Characters of a group's name for each of its columns; a longer name has several lines.
_WIDTH = 16
#: A table wider than the line is made smaller; no other is changed.
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def latex_table(table: pd.DataFrame, best: Best) -> str:
    """Return a tabular environment that is no wider than the line; all names are escaped.

    The names of groups of columns span them. What stands in brackets beside a value is below it, in
    smaller type. Cells of ``best`` are bold.
    """
    heads = [head if isinstance(head, tuple) else (head,) for head in table.columns]
    lines = [_FITTED, rf"\begin{{tabular}}{{l{'r' * len(heads)}}}", r"\toprule"]
    if isinstance(table.columns, pd.MultiIndex):
        spans, rules, first = [], [], 2
        for group, own in groupby(head[0] for head in heads):
            count = len(list(own))
            name = _broken(str(group), _WIDTH * count)
            spans.append(rf"\multicolumn{{{count}}}{{c}}{{{name}}}")
            rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
            first += count
        lines += [f" & {' & '.join(spans)} \\\\", " ".join(rules)]
    names = [str(table.index.name), *(str(head[-1]) for head in heads)]
    lines += [_row([latex(name) for name in names]), r"\midrule"]
    for n, (name, cells) in enumerate(lines_of(table)):
        values, below = [latex(name)], [""]
        for m, cell in cells:
            value, beside = value_and_beside(cell)
            shown = _number(value)
            values.append(rf"\textbf{{{shown}}}" if (n, m) in best else shown)
            below.append(rf"\scriptsize {_number(beside)}" if beside else "")
        if any(below):
            lines += [_row(values, "[-0.6ex]"), _row(below, "[0.6ex]")]
        else:
            lines.append(_row(values))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}"])


def lines_of(table: pd.DataFrame) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return each row's name and its cells with their places."""
    return [
        (str(name), list(enumerate(map(str, cells))))
        for name, cells in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]


def _row(cells: list[str], space: str = "") -> str:
    """Return a row; the next one must not begin like an argument of its end."""
    first, *others = cells
    if first[:1] in ("[", "*"):
        first = f"{{}}{first}"
    return " & ".join([first, *others]) + rf" \\{space}"


def _broken(name: str, width: int) -> str:
    lines = [latex(line) for line in textwrap.wrap(name, width)]
    if len(lines) < 2:
        return latex(name)
    return r"\begin{tabular}[b]{@{}c@{}}" + r" \\ ".join(lines) + r"\end{tabular}"


def _number(cell: str) -> str:
    """Return a cell in which a hyphen before a number is a minus sign."""
    return re.sub(r"(?<!\S)-(?=\d)|(?<=[\[(])-(?=\d)", "$-$", latex(cell))
