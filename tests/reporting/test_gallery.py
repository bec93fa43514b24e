"""The gallery in a real browser, and what it draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from playwright.sync_api import Page

from hdbench.data.labels import VOID, shipped_space
from hdbench.evaluation.confusion import scores_of
from hdbench.reporting import gallery as drawing
from hdbench.reporting.gallery import RIGHT, UNCOUNTED, WRONG, Drawing, Entry, write_gallery
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import load_result, result_path

Cli = Callable[..., Result]
SPACE = shipped_space("camvid")
HTML = "<img src=x onerror=alert(1)>"


def entry(n: int, name: str, iou: float | None, drawn: list[str] | None = None) -> Entry:
    def draw() -> Drawing:
        if drawn is not None:
            drawn.append(name)
        pixels = torch.full((3, 12, 16), n % 256, dtype=torch.uint8)
        return Drawing({"image.jpg": pixels, "errors.png": pixels}, moved=0)

    return Entry(name, iou, iou, {"road": iou, "sky": None}, f"source-{n}", draw)


def write(folder: Path, entries: list[Entry]) -> Path:
    return write_gallery(
        folder,
        entries,
        title=f"Title {HTML}",
        subtitle=HTML,
        facts={"run": HTML},
        captions={"image.jpg": "image", "errors.png": "errors"},
        legend=SPACE.scored,
    )


@pytest.mark.slow
def test_five_hundred_scenes_are_sorted_loaded_lazily_and_ask_no_network(
    browser_page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    random = np.random.default_rng(0)
    scores = [None, *random.random(499).tolist()]
    entries = [entry(n, f"{HTML}-{n}", score) for n, score in enumerate(scores)]
    monkeypatch.setattr(drawing, "write_atomically", writes)  # 1000 syncs test the disk alone
    page = write(tmp_path / "gallery", entries)
    requests, problems = [], []
    browser_page.on("request", lambda request: requests.append(request.url))
    browser_page.on("pageerror", lambda error: problems.append(str(error)))
    browser_page.on("dialog", lambda dialog: problems.append(dialog.message) or dialog.dismiss())
    with browser_page.expect_request(lambda request: request.url.endswith("-image.jpg")):
        browser_page.goto(page.as_uri())  # which returns before lazy images are asked for
    browser_page.locator("img").first.evaluate("image => image.decode()")
    assert [url for url in requests if not url.startswith("file:")] == []
    assert len(requests) < 200  # of 1001: what is far below the fold waits
    shown = browser_page.locator("section .score").all_inner_texts()
    assert len(shown) == 500
    assert shown[-1] == "–"
    values = [float(text) for text in shown[:-1]]
    assert values == sorted(values)
    assert browser_page.locator("nav a").all_inner_texts() == shown
    assert browser_page.locator("h1").inner_text() == f"Title {HTML}"
    browser_page.locator("nav a").nth(400).click()
    target = browser_page.locator("section").nth(400)
    target.locator("img").first.evaluate("image => image.decode()")
    assert target.evaluate("card => card.matches(':target')")
    with browser_page.expect_navigation():
        target.locator("figure a").first.click()
    assert browser_page.url.endswith("-image.jpg")
    assert problems == []


def test_only_what_is_missing_or_changed_is_drawn_again(tmp_path: Path) -> None:
    drawn: list[str] = []
    entries = [entry(n, f"scene {n}", n / 5, drawn) for n in range(5)]
    write(tmp_path, entries)
    assert len(drawn) == 5
    before = (tmp_path / "index.html").read_bytes()
    (tmp_path / "scenes" / "00002-errors.png").unlink()
    entries[3] = entry(33, "scene 3", 3 / 5, drawn)
    write(tmp_path, entries)
    assert drawn[5:] == ["scene 1", "scene 3"]
    assert (tmp_path / "index.html").read_bytes() == before
    (tmp_path / "drawn.json").write_text("{")
    write(tmp_path, entries)
    assert len(drawn) == 12


def test_a_killed_gallery_goes_on(tmp_path: Path) -> None:
    drawn: list[str] = []
    entries = [entry(n, f"scene {n}", 0.5, drawn) for n in range(4)]

    def fails() -> Drawing:
        raise KeyboardInterrupt

    broken = Entry("scene 2", 0.5, 0.5, {}, "source-2", fails)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, [*entries[:2], broken, entries[3]])
    write(tmp_path, entries)
    assert drawn == ["scene 0", "scene 1", "scene 2", "scene 3"]


def test_the_error_map_tells_right_wrong_and_uncounted_apart() -> None:
    truth = torch.tensor([[0, 1, VOID, 1]], dtype=torch.uint8)
    seen = torch.tensor([[0, 0, 0, 1]], dtype=torch.uint8)
    counted = torch.tensor([[True, True, True, False]])
    found = drawing.error_map(truth, seen, counted).permute(1, 2, 0)[0].tolist()
    assert found == [list(RIGHT), list(WRONG), list(UNCOUNTED), list(UNCOUNTED)]


@pytest.mark.slow
def test_the_gallery_of_a_method_shows_what_was_counted(
    browser_page: Page, cli: Cli, trained: Bench
) -> None:
    early = cli("gallery", "ours-no-vgg")
    assert early.exit_code == 1
    assert "'hdbench evaluate --method ours-no-vgg'" in early.stderr
    assert cli("evaluate", "--method", "ours-no-vgg").exit_code == 0
    written = cli("gallery", "ours-no-vgg")
    assert written.exit_code == 0, written.stderr
    page = Path(written.stdout.strip())
    page = page if page.is_absolute() else Path.cwd() / page
    result = load_result(result_path(trained, "ours-no-vgg", 0))
    expected = sorted(
        scores_of(matrix, trained.scoring.counting).mean_iou for matrix in result.matrices
    )
    browser_page.goto(page.as_uri())
    shown = browser_page.locator("section .score").all_inner_texts()
    assert shown == [f"{100 * value:.1f}" for value in expected]
    assert "pixels of the prediction shown" not in browser_page.content()
    first = browser_page.locator("section").first
    assert first.locator("figcaption").all_inner_texts() == [
        "image",
        "photograph",
        "labels",
        "what the segmenter sees",
        "errors",
    ]
    for image in browser_page.locator("section img").all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
    # The error map's colours are the matrix: right is its diagonal, uncounted its void row.
    for n, matrix in enumerate(result.matrices, start=1):
        pixels = np.array(Image.open(page.parent / "scenes" / f"{n:05d}-errors.png"))
        counts = [int((pixels == colour).all(axis=2).sum()) for colour in (RIGHT, WRONG, UNCOUNTED)]
        right = int(np.trace(matrix[:-1]))
        assert counts == [right, int(matrix[:-1].sum()) - right, int(matrix[-1].sum())]
    record = json.loads((page.parent / "drawn.json").read_text())
    assert all(scene["moved"] == 0 for scene in record.values())


@pytest.mark.slow
def test_the_oracles_gallery_shows_each_photograph_once(cli: Cli, trained: Bench) -> None:
    assert cli("evaluate").exit_code == 0
    page = Path(cli("gallery", "oracle").stdout.strip())
    assert "photograph.jpg" not in page.read_text()
    assert len(list((page.parent / "scenes").iterdir())) == 3 * 4
