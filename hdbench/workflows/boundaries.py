"""The boundary F-score of scored methods beside oracle and floors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hdbench.evaluation.boundaries import EdgeCounts, boundary_summary, edge_counts, tolerance
from hdbench.provenance import versions
from hdbench.runtime.progress import progress
from hdbench.schema.method import Method
from hdbench.schema.metric import Metric, images_digest
from hdbench.schema.result import ORACLE, Computed
from hdbench.segmentation.segmenter import Segmenter
from hdbench.segmentation.single_images import predict_image
from hdbench.workflows.evaluate import with_floors
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.metrics import boundary_choices, load_if_current, metric_path, save_metric
from hdbench.workspace.results import require_results


def measure_boundaries(
    bench: Bench, methods: Sequence[str], seed: int, segmenter: Segmenter, device: torch.device
) -> list[Metric]:
    """Measure scored methods, the oracle and the floors, and store it; methods come first.

    A record that is current is not computed again. ``methods`` are names or paths; ``device`` is
    where generators compute, if an image must be made again.

    Raises:
        HdbenchError: a method is not scored by this segmenter, or its result is stale.
    """
    chosen = with_floors(bench, methods, ORACLE)
    bench = scenes_of(bench, list(chosen.values()))
    results = require_results(bench, list(chosen), seed, segmenter.card)
    classes = [entry.name for entry in bench.space.scored]
    measures: list[Metric] = []
    for name, method in chosen.items():
        result = results[name]
        choices = boundary_choices(result)
        hashes = images_digest(result.images)
        path = metric_path(bench, "boundaries", method.name, result.seed, segmenter.card)
        known = load_if_current(path, hashes, choices)
        if isinstance(known, Metric):
            measures.append(known)
            continue
        images = synthesize_method(bench, method, result.seed, device)
        counts = _counts(bench, method, images, segmenter, len(classes))
        measure = Metric(
            kind="boundaries",
            method=method.name,
            benchmark=bench.benchmark.name,
            seed=result.seed,
            choices=choices,
            images=hashes,
            scores=boundary_summary(counts, classes),
            per_image=counts.tolist(),
            provenance=Computed(versions=versions(), device=str(segmenter.device)),
        )
        save_metric(path, measure)
        measures.append(measure)
    return measures


def _counts(
    bench: Bench, method: Method, images: Sequence[Path], segmenter: Segmenter, classes: int
) -> EdgeCounts:
    """Return N x K x 4: ``edge_counts`` of each image."""
    scenes, counts = bench.dataset.test_scenes, []
    pairs = zip(scenes, images, strict=True)
    title = f"edges of {method.name}"
    for files, path in progress(pairs, total=len(scenes), desc=title, unit="image"):
        seen = predict_image(
            segmenter,
            files,
            path,
            bench.space,
            bench.benchmark,
            bench.scoring,
            method.shows_photographs,
        )
        labels = seen.truth.train_ids
        counts.append(edge_counts(labels, seen.prediction, classes, tolerance(len(labels))))
    return np.stack(counts)
