"""Charts: what is drawn, read back from the SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from conftest import made_result

from hdbench.evaluation.seeds import Estimates, estimates_of
from hdbench.reporting import figures
from hdbench.reporting.style import png_of, svg_of
from hdbench.schema.result import Result

MATRICES = np.array([[[6, 2, 0], [1, 3, 0], [0, 0, 0], [1, 0, 3]]] * 5)


@pytest.fixture
def results() -> list[Result]:
    random = np.random.default_rng(0)
    moved = MATRICES + random.integers(0, 4, (5, 1, 1))
    return [made_result("x", MATRICES), made_result("<b>&y", moved)]


def confusion_picture(result: Result) -> str:
    return svg_of(figures.confusion_picture(result.method, [result]))


def class_bars(estimates: dict[str, Estimates]) -> str:
    return svg_of(figures.class_bars(estimates))


def score_whiskers(estimates: dict[str, Estimates]) -> str:
    return svg_of(figures.score_whiskers(estimates))


def of(*results: Result) -> dict[str, Estimates]:
    return estimates_of({result.method: [result] for result in results})


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
    assert {"true class", "predicted class"} <= set(found)


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
    found = of(
        *(made_result(name, MATRICES + random.integers(0, 4, (5, 1, 1))) for name in ("x", "<b>&y"))
    )
    lengths = whiskers(class_bars(found))
    known = [one.interval for each in found.values() for one in each.class_iou.values()]
    widths = [bounds.high - bounds.low for bounds in known if bounds]
    # The axis is linear: one factor leads from IoU to the picture.
    assert np.allclose(sorted(lengths), np.sort(widths) * sum(lengths) / sum(widths), atol=1e-3)
    points = score_whiskers(found)
    assert len(whiskers(points)) == 4  # of two scores of two methods
    assert {"x", "<b>&y"} <= set(texts(points))
    assert any("mean IoU" in text for text in texts(points))


def test_two_seeds_have_whiskers_from_one_to_the_other() -> None:
    runs = [made_result("x", MATRICES + np.array([[[n]]])) for n in (0, 3)]
    svg = score_whiskers(estimates_of({"x": runs}))
    found = estimates_of({"x": runs})["x"]
    widths = [found.pixel_accuracy.spread or 0, found.mean_iou.spread or 0]
    assert len(whiskers(svg)) == 2
    assert all(width > 0 for width in widths)


def test_the_ratio_to_the_oracle_leaves_the_oracle_out() -> None:
    random = np.random.default_rng(1)
    found = of(
        made_result("x", MATRICES + random.integers(0, 4, (5, 1, 1))),
        made_result("oracle", MATRICES),
    )
    svg = svg_of(figures.ratio_points(found))
    assert len(whiskers(svg)) == 1
    assert texts(svg).count("x") == 1


def test_one_image_has_points_without_whiskers() -> None:
    single = of(made_result("x", MATRICES[:1]))
    assert whiskers(class_bars(single)) == []
    assert whiskers(score_whiskers(single)) == []


def test_a_png_is_the_same_bytes_twice_and_names_no_version() -> None:
    first, again = (png_of(figures.class_bars(of(made_result("x", MATRICES)))) for _ in "ab")
    assert first == again
    assert b"atplotlib" not in first


def test_the_same_chart_is_the_same_bytes(results: list[Result]) -> None:
    assert confusion_picture(results[0]) == confusion_picture(results[0])
    assert not re.search(r"\d{4}-\d\d-\d\dT", confusion_picture(results[0]))
