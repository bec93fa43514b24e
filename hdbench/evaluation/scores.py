"""From the matrices of images to the scores of a result."""

from __future__ import annotations

import math

from hdbench.data.labels import LabelSpace
from hdbench.evaluation.confusion import Matrix, accumulated_scores
from hdbench.schema.result import ScoreRecord
from hdbench.schema.scoring import Counting, Scoring


def scores_record(matrices: Matrix, space: LabelSpace, scoring: Scoring) -> ScoreRecord:
    """Return a convention's headline and, where it has them, its further readings (``summary``)."""
    return summary(matrices, space, scoring.counting).model_copy(
        update={
            "readings": {
                name: summary(matrices, space, scoring.counting_of(name))
                for name in scoring.readings
            }
        }
    )


def summary(matrices: Matrix, space: LabelSpace, counting: Counting) -> ScoreRecord:
    """Return the scores of N matrices; undefined ones are None."""
    scores = accumulated_scores(matrices, counting)
    names = [entry.name for entry in space.scored]
    return ScoreRecord(
        pixel_accuracy=_defined(scores.pixel_accuracy),
        mean_iou=_defined(scores.mean_iou),
        class_iou={
            name: _defined(float(value))
            for name, value in zip(names, scores.class_iou, strict=True)
        },
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
