from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from conftest import changed, made_result

from hdbench.errors import HdbenchError
from hdbench.evaluation.agreement import UnderSegmenter, agreements
from hdbench.evaluation.comparing import compare, compare_all
from hdbench.evaluation.uncertainty import Intervals, intervals_of
from hdbench.library import Library
from hdbench.reporting.build import build_table
from hdbench.reporting.comparisons import (
    agreement_table,
    pairs_table,
    segmenters_table,
    side_by_side,
    steps_table,
)
from hdbench.reporting.footnotes import footnotes
from hdbench.reporting.tables import (
    render,
    report_table,
    score_tables,
    with_rows,
)
from hdbench.schema.record import Interval
from hdbench.schema.report import Row
from hdbench.schema.result import Provenance, Result, ScoreRecord
from hdbench.text import NOTHING


def result(method: str, accuracy: float, mean_iou: float | None, **choices: object) -> Result:
    return Result(
        method=method,
        benchmark="tiny",
        seed=0,
        scoring="camvid-std-v1",
        choices={"schema": 1, **choices},
        run=None,
        scenes=[],
        images=[],
        classes=["sky", "road"],
        scores=ScoreRecord(
            pixel_accuracy=accuracy,
            mean_iou=mean_iou,
            class_iou={"sky": mean_iou, "road": None},
        ),
        provenance=Provenance(versions={}, device="cpu", ranks=1),
        matrices=np.zeros((0, 3, 2), dtype=np.int64),
    )


MEASURED = {
    "ours": result("ours", 0.8, 0.4),
    "oracle": result("oracle", 0.9, 0.5),
    "floor-patchwork": result("floor-patchwork", 0.7, None),
}


def test_measured_and_published_stand_in_separate_columns() -> None:
    table = report_table(Library().report("table1"), MEASURED, "measured: Tiny")
    measured = table["measured: Tiny"]
    published = table["published: Cityscapes, 500 validation images"]
    assert measured.loc["pix2pixHD"].tolist() == ["80.00", "0.4000", "0.800"]
    assert published.loc["pix2pixHD"].tolist() == ["83.78", "0.6389"]
    assert measured.loc["pix2pix"].tolist() == [NOTHING] * 3
    assert published.loc["pix2pix"].tolist() == ["78.34", "0.3948"]
    assert published.loc["floor: patchwork"].tolist() == [NOTHING] * 2
    assert measured.loc["floor: patchwork"].tolist() == ["70.00", NOTHING, NOTHING]


def test_a_measured_method_without_a_row_gets_one_with_its_title() -> None:
    library = Library()
    report = library.report("table1")
    methods = [library.method(name) for name in ("ours-labels-only", "ours", "oracle")]
    rows = [Row(title=method.title, method=method.name) for method in methods]
    longer = with_rows(report, rows)
    assert longer.rows[:-1] == report.rows
    results = {**MEASURED, "ours-labels-only": result("ours-labels-only", 0.75, 0.3)}
    table = report_table(longer, results, "measured: Tiny")
    assert table.index[-1] == methods[0].title
    assert table["measured: Tiny"].loc[methods[0].title].tolist() == ["75.00", "0.3000", "0.600"]
    assert with_rows(report, rows[1:]) == report


def test_a_ratio_is_never_taken_across_fingerprints() -> None:
    others = {**MEASURED, "oracle": changed(MEASURED["oracle"], choices={"schema": 2})}
    table = report_table(Library().report("table1"), others, "measured: Tiny")
    assert table["measured: Tiny"].loc["pix2pixHD"].tolist()[2] == NOTHING


def test_csv_reads_back_as_numbers() -> None:
    table = report_table(Library().report("table1"), MEASURED, "measured: Tiny")
    rows = list(csv.reader(io.StringIO(render(table, "csv"))))
    assert rows[0][1] == "measured: Tiny | pixel acc. %"
    assert [float(cell) for cell in rows[3][1:]] == [80.0, 0.4, 0.8, 83.78, 0.6389]
    assert rows[1][1] == ""


def test_markdown_has_one_rule_and_equal_columns() -> None:
    lines = render(score_tables(list(MEASURED.values()))[0], "markdown").splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[2] == "| ours | 80.00 | 0.4000 | 0.800 |"


