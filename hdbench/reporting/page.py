"""Reports as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from hdbench.data.sheets import encode_jpeg, encode_png, to_pil
from hdbench.reporting.document import Chart, Document, Picture, Section
from hdbench.reporting.tables import Best
from hdbench.text import template, value_and_beside


def render_page(
    title: str, subtitle: str, documents: Sequence[Document], remarks: Sequence[str] = ()
) -> str:
    """Return a page of one or several reports as HTML text.

    The template escapes all text but figures. Of several reports, it shows a table of contents, and
    of each report what ``Section.in_summary`` says; ``remarks`` are sentences about all of them.
    """
    several = len(documents) > 1
    said: set[str] = set()
    return template(__file__, "report.html").render(
        title=title,
        subtitle=subtitle,
        remarks=remarks,
        several=several,
        documents=[
            {
                "anchor": document.stem,
                "title": document.title,
                "subtitle": document.subtitle,
                "mark": document.mark,
                "facts": document.facts,
                "sections": [
                    _section(section, said)
                    for section in document.sections
                    if section.in_summary or not several
                ],
            }
            for document in documents
        ],
    )


def _section(section: Section, said: set[str]) -> dict[str, Any]:
    """Return a section for the template; remarks that were ``said`` above are left out."""
    remarks = [remark for remark in section.remarks if remark not in said]
    said.update(remarks)
    return {
        "title": section.title,
        "table": None
        if section.table is None
        else _table(section.table, section.best, section.missing),
        "notes": section.notes,
        "remarks": remarks,
        "charts": [_chart(chart) for chart in section.charts],
        "folded": [_chart(chart) for chart in section.folded],
        "strips": [
            {
                "name": strip.name,
                "columns": len(strip.rows[0]),
                "rows": [
                    [{"caption": picture.caption, "source": _data_uri(picture)} for picture in row]
                    for row in strip.rows
                ],
            }
            for strip in section.strips
        ],
        "legend": section.legend,
    }


def _chart(chart: Chart) -> dict[str, Any]:
    return {"caption": chart.caption, "svg": Markup(chart.svg)}


def _table(table: pd.DataFrame, best: Best, missing: Mapping[int, str]) -> dict[str, Any]:
    """Return a table for the template: groups of columns, and rows of cells."""
    heads = [head if isinstance(head, tuple) else ("", head) for head in table.columns]
    groups: list[dict[str, Any]] = []
    for group, column in heads:
        if not groups or groups[-1]["title"] != group:
            published = str(group).startswith("published")
            groups.append({"title": group, "columns": [], "published": published})
        groups[-1]["columns"].append(column)
    published = [group["published"] for group in groups for _ in group["columns"]]
    rows = [
        {
            "title": name,
            "command": missing.get(n),
            "cells": [
                {
                    "parts": value_and_beside(str(text)),
                    "published": published[m],
                    "best": (n, m) in best,
                }
                for m, text in enumerate(line)
            ],
        }
        for n, (name, line) in enumerate(zip(table.index, table.to_numpy().tolist(), strict=True))
    ]
    return {
        "name": table.index.name or "",
        "grouped": isinstance(table.columns, pd.MultiIndex),
        "groups": groups,
        "measured": published.count(False),
        "rows": rows,
    }


def _data_uri(picture: Picture) -> str:
    image = to_pil(picture.pixels)
    if picture.photographic:
        kind, content = "jpeg", encode_jpeg(image)
    else:
        kind, content = "png", encode_png(image, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
