"""A report's files, and its page on a phone and on paper."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from playwright.sync_api import Page

from hdbench.reporting.document import (
    Document,
    Picture,
    SceneStrip,
    Section,
    write_document,
    write_summary,
)
from hdbench.reporting.page import render_page

COMMAND = "hdbench reproduce table1 --method crn"
HEADS = pd.MultiIndex.from_tuples(
    [("measured: Tiny, a title of some length", name) for name in ("accuracy", "IoU", "ratio")]
    + [("published: elsewhere", "accuracy")]
)
TABLE = pd.DataFrame(
    [["91.08 (90.51 to 91.65)"] * 3 + ["83.78"], ["–"] * 3 + ["70.55"]],
    index=pd.Index(["pix2pixHD with a very long title that goes on", "CRN"], name="method"),
    columns=HEADS,
)
NUMBERS = pd.DataFrame({"mean": ["91.08", "–"]}, index=TABLE.index)


def document(**more: object) -> Document:
    picture = Picture("labels", torch.zeros(3, 8, 16, dtype=torch.uint8), False)
    sections = [
        Section("Scores", "scores", TABLE, NUMBERS, frozenset({(0, 1)}), {1: COMMAND}, ["A note."]),
        Section("Preferences", "preferences", TABLE, remarks=["Of people."]),
        Section("Long", remarks=["Of people.", "x" * 400], in_summary=False),
        Section("Pictures", strips=[SceneStrip("s", torch.zeros(1), [[picture] * 4] * 2)]),
    ]
    facts = {"fingerprint": "0123456789abcdef" * 4}
    return replace(Document("x.tiny", "X", "About.", sections, facts), **more)  # pyright: ignore


def page(*documents: Document) -> str:
    return render_page("A title", "A source.", documents)


def test_each_table_has_its_csv_and_latex_and_all_are_in_the_text(tmp_path: Path) -> None:
    paths = write_document(tmp_path, document(files={"sheet.png": b"png"}), page(document()))
    assert {path.name for path in paths.values()} == {
        "x.tiny.txt", "x.tiny.md", "x.tiny.csv", "x.tiny.tex", "x.tiny.preferences.csv",
        "x.tiny.preferences.tex", "x.tiny.sheet.png", "x.tiny.html",
    }  # fmt: skip
    assert paths["csv"].read_text().splitlines()[0] == "method,mean"
    assert r"\textbf{91.08}" in paths["latex"].read_text()
    assert r"\scriptsize (90.51 to 91.65)" in paths["latex"].read_text()
    text, markdown = paths["text"].read_text(), paths["markdown"].read_text()
    assert f"CRN: '{COMMAND}'" in text
    assert text.index("A note.") < text.index("Preferences")
    assert markdown.count("| method |") == 2
    assert markdown.count("**91.08") == 1


def test_an_empty_row_names_its_command_in_place_of_what_was_not_measured() -> None:
    row = next(line for line in page(document()).splitlines() if COMMAND in line)
    assert f"<code>{COMMAND}</code>" in row
    assert 'colspan="3"' in row
    assert "70.55" in row
    assert "–" not in row


def test_a_page_of_several_reports_leaves_out_what_is_not_for_it_and_says_nothing_twice() -> None:
    both = page(document(), document(stem="y.tiny", title="Y"))
    assert re.findall(r'<article id="([^"]*)"', both) == ["x.tiny", "y.tiny"]
    assert re.findall(r'<a href="#([^"]*)"', both) == ["x.tiny", "y.tiny"]
    assert "x" * 400 not in both
    assert "x" * 400 in page(document())
    assert both.count("Of people.") == 1


def test_a_summary_has_all_tables_under_their_titles(tmp_path: Path) -> None:
    documents = [document(), document(stem="y.tiny", title="Y")]
    paths = write_summary(tmp_path, "summary.tiny", "All", documents, page(*documents))
    text = paths["markdown"].read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["X", "Y"]
    assert text.count("| method |") == 4


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_never_scrolls_sideways_and_asks_for_nothing(
    browser_page: Page, tmp_path: Path, width: int
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(document(), document(stem="y.tiny")))
    requests: list[str] = []
    browser_page.on("request", lambda request: requests.append(request.url))
    browser_page.set_viewport_size({"width": width, "height": 800})
    browser_page.goto(path.as_uri())
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= width
    assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    scrolls = "(box) => box.scrollWidth > box.clientWidth"
    boxes = browser_page.locator(".scroll, .strips.several")
    if width == 390:  # wide tables scroll inside their boxes
        assert boxes.first.evaluate(scrolls)
    best = browser_page.locator("td:has(strong)").first
    assert best.inner_text().split("\n") == ["91.08", "(90.51 to 91.65)"]
    table = browser_page.locator(".scroll").first  # whose first column stays where it is
    table.evaluate("(box) => box.scrollTo(100, 0)")
    name = table.locator("tbody td").first
    assert name.bounding_box()["x"] == table.bounding_box()["x"]  # pyright: ignore


@pytest.mark.slow
def test_on_paper_tables_are_whole(browser_page: Page, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(document(), document(stem="y.tiny")))
    browser_page.set_viewport_size({"width": 1032, "height": 700})  # A4 landscape within margins
    browser_page.emulate_media(media="print")
    browser_page.goto(path.as_uri())
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= 1032
    assert not browser_page.locator("nav").is_visible()
    for table in browser_page.locator("table").all():
        assert table.evaluate("(table) => table.getBoundingClientRect().right") <= 1032
