"""Tables of realism (FID, KID, LPIPS) and boundary scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hdbench.schema.metric import Metric
from hdbench.text import FID, KID, LPIPS, SHARE


@dataclass(frozen=True)
class MeasureTable:
    """The table of measures with the same fingerprint."""

    title: str
    table: pd.DataFrame
    #: Sentences below the table.
    notes: list[str]


def measure_tables(measures: Sequence[Metric]) -> list[MeasureTable]:
    """Return one table for each fingerprint among the measures."""
    groups: dict[str, list[Metric]] = {}
    for measure in measures:
        groups.setdefault(measure.fingerprint, []).append(measure)
    return [
        _realism(group) if group[0].kind == "realism" else _boundaries(group)
        for group in groups.values()
    ]


def _realism(measures: list[Metric]) -> MeasureTable:
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
        notes.append(
            "LPIPS between each image and its scene's photograph, mean over images; 0 means equal."
        )
    index = pd.Index([measure.method for measure in measures], name="method")
    return MeasureTable("Realism", pd.DataFrame(columns, index=index), notes)


def _inception_notes(choices: dict[str, Any], measure: Metric) -> list[str]:
    compared, scores = choices["inception"], measure.scores
    notes = [
        f"FID and KID between {choices['images']} images and {compared['reference_images']} "
        f"photographs of '{compared['reference']}'; KID over {scores['kid_subsets']} subsets of "
        f"{scores['kid_subset_size']}, ± their standard deviation. FID is biased by the number of "
        "images, so compare FIDs of equal numbers of images only."
    ]
    if choices["images"] <= compared["features"]:
        notes.append(
            f"{choices['images']} images are too few to estimate the covariance of "
            f"{compared['features']} features: use KID rather than FID."
        )
    return notes


def _boundaries(measures: list[Metric]) -> MeasureTable:
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
        "F-score of the edges of the segmenter's prediction against the labels' edges; "
        f"edges: {policy['edges']}; tolerance: {policy['tolerance']}; mean {policy['mean']}."
    ]
    return MeasureTable("Boundary F-score", table, notes)
