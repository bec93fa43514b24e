from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import mean_iou_of

from hdbench.data.labels import shipped_space
from hdbench.evaluation.policies import variants
from hdbench.evaluation.scores import scores_record
from hdbench.library import Library
from hdbench.reporting.readings import policy_record, policy_table, readings_table
from hdbench.schema.result import Provenance, Result
from hdbench.schema.scoring import Counting
from hdbench.text import ACCURACY

LIBRARY = Library()
STANDARD, TABLE1 = LIBRARY.scoring("camvid-std-v1"), LIBRARY.scoring("camvid-table1-v1")
SPACE = shipped_space("camvid")


def result(method: str, seed: int, scoring=STANDARD) -> Result:
    matrices = np.random.default_rng(seed).integers(0, 50, (4, 12, 11))
    matrices[:, :, 7] = matrices[:, 7] = 0  # a class that does not occur
    return Result(
        method=method,
        benchmark="camvid",
        seed=0,
        scoring=scoring.name,
        choices={},
        run=None,
        scenes=list("abcd"),
        images=[""] * 4,
        classes=[entry.name for entry in SPACE.scored],
        scores=scores_record(matrices, SPACE, scoring),
        provenance=Provenance(versions={}, device="cpu", ranks=1),
        matrices=matrices,
    )


def test_every_value_of_every_policy_is_a_variant_once() -> None:
    ways = variants(STANDARD, [STANDARD, TABLE1])
    assert ways[0].counting == STANDARD.counting
    changed = [
        {key for key, value in way.counting if value != getattr(STANDARD.counting, key)}
        for way in ways[1:8]
    ]
    assert all(len(keys) == 1 for keys in changed)
    assert set().union(*changed) == set(Counting.model_fields)
    assert [way.words for way in ways[8:]] == [
        "as camvid-table1-v1 counts",
        "as camvid-table1-v1 counts, void-class",
    ]
    assert len({way.counting.model_dump_json() for way in ways}) == len(ways)


def accuracy_by_hand(matrices: np.ndarray, counting: Counting) -> float:
    """Pixel accuracy, from its definition."""
    rows = slice(None, -1) if counting.void_in_accuracy == "ignored" else slice(None)
    sets = [matrices.sum(axis=0)] if counting.accumulation == "dataset" else list(matrices)
    return float(np.mean([np.trace(counts[:-1]) / counts[rows].sum() for counts in sets]))


def test_the_table_is_counted_from_the_stored_matrices_alone() -> None:
    """Stored scores of other matrices change nothing."""
    matrices = {method: result(method, seed) for seed, method in enumerate(("ours", "oracle"))}
    results = [
        one.model_copy(update={"scores": result("x", 9).scores}) for one in matrices.values()
    ]
    ways = variants(STANDARD, [TABLE1])
    table = policy_table(results, ways)
    assert list(table.columns.get_level_values(0)) == ["ours", "ours", "oracle", "oracle"]
    records = policy_record(results, ways)
    assert len(json.loads(json.dumps(records))) == 2 * len(ways)
    for record in records:
        one = matrices[record["method"]]
        counting = Counting(**record["counting"])
        expected = accuracy_by_hand(one.matrices, counting)
        assert record["pixel_accuracy"] == pytest.approx(expected)
        own = accuracy_by_hand(one.matrices, STANDARD.counting)
        cell = table.loc[record["words"], (one.method, "pixel acc. %")]
        assert cell.startswith(ACCURACY.text(expected))
        changed = ACCURACY.text(expected - own, sign="+")
        assert cell.endswith(f"({changed})") == (expected != own)
    assert records[0]["mean_iou"] == pytest.approx(mean_iou_of(matrices["ours"]))
    assert len({record["mean_iou"] for record in records}) > len(ways)


def test_undefined_scores_are_neither_numbers_nor_differences() -> None:
    nothing = result("ours", 1).model_copy(update={"matrices": np.zeros((1, 12, 11), np.int64)})
    ways = variants(STANDARD, [])
    column = list(policy_table([nothing], ways)["ours", "mean IoU"])
    assert column.count("–") >= 6
    assert policy_record([nothing], ways)[0]["mean_iou"] is None


def test_readings_stand_in_a_table_of_their_own() -> None:
    assert readings_table([result("ours", 1)]) is None
    one = result("ours", 1, TABLE1)
    table = readings_table([one])
    assert table is not None
    expected = one.scores.readings["void-class"].mean_iou
    assert str(table["void-class", "mean IoU"].iloc[0]) == f"{expected:.4f}"
    assert expected == pytest.approx(mean_iou_of(one) * 10 / 11)
