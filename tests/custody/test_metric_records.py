"""Metric records: a number that does not follow from what was measured is not shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import constant_segmenter, evaluated

from hdbench.errors import HdbenchError
from hdbench.provenance import digest
from hdbench.workflows.boundaries import measure_boundaries
from hdbench.workspace.bench import Bench
from hdbench.workspace.metrics import current_metrics, metric_path

CPU = torch.device("cpu")


def raised(record: dict[str, Any]) -> None:
    record["scores"]["boundary_f"] = 0.9


def renewed(record: dict[str, Any]) -> None:
    """The digest too, so that only what was measured of each image tells."""
    raised(record)
    content = {key: value for key, value in record.items() if key not in ("schema", "digest")}
    record["digest"] = digest(content)


def widened(record: dict[str, Any]) -> None:
    record["choices"]["boundary"]["tolerance"] = "8 pixels"


@pytest.mark.slow
@pytest.mark.parametrize("edit", [raised, renewed, widened])
def test_an_edited_record_is_refused_and_measured_again(
    bench: Bench, edit: Callable[[dict[str, Any]], None]
) -> None:
    segmenter = constant_segmenter(3, bench.space, 64, 48)
    results = evaluated(bench, [], 0, segmenter, CPU)
    before = measure_boundaries(bench, [], 0, segmenter, CPU)
    path = metric_path(bench, "boundaries", "oracle", 0, segmenter.card)
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    with pytest.raises(HdbenchError) as error:
        current_metrics(bench, results, segmenter.card)
    assert str(path) in str(error.value)
    again = measure_boundaries(bench, [], 0, segmenter, CPU)
    assert [one.scores for one in again] == [one.scores for one in before]
