from __future__ import annotations

import re
from pathlib import Path

import pytest

from hdbench.errors import LibraryError
from hdbench.library import REPORTS, Library
from hdbench.schema.report import Report


def report(name: str) -> Report:
    return Library().report(name)


def test_table_2_is_of_the_models_that_see_labels_only() -> None:
    methods = {entry.method for entry in report("table2").comparisons}
    assert methods == {"ours-labels-only", "ours-no-vgg-labels-only"}
    for method in methods:
        assert Library().method(str(method)).title


def test_the_published_numbers_are_the_papers() -> None:
    rates = {
        name: [entry.published for entry in report(name).comparisons]
        for name in (
            "table2", "table4", "loss-ablation", "instance-ablation", "discriminator-preference",
            "nyu-preference", "figure7",
        )
    }  # fmt: skip
    assert rates == {
        "table2": [93.8, 86.2, 94.6, 85.2],
        "table4": [80.0, 76.6],
        "loss-ablation": [68.55, 58.90],
        "instance-ablation": [64.34],
        "discriminator-preference": [69.2],
        "nyu-preference": [86.7, 63.7],
        "figure7": [None] * 3,
    }
    scores = {
        name: [
            (row.published["pixel_accuracy"], row.published["mean_iou"])
            for row in report(name).rows
            if row.published
        ]
        for name in ("table1", "table3", "table5")
    }
    ours = (83.78, 0.6389)
    assert scores == {
        "table1": [(78.34, 0.3948), (70.55, 0.3483), ours, (84.29, 0.6857)],
        "table3": [(77.86, 0.3905), (78.96, 0.3994), ours],
        "table5": [(82.87, 0.5775), ours],
    }


def test_the_summary_has_every_other_report() -> None:
    assert {*report("summary").reports, "summary"} == set(Library().entries(REPORTS))


HEAD = 'name = "x"\ntitle = "X"\nsource = "here"\npublished_on = "there"\nshow = "rates"\n'


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ('title = "a"\nmethod = "b"\nover = "c"', "method, over and study"),
        ('title = "a"', "methods"),
        ('title = "a"\npublished = 101.0', "published = 101.0"),
        ('title = "a"\nmethod = "b"\nover = "b"\nstudy = "unlimited"', "'b'"),
        ('title = "a"\npublisht = 50.0', "'publisht'"),
    ],
)
def test_a_wrong_comparison_is_named(tmp_path: Path, entry: str, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"{HEAD}[[comparisons]]\n{entry}\n")
    with pytest.raises(LibraryError) as error:
        Library().report(str(path))
    assert text in str(error.value)
    assert "[comparisons] entry 1" in str(error.value)


def test_a_file_outside_the_library_is_recognised_and_its_study_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    entry = 'title = "a"\nmethod = "b"\nover = "c"\nstudy = "unlimitd"'
    path.write_text(f"{HEAD}[[comparisons]]\n{entry}\n")
    assert Library().find(str(path))[0] == REPORTS
    (problem,) = Library().problems_in([path])
    assert "study = 'unlimitd': " in problem
    assert "'unlimited'" in problem


ROWS = (
    'every_method = true\n[[columns]]\nscore = "mean_iou"\ntitle = "IoU"\nfactor = 1.0\n'
    'digits = 4\n[[rows]]\ntitle = "a"\nmethod = "ours"\n'
)
ABOUT = 'name = "x"\ntitle = "X"\nsource = "here"\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rows = []", r"\[\[rows\]\]"),
        (f'published_on = "there"\n{ROWS.replace("every_method = true", "")}', "'every_method'"),
        (ROWS, "'published_on'"),
        (f'published_on = "there"\nshow = "rates"\n{ROWS}', "'show'"),
        (f'published_on = "there"\nreports = ["table1"]\n{ROWS}', "collects"),
        ('reports = ["table9"]\n', "'table9'"),
        ('[pictures]\nmethods = ["oours"]\ncount = 2\ninset = "largest-instance"\n', "'oours'"),
        ('[pictures]\nmethods = ["ours"]\ninset = "largest-instance"\n', "count and scenes"),
        (
            '[pictures]\nmethods = ["ours"]\ncount = 2\n'
            "inset = { left = 0.5, top = 0.1, right = 0.2, bottom = 0.3 }\n",
            "left < right",
        ),
        ('[segmenters]\nscores = ["fid"]\n', "'fid'"),
        ("every_pair = true\n", "'show'"),
        (
            'every_pair = true\nshow = "rates"\n[[comparisons]]\ntitle = "a"\npublished = 60.0\n',
            "every_pair",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(ABOUT + text)
    problems = "\n".join(Library().problems_in([path]))
    assert re.search(named, problems), problems


def test_a_report_may_have_scores_and_preferences() -> None:
    both = report("loss-ablation")
    assert [row.method for row in both.rows] == ["ours-gan-only", "ours-no-vgg", "ours"]
    assert both.methods == ["ours-gan-only", "ours-no-vgg", "ours"]
    assert both.shows_scores
    assert not report("table2").shows_scores
