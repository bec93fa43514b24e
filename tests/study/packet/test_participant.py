"""The participant's page in a real browser, alone: what people see, and what is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handmade import PACKET, Server, handmade_packet, served
from pages import READY, go_on, opened
from playwright.sync_api import Browser, Page

from hdbench.schema.packet import PublicPacket
from hdbench.study.packet.mturk import write_mturk
from hdbench.study.packet.page import page_with

pytestmark = pytest.mark.slow

ROWS = "() => JSON.parse(Object.values(sessionStorage)[0] || '{\"rows\": []}').rows"
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser, policy=False) as found:
        yield found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "web").mkdir()
    with served(tmp_path / "web") as server:
        yield server


def packet(tmp_path: Path, **choices: Any) -> dict[str, Any]:
    (tmp_path / "web").rmdir()
    return handmade_packet(tmp_path, **choices)


def begin(page: Page, server: Server, query: str = f"?packet={PACKET}") -> None:
    page.goto(server.url + query)
    page.click("#hd-start")


def step(page: Page, key: str = "f") -> str:
    """Wait until the page wants something, give it; return what it was."""
    what = go_on(page)
    assert what != "error", page.inner_text("#hd-error")
    if what == "choice":
        page.keyboard.press(key)
    return what


def to_the_end(page: Page, key: str = "f") -> list[dict[str, Any]]:
    while step(page, key) != "end":
        pass
    return page.evaluate(ROWS)


def test_unlimited_from_start_to_file(page: Page, server: Server, tmp_path: Path) -> None:
    """Also under the page's own Content-Security-Policy, which this server sends."""
    content = packet(tmp_path, practice=2, region=[10, 5, 30, 20])
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    begin(page, server)
    assert step(page, "j") == "choice"  # practice asks for the left one
    page.wait_for_selector("#hd-next")
    assert "Look again" in page.inner_text("#hd-note")
    assert page.locator(".side.expected").get_attribute("id") == "hd-left"
    assert [step(page), step(page, "f")] == ["next", "choice"]
    page.wait_for_selector("#hd-next")
    assert page.inner_text("#hd-note") == "Correct."
    assert [step(page), step(page)] == ["next", "notice"]
    page.wait_for_function(READY)
    assert page.inner_text("#hd-count") == "1 of 3"
    boxes = [page.locator(f"#hd-{side} .frame").bounding_box() for side in ("left", "right")]
    outlines = [page.locator(f"#hd-{side} .region").bounding_box() for side in ("left", "right")]
    for box, outline in zip(boxes, outlines, strict=True):
        assert box is not None
        assert outline is not None
        found = [outline["x"] - box["x"], outline["y"] - box["y"]]
        found += [outline["width"], outline["height"]]
        assert found == pytest.approx([100, 50, 200, 150], abs=0.5)  # 10 pixels are 1 of the image
    rows = to_the_end(page, "j")
    with page.expect_download() as download:
        page.click("#hd-save")
    saved = json.loads(Path(download.value.path()).read_text())
    assert download.value.suggested_filename.startswith(f"judgments-{PACKET}-")
    assert {key: saved[key] for key in ("schema", "study", "packet", "viewport")} == {
        "schema": 1,
        "study": content["study"],
        "packet": PACKET,
        "viewport": [1366, 768],
    }
    assert len(saved["session"]) == 32
    assert saved["rows"] == rows
    assert [row["trial"] for row in rows] == [trial["trial"] for trial in content["trials"]]
    assert [row["choice"] for row in rows] == ["right", "left", "right", "right", "right"]
    assert set(rows[0]) == {
        "trial", "attempt", "choice", "response_ms", "input", "void", "planned_ms",
        "frames_planned", "frames_shown", "dropped", "shown_ms", "refresh_hz", "at",
    }  # fmt: skip
    assert all(row["input"] == "key" and row["response_ms"] > 0 for row in rows)
    assert [text for text in refused if "favicon" not in text and "404" not in text] == []


