"""Predictions for single images: for metrics and pictures beside the matrices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.truth import Truth
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import as_seen, prepared_image, read_truths
from hdbench.segmentation.prediction import predict
from hdbench.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class PredictedImage:
    """One image, its labels, and the prediction; labels and prediction share a size."""

    #: uint8 3 x h x w, at the benchmark's size.
    image: Tensor
    #: The labels, and which of their pixels the convention counts.
    truth: Truth
    #: uint8 H x W train ids.
    prediction: Tensor

    def matrix(self, classes: int) -> Matrix:
        """Return the image's confusion matrix, int64 (K+1) x K."""
        return self.truth.matrix(self.prediction, classes)


def predict_image(
    segmenter: Segmenter,
    files: SceneFiles,
    path: Path,
    space: LabelSpace,
    benchmark: Benchmark,
    scoring: Scoring,
    photograph: bool,
) -> PredictedImage:
    """Return the segmenter's prediction for one image, through the same steps as every score.

    Raises:
        DataError: a file is damaged or of another size.
    """
    [truth], native = read_truths(files, space, [scoring.labels])
    image = prepared_image(path, benchmark, photograph)
    height, width = truth.train_ids.shape
    seen = as_seen(image, scoring.segmenter, benchmark, native)
    return PredictedImage(image, truth, predict(segmenter, seen, height, width, scoring.segmenter))
