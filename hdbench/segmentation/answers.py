"""What the segmenter says of single images: for measures and pictures beside the matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.truth import Truth
from hdbench.runtime.progress import progress
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import as_seen, prepared_image, read_truths
from hdbench.segmentation.prediction import predict
from hdbench.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class Answer:
    """One image, its labels, and what the segmenter saw in it; the last two share a size."""

    #: uint8 3 x h x w, at the benchmark's size.
    image: Tensor
    #: The labels, and which of their pixels the convention counts.
    truth: Truth
    #: uint8 H x W train ids.
    prediction: Tensor

    def matrix(self, classes: int) -> Matrix:
        """Return int64 (K+1) x K: what a result holds of this image."""
        return self.truth.matrix(self.prediction, classes)


def answer(
    segmenter: Segmenter,
    files: SceneFiles,
    path: Path,
    space: LabelSpace,
    benchmark: Benchmark,
    scoring: Scoring,
    photograph: bool,
) -> Answer:
    """Return the segmenter's answer to one image, on the path of every score.

    Args:
        segmenter: what predicts.
        files: the scene.
        path: its image.
        space: what label ids mean.
        benchmark: the size of images.
        scoring: the convention.
        photograph: whether the image is the dataset's own, resized here.

    Raises:
        DataError: a file is damaged or of another size.
    """
    [truth], native = read_truths(files, space, [scoring.labels])
    image = prepared_image(path, benchmark, photograph)
    height, width = truth.train_ids.shape
    seen = as_seen(image, scoring.segmenter, benchmark, native)
    return Answer(image, truth, predict(segmenter, seen, height, width, scoring.segmenter))


def answers(
    segmenter: Segmenter,
    scenes: Sequence[SceneFiles],
    images: Sequence[Path],
    space: LabelSpace,
    benchmark: Benchmark,
    scoring: Scoring,
    *,
    photographs: bool,
    title: str,
) -> Iterator[Answer]:
    """Yield the answer to each image, one at a time, with a progress bar called ``title``."""
    pairs = zip(scenes, images, strict=True)
    for files, path in progress(pairs, total=len(scenes), desc=title, unit="image"):
        yield answer(segmenter, files, path, space, benchmark, scoring, photographs)