def test_both_images_appear_together_however_slow_one_is(
    page: Page, server: Server, tmp_path: Path
) -> None:
    content = packet(tmp_path, practice=0)
    late = f"/images/{content['trials'][0]['right']}"
    server.hold(late)
    page.add_init_script(
        "window.seen = []; (function look() { seen.push(['left', 'right'].map((side) => {"
        " const face = document.querySelector('#hd-' + side + ' .face');"
        " return Boolean(face && +getComputedStyle(face).opacity); }).join());"
        " requestAnimationFrame(look); })();"
    )
    begin(page, server)
    page.wait_for_function(
        "() => document.querySelector('#hd-note').textContent.includes('Loading')"
    )
    page.keyboard.press("f")  # nothing to choose from yet
    assert set(page.evaluate("seen")) == {"false,false"}
    server.release(late)
    page.wait_for_function(READY)
    assert set(page.evaluate("seen")) == {"false,false", "true,true"}
    assert page.evaluate(ROWS) == []


def test_a_missing_image_is_void_with_a_message_and_the_study_goes_on(
    page: Page, server: Server, tmp_path: Path
) -> None:
    content = packet(tmp_path, practice=0)
    missing = content["trials"][0]
    (tmp_path / "web" / "images" / missing["left"]).unlink()
    begin(page, server)
    page.locator("#hd-note", has_text="could not be loaded").wait_for()
    rows = to_the_end(page)
    first, second = (row for row in rows if row["trial"] == missing["trial"])
    assert (first["attempt"], first["void"], first["choice"]) == (1, "load", None)
    assert (second["attempt"], second["void"]) == (2, "load")
    assert sum(row["choice"] == "left" for row in rows) == 2
    assert "1 pair" in page.inner_text("#hd-summary")


HIDE = (
    "() => { Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
    " document.dispatchEvent(new Event('visibilitychange')); delete document.hidden; }"
)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda page: page.evaluate(HIDE), "hidden"),
        (lambda page: page.evaluate("window.dispatchEvent(new Event('blur'))"), "blur"),
        (lambda page: page.set_viewport_size({"width": 1300, "height": 768}), "resize"),
    ],
    ids=["hidden tab", "blur", "resize"],
)
def test_a_spoilt_timed_exposure_is_void_and_asked_once_more(
    page: Page, server: Server, tmp_path: Path, spoil: Any, reason: str
) -> None:
    content = packet(tmp_path, practice=0, durations=[4000, 125])
    begin(page, server)
    page.wait_for_selector("#hd-pair[data-state=show]", state="attached")
    spoil(page)
    page.wait_for_selector("#hd-notice")
    assert page.locator(".face").evaluate_all("faces => faces.map((f) => f.offsetParent)") == [
        None,
        None,
    ]
    assert page.inner_text("#hd-why")
    (row,) = page.evaluate(ROWS)
    assert (row["attempt"], row["void"], row["choice"]) == (1, reason, None)
    step(page)
    rows = to_the_end(page)
    assert rows[1]["trial"] == content["trials"][1]["trial"]  # the spoilt one comes at the end
    again = [one for one in rows if one["trial"] == row["trial"]]
    assert [one["attempt"] for one in again] == [1, 2]


def test_a_tab_that_takes_the_focus_voids_too(page: Page, server: Server, tmp_path: Path) -> None:
    """By the browser's own event, not by one that the test made."""
    packet(tmp_path, practice=0, durations=[60_000])
    begin(page, server)
    page.wait_for_selector("#hd-pair[data-state=show]", state="attached")
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    other = page.context.new_page()
    other.bring_to_front()
    page.wait_for_function(
        "() => JSON.parse(Object.values(sessionStorage)[0]).rows[0]", polling=100
    )
    assert page.evaluate(ROWS)[0]["void"] in ("blur", "hidden")
    assert page.text_content("#hd-why")


