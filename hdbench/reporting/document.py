"""What a report is made of: sections with tables, figures and pictures, and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from hdbench.data.labels import LabelClass
from hdbench.reporting.style import png_of, svg_of
from hdbench.reporting.tables import SUFFIXES, Best, Format, render
from hdbench.storage import write_atomically
from hdbench.text import markdown


@dataclass(frozen=True)
class Chart:
    """A figure with its caption."""

    #: What its files are called beside the report's.
    name: str
    caption: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The figure as SVG text, for the page and for a file of its own."""
        return svg_of(self.figure)


@dataclass(frozen=True)
class Picture:
    """One picture of a scene."""

    caption: str
    #: uint8 3 x H x W.
    pixels: Tensor
    #: Whether it is stored as JPEG; label maps are stored as PNG.
    photographic: bool


@dataclass(frozen=True)
class SceneStrip:
    """The pictures of one scene, side by side, in rows that all have as many."""

    name: str
    #: uint8 H x W label ids, as they are shown.
    label: Tensor
    rows: list[list[Picture]]


@dataclass(frozen=True)
class Section:
    """One part of a report."""

    title: str
    #: What its files are called beside the report's; empty for what stands on the page alone.
    name: str = ""
    #: Rows have names; columns may have groups, of which published ones begin with that word.
    table: pd.DataFrame | None = None
    #: The same for programs; None if it is ``table``.
    numbers: pd.DataFrame | None = None
    best: Best = frozenset()
    #: Rows in which nothing is measured yet, by number, with the command that fills them.
    missing: Mapping[int, str] = field(default_factory=dict[int, str])
    #: Sentences below the table.
    notes: Sequence[str] = ()
    #: Sentences that stand on the page alone.
    remarks: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    #: Charts that the page shows when they are asked for.
    folded: Sequence[Chart] = ()
    strips: Sequence[SceneStrip] = ()
    legend: Sequence[LabelClass] = ()
    #: Whether a page of several reports shows it.
    in_summary: bool = True


@dataclass(frozen=True)
class Document:
    """A report with everything that its files show."""

    #: What its files are called.
    stem: str
    title: str
    subtitle: str
    sections: Sequence[Section]
    #: Where it comes from, by name.
    facts: Mapping[str, str]
    #: Stands on top of every file: that its answers are simulated.
    mark: str = ""
    #: Further files by name, such as a sheet of pictures.
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    #: Whether it shows more than the oracle and the floors.
    measured: bool = True


def write_document(folder: Path, document: Document, page: str) -> dict[str, Path]:
    """Write a report's files and return their paths by format.

    These are text and Markdown with all tables, CSV and LaTeX of the first table, the page, and by
    their own names the other tables and each figure as SVG and PNG.
    """
    paths: dict[str, Path] = {}

    def write(key: str, name: str, content: bytes) -> None:
        paths[key] = folder / f"{document.stem}{name}"
        write_atomically(paths[key], content)

    tables = [section for section in document.sections if section.name]
    for form in ("text", "markdown"):
        if tables:
            text = "\n\n".join(_written(document, tables, form))
            write(form, f".{SUFFIXES[form]}", f"{text}\n".encode())
    for n, section in enumerate(tables):
        for form in ("csv", "latex"):  # one table, for programs and for papers
            key, name = (form, "") if n == 0 else (f"{section.name} {form}", f".{section.name}")
            numbers = section.numbers if form == "csv" else section.table
            table = section.table if numbers is None else numbers
            assert table is not None
            text = render(table, form, section.best)
            write(key, f"{name}.{SUFFIXES[form]}", f"{text}\n".encode())
    for section in document.sections:
        for chart in section.charts:
            write(f"{chart.name} svg", f".{chart.name}.svg", chart.svg.encode())
            write(f"{chart.name} png", f".{chart.name}.png", png_of(chart.figure))
    for name, content in document.files.items():
        write(name, f".{name}", content)
    write("page", ".html", page.encode())
    return paths


def write_summary(
    folder: Path, stem: str, title: str, documents: Sequence[Document], page: str
) -> dict[str, Path]:
    """Write several reports as text, Markdown and one page, and return the paths by format."""
    paths: dict[str, Path] = {}
    for form in ("text", "markdown"):
        parts = [title if form == "text" else f"# {markdown(title)}"]
        for document in documents:
            tables = [section for section in document.sections if section.name]
            if tables:
                head = document.title
                parts.append(head if form == "text" else f"## {markdown(head)}")
                parts += _written(document, tables, form)
        paths[form] = folder / f"{stem}.{SUFFIXES[form]}"
        write_atomically(paths[form], ("\n\n".join(parts) + "\n").encode())
    paths["page"] = folder / f"{stem}.html"
    write_atomically(paths["page"], page.encode())
    return paths


def _written(document: Document, tables: Sequence[Section], form: Format) -> list[str]:
    """Return the paragraphs of a report as text or Markdown."""
    parts = [document.mark] if document.mark else []
    for n, section in enumerate(tables):
        assert section.table is not None
        if n:
            parts.append(section.title if form == "text" else f"### {markdown(section.title)}")
        parts.append(render(section.table, form, section.best))
        below = [*section.notes, *_missing_line(section, form)]
        if below:
            parts.append("\n".join(below) if form == "text" else "\n\n".join(below))
    return parts


def _missing_line(section: Section, form: Format) -> list[str]:
    if not section.missing or section.table is None:
        return []
    titles = [str(title) for title in section.table.index]
    entries = [f"{titles[place]}: '{command}'" for place, command in section.missing.items()]
    line = f"not measured yet: {'; '.join(entries)}"
    return [markdown(line) if form == "markdown" else line]
