"""From stored matrices to scores again: every table and interval, and what another policy gives.

N images, K scored classes, R resamples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from hdbench.errors import HdbenchError
from hdbench.evaluation.confusion import Matrix, accumulated_scores, scores_of_each
from hdbench.schema.result import OVERALL, Result
from hdbench.schema.scoring import Counting, Reading

_BLOCK = 1 << 22  # numbers in a block of summed matrices: 32 MiB


def counting_of(result: Result) -> Counting:
    """Return what a result's convention counted, as its choices state it.

    Raises:
        HdbenchError: the result was written by a version of hdbench with other policies.
    """
    try:
        return Counting.model_validate(result.choices["scoring"]["counting"])
    except (KeyError, TypeError, ValidationError):
        raise _other_policies(result) from None


def readings_of(result: Result) -> dict[str, Counting]:
    """Return the further counting policies of a result's convention, by name.

    Raises:
        HdbenchError: as ``counting_of``.
    """
    counting = counting_of(result)
    try:
        readings = result.choices["scoring"].get("readings", {}).items()
        return {
            name: counting.model_copy(
                update=Reading.model_validate(differing).model_dump(exclude_none=True)
            )
            for name, differing in readings
        }
    except (AttributeError, ValidationError):
        raise _other_policies(result) from None


def _other_policies(result: Result) -> HdbenchError:
    return HdbenchError(
        f"'{result.method}' on '{result.benchmark}': its counting policies are not those that "
        "this version of hdbench knows, so its matrices cannot be counted again.\n"
        f"Next: 'hdbench evaluate --method {result.method}'"
    )


def rescored(matrices: Matrix, counting: Counting) -> dict[str, float | None]:
    """Return the overall scores of N images under any policy; None where undefined."""
    scores = accumulated_scores(matrices, counting)
    values = (scores.pixel_accuracy, scores.mean_iou)
    return {
        score: None if math.isnan(value) else value
        for score, value in zip(OVERALL, values, strict=True)
    }


def rescored_many(
    matrices: Matrix, counting: Counting, weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return R x (2 + K): the scores of R weighted sets of images; NaN where undefined.

    Columns are pixel accuracy, mean IoU, and the IoU of each class; ``weights`` (R x N) say how
    often each image counts.
    """
    if counting.accumulation != "dataset":
        return _averaged(scores_of_each(matrices, counting), weights)
    images, rows, classes = matrices.shape
    flat = matrices.reshape(images, -1).astype(np.float64)  # exact below 2^53, and BLAS is fast
    step = max(1, _BLOCK // max(1, flat.shape[1]))
    blocks = []
    for start in range(0, len(weights), step):
        totals = weights[start : start + step].astype(np.float64) @ flat
        blocks.append(scores_of_each(totals.astype(np.int64).reshape(-1, rows, classes), counting))
    return np.concatenate(blocks)


def _averaged(values: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weighted means of each column over the images that have a value there."""
    defined = ~np.isnan(values)
    sums = weights @ np.where(defined, values, 0.0)
    counts = weights @ defined
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
