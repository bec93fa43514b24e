"""How every figure looks, in one place, and figures as SVG and PNG."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec

import matplotlib
from matplotlib.figure import Figure

INK = "#1f2530"
GRID = "#dfe3e8"
#: Okabe and Ito's colours, which people with any colour vision tell apart. The lightest ones come
#: late; marks and dashes tell lines apart without colours.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))
#: Of what is no method under comparison: the oracle and the floors.
REFERENCES = ("#8a93a0", "#c3c9d1")

_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
    "svg.hashsalt": "hdbench",  # the same figure is the same bytes
}
_PNG_DPI = 160

Arguments = ParamSpec("Arguments")


def in_style() -> AbstractContextManager[None]:
    """Return a context in which what is drawn has hdbench's style."""
    return matplotlib.rc_context(_STYLE)


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Have a function draw its figure in hdbench's style, whatever matplotlib's settings are."""

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **options: Arguments.kwargs) -> Figure:
        with in_style():
            return draw(*args, **options)

    return drawn


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG text; the same figure gives the same bytes."""
    buffer = io.StringIO()
    with in_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), count=1, flags=re.DOTALL)


def png_of(figure: Figure) -> bytes:
    """Return a figure as a PNG file's content, without the version of what drew it."""
    buffer = io.BytesIO()
    with in_style():
        figure.savefig(buffer, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def plain(text: str) -> str:
    """Return a text escaped so that matplotlib does not read it as a formula."""
    return text.replace("\\", "\\\\").replace("$", r"\$") if "$" in text else text
