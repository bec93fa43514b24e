"""Charts: what is drawn, read back from the SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from conftest import made_result

from hdbench.evaluation.uncertainty import intervals_of
from hdbench.reporting.figures import class_bars, confusion_picture, score_whiskers
from hdbench.schema.result import Result

MATRICES = np.array([[[6, 2, 0], [1, 3, 0], [0, 0, 0], [1, 0, 3]]] * 5)


@pytest.fixture
def results() -> list[Result]:
    random = np.random.default_rng(0)
    moved = MATRICES + random.integers(0, 4, (5, 1, 1))
    return [made_result("x", MATRICES), made_result("<b>&y", moved)]


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]


def whiskers(svg: str) -> list[float]:
    """The lengths of the level lines inside the axes of a chart."""
    lengths = []
    for node in ElementTree.fromstring(svg).iter():
        ends = re.fullmatch(r"M (\S+) (\S+)\s+L (\S+) (\S+)\s*", node.get("d", ""))
        if ends and "clip-path" in node.attrib and ends[2] == ends[4]:
            lengths.append(abs(float(ends[3]) - float(ends[1])))
    return lengths


def test_the_confusion_matrix_is_normalised_by_rows_with_void_apart(results: list[Result]) -> None:
    found = texts(confusion_picture(results[0]))
    shares = sorted(int(text) for text in found if text.isdigit())
    # 6 and 2 of 8, 1 and 3 of 4; void: 1 and 3 of 4; the third class has no pixels.
    assert shares == [25, 25, 25, 75, 75, 75]
    assert found.count("class 0") == 2  # a row and a column
    assert found.count("void") == 1  # a row alone: void is never predicted
    assert {"truth", "predicted"} <= set(found)


def test_names_in_charts_are_text(results: list[Result]) -> None:
    picture = confusion_picture(results[1])
    assert "<b>" not in picture
    assert any(text.startswith("<b>&y:") for text in texts(picture))


@pytest.mark.slow
def test_many_classes_are_pixels_not_rectangles() -> None:
    """150 classes: 22,650 cells would be megabytes of paths."""
    random = np.random.default_rng(0)
    result = made_result("x", random.integers(0, 9, (2, 151, 150)))
    picture = confusion_picture(result)
    assert len(picture) < 500_000
    assert "data:image/png" in picture


def test_whiskers_are_as_long_as_their_intervals() -> None:
    random = np.random.default_rng(1)
    results = [
        made_result(name, MATRICES + random.integers(0, 4, (5, 1, 1))) for name in ("x", "<b>&y")
    ]
    intervals = intervals_of(results)
    assert whiskers(class_bars(results)) == []
    assert set(texts(class_bars(results))) == set(texts(class_bars(results, intervals)))
    found = whiskers(class_bars(results, intervals))
    known = [bounds for one in intervals.values() for bounds in one.class_iou.values() if bounds]
    widths = [bounds.high - bounds.low for bounds in known]
    # The axis is linear: one factor leads from IoU to the picture.
    assert np.allclose(sorted(found), np.sort(widths) * sum(found) / sum(widths), atol=1e-3)
    points = score_whiskers(results, intervals)
    assert len(whiskers(points)) == 4  # of two scores of two methods
    assert {"pixel accuracy", "mean IoU", "x", "<b>&y"} <= set(texts(points))


def test_one_image_has_points_without_whiskers() -> None:
    single = [made_result("x", MATRICES[:1])]
    assert whiskers(class_bars(single, intervals_of(single))) == []
    assert whiskers(score_whiskers(single, intervals_of(single))) == []


def test_the_same_chart_is_the_same_bytes(results: list[Result]) -> None:
    assert confusion_picture(results[0]) == confusion_picture(results[0])
    assert not re.search(r"\d{4}-\d\d-\d\dT", confusion_picture(results[0]))
