"""Validation scores: what a segmenter sees in the images of a generator that is being trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.data.scene import Batch, collate
from hdbench.evaluation.scores import scores_record
from hdbench.provenance import digest
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.generator import ValidationScore
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import as_seen, read_truths
from hdbench.segmentation.prediction import predict
from hdbench.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class SegmenterValidation:
    """Scores images of some scenes as every score of a benchmark is computed, without files."""

    segmenter: Segmenter
    files: list[SceneFiles]
    space: LabelSpace
    benchmark: Benchmark
    scoring: Scoring
    #: Epochs from one validation to the next.
    epochs: int

    @property
    def setup(self) -> dict[str, Any]:
        """Segmenter, scoring and scenes, as JSON values."""
        return {
            "segmenter": self.segmenter.card.short_name,
            "scoring": self.scoring.name,
            "scenes": len(self.files),
            "scenes_digest": digest([entry.name for entry in self.files]),
        }

    def score(self, synthesize: Callable[[Batch], Tensor]) -> ValidationScore | None:
        """Return the score of a function from batches to uint8 images ``B x 3 x H x W``.

        None if no class is scored in any of the scenes.

        Raises:
            DataError: a scene's file is damaged.
        """
        size, policy = self.benchmark.size, self.scoring.segmenter
        matrices = []
        for entry in self.files:
            scene = read_scene(entry, self.space).resized(size.height, size.width)
            [truth], native = read_truths(entry, self.space, [self.scoring.labels])
            seen = as_seen(synthesize(collate([scene]))[0], policy, self.benchmark, native)
            height, width = truth.train_ids.shape
            prediction = predict(self.segmenter, seen, height, width, policy)
            matrices.append(truth.matrix(prediction, len(self.space.scored)))
        scores = scores_record(np.stack(matrices), self.space, self.scoring)
        if scores.mean_iou is None:
            return None
        return ValidationScore(
            mean_iou=scores.mean_iou, pixel_accuracy=scores.pixel_accuracy, setup=self.setup
        )
