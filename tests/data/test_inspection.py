from __future__ import annotations

import pytest

from hdbench.data import inspection
from hdbench.data.inspection import check_split, preview_sheet
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import Workspace


def test_a_preview_explains_no_colour_that_neither_occurs_nor_is_scored(
    city: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = []
    monkeypatch.setattr(inspection, "contact_sheet", sheets.append)
    bench = open_bench(city)
    preview_sheet(bench.benchmark, bench.dataset.train_scenes, 2)
    captions = [cell.caption for row in sheets[0][1:] for cell in row]
    assert captions == [entry.name for entry in bench.space.scored]


def test_a_report_tells_classes_that_occur_from_those_that_do_not(city: Workspace) -> None:
    bench = open_bench(city)
    report = check_split(bench.benchmark, bench.dataset.root("train"), "train[:2]")
    head, shares, nowhere = report.text().splitlines()
    assert head == "train[:2]: 2 scenes (2 of 24x16)"
    # Of 384 pixels: 12 of a bicycle, 8 of people, 72 of cars, the rest road.
    assert shares == "  road 76.0 %, person 2.1 %, car 18.8 %, bicycle 3.1 %"
    assert nowhere.startswith("  nowhere: unlabeled, ego vehicle, ")
    assert len(nowhere.split(",")) == 30
