"""Tables of the measures beyond segmentation scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hdbench.schema.metric import Measure
from hdbench.text import FID, KID, LPIPS, SHARE


@dataclass(frozen=True)
class MeasureTable:
    """Measures that share every choice."""

    title: str
    table: pd.DataFrame
    #: What must be known to read it.
    notes: list[str]


def measure_tables(measures: Sequence[Measure]) -> list[MeasureTable]:
    """Return one table for each set of measures that share their fingerprint, never mixed."""
    groups: dict[str, list[Measure]] = {}
    for measure in measures:
        groups.setdefault(measure.fingerprint, []).append(measure)
    return [
        _realism(group) if group[0].kind == "realism" else _boundaries(group)
        for group in groups.values()
    ]


def _realism(measures: list[Measure]) -> MeasureTable:
    choices = measures[0].choices
    columns: dict[str, list[str]] = {}
    notes = []
    if "inception" in choices:
        columns["FID"] = [FID.text(measure.scores["fid"]) for measure in measures]
        columns["KID x 1000"] = [
            f"{KID.text(measure.scores['kid'])} ± {KID.text(measure.scores['kid_deviation'])}"
            for measure in measures
        ]
        notes += _inception_notes(choices, measures[0])
    if "lpips" in choices:
        columns["LPIPS"] = [LPIPS.text(measure.scores["lpips"]) for measure in measures]
        notes.append("LPIPS to each scene's own photograph, mean over images; 0 is the photograph.")
    index = pd.Index([measure.method for measure in measures], name="method")
    return MeasureTable("Realism", pd.DataFrame(columns, index=index), notes)


def _inception_notes(choices: dict[str, Any], measure: Measure) -> list[str]:
    compared, scores = choices["inception"], measure.scores
    notes = [
        f"FID and KID between {choices['images']} images and {compared['reference_images']} "
        f"photographs of '{compared['reference']}'; KID over {scores['kid_subsets']} subsets of "
        f"{scores['kid_subset_size']}, ± their standard deviation. FID is biased by the number of "
        "images, so only FIDs of equal numbers compare."
    ]
    if choices["images"] <= compared["features"]:
        notes.append(
            f"{choices['images']} images cannot fill the covariance of {compared['features']} "
            "features: read KID rather than FID."
        )
    return notes


def _boundaries(measures: list[Measure]) -> MeasureTable:
    classes = list(measures[0].scores["class_boundary_f"])
    columns = {
        measure.method: [
            SHARE.text(measure.scores["boundary_f"]),
            *(SHARE.text(measure.scores["class_boundary_f"][name]) for name in classes),
        ]
        for measure in measures
    }
    index = pd.Index(["mean", *classes], name="boundary F %")
    table = pd.DataFrame(columns, index=index)
    policy = measures[0].choices["boundary"]
    notes = [
        "F-score of the edges of what the segmenter sees against the labels' edges; "
        f"edges: {policy['edges']}; tolerance: {policy['tolerance']}; mean {policy['mean']}."
    ]
    return MeasureTable("Boundary F-score", table, notes)
