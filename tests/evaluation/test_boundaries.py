"""The boundary F-score against an independent computation by distance transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from hdbench.data.labels import VOID
from hdbench.evaluation.boundaries import (
    boundary_summary,
    class_edges,
    edge_counts,
    f_scores,
    tolerance,
)


def edges_by_definition(ids: np.ndarray, void: np.ndarray, c: int) -> np.ndarray:
    height, width = ids.shape
    edge = np.zeros(ids.shape, bool)
    for y in range(height):
        for x in range(width):
            if ids[y, x] != c or void[y, x]:
                continue
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < height and 0 <= u < width and not void[v, u] and ids[v, u] != c:
                    edge[y, x] = True
    return edge


def scores_by_distance(truth: np.ndarray, seen: np.ndarray, k: int, reach: int) -> np.ndarray:
    """Each class's precision and recall by Euclidean distance transforms of its edges."""
    void = truth >= k
    scores = np.full(k, np.nan)
    for c in range(k):
        true, predicted = (edges_by_definition(ids, void, c) for ids in (truth, seen))
        if not true.any() and not predicted.any():
            continue
        if not true.any() or not predicted.any():
            scores[c] = 0.0
            continue
        precision = (np.asarray(distance_transform_edt(~true))[predicted] <= reach).mean()
        recall = (np.asarray(distance_transform_edt(~predicted))[true] <= reach).mean()
        both = precision + recall
        scores[c] = 2 * precision * recall / both if both else 0.0
    return scores


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 14),
    st.integers(1, 17),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_scores_equal_those_of_distance_transforms(
    height: int, width: int, k: int, reach: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    truth, seen = random.integers(0, k, (2, height, width), dtype=np.uint8)
    truth[random.random((height, width)) < 0.2] = VOID
    counts = edge_counts(torch.from_numpy(truth), torch.from_numpy(seen), k, reach)
    assert np.all(counts[:, 1] <= counts[:, 0])
    assert np.all(counts[:, 3] <= counts[:, 2])
    expected = scores_by_distance(truth, seen, k, reach)
    np.testing.assert_allclose(f_scores(counts), expected, rtol=0, atol=1e-12)


def halves(column: int, width: int = 20) -> torch.Tensor:
    ids = torch.zeros(8, width, dtype=torch.uint8)
    ids[:, column:] = 1
    return ids


@pytest.mark.parametrize(("off", "expected"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0)])
def test_an_edge_may_be_off_by_the_tolerance(off: int, expected: float) -> None:
    counts = edge_counts(halves(10), halves(10 + off), 2, reach=2)
    assert f_scores(counts).tolist() == [expected, expected]


def test_a_corner_is_measured_by_euclid() -> None:
    truth, seen = torch.zeros(9, 9, dtype=torch.uint8), torch.zeros(9, 9, dtype=torch.uint8)
    truth[3, 3] = seen[5, 5] = 1
    assert f_scores(edge_counts(truth, seen, 2, reach=2))[1] == 0.0  # off by the root of 8
    assert f_scores(edge_counts(truth, seen, 2, reach=3))[1] == 1.0


def test_void_has_no_edge_and_hides_what_is_said_of_it() -> None:
    truth = halves(10)
    truth[:, 9:11] = VOID
    counts = edge_counts(truth, halves(10), 2, reach=2)
    assert counts.sum() == 0
    assert np.isnan(f_scores(counts)).all()
    edges = class_edges(halves(10), torch.zeros(8, 20, dtype=torch.bool))
    assert (edges != VOID).sum(dim=0).tolist() == [0] * 9 + [8, 8] + [0] * 9


def test_maps_smaller_than_the_tolerance_are_counted() -> None:
    truth, seen = torch.tensor([[0, 1]], dtype=torch.uint8), torch.tensor([[1, 0]]).byte()
    assert f_scores(edge_counts(truth, seen, 2, reach=5)).tolist() == [1.0, 1.0]


def test_shapes_that_differ_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"20\) .* 21\) "):
        edge_counts(halves(3), halves(3, width=21), 2, 1)


@pytest.mark.parametrize(("rows", "pixels"), [(1024, 2), (2048, 4), (512, 1), (360, 1), (8, 1)])
def test_the_tolerance_follows_the_size(rows: int, pixels: int) -> None:
    assert tolerance(rows) == pixels


def test_means_are_over_the_images_that_have_the_class() -> None:
    perfect, missed, absent = [4, 4, 4, 4], [0, 0, 4, 0], [0, 0, 0, 0]
    counts = np.array([[perfect, absent, absent], [missed, perfect, absent]])
    found = boundary_summary(counts, ["a", "b", "c"])
    assert found == {"boundary_f": 0.75, "class_boundary_f": {"a": 0.5, "b": 1.0, "c": None}}
    nothing = boundary_summary(counts[:, 2:], ["c"])
    assert nothing["boundary_f"] is None
