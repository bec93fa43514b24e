"""From images on disk to results: the one path that methods, floors and oracle share."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.errors import DataError, listing
from hdbench.evaluation.confusion import Matrix, accumulated_scores
from hdbench.provenance import digest, versions
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Counting, Scoring
from hdbench.segmentation.passes import Counted, count_images
from hdbench.segmentation.prediction import require_fitting
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workspace.parts import Parts
from hdbench.workspace.results import SCHEMA, Result


def choices_of(
    benchmark: Benchmark,
    scoring: Scoring,
    space: LabelSpace,
    segmenter: Segmenter,
    labels: Sequence[Sequence[str]],
    own_sizes: Sequence[tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """Return every choice that changes a score, as JSON values; device and time are not among them.

    Args:
        benchmark: dataset, split and image size.
        scoring: the convention.
        space: the class table.
        segmenter: the judge.
        labels: for every scene, in order, its name and the digests of the maps that are counted.
        own_sizes: width and height that photographs have, each once, where these are scored at
            their own size; None for all else.
    """
    image_size: list[Any] = [benchmark.size.width, benchmark.size.height]
    photographs = "resized to image_size first, as a generator's images are"
    if own_sizes is not None:
        image_size = [list(size) for size in own_sizes]
        image_size = image_size[0] if len(image_size) == 1 else image_size
        photographs = "at their own size, never resized to the generator's"
    return {
        "schema": SCHEMA,
        "dataset": benchmark.data.layout,
        "split": benchmark.data.test,
        "scenes": len(labels),
        "labels": digest([list(entry) for entry in labels]),
        "classes": [[entry.id, entry.name, entry.train_id] for entry in space.classes],
        "scoring": scoring.model_dump(exclude={"title", "source"}, exclude_none=True),
        "image_size": image_size,
        "decode": "Pillow, 8-bit RGB",
        "photographs": photographs,
        "segmenter": {**segmenter.card.choices, "batch": 1},
    }


def scores_record(matrices: Matrix, space: LabelSpace, scoring: Scoring) -> dict[str, Any]:
    """Return a convention's headline and, where it has them, its further readings (``summary``)."""
    record = summary(matrices, space, scoring.counting)
    if scoring.readings:
        record["readings"] = {
            name: summary(matrices, space, scoring.counting_of(name)) for name in scoring.readings
        }
    return record


def summary(matrices: Matrix, space: LabelSpace, counting: Counting) -> dict[str, Any]:
    """Return the scores of N matrices as JSON values; undefined ones are None."""
    scores = accumulated_scores(matrices, counting)
    names = [entry.name for entry in space.scored]
    return {
        "pixel_accuracy": _defined(scores.pixel_accuracy),
        "mean_iou": _defined(scores.mean_iou),
        "class_iou": {
            name: _defined(float(value))
            for name, value in zip(names, scores.class_iou, strict=True)
        },
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def require_images(images: Sequence[Path], method: str) -> None:
    """Check that every image is there.

    Raises:
        DataError: some are not; all of them are counted and the first listed.
    """
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise DataError(
            f"'{method}' lacks {len(missing)} of {len(images)} images\n"
            f"{listing(str(path) for path in missing)}"
        )


@dataclass(frozen=True)
class Candidate:
    """The images of one method, to be scored."""

    #: The method's name; ``oracle`` for the dataset's own photographs.
    method: str
    #: The run's seed.
    seed: int
    #: Digest of the run's identity; None for photographs.
    run: str | None
    #: The labels, N of them.
    scenes: Sequence[SceneFiles]
    #: The image of each scene, and the SHA-256 of its file.
    images: Sequence[Path]
    digests: Sequence[str]
    #: Whether they are photographs that stay at their own size.
    native: bool = False


@dataclass(frozen=True)
class Convention:
    """A scoring convention with all that a result under it depends on but images."""

    scoring: Scoring
    #: ``choices_of``.
    choices: dict[str, Any]
    #: Where matrices wait until the result is whole.
    parts: Parts


def score(
    candidate: Candidate,
    segmenter: Segmenter,
    space: LabelSpace,
    benchmark: Benchmark,
    conventions: Sequence[Convention],
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[Result]:
    """Return the results of one method's images, one for each convention.

    Conventions that give the segmenter the same share one pass of it. Matrices of earlier calls
    that did not reach their end are taken up; each new one is kept at once.

    Args:
        candidate: the images.
        segmenter: the judge.
        space: what label ids mean.
        benchmark: dataset, split and size.
        conventions: one or more.
        ranks: the processes that share the images; all of them get the results.
        workers: threads that decode ahead of the segmenter and count behind it; 0: none.

    Raises:
        DataError: an image or a label map is damaged or of another size.
        UsageError: the segmenter judges another label space or size.
    """
    names = [scene.name for scene in candidate.scenes]
    digests, classes = list(candidate.digests), len(space.scored)
    for convention in conventions:
        require_fitting(segmenter, space, benchmark.size, convention.scoring)
    found = ranks.from_first(
        lambda: [one.parts.read(names, digests, classes) for one in conventions]
    )
    missing = [n for n in range(len(names)) if not all(n in matrices for matrices in found)]
    counted = count_images(
        segmenter,
        candidate.scenes,
        candidate.images,
        ranks.share(missing),
        space,
        benchmark,
        [convention.scoring for convention in conventions],
        photographs=candidate.run is None,
        native=candidate.native,
        workers=workers,
    )
    bar = tqdm(
        total=len(names),
        initial=len(names) - len(missing),
        desc=f"scoring {candidate.method}",
        unit="image",
        disable=ranks.rank > 0,
    )
    fresh: dict[int, Counted] = {}
    with bar, contextlib.closing(counted):
        for one in counted:
            for convention, matrix in zip(conventions, one.matrices, strict=True):
                convention.parts.add(ranks.rank, names[one.index], one.image, matrix)
            fresh[one.index] = one
            bar.update(min(ranks.count, bar.total - bar.n))
    for n, one in ranks.merged(fresh).items():
        digests[n] = one.image
        for matrices, matrix in zip(found, one.matrices, strict=True):
            matrices[n] = matrix
    shape = (len(names), classes + 1, classes)
    provenance = {
        "versions": versions(),
        "device": str(segmenter.device),
        "ranks": ranks.count,
    }
    results = []
    for convention, matrices in zip(conventions, found, strict=True):
        stacked = np.array([matrices[n] for n in range(len(names))], np.int64).reshape(shape)
        results.append(
            Result(
                method=candidate.method,
                benchmark=benchmark.name,
                seed=candidate.seed,
                scoring=convention.scoring.name,
                choices=convention.choices,
                run=candidate.run,
                scenes=names,
                images=digests,
                classes=[entry.name for entry in space.scored],
                scores=scores_record(stacked, space, convention.scoring),
                provenance=provenance,
                matrices=stacked,
            )
        )
    return results
