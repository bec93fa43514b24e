from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import accuracy_of, changed, made_result

from hdbench.errors import HdbenchError
from hdbench.evaluation.agreement import UnderSegmenter, agreements
from hdbench.evaluation.comparing import compare, compare_all
from hdbench.evaluation.seeds import Estimate, estimates_of
from hdbench.evaluation.uncertainty import NOTE, Intervals, intervals_of
from hdbench.library import Library
from hdbench.reporting.comparisons import (
    agreement_table,
    pairs_table,
    segmenters_table,
    side_by_side,
    steps_table,
)
from hdbench.reporting.footnotes import bracket_notes, budget_notes, footnotes
from hdbench.reporting.measured import Elsewhere, Measured
from hdbench.reporting.score_table import (
    OTHER_BUDGET,
    ScoreTable,
    estimate_text,
    score_table,
    with_rows,
)
from hdbench.reporting.tables import render, score_tables
from hdbench.schema.record import Interval
from hdbench.schema.report import Report, Row
from hdbench.schema.result import Provenance, Result, ScoreRecord
from hdbench.text import NOTHING, Style


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


SCORED = {
    "ours": result("ours", 0.8, 0.4),
    "oracle": result("oracle", 0.9, 0.5),
    "floor-patchwork": result("floor-patchwork", 0.7, None),
}
MEASURED = {name: Measured((one,), ranked=name == "ours") for name, one in SCORED.items()}
FLOOR = Row(title="floor: patchwork", method="floor-patchwork")


def table1() -> Report:
    return with_rows(Library().report("table1"), [FLOOR], [])


def cells(table: ScoreTable, row: str, group: str = "measured: Tiny") -> list[str]:
    return table.shown[group].loc[row].tolist()


def test_measured_and_published_stand_in_separate_columns() -> None:
    table = score_table(table1(), MEASURED, "Tiny")
    published = "published: Cityscapes, 500 validation images"
    assert cells(table, "pix2pixHD") == ["80.00", "0.4000", "0.800"]
    assert cells(table, "pix2pixHD", published) == ["83.78", "0.6389"]
    assert cells(table, "pix2pix") == [NOTHING] * 3
    assert cells(table, "pix2pix", published) == ["78.34", "0.3948"]
    assert cells(table, "floor: patchwork", published) == [NOTHING] * 2
    assert cells(table, "floor: patchwork") == ["70.00", NOTHING, NOTHING]


def test_a_measured_method_without_a_row_gets_one_if_the_report_says_so() -> None:
    library = Library()
    report = library.report("table1")
    methods = [library.method(name) for name in ("ours-labels-only", "ours", "oracle")]
    rows = [Row(title=method.title, method=method.name) for method in methods]
    longer = with_rows(report, [FLOOR], rows)
    assert longer.rows == [*report.rows, FLOOR, rows[0]]
    results = {**MEASURED, "ours-labels-only": Measured((result("ours-labels-only", 0.75, 0.3),))}
    table = score_table(longer, results, "Tiny")
    assert table.shown.index[-1] == methods[0].title
    assert cells(table, methods[0].title) == ["75.00", "0.3000", "0.600"]
    few = library.report("table5")
    assert with_rows(few, [FLOOR], rows).rows == [*few.rows, FLOOR]
    assert with_rows(report, [], rows[1:]) == report


def test_results_that_share_no_fingerprint_share_no_table() -> None:
    matrices = np.ones((3, 3, 2), dtype=np.int64)
    results = {
        "ours": Measured((made_result("ours", matrices),)),
        "oracle": Measured((made_result("oracle", matrices, void_in_accuracy="errors"),)),
    }
    with pytest.raises(
        HdbenchError, match=r"'ours' and 'oracle'(.|\n)*void pixels in pixel"
    ) as error:
        score_table(table1(), results, "Tiny")
    assert results["ours"].results[0].fingerprint[:16] in str(error.value)