def test_an_unlimited_pair_is_asked_again_once_and_then_stands(
    page: Page, server: Server, tmp_path: Path
) -> None:
    packet(tmp_path, practice=0, durations=[None])
    begin(page, server)
    page.wait_for_function(READY)
    page.evaluate("window.dispatchEvent(new Event('blur'))")
    assert step(page) == "notice"
    page.wait_for_function(READY)
    page.evaluate("window.dispatchEvent(new Event('blur'))")
    rows = to_the_end(page)
    assert [(row["attempt"], row["void"], row["choice"]) for row in rows] == [
        (1, "blur", None),
        (2, None, "left"),
    ]


def test_keys_before_the_mask_do_not_count(page: Page, server: Server, tmp_path: Path) -> None:
    packet(tmp_path, practice=0, durations=[3000])
    begin(page, server)
    page.wait_for_selector("#hd-pair[data-state=show]", state="attached")
    page.keyboard.press("f")
    page.locator("#hd-right button").dispatch_event("click")
    page.keyboard.down("f")  # and one that is still held when the mask comes
    assert page.evaluate(ROWS) == []
    page.wait_for_function(READY)
    page.keyboard.down("f")  # a repetition
    if not page.is_visible("#hd-notice"):
        assert page.evaluate(ROWS) == []
        page.keyboard.press("j")
        (row,) = page.evaluate(ROWS)
        assert row["choice"] == "right"


def test_timed_rows_say_what_was_planned_and_measured(
    page: Page, server: Server, tmp_path: Path
) -> None:
    packet(tmp_path, practice=1, durations=[125, 250])
    begin(page, server)
    for row in to_the_end(page):
        rate = round(row["refresh_hz"])
        assert row["frames_planned"] == int(row["planned_ms"] / 1000 * rate + 0.5)
        late = abs(row["frames_shown"] - row["frames_planned"])
        assert (row["void"] == "frames") == (late > 1)
        assert row["shown_ms"] == pytest.approx(
            row["frames_shown"] * 1000 / row["refresh_hz"], abs=9
        )
        assert row["dropped"] >= 0
        assert (row["choice"] is None) == (row["void"] is not None)


def test_the_keyboard_alone_is_enough(page: Page, server: Server, tmp_path: Path) -> None:
    packet(tmp_path, practice=1, durations=[None, None])
    page.goto(f"{server.url}?packet={PACKET}")
    page.wait_for_selector("#hd-start")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "hd-start"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    page.wait_for_function(READY)
    page.keyboard.press("f")
    page.wait_for_selector("#hd-next")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hd-notice")
    page.keyboard.press("Space")
    page.wait_for_function(READY)
    page.keyboard.press("Tab")  # to a button instead of its key
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("() => JSON.parse(Object.values(sessionStorage)[0]).rows.length === 2")
    page.wait_for_function(READY)
    page.keyboard.press("F")
    page.wait_for_selector("#hd-end")
    rows = page.evaluate(ROWS)
    assert [(row["choice"], row["input"]) for row in rows] == [
        ("left", "key"),
        ("right", "key"),
        ("left", "key"),
    ]


def test_mouse_and_touch_are_told_apart(browser: Browser, server: Server, tmp_path: Path) -> None:
    packet(tmp_path, practice=0, durations=[None, None])
    context = browser.new_context(viewport={"width": 1000, "height": 700}, has_touch=True)
    page = context.new_page()
    begin(page, server)
    page.wait_for_function(READY)
    page.click("#hd-right button")
    page.wait_for_function("() => JSON.parse(Object.values(sessionStorage)[0]).rows.length === 1")
    page.wait_for_function(READY)
    page.tap("#hd-left button")
    page.wait_for_selector("#hd-end")
    rows = page.evaluate(ROWS)
    context.close()
    assert [(row["choice"], row["input"]) for row in rows] == [
        ("right", "mouse"),
        ("left", "touch"),
    ]


