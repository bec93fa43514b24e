"""Integer confusion matrices, and the scores that follow from them.

K scored classes. A matrix is (K+1) x K: the truth in rows, its last row void; the prediction in
columns. Nothing is thrown away, so every convention can be computed from the same matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdbench.schema.scoring import Counting

Matrix = NDArray[np.int64]


def confusion_matrix(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int
) -> Matrix:
    """Count the pixels of each pair of true and predicted class.

    Args:
        truth: train ids of any shape; every value from ``classes`` upwards is void.
        prediction: train ids of the same shape, all below ``classes``.
        classes: K.

    Returns:
        int64 (K+1) x K, summing to the number of pixels.

    Raises:
        ValueError: shapes differ, or a prediction is not a class.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    if prediction.size and int(prediction.max()) >= classes:
        raise ValueError(f"prediction {int(prediction.max())} is none of {classes} classes")
    rows = np.minimum(truth.reshape(-1), classes).astype(np.int32)
    pairs = rows * classes + prediction.reshape(-1)
    counts = np.bincount(pairs, minlength=(classes + 1) * classes)
    return counts.reshape(classes + 1, classes).astype(np.int64)


@dataclass(frozen=True)
class Scores:
    """The scores of one matrix."""

    #: Share of pixels whose class is right.
    pixel_accuracy: float
    #: Mean of ``class_iou`` over the classes that count.
    mean_iou: float
    #: Intersection over union of each class; NaN where it is in neither truth nor prediction.
    class_iou: NDArray[np.float64]


def scores_of(matrix: Matrix, counting: Counting) -> Scores:
    """Return the scores of a matrix, usually the sum over a dataset.

    Args:
        matrix: int64 (K+1) x K.
        counting: what void pixels and absent classes count as.

    Returns:
        Scores; NaN where nothing was counted at all.
    """
    scored, void = matrix[:-1], matrix[-1]
    hits = np.diag(scored).astype(np.float64)
    counted = scored.sum() + (void.sum() if counting.void_in_accuracy == "errors" else 0)
    predicted = scored.sum(axis=0) + (void if counting.void_in_iou == "false-positives" else 0)
    union = scored.sum(axis=1) + predicted - hits
    class_iou = np.full(len(hits), np.nan)
    np.divide(hits, union, out=class_iou, where=union > 0)
    filled = {
        "left-out": class_iou,
        "zero": np.nan_to_num(class_iou, nan=0.0),
        "one": np.nan_to_num(class_iou, nan=1.0),
    }[counting.absent_class]
    present = filled[~np.isnan(filled)]
    return Scores(
        pixel_accuracy=float(hits.sum() / counted) if counted else float("nan"),
        mean_iou=float(present.mean()) if len(present) else float("nan"),
        class_iou=class_iou,
    )