def test_results_from_elsewhere_have_a_row_under_the_same_rule() -> None:
    matrices = np.ones((3, 3, 2), dtype=np.int64)
    own, theirs = made_result("ours", matrices), made_result("ours", matrices)
    there = Elsewhere("pix2pixHD of lab B", "lab-b.zip, SHA-256 0123", (theirs,))
    report = with_rows(table1(), [there.row], [])
    measured = {"ours": Measured((own,)), there.row.method or "": there.measured}
    table = score_table(report, measured, "Tiny")
    assert table.shown.index[-1] == "pix2pixHD of lab B"
    assert cells(table, "pix2pixHD of lab B") == cells(table, "pix2pixHD")
    strange = made_result("ours", matrices, void_in_accuracy="errors")
    other = replace(there, results=(strange,)).measured
    with pytest.raises(HdbenchError, match="pix2pixHD of lab B"):
        score_table(report, measured | {there.row.method or "": other}, "Tiny")


# -- seeds ----------------------------------------------------------------------------------------


def with_seeds(*scores: float) -> dict[str, Measured]:
    runs = [
        changed(result("ours", score, score / 2), seed=seed) for seed, score in enumerate(scores)
    ]
    return {**MEASURED, "ours": Measured(tuple(runs))}


def test_several_seeds_are_one_row_of_mean_and_spread() -> None:
    table = score_table(table1(), with_seeds(0.8, 0.7), "Tiny")
    # Ratios to the oracle's 0.5: 0.8 and 0.7.
    assert cells(table, "pix2pixHD") == [
        "75.00 (70.00 to 80.00)",
        "0.3750 (0.3500 to 0.4000)",
        "0.750 (0.700 to 0.800)",
        "2",
    ]
    assert cells(table, "oracle")[-1] == NOTHING
    table = score_table(table1(), with_seeds(0.8, 0.7, 0.6), "Tiny")
    assert cells(table, "pix2pixHD") == [
        "70.00 ± 10.00", "0.3500 ± 0.0500", "0.700 ± 0.100", "3"
    ]  # fmt: skip


def test_csv_has_mean_interval_spread_and_seeds_in_columns_of_their_own() -> None:
    matrices = [np.random.default_rng(n).integers(1, 9, (6, 3, 2)) for n in range(3)]
    runs = [changed(made_result("ours", one), seed=n) for n, one in enumerate(matrices[:2])]
    measured = {
        "ours": Measured(tuple(runs)),
        "oracle": Measured((made_result("oracle", matrices[2]),), ranked=False),
    }
    table = score_table(table1(), measured, "Tiny")
    [head, *rows] = csv.reader(io.StringIO(render(table.numbers, "csv")))
    ours = dict(zip(head, next(row for row in rows if row[0] == "pix2pixHD"), strict=True))
    accuracies = [100 * accuracy_of(run) for run in runs]
    key = "measured: Tiny | pixel acc. %"
    assert float(ours[f"{key} mean"]) == pytest.approx(sum(accuracies) / 2, abs=0.01)
    assert float(ours[f"{key} spread"]) == pytest.approx(
        abs(accuracies[0] - accuracies[1]), abs=0.01
    )
    assert float(ours[f"{key} low"]) < float(ours[f"{key} mean"]) < float(ours[f"{key} high"])
    assert ours["measured: Tiny | seeds"] == "2"
    oracle = dict(zip(head, next(row for row in rows if row[0] == "oracle"), strict=True))
    assert oracle[f"{key} spread"] == oracle["measured: Tiny | seeds"] == ""
    pix2pix = dict(zip(head, next(row for row in rows if row[0] == "pix2pix"), strict=True))
    assert {pix2pix[name] for name in head if name.startswith("measured")} == {""}


