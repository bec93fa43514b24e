"""What the segmenter says of single images: for measures and pictures beside the matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.evaluation.confusion import Matrix, confusion_matrix
from hdbench.evaluation.scoring import predict, prepared_image, read_truth
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class Answer:
    """One image, its labels, and what the segmenter saw in it; the last three share a size."""

    #: uint8 3 x h x w, at the benchmark's size.
    image: Tensor
    #: uint8 H x W train ids, void as ``VOID``.
    truth: Tensor
    #: bool H x W: which pixels the convention counts.
    counted: Tensor
    #: uint8 H x W train ids.
    prediction: Tensor

    def matrix(self, classes: int) -> Matrix:
        """Return int64 (K+1) x K: what a result holds of this image."""
        return confusion_matrix(
            self.truth[self.counted].numpy(), self.prediction[self.counted].numpy(), classes
        )


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
        segmenter: the judge.
        files: the scene.
        path: its image.
        space: what label ids mean.
        benchmark: the size of images.
        scoring: the convention.
        photograph: whether the image is the dataset's own, resized here.

    Raises:
        DataError: a file is damaged or of another size.
    """
    truth, counted = read_truth(files, space, scoring.labels)
    image = prepared_image(path, benchmark, photograph)
    height, width = truth.shape
    prediction = predict(segmenter, image, height, width, scoring.segmenter.flip)
    return Answer(image, truth, counted, prediction)


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
    for files, path in tqdm(pairs, total=len(scenes), desc=title, unit="image"):
        yield answer(segmenter, files, path, space, benchmark, scoring, photographs)
