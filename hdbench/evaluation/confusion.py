"""Integer confusion matrices, and the scores that follow from them.

K scored classes. A matrix is (K+1) x K: the truth in rows, its last row void; the prediction in
columns. Nothing is thrown away, so every convention can be computed from the same matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hdbench.schema.scoring import Counting

Matrix = NDArray[np.int64]


def confusion_matrix(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int
) -> Matrix:
    """Return int64 (K+1) x K: the number of pixels of each pair of true and predicted class.

    Both are train ids of the same shape. In ``truth`` every value from ``classes`` upwards is void;
    the prediction must be below ``classes`` everywhere.

    Raises:
        ValueError: shapes differ, or a prediction is not a class.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    if prediction.size and int(prediction.max()) >= classes:
        raise ValueError(f"prediction {int(prediction.max())} is none of {classes} classes")
    cells = (classes + 1) * classes
    # torch counts narrow integers as they are; numpy would first widen each to eight bytes.
    narrow = np.int16 if cells <= np.iinfo(np.int16).max else np.int32
    pairs = np.minimum(truth.reshape(-1), classes).astype(narrow)
    pairs *= classes
    pairs += prediction.reshape(-1)
    counts = torch.bincount(torch.from_numpy(pairs), minlength=cells)
    return counts.view(classes + 1, classes).numpy()


@dataclass(frozen=True)
class Scores:
    """The scores of one matrix, or of many accumulated as a convention says."""

    #: Share of pixels whose class is right.
    pixel_accuracy: float
    #: Mean of ``class_iou`` over the classes that count, and of void where it is one of them.
    mean_iou: float
    #: Intersection over union of each class; NaN where it is in neither truth nor prediction, or
    #: is left out because it is predicted only.
    class_iou: NDArray[np.float64]


def scores_of(matrix: Matrix, counting: Counting) -> Scores:
    """Return the scores of one matrix: of an image, or the sum over a dataset; NaN if undefined."""
    scored, void = matrix[:-1], matrix[-1]
    hits = np.diag(scored).astype(np.float64)
    counted = scored.sum() + (void.sum() if counting.void_in_accuracy == "errors" else 0)
    predicted = scored.sum(axis=0) + (void if counting.void_in_iou == "false-positives" else 0)
    true = scored.sum(axis=1)
    union = true + predicted - hits
    class_iou = np.full(len(hits), np.nan)
    np.divide(hits, union, out=class_iou, where=union > 0)
    absent = union == 0
    if counting.predicted_only == "left-out":
        class_iou[true == 0] = np.nan
    entries = class_iou
    if counting.void_class == "counted":  # never predicted, so never hit
        entries = np.append(class_iou, 0.0 if void.any() else np.nan)
        absent = np.append(absent, not void.any())
    if counting.absent_class != "left-out":
        entries = np.where(absent, 0.0 if counting.absent_class == "zero" else 1.0, entries)
    present = entries[~np.isnan(entries)]
    return Scores(
        pixel_accuracy=float(hits.sum() / counted) if counted else float("nan"),
        mean_iou=float(present.mean()) if len(present) else float("nan"),
        class_iou=class_iou,
    )


def accumulated_scores(matrices: Matrix, counting: Counting) -> Scores:
    """Return the scores of N matrices, accumulated over the dataset or averaged over its images.

    With ``accumulation = "images"`` each score is the mean over the images where it is defined; NaN
    where it is in none.
    """
    if counting.accumulation == "dataset":
        return scores_of(matrices.sum(axis=0), counting)
    images = [scores_of(matrix, counting) for matrix in matrices]
    iou = np.array([scores.class_iou for scores in images]).reshape(-1, matrices.shape[-1])
    return Scores(
        pixel_accuracy=_mean([scores.pixel_accuracy for scores in images]),
        mean_iou=_mean([scores.mean_iou for scores in images]),
        class_iou=np.array([_mean(column) for column in iou.T]),
    )


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    return float(defined.mean()) if len(defined) else float("nan")
