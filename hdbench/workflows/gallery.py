"""The gallery of a scored method."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from hdbench.data.labels import VOID
from hdbench.data.layouts import SceneFiles
from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.scores import summary
from hdbench.provenance import digest
from hdbench.reporting.gallery import Drawing, Entry, error_map, write_gallery
from hdbench.runtime.progress import progress
from hdbench.schema.result import Result
from hdbench.segmentation.passes import prepared_image
from hdbench.segmentation.segmenter import Segmenter
from hdbench.segmentation.single_images import predict_image
from hdbench.text import ACCURACY, percent
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.results import path_under, require_results

_VERSION = 1  # of the pictures; a change of how they are drawn is another
_CAPTIONS = {
    "image.jpg": "image",
    "photograph.jpg": "photograph",
    "labels.png": "labels",
    "prediction.png": "what the segmenter sees",
    "errors.png": "errors",
}


def draw_gallery(
    bench: Bench, name: str, seed: int, segmenter: Segmenter, device: torch.device
) -> Path:
    """Write the gallery of a scored method, the oracle included, and return its page.

    Stopped, the same call goes on with the scenes that are not drawn yet. ``device`` is where a
    generator computes, if an image must be made again.

    Raises:
        HdbenchError: the method is not scored by this segmenter, or its result is stale.
    """
    method = bench.library.method(name)
    bench = scenes_of(bench, [method])
    result = require_results(bench, [name], seed, segmenter.card)[name]
    photographs = method.shows_photographs
    paths = synthesize_method(bench, method, result.seed, device)
    entries: list[Entry] = []
    bar = progress(total=len(paths), desc=f"drawing {method.name}", unit="image", delay=2)

    def draw(files: SceneFiles, path: Path, matrix: Matrix) -> Drawing:
        seen = predict_image(
            segmenter, files, path, bench.space, bench.benchmark, bench.scoring, photographs
        )
        labels = seen.truth.train_ids
        void = labels == VOID
        shown = torch.where(void, VOID, seen.prediction)
        pictures = {"image.jpg": seen.image}
        if not photographs:
            pictures["photograph.jpg"] = prepared_image(files.image, bench.benchmark, True)
        pictures["labels.png"] = bench.space.paint_train_ids(labels)
        pictures["prediction.png"] = bench.space.paint_train_ids(shown)
        pictures["errors.png"] = error_map(labels, seen.prediction, seen.truth.counted)
        moved = np.abs(seen.matrix(len(bench.space.scored)) - matrix).sum() // 2
        bar.update()
        return Drawing(pictures, int(moved))

    for n, (files, path) in enumerate(zip(bench.dataset.test_scenes, paths, strict=True)):
        matrix = result.matrices[n]
        scores = summary(matrix[None], result.classes, bench.scoring.counting)
        entries.append(
            Entry(
                name=files.name,
                mean_iou=scores.mean_iou,
                pixel_accuracy=scores.pixel_accuracy,
                class_iou=scores.class_iou,
                source=digest([_VERSION, files.name, result.fingerprint, result.images[n]]),
                draw=partial(draw, files, path, matrix),
            )
        )
    path = path_under(bench, method, seed, bench.scoring, segmenter.card)
    with bar:
        return write_gallery(
            bench.workspace.reports() / "gallery" / bench.benchmark.name / method.name / path.stem,
            entries,
            title=f"{method.title}: {bench.benchmark.title}",
            subtitle=f"scoring {result.scoring}, seed {result.seed}",
            facts=_facts(result),
            captions=_CAPTIONS,
            legend=bench.space.scored,
        )


def _facts(result: Result) -> dict[str, str]:
    return {
        "the whole": f"pixel accuracy {percent(result.scores.pixel_accuracy, ACCURACY)}, "
        f"mean IoU {percent(result.scores.mean_iou, ACCURACY)}",
        "fingerprint": result.fingerprint,
        "run": result.run or "photographs",
        "pictures": "image and photograph as JPEG for display; what was scored are the files of "
        "the run. Black in labels and prediction is void.",
    }
