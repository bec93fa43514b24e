"""Integer confusion matrices, and the scores that follow from them.

K scored classes. A matrix is (K+1) x K: the truth in rows, its last row void; the prediction in
columns. Nothing is thrown away, so every convention can be computed from the same matrices.
"""

from __future__ import annotations

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
    accuracy, mean_iou, *class_iou = scores_of_each(matrix[None], counting)[0]
    return Scores(float(accuracy), float(mean_iou), np.array(class_iou))


def scores_of_each(matrices: Matrix, counting: Counting) -> NDArray[np.float64]:
    """Return N x (2 + K): the scores of each of N matrices by itself; NaN where undefined.

    Columns are pixel accuracy, mean IoU, and the IoU of each class.
    """
    scored, void = matrices[:, :-1], matrices[:, -1]
    hits = np.diagonal(scored, axis1=1, axis2=2).astype(np.float64)
    counted = scored.sum(axis=(1, 2))
    if counting.void_in_accuracy == "errors":
        counted = counted + void.sum(axis=1)
    predicted = scored.sum(axis=1) + (void if counting.void_in_iou == "false-positives" else 0)
    true = scored.sum(axis=2)
    union = true + predicted - hits
    class_iou = np.full(hits.shape, np.nan)
    np.divide(hits, union, out=class_iou, where=union > 0)
    absent = union == 0
    if counting.predicted_only == "left-out":
        class_iou[true == 0] = np.nan
    entries = class_iou
    if counting.void_class == "counted":  # never predicted, so never hit
        any_void = void.any(axis=1, keepdims=True)
        entries = np.hstack([class_iou, np.where(any_void, 0.0, np.nan)])
        absent = np.hstack([absent, ~any_void])
    if counting.absent_class != "left-out":
        entries = np.where(absent, 0.0 if counting.absent_class == "zero" else 1.0, entries)
    accuracy = np.full(len(hits), np.nan)
    np.divide(hits.sum(axis=1), counted, out=accuracy, where=counted > 0)
    return np.column_stack([accuracy, _means_of_defined(entries), class_iou])


def _means_of_defined(entries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row over what is not NaN in it.

    Rows that miss the same classes are added up together, without zeros in place of what is
    missing: these would change the order of the additions, and so the last bit.
    """
    means = np.full(len(entries), np.nan)
    patterns, which = np.unique(~np.isnan(entries), axis=0, return_inverse=True)
    for n, present in enumerate(patterns):
        if present.any():
            alike = which.reshape(-1) == n
            means[alike] = np.ascontiguousarray(entries[alike][:, present]).mean(axis=1)
    return means


def accumulated_scores(matrices: Matrix, counting: Counting) -> Scores:
    """Return the scores of N matrices, accumulated over the dataset or averaged over its images.

    With ``accumulation = "images"`` each score is the mean over the images where it is defined; NaN
    where it is in none.
    """
    if counting.accumulation == "dataset":
        return scores_of(matrices.sum(axis=0), counting)
    accuracy, mean_iou, *class_iou = _means_of_defined(scores_of_each(matrices, counting).T)
    return Scores(float(accuracy), float(mean_iou), np.array(class_iou))
