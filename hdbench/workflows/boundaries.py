"""The boundary F-score of scored methods beside oracle and floors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hdbench.evaluation.boundaries import boundary_summary, edge_counts, tolerance
from hdbench.provenance import versions
from hdbench.schema.method import Oracle
from hdbench.segmentation.answers import answers
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.subjects import known_measure, require_results, with_others
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.measures import Measure, images_digest, measure_path, save_measure
from hdbench.workspace.results import ORACLE
from hdbench.workspace.runs import synthesize_method

_POLICY = {
    "edges": "pixels beside another class, 4 neighbours; void has none",
    "tolerance": "2 pixels at 1024 rows, in proportion, rounded, at least 1; Euclidean",
    "mean": "over images with an edge of the class, then over classes",
}


def measure_boundaries(
    bench: Bench, methods: Sequence[str], seed: int, segmenter: Segmenter, device: torch.device
) -> list[Measure]:
    """Measure methods, the oracle and the floors, and store it.

    A measure whose choices and images have not changed is not computed again.

    Args:
        bench: the benchmark.
        methods: names or paths of methods that are scored.
        seed: the runs' seed.
        segmenter: the judge.
        device: where generators compute, if an image must be made again.

    Returns:
        The measures, methods first.

    Raises:
        HdbenchError: a method is not scored by this judge, or what was scored has changed.
    """
    chosen = with_others(bench, methods, ORACLE)
    bench = scenes_of(bench, list(chosen.values()))
    results = require_results(bench, list(chosen), seed, segmenter)
    classes = [entry.name for entry in bench.space.scored]
    judge = bench.foreign_judge(segmenter.card.weights)
    measures: list[Measure] = []
    for name, method in chosen.items():
        result = results[name]
        choices = {**result.choices, "kind": "boundaries", "boundary": _POLICY}
        hashes = images_digest(result.images)
        path = measure_path(bench, "boundaries", method.name, result.seed, judge)
        known = known_measure(path)
        if known is not None and known.choices == choices and known.images == hashes:
            measures.append(known)
            continue
        seen = answers(
            segmenter,
            bench.test_scenes,
            synthesize_method(bench, method, result.seed, device),
            bench.space,
            bench.benchmark,
            bench.scoring,
            photographs=isinstance(method, Oracle),
            title=f"edges of {method.name}",
        )
        counts = np.stack(
            [
                edge_counts(labels, one.prediction, len(classes), tolerance(len(labels)))
                for one in seen
                for labels in [one.truth.train_ids]
            ]
        )
        measure = Measure(
            kind="boundaries",
            method=method.name,
            benchmark=bench.benchmark.name,
            seed=result.seed,
            choices=choices,
            images=hashes,
            scores=boundary_summary(counts, classes),
            per_image=counts.tolist(),
            provenance={"versions": versions(), "device": str(segmenter.device)},
        )
        save_measure(path, measure)
        measures.append(measure)
    return measures
