"""From the matrices of images to the scores of a result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hdbench.data.labels import LabelSpace
from hdbench.evaluation.confusion import Matrix, accumulated_scores
from hdbench.evaluation.recounting import counting_of, readings_of
from hdbench.schema.result import Result, ScoreRecord
from hdbench.schema.scoring import Counting, Scoring


def scores_record(matrices: Matrix, space: LabelSpace, scoring: Scoring) -> ScoreRecord:
    """Return the scores of N images under a convention."""
    readings = {name: scoring.counting_of(name) for name in scoring.readings}
    return summary(matrices, [entry.name for entry in space.scored], scoring.counting, readings)


def recomputed(result: Result) -> ScoreRecord:
    """Return the scores that a result's matrices give under the policies of its choices.

    Raises:
        HdbenchError: this version of hdbench does not know these policies.
    """
    return summary(result.matrices, result.classes, counting_of(result), readings_of(result))


def summary(
    matrices: Matrix,
    classes: Sequence[str],
    counting: Counting,
    readings: Mapping[str, Counting] | None = None,
) -> ScoreRecord:
    """Return the scores of N matrices, int64 N x (K+1) x K; undefined ones are None."""
    scores = accumulated_scores(matrices, counting)
    return ScoreRecord(
        pixel_accuracy=_defined(scores.pixel_accuracy),
        mean_iou=_defined(scores.mean_iou),
        class_iou={
            name: _defined(float(value))
            for name, value in zip(classes, scores.class_iou, strict=True)
        },
        readings={
            name: summary(matrices, classes, other) for name, other in (readings or {}).items()
        },
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
