"""Names that others chose, made harmless where text is read as more than text.

Pages escape by themselves (jinja2's autoescape); Markdown and spreadsheets do not.
"""

from __future__ import annotations

import html


def escaped(name: str) -> str:
    """Return a name as inert Markdown and HTML."""
    return "".join(f"\\{c}" if c in "\\`*_[]|#~" else c for c in html.escape(name, quote=False))


def neutralised(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe goes before it."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