def test_text_columns_are_aligned() -> None:
    lines = render(score_tables(list(MEASURED.values()))[0], "text").splitlines()
    assert lines[0].endswith("of oracle's IoU")
    assert {len(line) for line in lines} == {len(lines[0])}


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "latex"])
def test_undefined_class_iou_is_an_empty_cell(form) -> None:
    text = render(score_tables(list(MEASURED.values()))[1], form)
    assert "nan" not in text
    assert "None" not in text


# -- intervals ------------------------------------------------------------------------------------

INTERVALS = {
    "ours": Intervals(Interval(0.79, 0.81), Interval(0.35, 0.45), Interval(0.7, 0.9), {}),
    "oracle": Intervals(Interval(0.89, 0.91), Interval(0.45, 0.55), None, {}),
}


def test_intervals_stand_beside_what_was_measured_only() -> None:
    table = report_table(Library().report("table1"), MEASURED, "measured: Tiny", INTERVALS)
    measured = table["measured: Tiny"]
    assert measured.loc["pix2pixHD"].tolist() == [
        "80.00 [79.00, 81.00]",
        "0.4000 [0.3500, 0.4500]",
        "0.800 [0.700, 0.900]",
    ]
    assert measured.loc["oracle"].tolist()[2] == "1.000"
    assert measured.loc["floor: patchwork"].tolist() == ["70.00", NOTHING, NOTHING]
    assert measured.loc["pix2pix"].tolist() == [NOTHING] * 3
    published = table["published: Cityscapes, 500 validation images"]
    assert published.loc["pix2pixHD"].tolist() == ["83.78", "0.6389"]


def test_csv_gives_bounds_columns_of_their_own() -> None:
    table = report_table(
        Library().report("table1"), MEASURED, "measured: Tiny", INTERVALS, bounds_apart=True
    )
    head, *rows = csv.reader(io.StringIO(render(table, "csv")))
    assert head[1:4] == [
        "measured: Tiny | pixel acc. %",
        "measured: Tiny | pixel acc. % low",
        "measured: Tiny | pixel acc. % high",
    ]
    ours = next(row for row in rows if row[0] == "pix2pixHD")
    assert [float(cell) for cell in ours[1:]] == [
        *(80.0, 79.0, 81.0),
        *(0.4, 0.35, 0.45),
        *(0.8, 0.7, 0.9),
        *(83.78, 0.6389),
    ]
    patchwork = next(row for row in rows if row[0] == "floor: patchwork")
    assert patchwork[1:4] == ["70.00", "", ""]


def test_evaluate_prints_intervals_where_there_are_some() -> None:
    overall, classes = score_tables(list(MEASURED.values()), INTERVALS)
    assert overall.loc["ours"].tolist()[0] == "80.00 [79.00, 81.00]"
    assert overall.loc["floor-patchwork"].tolist()[0] == "70.00"
    assert "[" not in render(classes, "text")


def test_a_report_over_several_fingerprints_names_what_differs() -> None:
    library = Library()
    matrices = np.ones((3, 3, 2), dtype=np.int64)
    results = {
        "ours": made_result("ours", matrices),
        "oracle": made_result("oracle", matrices, void_in_accuracy="errors"),
    }
    with pytest.raises(HdbenchError, match=r"'ours' and 'oracle'(.|\n)*void pixels in pixel"):
        build_table(library.report("table1"), library.benchmark("camvid"), results)


# -- comparisons ----------------------------------------------------------------------------------


def matrices_of(shift: int) -> np.ndarray:
    """Ten images of two classes; ``shift`` pixels of 40 of each class are wrong, or a few more."""
    matrices = np.zeros((10, 3, 2), dtype=np.int64)
    matrices[:, [0, 1], [0, 1]] = 40 - shift - np.arange(10)[:, None] % 3
    matrices[:, [0, 1], [1, 0]] = shift + np.arange(10)[:, None] % 3
    matrices[:, 2] = 5
    return matrices


def test_pairs_and_steps_in_print() -> None:
    ours, theirs = made_result("x", matrices_of(4)), made_result("y", matrices_of(8))
    pairs = pairs_table(compare_all([ours, theirs], ["A", "B"]))
    assert pairs.index.tolist() == ["A - B", "A - B"]
    # 4 of 40 pixels more; of 1024 sets of swaps only none and all are as far apart.
    assert pairs.iloc[0].tolist() == [
        "pixel acc. %",
        "+10.00 [+10.00, +10.00]",
        "0.002",
        "0.004",
    ]
    strict = made_result("y", matrices_of(8), void_in_accuracy="errors")
    steps = steps_table(compare(ours, strict), "C")

    # 702 of 800 pixels are right in A, 622 in C; 100 void pixels count as errors.
    assert steps.loc["void pixels in pixel accuracy"].tolist() == ["-9.75", "+0.0000"]
    [rest] = [name for name in steps.index if "between A and C" in name]
    assert steps.loc[rest].tolist()[0] == "-8.89"
    scores = side_by_side(["A", "C"], [ours, strict])
    assert scores.loc["A"].tolist()[0].startswith("87.75 [")


