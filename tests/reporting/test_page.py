"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from playwright.sync_api import Dialog, Page

from hdbench.evaluation.uncertainty import NOTE
from hdbench.workspace.bench import Bench

Cli = Callable[..., Result]


@pytest.fixture
def written(cli: Cli, scored: Bench, with_figures: None) -> Path:
    assert cli("report", "table1").exit_code == 0
    return scored.workspace.reports() / "table1.tiny.html"


@pytest.mark.slow
def test_the_page_shows_everything_and_asks_the_network_for_nothing(
    browser_page: Page, written: Path
) -> None:
    requests, errors = [], []
    browser_page.on("request", lambda request: requests.append(request.url))
    browser_page.on("console", lambda message: errors.append(message.text))
    browser_page.on("pageerror", lambda error: errors.append(str(error)))
    browser_page.goto(written.as_uri())
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    first = browser_page.locator("section.scene").first
    assert first.locator("figcaption").all_inner_texts() == [
        "labels",
        "boundaries",
        "synthesized by ours-no-vgg",
        "photograph",
        "segmenter on ours-no-vgg",
        "segmenter on photograph",
    ]
    assert browser_page.locator("section.scene").count() == 3
    for image in browser_page.locator("section.scene img").all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 48]
    assert browser_page.locator("details.confusion summary").all_inner_texts() == [
        "oracle",
        "floor-patchwork",
        "floor-nearest",
        "floor-mean-colour",
        "ours-no-vgg",
    ]
    assert browser_page.locator("details.confusion[open] svg").count() == 1
    assert browser_page.locator("details.confusion svg").count() == 5
    # Scores, ratios, class IoU, losses, and one confusion matrix for each method.
    assert browser_page.locator("figure.chart svg").count() == 9
    body = browser_page.locator("body").inner_text()
    assert NOTE in body
    cells = browser_page.locator("table").first.locator("tbody tr").all_inner_texts()
    assert any("83.78" in cell for cell in cells)


@pytest.mark.slow
def test_names_from_files_are_inert(browser_page: Page, cli: Cli, trained: Bench) -> None:
    """A scene and a title that carry HTML are shown as text."""
    name = "<img src=x onerror=alert(1)>"
    for folder in ("val", "valannot"):
        path = trained.dataset.root("val") / folder / "val_00.png"
        path.rename(path.with_name(f"{name}.png"))
    assert cli("evaluate", "--method", "ours-no-vgg").exit_code == 0
    assert cli("report", "table1").exit_code == 0
    alerts = []

    def noticed(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    browser_page.on("dialog", noticed)
    browser_page.goto((trained.workspace.reports() / "table1.tiny.html").as_uri())
    assert browser_page.locator("section.scene h3").first.inner_text() == name
    assert alerts == []
