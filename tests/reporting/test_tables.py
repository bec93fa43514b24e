from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from hdbench.library import Library
from hdbench.reporting.tables import (
    NOTHING,
    render,
    report_table,
    score_tables,
    with_rows_of,
)
from hdbench.results import Result


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
        scores={
            "pixel_accuracy": accuracy,
            "mean_iou": mean_iou,
            "class_iou": {"sky": mean_iou, "road": None},
        },
        provenance={},
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
    longer = with_rows_of(report, methods)
    assert longer.rows[:-1] == report.rows
    results = {**MEASURED, "ours-labels-only": result("ours-labels-only", 0.75, 0.3)}
    table = report_table(longer, results, "measured: Tiny")
    assert table.index[-1] == methods[0].title
    assert table["measured: Tiny"].loc[methods[0].title].tolist() == ["75.00", "0.3000", "0.600"]
    assert with_rows_of(report, methods[1:]) == report


def test_the_published_numbers_are_the_papers() -> None:
    rows = {row.title: row.published for row in Library().report("table1").rows}
    assert rows["pix2pix"] == {"pixel_accuracy": 78.34, "mean_iou": 0.3948}
    assert rows["CRN"] == {"pixel_accuracy": 70.55, "mean_iou": 0.3483}
    assert rows["pix2pixHD"] == {"pixel_accuracy": 83.78, "mean_iou": 0.6389}
    assert rows["oracle"] == {"pixel_accuracy": 84.29, "mean_iou": 0.6857}


def test_a_ratio_is_never_taken_across_fingerprints() -> None:
    others = {**MEASURED, "oracle": replace(MEASURED["oracle"], choices={"schema": 2})}
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


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_undefined_class_iou_is_an_empty_cell(form) -> None:
    text = render(score_tables(list(MEASURED.values()))[1], form)
    assert "nan" not in text
    assert "None" not in text
