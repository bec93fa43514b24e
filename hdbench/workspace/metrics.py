"""Metric records on disk, beside the results that they belong to, and whether they are current."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hdbench.evaluation.boundaries import POLICY, boundary_summary
from hdbench.provenance import differing_fields, digest
from hdbench.schema.metric import KINDS, Kind, Metric, images_digest
from hdbench.schema.record import first_problem
from hdbench.schema.result import Result
from hdbench.segmentation.segmenter import SegmenterCard
from hdbench.storage import write_atomically
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import result_path
from hdbench.workspace.segmenters import foreign_segmenter
from hdbench.workspace.stale import Stale

_SCHEMA = 2


def metric_path(
    bench: Bench, kind: Kind, method: str, seed: int, card: SegmenterCard | None
) -> Path:
    """Return where a metric record lies.

    ``card`` is that of the segmenter that was asked; ``realism`` asks none, nor a scoring
    convention.
    """
    if card is None:
        return bench.record_path(method, seed, kind)
    foreign = foreign_segmenter(bench, card)
    return result_path(bench, method, seed, foreign=foreign).with_suffix(f".{kind}.json")


def boundary_choices(result: Result) -> dict[str, Any]:
    """Return every choice behind the boundary F-score of what a result scored."""
    return {**result.choices, "kind": "boundaries", "boundary": POLICY}


def save_metric(path: Path, metric: Metric) -> None:
    """Write a metric record, whole or not at all."""
    content = metric.model_dump()
    record = {"schema": _SCHEMA, "digest": digest(content), **content}
    write_atomically(path, (json.dumps(record) + "\n").encode())


def load_if_current(path: Path, images: str, choices: dict[str, Any] | None) -> Metric | Stale:
    """Return a stored metric record if it is of today's images (``images_digest``) and choices.

    None for ``choices`` takes those that the record states: a table shows FID and LPIPS without the
    files of their networks.
    """
    if not path.is_file():
        return Stale(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        schema, stored = record.pop("schema"), record.pop("digest")
        metric = Metric(**record)
    except ValidationError as error:
        return Stale(path, (f"not a readable record of metrics: {first_problem(error)}",))
    except (ValueError, KeyError, AttributeError) as error:
        return Stale(path, (f"not a readable record of metrics: {error}",))
    if schema != _SCHEMA or stored != digest(metric.model_dump()):
        return Stale(path, ("it is not what was written; a number or a choice was edited",))
    differing = differing_fields(metric.scores, {**metric.scores, **_recomputed(metric)})
    if differing:
        return Stale(path, tuple(f"scores.{line}" for line in differing))
    reasons = [] if choices is None else differing_fields(metric.choices, choices)
    if metric.images != images:
        reasons.append("its images are others")
    return Stale(path, tuple(reasons)) if reasons else metric


def _recomputed(metric: Metric) -> dict[str, Any]:
    """Return the scores that follow from what a record holds of each image.

    FID and KID are not among them: they follow from features, which no record holds.
    """
    if metric.kind == "boundaries":
        scored = [entry for entry in metric.choices["classes"] if entry[2] is not None]
        names = [name for _, name, _ in sorted(scored, key=lambda entry: entry[2])]
        return boundary_summary(np.array(metric.per_image, dtype=np.int64), names)
    return {"lpips": sum(metric.per_image) / len(metric.per_image)} if metric.per_image else {}


def current_metrics(bench: Bench, results: Iterable[Result], card: SegmenterCard) -> list[Metric]:
    """Return the metric records that exist of some results' images; HdbenchError if stale."""
    found: list[Metric] = []
    for result in results:
        for kind in KINDS:
            boundaries = kind == "boundaries"
            path = metric_path(
                bench, kind, result.method, result.seed, card if boundaries else None
            )
            choices = boundary_choices(result) if boundaries else None
            loaded = load_if_current(path, images_digest(result.images), choices)
            if isinstance(loaded, Metric):
                found.append(loaded)
            elif not loaded.missing:
                raise loaded.error(f"hdbench measure {kind} --method {result.method}")
    return found
