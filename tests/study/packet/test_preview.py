"""The researcher's preview, as text and in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from packets import study_of
from playwright.sync_api import Dialog, Page

from hdbench.workspace.bench import Bench

Cli = Callable[..., Result]
HTML = "<img src=x onerror=alert(1)>"


def with_html(bench: Bench, cli: Cli, folder: Path) -> None:
    """Build a packet whose second method and one scene carry HTML in their names."""
    for name in ("val", "valannot"):
        path = bench.dataset.root("val") / name / "val_00.png"
        path.rename(path.with_name(f"{HTML}.png"))
    for method in ("alpha", "beta"):
        path = bench.image_folder(method, 0) / "val_00.png"
        path.rename(path.with_name(f"{HTML}.png"))
    beta = bench.run_folder("beta", 0).parent
    beta.rename(beta.with_name(HTML))
    result = cli(
        *("study", "build", "--study", "pilot", "--methods", f"alpha,{HTML}"),
        *("--output", folder),
    )
    assert result.exit_code == 0, result.output


def test_names_that_carry_html_are_inert_in_every_file(
    cli: Cli, imaged: Bench, tmp_path: Path
) -> None:
    with_html(imaged, cli, tmp_path / "p")
    assert study_of(tmp_path / "p")["methods"] == ["alpha", HTML]
    preview = (tmp_path / "p" / "preview.html").read_text()
    assert HTML not in preview
    assert "&lt;img src=x onerror=alert(1)&gt;" in preview
    for path in (tmp_path / "p" / "web").rglob("*.*"):
        assert b"onerror" not in path.read_bytes() or path.name == "index.html"


@pytest.mark.slow
def test_the_preview_shows_every_pair_with_names_and_asks_the_network_for_nothing(
    browser_page: Page, cli: Cli, imaged: Bench, tmp_path: Path
) -> None:
    with_html(imaged, cli, tmp_path / "p")
    requests, errors, alerts = [], [], []

    def noticed(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    browser_page.on("request", lambda request: requests.append(request.url))
    browser_page.on("console", lambda message: errors.append(message.text))
    browser_page.on("dialog", noticed)
    browser_page.goto((tmp_path / "p" / "preview.html").as_uri())
    assert [url for url in requests if not url.startswith("file:")] == []
    assert (errors, alerts) == ([], [])
    sections = browser_page.locator("section").all()
    assert len(sections) == 3 + 8  # test scenes, and training scenes for practice and checks
    captions = sections[0].locator("figcaption").all_inner_texts()
    assert captions == ["alpha", HTML]
    assert sections[0].locator("h3").inner_text() == HTML
    browser_page.locator("summary").first.click()
    trials = browser_page.locator("details").first.locator(".trial")
    assert trials.count() == 2 + 3 + 3
    for image in browser_page.locator("img:visible").all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 48]
    claims = browser_page.locator("table").first.locator("tbody tr").all_inner_texts()
    assert len(claims) > 15
    assert all(line.endswith("yes") for line in claims)
