"""The participants' page in a real browser, answering to a server that is a process of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import serious_faults
from pages import READY, go_on, opened
from playwright.sync_api import Browser, Page, expect
from servers import Process, right_answers, running, started

from hdbench.schema.judgment import Attempt
from hdbench.study.analysis.tally import tally
from hdbench.study.answers.database import attempts, database_path, reading
from hdbench.study.packet.files import open_packet
from hdbench.study.server.assignment import completion_codes

pytestmark = pytest.mark.slow
expect.set_options(timeout=30_000)

LINK = "?PROLIFIC_PID=5f0000000000000000000001&STUDY_ID=60aa&SESSION_ID=61bb"


@pytest.fixture
def server(packet: Path) -> Iterator[Process]:
    with running(packet) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser) as found:
        yield found


def kept(folder: Path) -> list[list[Attempt]]:
    """The answers of every session, in the order of their beginnings."""
    study = open_packet(folder).study
    with reading(database_path(folder), study) as connection:
        sessions = connection.execute("SELECT session FROM sessions ORDER BY began").fetchall()
        return [attempts(connection, session) for (session,) in sessions]


def begin(page: Page, address: str) -> None:
    page.goto(address)
    page.click("#hd-start")


def step(page: Page, right: dict[str, str], sides: Iterator[str]) -> str:
    """Wait until the page wants something, give it; return what it was."""
    if (what := go_on(page)) == "choice":
        choose(page, right, sides)
    return what


def choose(page: Page, right: dict[str, str], sides: Iterator[str]) -> None:
    """Answer the pair that is shown; the page then has the answer, and may not have sent it."""
    before = len(rows(page))
    open_trial = page.evaluate(OPEN)
    side = right.get(open_trial) or next(sides)
    page.keyboard.press("f" if side == "left" else "j")
    page.wait_for_function(f"() => ({ROWS})().length > {before}")


#: The page waits for the participant, or says that the connection is lost.
READY_OR_LOST = f"() => !document.querySelector('#hd-lost').hidden || ({READY})()"
#: The answers that the page has, sent or not.
ROWS = "() => window.rows"
#: The trial that is asked: the first that was not, then those that were void.
OPEN = (
    "() => { const asked = (name) => rows.filter((row) => row.trial === name);"
    " const open = trials.filter((name) => !asked(name).some((row) => !row.void"
    " || row.attempt === 2)); return open.find((name) => !asked(name).length) || open[0]; }"
)


def rows(page: Page) -> list[dict[str, Any]]:
    return page.evaluate(ROWS)


def listen(page: Page) -> None:
    """Let the page remember its trials and answers, which it shows nowhere."""
    page.add_init_script(
        "const ask = window.fetch; window.rows = []; window.fetch = async (...given) => {"
        " if (String(given[0]).endsWith('/judgment')) { const { row } = JSON.parse(given[1].body);"
        " if (!rows.some((one) => one.trial === row.trial && one.attempt === row.attempt))"
        " rows.push(row); }"
        " const answer = await ask(...given);"
        " if (String(given[0]).endsWith('/session')) { const said = await answer.clone().json();"
        " if (said.packet) { window.trials = said.packet.trials.map((one) => one.trial);"
        " window.rows = said.rows; } }"
        " return answer; };"
    )


def alternating() -> Iterator[str]:
    while True:
        yield from ("left", "right")


def to_the_end(page: Page, folder: Path, sides: Iterator[str] | None = None) -> None:
    right, sides = right_answers(folder), sides or alternating()
    while (what := step(page, right, sides)) != "end":
        assert what != "error", page.inner_text("#hd-error")


def test_a_packet_is_answered_and_each_answer_is_on_disk_before_the_next(
    page: Page, server: Process, packet: Path
) -> None:
    listen(page)
    begin(page, server.url + LINK)
    right, sides = right_answers(packet), alternating()
    chosen = 0
    while (what := go_on(page)) != "end":
        assert what != "error"
        if what == "choice":
            assert len(kept(packet)[0]) == chosen
            choose(page, right, sides)
            chosen += 1
    study = open_packet(packet).study
    code = completion_codes(study)[0]
    assert code in page.inner_text("#hd-summary")
    assert page.get_attribute("#hd-save", "href") == (
        f"https://app.prolific.com/submissions/complete?cc={code}"
    )
    ((*answers,),) = kept(packet)
    trials = json.loads((packet / "web" / "packets" / f"{study.packet_ids[0]}.json").read_text())
    assert [row.trial for row in answers] == [trial["trial"] for trial in trials["trials"]]
    found = tally(open_packet(packet), [database_path(packet)], simulated=False)
    assert len(found.judgments(all_sessions=True)) == 3
    page.reload()
    expect(page.locator("#hd-end")).to_be_visible()
    assert code in page.inner_text("#hd-summary")


def test_a_timed_packet_is_answered(page: Page, timed_packet: Path) -> None:
    with running(timed_packet) as server:
        listen(page)
        begin(page, server.url)
        to_the_end(page, timed_packet)
    (answers,) = kept(timed_packet)
    valid = [row for row in answers if row.void is None]
    assert {row.planned_ms for row in valid} == {125, 250}
    assert all(row.frames_shown is not None and row.refresh_hz for row in valid)
    first = open_packet(timed_packet).by_packet[0]
    settled = {row.trial for row in answers if row.void is None or row.attempt == 2}
    assert settled == {trial.trial for trial in first}


def test_a_reload_goes_on_at_the_next_pair(page: Page, server: Process, packet: Path) -> None:
    listen(page)
    right, sides = right_answers(packet), alternating()
    begin(page, server.url)
    while len(kept(packet)[0]) < 4:
        step(page, right, sides)
        page.wait_for_function(READY)
    before = kept(packet)[0]
    page.reload()
    expect(page.locator("#hd-start")).to_have_text("Go on")
    assert kept(packet)[0][:4] == before
    page.click("#hd-start")
    to_the_end(page, packet, sides)
    (answers,) = kept(packet)
    assert answers[:4] == before
    valid = [row.trial for row in answers if row.void is None]
    assert len(valid) == len(set(valid)) == len(open_packet(packet).by_packet[0])


def test_a_tab_that_was_closed_does_not_show_a_timed_pair_twice(
    browser: Browser, timed_packet: Path
) -> None:
    with running(timed_packet) as server, opened(browser) as page:
        page.goto(server.url)
        page.click("#hd-start")
        page.wait_for_selector("#hd-pair[data-state=cross]", state="attached")
        other = page.context.new_page()
        page.close()
        other.goto(server.url)
        expect(other.locator("#hd-start")).to_be_visible()
        (answers,) = kept(timed_packet)
        assert [(row.attempt, row.void) for row in answers] == [(1, "hidden")]


def test_two_tabs_are_one_session_and_the_newest_answers(
    page: Page, server: Process, packet: Path
) -> None:
    right, sides = right_answers(packet), alternating()
    listen(page)
    begin(page, server.url)
    with page.expect_response("**/api/judgment"):
        step(page, right, sides)
    other = page.context.new_page()
    listen(other)
    begin(other, server.url)
    other.wait_for_function(READY)
    page.bring_to_front()
    while page.wait_for_function(READY) and not page.is_enabled("#hd-left button"):
        page.click("#hd-go" if page.is_visible("#hd-go") else "#hd-next")
    with page.expect_response("**/api/judgment") as refused:
        page.keyboard.press("j")
    assert refused.value.status == 409
    expect(page.locator("#hd-go")).to_have_text("Go on here")
    other.bring_to_front()
    to_the_end(other, packet, sides)
    (answers,) = kept(packet)
    valid = [row.trial for row in answers if row.void is None]
    assert len(valid) == len(set(valid)) == len(open_packet(packet).by_packet[0])


def test_a_slow_network_is_only_slow(page: Page, server: Process, packet: Path) -> None:
    listen(page)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    speed = {"latency": 300, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
    network.send("Network.emulateNetworkConditions", {"offline": False, **speed})
    begin(page, server.url)
    to_the_end(page, packet)
    (answers,) = kept(packet)
    trials = [trial.trial for trial in open_packet(packet).by_packet[0]]
    assert [row.trial for row in answers if row.void is None] == trials


def test_a_lost_connection_loses_nothing(page: Page, server: Process, packet: Path) -> None:
    right, sides = right_answers(packet), alternating()
    listen(page)
    begin(page, server.url)
    page.wait_for_function(READY)
    page.context.set_offline(True)
    step(page, right, sides)
    expect(page.locator("#hd-lost")).to_be_visible()
    assert kept(packet) == [[]]
    page.context.set_offline(False)
    expect(page.locator("#hd-lost")).to_be_hidden()
    to_the_end(page, packet, sides)
    (answers,) = kept(packet)
    assert len(answers) == len(open_packet(packet).by_packet[0])


def test_an_answer_that_could_not_be_sent_before_the_page_was_left_is_sent_later(
    page: Page, server: Process, packet: Path
) -> None:
    right, sides = right_answers(packet), alternating()
    listen(page)
    begin(page, server.url)
    page.wait_for_function(READY)
    page.route("**/api/judgment", lambda route: route.abort())
    step(page, right, sides)
    expect(page.locator("#hd-lost")).to_be_visible()
    assert kept(packet) == [[]]
    page.unroute("**/api/judgment")
    (row,) = rows(page)
    page.goto("about:blank")
    page.goto(server.url)
    expect(page.locator("#hd-start")).to_have_text("Go on")
    assert [(one.trial, one.choice) for one in kept(packet)[0]] == [(row["trial"], row["choice"])]


def test_clicks_in_quick_succession_are_one_answer(
    page: Page, server: Process, packet: Path
) -> None:
    begin(page, server.url)
    page.wait_for_function(READY)
    with page.expect_response("**/api/judgment"):
        page.locator("#hd-left button").evaluate(
            "(left) => { const right = document.querySelector('#hd-right button');"
            " left.click(); left.click(); right.click(); }"
        )
        page.dblclick("#hd-right button", force=True)
    page.wait_for_selector("#hd-next")
    (answers,) = kept(packet)
    assert [(row.attempt, row.choice) for row in answers] == [(1, "left")]


def test_a_killed_server_goes_on_and_loses_nothing(page: Page, packet: Path) -> None:
    right, sides = right_answers(packet), alternating()
    server = started(packet)
    port = int(re.findall(r":(\d+)/", server.url)[0])
    try:
        listen(page)
        begin(page, server.url)
        for _ in range(3):
            while step(page, right, sides) != "choice":
                pass
            page.wait_for_function(READY)
            before = kept(packet)[0]
            server.kill()
            while page.wait_for_function(READY_OR_LOST) and not page.is_visible("#hd-lost"):
                assert step(page, right, sides) != "end"
            server = started(packet, port=port)
            expect(page.locator("#hd-lost")).to_be_hidden(timeout=30_000)
            assert kept(packet)[0][: len(before)] == before
        to_the_end(page, packet, sides)
    finally:
        server.kill()
    (answers,) = kept(packet)
    assert len(answers) == len(open_packet(packet).by_packet[0])


def test_phones_are_told_at_once_that_a_timed_study_is_not_for_them(
    browser: Browser, timed_packet: Path
) -> None:
    with running(timed_packet) as server:
        context = browser.new_context(
            viewport={"width": 390, "height": 844},
            screen={"width": 390, "height": 844},
            has_touch=True,
            is_mobile=True,
        )
        page = context.new_page()
        page.goto(server.url + LINK)
        expect(page.locator("#hd-end")).to_be_visible()
        code = completion_codes(open_packet(timed_packet).study)[1]
        assert code in page.inner_text("#hd-summary")
        context.close()


def test_axe_finds_no_serious_fault(page: Page, server: Process) -> None:
    page.goto(server.url)
    page.wait_for_selector("#hd-start")
    assert serious_faults(page) == []
    page.click("#hd-start")
    page.wait_for_function(READY)
    for width, height in ((1440, 900), (820, 1180), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        assert serious_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
