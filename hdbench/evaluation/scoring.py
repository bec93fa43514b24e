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
from hdbench.errors import DataError, HdbenchError, listing
from hdbench.evaluation.confusion import Matrix, accumulated_scores
from hdbench.evaluation.parts import Parts
from hdbench.evaluation.passes import Counted, count_images
from hdbench.evaluation.prediction import require_fitting
from hdbench.provenance import digest, versions
from hdbench.results import SCHEMA, Result
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Counting, Scoring
from hdbench.segmentation.segmenter import Segmenter

_GATE = 0.01  # the oracle may fall this far below what the segmenter's card declares


def choices_of(
    benchmark: Benchmark,
    scoring: Scoring,
    space: LabelSpace,
    segmenter: Segmenter,
    labels: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Return every choice that changes a score, as JSON values; device and time are not among them.

    Args:
        benchmark: dataset, split and image size.
        scoring: the convention.
        space: the class table.
        segmenter: the judge.
        labels: for every scene, in order, its name and the digests of the maps that are counted.
    """
    return {
        "schema": SCHEMA,
        "dataset": benchmark.data.layout,
        "split": benchmark.data.test,
        "scenes": len(labels),
        "labels": digest([list(entry) for entry in labels]),
        "classes": [[entry.id, entry.name, entry.train_id] for entry in space.classes],
        "scoring": scoring.model_dump(exclude={"title", "source"}, exclude_none=True),
        "image_size": [benchmark.size.width, benchmark.size.height],
        "decode": "Pillow, 8-bit RGB",
        "photographs": "resized to image_size first, as a generator's images are",
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


def oracle_gate(result: Result, segmenter: Segmenter, trainable: bool) -> None:
    """Check the oracle against what the segmenter's card declares for this benchmark.

    The fingerprint is not compared on purpose: a wrong mean, class table or photograph changes it
    and is what the gate is for.

    Args:
        result: the oracle's.
        segmenter: the judge.
        trainable: whether it is the benchmark's own, which can be trained anew.

    Raises:
        HdbenchError: a score fell more than one point below.
    """
    declared = segmenter.card.oracle
    if declared is None or (declared["benchmark"], declared["scoring"]) != (
        result.benchmark,
        result.scoring,
    ):
        return
    anew = ", then 'hdbench segmenter train --restart' if the data is meant to have changed"
    for name in ("pixel_accuracy", "mean_iou"):
        measured = result.scores[name] or 0.0
        if measured < declared[name] - _GATE:
            raise HdbenchError(
                f"the oracle's {name} is {measured:.4f}, the segmenter's card declares "
                f"{declared[name]:.4f}: the photographs, labels, sizes or the card's mean and "
                "std changed, so no score here can be trusted.\n"
                f"Next: 'hdbench data check'{anew if trainable else ''}"
            )
