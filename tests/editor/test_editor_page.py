"""The page in a real browser: edits, tabs, a lost connection, a killed server, accessibility.

Pages run under a policy without eval, so conditions are waited for by attributes, not by scripts.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from browsers import serious_faults
from forks import Forked
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from styled import METHOD, opened, train_styled

from hdbench.workflows.edit import open_studio

pytestmark = pytest.mark.slow
SECONDS = 60_000
BUILDING, TREE = 11, 21


@pytest.fixture(scope="module")
def trained_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    open_studio(train_styled(root), METHOD, 0, torch.device("cpu"))
    return root


@pytest.fixture
def root(trained_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained_root / "ws", tmp_path / "ws")
    opened(tmp_path)
    return tmp_path


class Server:
    """``hdbench edit`` as a process."""

    def __init__(self, root: Path, port: int = 0) -> None:
        words = ("edit", METHOD, "--benchmark", root / "small.toml", "--workspace", root / "ws")
        options = ("--no-browser", "--port", str(port), "--device", "cpu")
        self.process = Forked(*words, *options, cwd=root)
        self.link = self.process.said(r"\A[^\n]*?: (http\S+)\n")[1]
        self.port = int(self.link.rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    started = Server(root)
    yield started
    started.process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.process.communicate(timeout=20)
    started.process.kill()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 900})
    yield made
    made.close()


def shown(page: Page, revision: int, quality: str = "exact") -> Locator:
    """Wait until the image of a revision is on the canvas."""
    canvas = page.locator(f"#canvas[data-shown='{quality} {revision}']")
    canvas.wait_for(timeout=SECONDS)
    return canvas


def open_page(context: BrowserContext, server: Server) -> Page:
    page = context.new_page()
    page.problems = []  # pyright: ignore[reportAttributeAccessIssue]
    page.on("pageerror", lambda error: page.problems.append(str(error)))  # pyright: ignore
    page.goto(server.link)
    page.locator("#canvas[data-shown^='exact']").wait_for(timeout=SECONDS)
    return page


def image_hash(page: Page, server: Server, revision: int) -> str:
    session = page.url.rpartition("#")[2]
    path = f"{server.link}api/sessions/{session}/image.png?quality=exact&revision={revision}"
    return hashlib.sha256(page.request.get(path).body()).hexdigest()


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Draw with the mouse through points, in shares of the canvas."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def pick(page: Page, name: str) -> bool:
    """Pick the largest instance of a class by the list of instances."""
    options = page.locator("#regions option").all_inner_texts()
    mine = [text for text in options if text.startswith(f"{name},")]
    if not mine:
        return False
    largest = max(mine, key=lambda text: int(text.rpartition("(")[2].split()[0]))
    page.locator("#regions").select_option(label=largest)
    return True


def test_paint_styles_removal_and_undo_of_all(context: BrowserContext, server: Server) -> None:
    page = open_page(context, server)
    first = image_hash(page, server, 0)
    page.locator(f"#palette [data-label='{BUILDING}']").click()
    drag(page, (0.3, 0.5), (0.5, 0.45), (0.7, 0.5))
    shown(page, 1)
    expect(page.locator("#edits li")).to_have_text(["brush building"])
    revision = 1
    things = [name for name in ("car", "person", "vegetation", "road") if pick(page, name)]
    assert things
    styles = page.locator("#styles button")
    expect(styles.first.locator("img")).to_be_visible(timeout=SECONDS)
    for number in range(min(styles.count(), 2)):
        styles.nth(number).click()
        revision += 1
        shown(page, revision)
        expect(styles.nth(number)).to_have_attribute("aria-pressed", "true")
    page.locator("#canvas").focus()
    page.keyboard.press("Delete")
    revision += 1
    shown(page, revision)
    expect(page.locator("#edits li").last).to_contain_text("remove")
    changed = image_hash(page, server, revision)
    assert changed != first
    page.keyboard.press("4")
    expect(page.locator("#slider")).to_be_visible()
    page.keyboard.press("Control+z")
    shown(page, revision + 1)
    page.keyboard.press("Control+Shift+Z")
    shown(page, revision + 2)
    assert image_hash(page, server, revision + 2) == changed
    page.locator("#undo-all").click()
    shown(page, revision + 3)
    assert image_hash(page, server, revision + 3) == first
    with page.expect_download() as saved:
        page.locator("#save-session").click()
    assert Path(saved.value.path()).read_bytes().count(b'"kind":"edit"') == revision
    page.locator("#export").click()
    expect(page.locator("#status")).to_contain_text("hdbench synthesize", timeout=SECONDS)
    assert page.problems == []  # pyright: ignore[reportAttributeAccessIssue]


def test_tabs_a_lost_connection_and_a_killed_server(
    context: BrowserContext, server: Server, root: Path
) -> None:
    page, other = open_page(context, server), open_page(context, server)
    for one in (page, other):
        one.locator(f"#palette [data-label='{TREE}']").click()
    drag(page, (0.2, 0.4), (0.4, 0.4))
    shown(page, 1)
    drag(other, (0.6, 0.4), (0.8, 0.4))  # before or after it has heard of the first
    shown(other, 2)
    shown(page, 2)
    expect(page.locator("#edits li")).to_have_count(2)
    other.close()

    context.set_offline(True)
    drag(page, (0.3, 0.6), (0.5, 0.6))
    expect(page.locator("#alert")).to_contain_text("lost")
    context.set_offline(False)
    shown(page, 3)
    expect(page.locator("#alert")).to_be_hidden()

    server.kill()
    drag(page, (0.5, 0.6), (0.7, 0.6))
    expect(page.locator("#alert")).to_contain_text("lost")
    again = Server(root, server.port)
    try:
        shown(page, 4)
        expect(page.locator("#edits li")).to_have_count(4)
        page.reload()
        shown(page, 4)
        expect(page.locator("#edits li")).to_have_count(4)
    finally:
        again.kill()


def test_axe_finds_no_serious_fault_and_a_finger_suffices(
    context: BrowserContext, server: Server, browser: Browser
) -> None:
    page = open_page(context, server)
    assert pick(page, "road")
    for width, height in ((1440, 900), (820, 1180), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for key in ("v", "s", "4", "?", "Escape", "b"):
            page.keyboard.press(key)
            assert serious_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    phone = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    touched = open_page(phone, server)
    touched.locator("[data-tool='fill']").tap()
    touched.locator(f"#palette [data-label='{TREE}']").tap()
    touched.locator("#canvas").tap(position={"x": 180, "y": 100})
    shown(touched, 1)
    expect(touched.locator("#edits li")).to_have_text(["fill vegetation"])
    phone.close()