def test_a_reload_resumes(page: Page, server: Server, tmp_path: Path) -> None:
    packet(tmp_path, practice=0, durations=[None, None, None])
    begin(page, server)
    step(page)
    page.wait_for_function(READY)
    page.reload()  # "leave?" is asked, and accepted
    page.wait_for_selector("#hd-start")
    assert page.inner_text("#hd-start") == "Go on"
    page.click("#hd-start")
    rows = to_the_end(page)
    answered = [row["trial"] for row in rows if not row["void"]]
    assert len(answered) == len(set(answered)) == 3
    # Leaving hides the page, so the pair that was on screen is asked again.
    assert [row["void"] for row in rows if row["void"]] in ([], ["hidden"])


def test_a_reload_while_a_timed_pair_is_shown_voids_it(
    page: Page, server: Server, tmp_path: Path
) -> None:
    packet(tmp_path, practice=0, durations=[60_000, 125])
    begin(page, server)
    page.wait_for_selector("#hd-pair[data-state=show]", state="attached")
    page.reload()
    page.wait_for_selector("#hd-start")
    (row,) = page.evaluate(ROWS)
    assert (row["attempt"], row["void"]) == (1, "hidden")


def test_leaving_warns_once_there_is_something_to_lose(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    packet(tmp_path, practice=0)
    page = browser.new_page()
    asked: list[str] = []

    def noticed(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", noticed)
    begin(page, server)
    page.wait_for_function(READY)
    page.reload()
    assert asked == []
    page.click("#hd-start")
    step(page)
    page.reload()
    assert asked == ["beforeunload"]
    page.context.close()


def test_a_preview_shows_the_instructions_only(page: Page, server: Server, tmp_path: Path) -> None:
    packet(tmp_path)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{server.url}?packet={PACKET}&assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE")
    page.wait_for_selector("#hd-gate")
    assert "preview" in page.inner_text("#hd-gate")
    assert page.is_hidden("#hd-start")
    assert not [url for url in requests if "/images/" in url]


def test_html_in_texts_is_shown_as_text(page: Page, server: Server, tmp_path: Path) -> None:
    content = packet(
        tmp_path, question=HOSTILE, left_label=HOSTILE, right_label=HOSTILE, instructions=[HOSTILE]
    )
    begin(page, server)
    page.wait_for_function(READY)
    assert page.inner_text("#hd-question") == HOSTILE
    assert page.inner_text("#hd-left button span") == HOSTILE
    (tmp_path / "web" / "inline.html").write_text(page_with(PublicPacket.model_validate(content)))
    page.goto(f"{server.url}inline.html")  # with the packet inside, without the policy's hash
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "?packet="),
        ("?packet=../x", "?packet="),
        (f"?packet={'9' * 16}", f"{'9' * 16} could not be loaded (status 404)"),
        (f"?packet={PACKET}&assignmentId=A&turkSubmitTo=https://evil.example", "evil.example"),
    ],
)
def test_addresses_that_lead_nowhere(
    page: Page, server: Server, tmp_path: Path, query: str, message: str
) -> None:
    packet(tmp_path)
    page.goto(server.url + query)
    page.wait_for_selector("#hd-error")
    assert message in page.inner_text("#hd-error")


def test_an_external_question_posts_one_field_to_mechanical_turk_once(
    page: Page, server: Server, tmp_path: Path
) -> None:
    packet(tmp_path, practice=0, durations=[None])
    posts: list[str] = []

    def received(route: Any) -> None:
        posts.append(route.request.post_data)
        route.fulfill(status=204)

    page.route("https://workersandbox.mturk.com/mturk/externalSubmit", received)
    query = f"?packet={PACKET}&assignmentId=A1&turkSubmitTo=https://workersandbox.mturk.com"
    begin(page, server, query)
    rows = to_the_end(page)
    with page.expect_request("https://workersandbox.mturk.com/**"):
        page.locator("#hd-send").evaluate("button => { button.click(); button.click(); }")
    assert page.is_disabled("#hd-send")
    fields = page.evaluate("text => [...new URLSearchParams(text)]", posts[0])
    assert len(posts) == 1
    assert [name for name, _ in fields] == ["judgments", "assignmentId"]
    assert json.loads(fields[0][1])["rows"] == rows
    assert fields[1][1] == "A1"


