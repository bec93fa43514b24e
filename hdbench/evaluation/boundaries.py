"""Boundary F-score: whether the edges of what the segmenter sees lie where the labels' do.

The score of Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC
2013, with a tolerance in pixels as in the contour measure F of Perazzi et al., CVPR 2016 (DAVIS).
K scored classes. For each class and image: precision is the share of the class's predicted edge
pixels that have a true edge pixel of the class within the tolerance, recall the like from the true
ones, F their harmonic mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdbench.data.labels import VOID

#: int64 K x 4: predicted edge pixels, those of them that are matched; true ones, those matched.
EdgeCounts = NDArray[np.int64]
#: What the numbers depend on beside the choices of the result, in words.
POLICY = {
    "edges": "pixels beside another class, 4 neighbours; void has none",
    "tolerance": "2 pixels at 1024 rows, in proportion, rounded, at least 1; Euclidean",
    "mean": "over images with an edge of the class, then over classes",
}
#: Pixels, where label maps have ``_ROWS`` rows; other sizes in proportion, at least 1.
_TOLERANCE, _ROWS = 2, 1024


def tolerance(rows: int) -> int:
    """Return how far an edge may be off, in pixels, on label maps of so many rows."""
    return max(1, round(_TOLERANCE * rows / _ROWS))


def class_edges(ids: Tensor, void: Tensor) -> Tensor:
    """Return uint8 H x W: the class where a pixel of it touches another class, ``VOID`` elsewhere.

    A pixel touches its 4 neighbours. The border of void is no edge, and void itself has none.
    ``ids`` are uint8 H x W train ids, ``void`` is bool H x W.
    """
    edge = torch.zeros_like(void)
    for here, there in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        differ = (ids[here] != ids[there]) & ~void[here] & ~void[there]
        edge[here] |= differ
        edge[there] |= differ
    return torch.where(edge, ids, VOID)


def edge_counts(truth: Tensor, prediction: Tensor, classes: int, reach: int) -> EdgeCounts:
    """Return how many edge pixels of each class there are in both maps, and how many match.

    Both maps are uint8 H x W train ids. In ``truth`` everything from ``classes`` upwards is void,
    where the prediction is ignored. ``reach`` is the largest Euclidean distance of a match, in
    pixels.

    Raises:
        ValueError: shapes differ.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth {tuple(truth.shape)} and prediction {tuple(prediction.shape)} differ in shape"
        )
    void = truth >= classes
    true_edges, predicted_edges = class_edges(truth, void), class_edges(prediction, void)
    columns: list[NDArray[np.int64]] = []
    for edges, others in ((predicted_edges, true_edges), (true_edges, predicted_edges)):
        matched = _matched(edges, others, reach)
        for selected in (edges, torch.where(matched, edges, VOID)):
            columns.append(torch.bincount(selected.flatten(), minlength=256)[:classes].numpy())
    return np.stack(columns, axis=1).astype(np.int64)


def f_scores(counts: EdgeCounts) -> NDArray[np.float64]:
    """Return the F-score of each class (... x K) for counts (... x K x 4).

    NaN where a class has an edge in neither map; 0 where in one of them alone.
    """
    predicted, hit, true, found = np.moveaxis(counts.astype(np.float64), -1, 0)
    precision = np.divide(hit, predicted, out=np.zeros_like(hit), where=predicted > 0)
    recall = np.divide(found, true, out=np.zeros_like(hit), where=true > 0)
    total = precision + recall
    f = np.divide(2 * precision * recall, total, out=np.zeros_like(hit), where=total > 0)
    return np.where(predicted + true > 0, f, np.nan)


def boundary_summary(counts: EdgeCounts, classes: list[str]) -> dict[str, Any]:
    """Return the boundary scores of N images (N x K x 4) as JSON values; undefined ones are None.

    A class's score is the mean over the images in which it has an edge in labels or prediction, the
    score of the whole the mean over classes.
    """
    scores = f_scores(counts)
    defined = ~np.isnan(scores)
    images = defined.sum(axis=0)
    sums = np.where(defined, scores, 0.0).sum(axis=0)
    means = [float(total / n) if n else None for total, n in zip(sums, images, strict=True)]
    present = [value for value in means if value is not None]
    return {
        "boundary_f": sum(present) / len(present) if present else None,
        "class_boundary_f": dict(zip(classes, means, strict=True)),
    }


def _matched(edges: Tensor, others: Tensor, reach: int) -> Tensor:
    """Return bool H x W: edge pixels with one of the same class in ``others`` within reach."""
    height, width = edges.shape
    matched = torch.zeros_like(edges, dtype=torch.bool)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down * down + right * right > reach * reach:
                continue
            if abs(down) >= height or abs(right) >= width:
                continue
            here = (_span(down, height), _span(right, width))
            there = (_span(-down, height), _span(-right, width))
            matched[here] |= edges[here] == others[there]
    return matched & (edges != VOID)


def _span(shift: int, size: int) -> slice:
    return slice(max(0, -shift), size - max(0, shift))