def test_the_second_segmenter_says_how_many_seeds_it_has_scored() -> None:
    both = with_seeds(0.8, 0.7)
    choices = {"schema": 1, "segmenter": {"architecture": "unet"}}
    second = tuple(changed(one, choices=choices) for one in both["ours"].results)
    both["ours"] = replace(both["ours"], second=second)
    table = score_table(table1(), both, "Tiny")
    group = "second segmenter (unet)"
    assert cells(table, "pix2pixHD", group) == ["0.3750 (0.3500 to 0.4000)"]
    both["ours"] = replace(both["ours"], second=second[:1])
    table = score_table(table1(), both, "Tiny")
    assert cells(table, "pix2pixHD", group) == ["0.4000, 1 seed"]


# -- best, budgets --------------------------------------------------------------------------------


def three(*images_seen: int) -> tuple[Report, dict[str, Measured]]:
    """Two methods, of which the second is the better one, an oracle and a floor."""
    names = ("ours", "ours-labels-only")
    report = table1()
    report = with_rows(report, [], [Row(title="labels only", method=names[1])])
    scored = {
        name: Measured((result(name, 0.8 + 0.05 * n, 0.4 + 0.05 * n),), images_seen=images)
        for n, (name, images) in enumerate(zip(names, images_seen, strict=True))
    }
    return report, {**MEASURED, **scored}


def test_the_best_of_each_measured_column_is_bold_and_oracle_and_floors_are_no_rivals() -> None:
    report, measured = three(8, 8)
    table = score_table(report, measured, "Tiny")
    place = table.shown.index.tolist().index("labels only")
    assert table.best == {(place, 0), (place, 1), (place, 2)}
    markdown = render(table.shown, "markdown", table.best)
    assert markdown.count("**") == 6
    assert "**85.00**" in markdown
    latex = render(table.shown, "latex", table.best)
    assert latex.count(r"\textbf") == 3
    assert r"\textbf{0.4500}" in latex
    assert score_table(table1(), MEASURED, "Tiny").best == set()  # without a rival


def test_another_budget_is_flagged_named_and_no_rival() -> None:
    report, measured = three(8, 16)
    table = score_table(report, measured, "Tiny")
    assert table.other_budget == {"ours-labels-only"}
    assert "labels only †" in table.shown.index
    assert table.best == set()
    [note] = budget_notes(measured, table.other_budget, OTHER_BUDGET)
    assert re.search("8 images: ours;.*† 16 images: ours-labels-only", note)
    report, measured = three(8, 8)
    assert score_table(report, measured, "Tiny").other_budget == set()


def test_csv_reads_back_as_numbers() -> None:
    table = score_table(table1(), MEASURED, "Tiny")
    rows = list(csv.reader(io.StringIO(render(table.numbers, "csv"))))
    assert rows[0][1] == "measured: Tiny | pixel acc. % mean"
    numbers = [float(cell) for cell in rows[3][1:] if cell]
    assert numbers == [80.0, 0.4, 0.8, 83.78, 0.6389]
    assert rows[1][1] == ""


def test_markdown_has_one_rule_and_equal_columns() -> None:
    lines = render(score_tables(list(SCORED.values()))[0], "markdown").splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[2] == "| ours | 80.00 | 0.4000 | 0.800 |"


def test_text_columns_are_aligned() -> None:
    lines = render(score_tables(list(SCORED.values()))[0], "text").splitlines()
    assert lines[0].endswith("of oracle's IoU")
    assert {len(line) for line in lines} == {len(lines[0])}


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "latex"])
def test_undefined_class_iou_is_an_empty_cell(form) -> None:
    text = render(score_tables(list(SCORED.values()))[1], form)
    assert "nan" not in text
    assert "None" not in text


# -- intervals ------------------------------------------------------------------------------------

INTERVALS = {
    "ours": Intervals(Interval(0.79, 0.81), Interval(0.35, 0.45), Interval(0.7, 0.9), {}),
    "oracle": Intervals(Interval(0.89, 0.91), Interval(0.45, 0.55), None, {}),
}