def test_an_html_question_runs_from_its_own_form(page: Page, tmp_path: Path) -> None:
    """The images come from another host, the page from Mechanical Turk's."""
    content = handmade_packet(tmp_path, practice=0, durations=[None])
    with served(tmp_path / "web", policy=False) as images:
        folder = write_mturk(tmp_path, address="https://pictures.example/").folder
        text = (folder / "question.xml").read_text().split("<![CDATA[")[1].split("]]>")[0]
        values = {
            "${packet}": PACKET,
            "${images}": f"{images.url}images/",
            "${trials}": json.dumps(content["trials"]),
        }
        for variable, value in values.items():
            text = text.replace(variable, value)
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "index.html").write_text(text)
        posts: list[str] = []

        def received(route: Any) -> None:
            posts.append(route.request.post_data)
            route.fulfill(status=204)

        page.route("https://www.mturk.com/**", received)
        with served(tmp_path / "site", policy=False) as site:
            page.goto(f"{site.url}?assignmentId=A2&turkSubmitTo=https://www.mturk.com")
            page.click("#hd-start")
            rows = to_the_end(page)
            with page.expect_request("https://www.mturk.com/mturk/externalSubmit"):
                page.click("#hd-send")
    fields = dict(page.evaluate("text => [...new URLSearchParams(text)]", posts[0]))
    assert set(fields) == {"assignmentId", "judgments"}
    assert fields["assignmentId"] == "A2"
    assert json.loads(fields["judgments"])["rows"] == rows
    assert [row["choice"] for row in rows] == ["left"]


@pytest.mark.parametrize(
    ("width", "height", "shown"),
    [(1366, 768, (640, 320)), (1920, 1080, (640, 320)), (1024, 768, (472, 236))],
)
def test_the_pair_fits_without_scrolling(
    page: Page, server: Server, tmp_path: Path, width: int, height: int, shown: tuple[int, int]
) -> None:
    packet(tmp_path, practice=1)
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{server.url}?packet={PACKET}")
    page.wait_for_selector("#hd-start")
    assert f"{shown[0]} × {shown[1]}" in page.inner_text("#hd-facts")
    page.click("#hd-start")
    step(page)  # practice, so that the line with its answer is there too
    page.wait_for_selector("#hd-next")
    face = page.locator("#hd-left .face").bounding_box()
    assert face is not None
    assert (face["width"], face["height"]) == pytest.approx(shown, abs=1)
    overflow = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert page.evaluate(overflow) == [width, height]
    for side in ("left", "right"):
        button = page.locator(f"#hd-{side} button").bounding_box()
        assert button is not None
        assert min(button["width"], button["height"]) >= 44


def test_square_images_fit_too_and_are_not_distorted(
    page: Page, server: Server, tmp_path: Path
) -> None:
    packet(tmp_path, practice=0, size=(50, 50), display=(640, 640))
    begin(page, server)
    page.wait_for_function(READY)
    box = page.locator("#hd-left .face").bounding_box()
    assert box is not None
    assert box["width"] == box["height"] == pytest.approx(528, abs=8)
    assert page.evaluate("document.documentElement.scrollHeight") == 768


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "unlimited"])
def test_phones_may_do_unlimited_studies_only(
    browser: Browser, server: Server, tmp_path: Path, timed: bool
) -> None:
    packet(tmp_path, practice=0, durations=[125] if timed else [None])
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        screen={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
    )
    page = context.new_page()
    page.goto(f"{server.url}?packet={PACKET}")
    page.wait_for_selector("#hd-gate")
    assert page.is_disabled("#hd-start") == timed
    assert ("phone" if timed else "sideways") in page.inner_text("#hd-gate")
    if not timed:
        page.tap("#hd-start")
        page.wait_for_function(READY)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.tap("#hd-right button")
        page.wait_for_selector("#hd-end")
    context.close()
