"""A leaderboard of many labs' bundles as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hdbench.data.loading import read_photograph
from hdbench.data.sheets import encode_jpeg, to_pil
from hdbench.errors import counted
from hdbench.evaluation.explain import explain
from hdbench.evaluation.uncertainty import NOTE, Intervals
from hdbench.schema.bundle import BundleEntry
from hdbench.schema.result import Result, oracle_ratio
from hdbench.text import ACCURACY, NOTHING, RATIO, SCORE, Style, inert, template

_WIDEST = 384  # pixels of an image on the page


@dataclass(frozen=True)
class Ranked:
    """One method of one bundle with all of its seeds."""

    #: By seed.
    entries: list[BundleEntry]
    #: The bundle's oracle; None where it has none.
    oracle: Result | None
    #: Of each entry, by its name.
    intervals: Mapping[str, Intervals]
    #: How many of the sampled images were scored again with equal matrices, by name of entry.
    rescored: Mapping[str, int]
    #: Bundles that have this row, matrix for matrix: references are the same everywhere.
    bundles: list[str]
    #: How many images are sampled.
    sampled: int

    @property
    def first(self) -> BundleEntry:
        """The entry of the lowest seed."""
        return self.entries[0]

    @property
    def mean_iou(self) -> float:
        """What the table is sorted by: the mean over seeds; below 0 if undefined."""
        values = [entry.result.scores.mean_iou for entry in self.entries]
        defined = [value for value in values if value is not None]
        return float(np.mean(defined)) if len(defined) == len(values) else -1.0


@dataclass(frozen=True)
class Board:
    """Results that share a fingerprint."""

    #: Title of the benchmark.
    title: str
    rows: list[Ranked]


@dataclass(frozen=True)
class Listed:
    """One bundle of the folder."""

    name: str
    contact: str
    sha256: str
    #: What was checked, or what is wrong.
    lines: list[str]
    holds: bool


def render_leaderboard(title: str, boards: Sequence[Board], bundles: Sequence[Listed]) -> str:
    """Return the page as HTML text; the template escapes all of it, and names are made printable.

    Pictures are decoded and encoded again, so that no byte of a foreign file is on the page.
    """
    return template(__file__, "leaderboard.html").render(
        title=inert(title),
        boards=[_board(board) for board in boards],
        bundles=[
            {
                "name": inert(one.name),
                "contact": inert(one.contact, 300),
                "sha256": one.sha256,
                "lines": one.lines,
                "holds": one.holds,
            }
            for one in bundles
        ],
        note=NOTE,
    )


def _board(board: Board) -> dict[str, object]:
    ordered = sorted(board.rows, key=lambda row: -row.mean_iou)
    ranks = [row for row in ordered if row.first.role == "method"]
    first = ordered[0].first
    second = next((row.first.second for row in ordered if row.first.second is not None), None)
    by = "" if second is None else str(second.choices["segmenter"]["architecture"])
    return {
        "title": inert(board.title),
        "scoring": inert(first.result.scoring),
        "fingerprint": first.result.fingerprint,
        "images": len(first.result.scenes),
        "segmenter": inert(str(first.result.choices["segmenter"]["architecture"])),
        "second": inert(by),
        "rows": [
            _row(row, str(ranks.index(row) + 1) if row in ranks else NOTHING) for row in ordered
        ],
        "choices": [inert(choice.sentence(), 400) for choice in explain(first.result.choices)],
    }


def _row(row: Ranked, rank: str) -> dict[str, object]:
    first, results = row.first, [entry.result for entry in row.entries]
    others = [entry.second for entry in row.entries if entry.second is not None]
    ratios = [None if row.oracle is None else oracle_ratio(one, row.oracle) for one in results]
    return {
        "rank": rank,
        "role": first.role,
        "title": inert(first.title),
        "method": inert(first.method),
        "bundle": inert(", ".join(row.bundles), 200),
        "accuracy": _cell(row, [one.scores.pixel_accuracy for one in results], ACCURACY, 0),
        "mean_iou": _cell(row, [one.scores.mean_iou for one in results], SCORE, 1),
        "ratio": _cell(row, ratios, RATIO, 2),
        "second": _cell(row, [one.scores.mean_iou for one in others], SCORE, None),
        "seeds": _seeds(row),
        "trained_on": inert(first.trained_on.words, 500),
        "said_by": first.trained_on.said_by,
        "verified": _verified(row),
        "pictures": [
            {"scene": inert(scene), "source": _picture(content, scene)}
            for scene, content in first.images.items()
        ],
        "withheld": first.withheld,
    }


_SCORES = ("pixel_accuracy", "mean_iou", "oracle_ratio")


def _cell(
    row: Ranked, values: Sequence[float | None], style: Style, score: int | None
) -> dict[str, str]:
    """Return a score with its interval, or the mean of several seeds with their deviation."""
    defined = [value for value in values if value is not None]
    if not defined or len(defined) < len(values):
        return {"value": NOTHING, "beside": ""}
    if len(defined) > 1:
        deviation = style.text(float(np.std(defined, ddof=1)))
        return {"value": style.text(float(np.mean(defined))), "beside": f"± {deviation}"}
    interval = None
    if score is not None and row.first.name in row.intervals:
        interval = row.intervals[row.first.name].of(_SCORES[score])
    beside = style.text(defined[0], interval).partition(" ")[2]
    return {"value": style.text(defined[0]), "beside": beside}


def _seeds(row: Ranked) -> list[str]:
    """Return a line for each seed, if there are several."""
    if len(row.entries) < 2:
        return []
    lines = []
    for entry in row.entries:
        interval = row.intervals[entry.name].mean_iou if entry.name in row.intervals else None
        lines.append(f"seed {entry.seed}: {SCORE.text(entry.result.scores.mean_iou, interval)}")
    return lines


def _verified(row: Ranked) -> dict[str, object]:
    found = [row.rescored.get(entry.name, 0) for entry in row.entries]
    most = row.sampled * len(row.entries)
    if most and sum(found) == most:
        return {"full": True, "words": f"{counted(most, 'image')} scored again, equal"}
    if sum(found):
        words = f"{sum(found)} of {counted(most, 'image')} scored again, equal"
    else:
        words = "scores follow from the matrices; no image was scored again"
    return {"full": False, "words": words}


def _picture(content: bytes, scene: str) -> str:
    picture = to_pil(read_photograph(Path(scene.rpartition("/")[2]), content))
    if picture.width > _WIDEST:
        height = max(1, round(picture.height * _WIDEST / picture.width))
        picture = picture.resize((_WIDEST, height), Image.Resampling.LANCZOS)
    encoded = base64.b64encode(encode_jpeg(picture, quality=88)).decode()
    return f"data:image/jpeg;base64,{encoded}"
