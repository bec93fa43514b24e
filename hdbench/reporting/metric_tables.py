"""Tables of realism (FID, KID, LPIPS) and boundary scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hdbench.schema.metric import Metric
from hdbench.text import FID, KID, LPIPS, SHARE


@dataclass(frozen=True)
class MetricTable:
    """The table of metrics with the same fingerprint."""

    title: str
    table: pd.DataFrame
    #: Sentences below the table.
    notes: list[str]


def metric_tables(metrics: Sequence[Metric]) -> list[MetricTable]:
    """Return one table for each fingerprint among the metrics."""
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(metric.fingerprint, []).append(metric)
    return [
        _realism(group) if group[0].kind == "realism" else _boundaries(group)
        for group in groups.values()
    ]


def _names(metrics: Sequence[Metric]) -> list[str]:
    """Return what each record is called: its method, with the seed if there are several."""
    methods = [metric.method for metric in metrics]
    return [
        f"{metric.method}, seed {metric.seed}"
        if methods.count(metric.method) > 1
        else metric.method
        for metric in metrics
    ]


def _realism(metrics: list[Metric]) -> MetricTable:
    choices = metrics[0].choices
    columns: dict[str, list[str]] = {}
    notes = []
    if "inception" in choices:
        columns["FID"] = [FID.text(metric.scores["fid"]) for metric in metrics]
        columns["KID x 1000"] = [
            f"{KID.text(metric.scores['kid'])} ± {KID.text(metric.scores['kid_deviation'])}"
            for metric in metrics
        ]
        notes += _inception_notes(choices, metrics[0])
    if "lpips" in choices:
        columns["LPIPS"] = [LPIPS.text(metric.scores["lpips"]) for metric in metrics]
        notes.append(
            "LPIPS between each image and its scene's photograph, mean over images; 0 means equal."
        )
    index = pd.Index(_names(metrics), name="method")
    return MetricTable("Realism", pd.DataFrame(columns, index=index), notes)


def _inception_notes(choices: dict[str, Any], metric: Metric) -> list[str]:
    compared, scores = choices["inception"], metric.scores
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


def _boundaries(metrics: list[Metric]) -> MetricTable:
    classes = list(metrics[0].scores["class_boundary_f"])
    columns = {
        name: [
            SHARE.text(metric.scores["boundary_f"]),
            *(SHARE.text(metric.scores["class_boundary_f"][name]) for name in classes),
        ]
        for name, metric in zip(_names(metrics), metrics, strict=True)
    }
    index = pd.Index(["mean", *classes], name="boundary F %")
    table = pd.DataFrame(columns, index=index)
    policy = metrics[0].choices["boundary"]
    notes = [
        "F-score of the edges of the segmenter's prediction against the labels' edges; "
        f"edges: {policy['edges']}; tolerance: {policy['tolerance']}; mean {policy['mean']}."
    ]
    return MetricTable("Boundary F-score", table, notes)
