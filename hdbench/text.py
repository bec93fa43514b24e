"""How numbers and names are written, decided once for tables, messages, pages and papers."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import jinja2

#: Stands where a value is undefined, or was neither measured nor published.
NOTHING = "–"


class Bounds(Protocol):
    """The ends of an interval (``hdbench.schema.record.Interval``)."""

    @property
    def low(self) -> float: ...  # noqa: D102

    @property
    def high(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Style:
    """How a kind of number is printed."""

    #: Digits after the point.
    digits: int
    #: Multiplies the number in print: 100 for per cent.
    factor: float = 1.0

    def text(self, value: float | None, interval: Bounds | None = None, sign: str = "") -> str:
        """Return ``83.8 [82.9, 84.6]``, or the value alone; ``NOTHING`` for None and NaN.

        ``sign="+"`` prints the sign of positive numbers too.
        """
        if value is None or math.isnan(value):
            return NOTHING

        def printed(number: float) -> str:
            rounded = round(number * self.factor, self.digits) + 0.0  # no "-0.00"
            return f"{rounded:{sign}.{self.digits}f}"

        if interval is None:
            return printed(value)
        return f"{printed(value)} [{printed(interval.low)}, {printed(interval.high)}]"


#: Pixel accuracy in per cent.
ACCURACY = Style(2, 100)
#: Mean IoU, and any other score from 0 to 1.
SCORE = Style(4)
#: The IoU of one class.
CLASS_IOU = Style(3)
#: A score over that of the real images.
RATIO = Style(3)
#: A share of people, pixels or images, or a score of one image, in per cent.
SHARE = Style(1, 100)
FID, KID, LPIPS = Style(2), Style(2, 1000), Style(4)
#: Kendall's tau.
CORRELATION = Style(2)


def number(value: float | None, factor: float, digits: int) -> str:
    """Return a number in print, or ``NOTHING`` if it is undefined."""
    return Style(digits, factor).text(value)


def percent(share: float | None, style: Style = SHARE) -> str:
    """Return ``83.8 %``, or ``NOTHING`` if it is undefined."""
    shown = style.text(share)
    return shown if shown == NOTHING else f"{shown} %"


def p_words(value: float | None) -> str:
    """Return a p-value as a table's cell: ``0.012``, ``<0.001``, or ``NOTHING``."""
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def p_text(value: float) -> str:
    """Return a p-value as a sentence has it: ``p = 0.012``, or ``p < 0.001``."""
    return "p < 0.001" if value < 0.001 else f"p = {p_words(value)}"


def duration(seconds: float) -> str:
    """Return a rounded time: ``50 s``, ``1 min 40 s``, ``47 min``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def value_and_beside(cell: str) -> tuple[str, str]:
    """Return a table's cell in two parts: its value, and the interval or range in brackets."""
    parts = re.fullmatch(r"(\S+) ([\[(].*[\])])", cell)
    return (parts[1], parts[2]) if parts else (cell, "")


def joined(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def first_of(names: Sequence[str], limit: int = 3) -> str:
    """Return ``a, b, c``, or ``a, b, c and 4 more`` where there are more than ``limit``."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def markdown(name: str) -> str:
    """Return a name that others chose as inert Markdown and HTML."""
    return "".join(f"\\{c}" if c in "\\`*_[]|#~" else c for c in html.escape(name, quote=False))


def inert(text: str, most: int = 120) -> str:
    """Return a text that others chose for a terminal: on one line, without control characters.

    Characters that are not printable, among them those that reverse the direction of a line, are
    replaced. A longer text is cut.
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def csv_cell(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe goes before it."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def latex(name: str) -> str:
    """Return a name that others chose as inert LaTeX, and the signs of tables in its own words."""
    return "".join(_LATEX.get(character, character) for character in name)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    NOTHING: "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def template(module: str, name: str) -> jinja2.Template:
    """Return a template of the folder ``pages`` beside a module's file.

    Those that end in ``.html`` escape every value that is not ``Markup``.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(module).parent / "pages"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=not name.endswith(".html"),
    )
    return environment.get_template(name)