def test_several_segmenters_in_print() -> None:
    names = {"x": 4, "y": 8, "oracle": 1}
    first = [made_result(name, matrices_of(shift)) for name, shift in names.items()]
    second = [made_result(name, matrices_of(9 - shift)) for name, shift in names.items()]
    judgments = [
        UnderSegmenter("p 11111111", "1" * 64, first),
        UnderSegmenter("q 22222222", "2" * 64, second),
    ]
    text = render(segmenters_table(judgments), "text").splitlines()
    assert text[0].split("  ")[-1].strip() == "q 22222222"
    assert text[1].split() == ["method", *["pixel", "acc.", "%", "rank", "mean", "IoU", "rank"] * 2]
    table = segmenters_table(judgments)
    assert [line[1] for line in table.values.tolist()] == ["1", "2", NOTHING]
    assert [line[5] for line in table.values.tolist()] == ["2", "1", NOTHING]
    agreed = agreement_table(agreements(judgments))
    assert agreed.iloc[0].tolist() == ["pixel acc. %", "-1.00", "2", "x and y"]


def test_intervals_of_results_fit_the_tables() -> None:
    results = [made_result(name, matrices_of(shift)) for name, shift in (("x", 4), ("oracle", 1))]
    overall = score_tables(results, intervals_of(results))[0]
    assert [cell.count("[") for cell in overall.loc["x"]] == [1, 1, 1]
    assert [cell.count("[") for cell in overall.loc["oracle"]] == [1, 1, 0]


def test_names_run_nothing_in_markdown_csv_and_latex() -> None:
    evil = ["<img src=x onerror=alert(1)>", "=1+1", "a|b", "[x](javascript:1)", r"\input{x}_%"]
    table = pd.DataFrame([["-1.5"]] * 5, index=pd.Index(evil, name="method"), columns=["@x"])
    markdown = render(table, "markdown")
    assert "<img" not in markdown
    assert "&lt;img" in markdown
    assert r"a\|b" in markdown
    assert r"\[x\]" in markdown
    names = [evil[0], "'=1+1", *evil[2:]]
    rows = list(csv.reader(io.StringIO(render(table, "csv"))))
    assert rows == [["method", "'@x"], *([name, "-1.5"] for name in names)]
    latex = render(table, "latex")
    assert r"\input" not in latex
    assert r"\_\%" in latex


def test_latex_is_a_booktabs_table_with_a_row_for_each_method() -> None:
    lines = render(score_tables(list(MEASURED.values()))[0], "latex").splitlines()
    assert lines[0] == r"\begin{tabular}{lrrr}"
    cells = [[cell.strip() for cell in line.rstrip("\\ ").split("&")] for line in lines]
    assert ["ours", "80.00", "0.4000", "0.800"] in cells
    assert {r"\toprule", r"\midrule", r"\bottomrule"} <= set(lines)


def test_the_name_of_a_group_stands_above_its_first_column() -> None:
    table = report_table(Library().report("table1"), MEASURED, "measured: Tiny")
    above, titles, rule, *rows = render(table, "text").splitlines()
    for group in ("measured: Tiny", "published: Cityscapes, 500 validation images"):
        start = above.index(group)
        assert start == 0 or rule[start - 2 : start] == "  "
    assert titles.split()[0] == "method"
    ours = next(row for row in rows if row.startswith("pix2pixHD "))
    assert ours.split()[1:] == ["80.00", "0.4000", "0.800", "83.78", "0.6389"]


def test_a_footnote_names_classes_in_too_few_images_for_an_interval() -> None:
    matrices = np.ones((30, 5, 4), dtype=np.int64)
    assert footnotes([made_result("x", matrices)]) == []
    matrices[2:, 3] = 0
    rare = made_result("x", matrices)
    (note,) = footnotes([rare, made_result("y", matrices)])
    assert rare.classes[3] in note
    assert rare.classes[2] not in note
    (note,) = footnotes([made_result("x", matrices[2:12])])
    assert "10 images" in note
