"""What a report needs and in which order, worked by hand; nothing here needs torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hdbench.errors import UsageError
from hdbench.library import Library
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.report import Report
from hdbench.workflows.queue import Phase, Queue, Work, queue_of, seconds_left

LIBRARY = Library()


def benchmark(name: str) -> Benchmark:
    return LIBRARY.benchmark(name)


def keys(queue: Queue) -> list[str]:
    return [work.key for work in queue.works]


def table(*methods: str | None) -> Report:
    rows = [
        {"title": method or "elsewhere", **({"method": method} if method else {})}
        | ({} if method else {"published": {"mean_iou": 0.5}})
        for method in methods
    ]
    column = {"score": "mean_iou", "title": "mean IoU", "factor": 1.0, "digits": 4}
    content = {"name": "mine", "title": "Mine", "source": "made", "published_on": "nothing"}
    more = {"columns": [column], "every_method": False, "rows": rows}
    return Report.model_validate({**content, **more})


def test_planning_does_not_import_torch() -> None:
    code = "import sys, hdbench.workflows.queue, hdbench.workflows.estimates; "
    code += "print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_networks_come_first_then_the_references_then_each_seed() -> None:
    report = table(None, "ours", "ours-no-vgg", "oracle", "floor-nearest")
    queue = queue_of(report, LIBRARY, benchmark("streets-large"), [0, 3])
    assert keys(queue) == [
        "scenes",
        "segmenter",
        "second-segmenter",
        "perceptual",
        "references",
        "ours/seed0",
        "ours-no-vgg/seed0",
        "ours/seed3",
        "ours-no-vgg/seed3",
    ]
    needs = {work.key: set(work.needs) for work in queue.works}
    judged = {"scenes", "segmenter", "second-segmenter"}
    assert needs["perceptual"] == {"scenes"}
    assert needs["references"] == judged
    assert needs["ours/seed3"] == judged | {"perceptual"}
    assert needs["ours-no-vgg/seed3"] == judged
    assert [title for title, _ in queue.absent] == ["elsewhere"]
    assert len(queue.steps) == 4 + 1 + 4 * 3


def test_networks_that_ship_are_not_trained_and_data_on_disk_are_not_drawn() -> None:
    streets = queue_of(table("ours"), LIBRARY, benchmark("streets"), [0])
    assert keys(streets) == ["scenes", "references", "ours/seed0"]
    camvid = queue_of(table("ours"), LIBRARY, benchmark("camvid"), [0])
    assert keys(camvid) == ["segmenter", "perceptual", "references", "ours/seed0"]
    alone = queue_of(table("ours-no-vgg"), LIBRARY, benchmark("camvid"), [0])
    assert keys(alone) == ["segmenter", "references", "ours-no-vgg/seed0"]


def test_preferences_are_asked_of_people_so_nothing_is_scored() -> None:
    report = LIBRARY.report("table2")
    queue = queue_of(report, LIBRARY, benchmark("camvid"), [0], ["ours-labels-only"])
    assert keys(queue) == ["perceptual", "ours-labels-only/seed0"]
    assert {phase for _, phase in queue.steps} == {"train", "synthesize"}
    assert not queue.scored


def test_methods_that_are_not_here_are_named_and_no_error(own_library: Path) -> None:
    report = table("ours", "somebody-elses")
    queue = queue_of(report, Library(), benchmark("streets"), [0])
    [(row, reason)] = queue.absent
    assert row == "somebody-elses"
    assert "'somebody-elses'" in reason
    assert "ours/seed0" in keys(queue)


def test_rows_are_chosen_by_name_and_a_wrong_one_is_an_error() -> None:
    report = table("ours", "ours-no-vgg")
    queue = queue_of(report, LIBRARY, benchmark("streets"), [1], ["ours-no-vgg"])
    assert keys(queue)[-1:] == ["ours-no-vgg/seed1"]
    with pytest.raises(UsageError, match="ours-no-vgg"):
        queue_of(report, LIBRARY, benchmark("streets"), [0], ["ours-no-vg"])
    with pytest.raises(UsageError, match="elsewhere"):
        queue_of(table(None), LIBRARY, benchmark("streets"), [0])


def test_imported_methods_are_only_scored_and_once(own_library: Path) -> None:
    file = 'name = "theirs"\ntitle = "Theirs"\nsource = "made"\nkind = "images"\n'
    (own_library / "models" / "theirs.toml").write_text(file)
    queue = queue_of(table("ours", "theirs"), Library(), benchmark("streets"), [1, 2])
    [theirs] = [work for work in queue.works if work.name == "theirs"]
    assert (theirs.phases, theirs.seed) == (("score",), 0)
    assert queue.imports == ("theirs",)


def test_the_best_generator_of_a_run_comes_after_the_run() -> None:
    queue = queue_of(table("ours@best", "ours"), LIBRARY, benchmark("streets"), [0])
    assert keys(queue)[-2:] == ["ours/seed0", "ours@best/seed0"]
    assert "ours/seed0" in queue.works[-1].needs


def test_generations_hold_what_can_be_done_at_once() -> None:
    report = table("ours", "ours@best", "ours-no-vgg")
    queue = queue_of(report, LIBRARY, benchmark("streets-large"), [0])
    found = [[work.key for work in works] for works in queue.generations()]
    assert found == [
        ["scenes"],
        ["segmenter", "second-segmenter", "perceptual"],
        ["references", "ours/seed0", "ours-no-vgg/seed0"],
        ["ours@best/seed0"],
    ]


def test_time_left_is_that_of_the_same_method_else_of_the_others() -> None:
    first, second, other = (
        Work("run", ("train", "score"), (name,), name, seed)
        for name, seed in (("a", 0), ("a", 1), ("b", 0))
    )
    took: dict[tuple[Work, Phase], float] = {(first, "train"): 100.0, (first, "score"): 4.0}
    assert seconds_left([(second, "train"), (second, "score")], took) == (104.0, 0)
    took[other, "train"] = 300.0
    third = Work("run", ("train",), ("c",), "c", 0)
    assert seconds_left([(second, "train"), (third, "train")], took) == (300.0, 0)
    assert seconds_left([(third, "synthesize")], took) == (0.0, 1)
