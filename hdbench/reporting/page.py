"""A report as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup
from torch import Tensor

from hdbench.data.labels import LabelClass
from hdbench.data.sheets import encode_jpeg, encode_png, to_pil
from hdbench.reporting.metric_tables import MetricTable
from hdbench.text import template


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
    """The pictures of one scene, side by side."""

    name: str
    #: uint8 H x W label ids, as they are shown.
    label: Tensor
    pictures: list[Picture]


def render_page(
    *,
    title: str,
    subtitle: str,
    table: pd.DataFrame,
    notes: Sequence[str],
    metrics: Sequence[MetricTable],
    score_chart: str,
    class_chart: str,
    confusion_charts: Mapping[str, str],
    loss_charts: Sequence[str],
    scenes: Sequence[SceneStrip],
    scenes_note: str,
    legend: Sequence[LabelClass],
    facts: Mapping[str, str],
) -> str:
    """Return the page as HTML text.

    Charts are SVG text, inserted as they are, and empty if absent; of ``confusion_charts``, by
    method, the first is shown unfolded. The template escapes all other text. Every scene has
    pictures with the same captions; ``facts`` are the provenance, by name.
    """
    groups: list[dict[str, Any]] = []
    published: list[bool] = []
    for group, column in table.columns:
        is_published = group.startswith("published")
        published.append(is_published)
        if not groups or groups[-1]["title"] != group:
            groups.append({"title": group, "columns": [], "published": is_published})
        groups[-1]["columns"].append(column)
    rows = [
        {
            "title": name,
            "cells": [
                {"text": text, "published": flag}
                for text, flag in zip(line, published, strict=True)
            ],
        }
        for name, line in zip(table.index, table.values.tolist(), strict=True)
    ]
    return template(__file__, "report.html").render(
        title=title,
        subtitle=subtitle,
        groups=groups,
        rows=rows,
        notes=notes,
        metrics=[
            {
                "title": one.title,
                "columns": [one.table.index.name, *(str(column) for column in one.table.columns)],
                "rows": list(zip(one.table.index, one.table.values.tolist(), strict=True)),
                "notes": one.notes,
            }
            for one in metrics
        ],
        score_chart=Markup(score_chart),
        class_chart=Markup(class_chart),
        confusion_charts=[(name, Markup(chart)) for name, chart in confusion_charts.items()],
        loss_charts=[Markup(chart) for chart in loss_charts],
        scenes=[
            {
                "name": strip.name,
                "pictures": [
                    {"caption": picture.caption, "source": _data_uri(picture)}
                    for picture in strip.pictures
                ],
            }
            for strip in scenes
        ],
        scenes_note=scenes_note,
        columns=max((len(strip.pictures) for strip in scenes), default=1),
        legend=legend,
        facts=list(facts.items()),
    )


def _data_uri(picture: Picture) -> str:
    image = to_pil(picture.pixels)
    if picture.photographic:
        kind, content = "jpeg", encode_jpeg(image)
    else:
        kind, content = "png", encode_png(image, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
