"""From times of a few steps and images to those of many, against numbers worked by hand."""

from __future__ import annotations

import pytest

from hdbench.library import Library
from hdbench.schema.method import require_trained
from hdbench.training.stages import planned_stages
from hdbench.workflows.estimates import (
    Line,
    TrainingTimes,
    line_between,
    line_through,
    training_times,
)


def test_a_line_goes_through_both_measurements() -> None:
    line = line_through((2, 5.0), (10, 9.0))
    assert (line.base, line.slope) == pytest.approx((4.0, 0.5))
    assert line.at(100) == pytest.approx(54.0)


@pytest.mark.parametrize(("few", "many"), [((2, 9.0), (8, 8.0)), ((2, 0.1), (8, 8.0))])
def test_a_slow_or_a_quick_first_call_gives_no_absurd_line(few, many) -> None:
    line = line_through(few, many)
    assert line.at(8) == pytest.approx(8.0)
    assert 0.5 <= line.slope <= 1.0
    assert line.base >= 0


def test_another_size_is_read_off_between_two_lines() -> None:
    lower, upper = (4, Line(1.0, 0.1)), (16, Line(4.0, 0.4))
    found = line_between(lower, upper, 40)
    assert (found.base, found.slope) == pytest.approx((10.0, 1.0))
    assert line_between(lower, (16, Line(0.5, 0.05)), 40) == Line(1.0, 0.1)  # noise is no gain


def test_a_rehearsal_is_taken_apart_and_put_together_again() -> None:
    """Three epochs of four steps of 2 s; sheets of 5, pages of 3, a validation of 7, 20 once."""
    bench = Library().benchmark("streets-smoke")
    method = require_trained(Library().method("ours"))
    budget = bench.budget.model_copy(update={"epochs": 2, "decay_epochs": 1})
    stages = planned_stages(method, bench.model_copy(update={"budget": budget}), 4)
    took = [2.5, 2, 2, 7, 5, 2, 2, 7, 5, 2, 2, 14]
    rows = [
        {"step": n + 1, "epoch": n // 4, "seconds": sum(took[: n + 1])} for n in range(len(took))
    ]
    wall = sum(took) + 3 + 20
    times = training_times(rows, stages, wall)
    assert times.steps == [2.0]
    assert (times.sheet, times.page, times.validation) == (5.0, 3.0, 7.0)
    assert times.once == pytest.approx(20.5)  # the first step took half a second more
    assert times.seconds(stages, 3, 1) == pytest.approx(wall)


def test_pages_are_also_written_each_minute() -> None:
    bench = Library().benchmark("streets-smoke")
    method = require_trained(Library().method("ours"))
    stages = planned_stages(method, bench, 300)  # two epochs
    times = TrainingTimes([1.0], sheet=0.0, validation=0.0, page=3.0)
    loop = 600 + 2 * 3
    assert times.seconds(stages, 2, 0) == pytest.approx(loop + (loop / 60 - 2) * 3)