def test_each_kind_of_uncertainty_has_brackets_of_its_own_and_a_note() -> None:
    style, interval = Style(1, 100), Interval(0.79, 0.81)
    assert estimate_text(Estimate((0.8,), interval), style) == "80.0 [79.0, 81.0]"
    assert estimate_text(Estimate((0.8,), interval), style, intervals=False) == "80.0"
    assert estimate_text(Estimate((0.8, 0.7), interval), style) == "75.0 (70.0 to 80.0)"
    assert estimate_text(Estimate((0.8, 0.7, 0.6), interval), style) == "70.0 ± 10.0"
    assert estimate_text(Estimate((None,)), style) == NOTHING

    def notes(*seeds: int) -> list[str]:
        some = {
            str(n): [made_result("x", np.random.default_rng(n).integers(1, 9, (6, 3, 2)))] * n
            for n in seeds
        }
        return bracket_notes(estimates_of(some).values())

    assert notes(1) == [NOTE]
    assert [note[0] for note in notes(2)] == ["a", "I"]
    assert [note[:5] for note in notes(1, 2, 3)] == [NOTE[:5], "a (b ", "a ± b", "In th"]


def test_evaluate_prints_intervals_where_there_are_some() -> None:
    overall, classes = score_tables(list(SCORED.values()), INTERVALS)
    assert overall.loc["ours"].tolist()[0] == "80.00 [79.00, 81.00]"
    assert overall.loc["floor-patchwork"].tolist()[0] == "70.00"
    assert "[" not in render(classes, "text")


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
    assert agreed.iloc[0].tolist() == [
        "pixel acc. %", "-1.00 [-1.00, -1.00]", "2", "x and y"
    ]  # fmt: skip


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
    lines = render(score_tables(list(SCORED.values()))[0], "latex").splitlines()
    assert lines[1] == r"\begin{tabular}{lrrr}"
    cells = [[cell.strip() for cell in line.rstrip("\\ ").split("&")] for line in lines]
    assert ["ours", "80.00", "0.4000", "0.800"] in cells
    assert {r"\toprule", r"\midrule", r"\bottomrule"} <= set(lines)


def test_the_name_of_a_group_stands_above_its_first_column() -> None:
    table = score_table(table1(), MEASURED, "Tiny")
    above, titles, rule, *rows = render(table.shown, "text").splitlines()
    for group in ("measured: Tiny", "published: Cityscapes, 500 validation images"):
        start = above.index(group)
        assert start == 0 or rule[start - 2 : start] == "  "
    assert titles.split()[0] == "method"
    ours = next(row for row in rows if row.startswith("pix2pixHD "))
    assert ours.split()[1:] == ["80.00", "0.4000", "0.800", "83.78", "0.6389"]


def test_the_name_of_a_group_spans_its_columns_in_latex() -> None:
    lines = render(score_table(table1(), MEASURED, "Tiny").shown, "latex").splitlines()
    assert lines[1] == r"\begin{tabular}{lrrrrr}"
    assert r"\multicolumn{3}{c}{measured: Tiny}" in lines[3]
    assert lines[4] == r"\cmidrule(lr){2-4} \cmidrule(lr){5-6}"
    assert lines[5].startswith(r"method & pixel acc. \% & mean IoU")


def test_a_footnote_names_classes_in_too_few_images_for_an_interval() -> None:
    matrices = np.ones((30, 5, 4), dtype=np.int64)
    assert footnotes({"x": [made_result("x", matrices)]}) == []
    matrices[2:, 3] = 0
    rare = made_result("x", matrices)
    (note,) = footnotes({"x": [rare], "y": [made_result("y", matrices)]})
    assert rare.classes[3] in note
    assert rare.classes[2] not in note
    (note,) = footnotes({"x": [made_result("x", matrices[2:12])]})
    assert "10 images" in note
