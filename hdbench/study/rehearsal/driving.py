"""Simulated people at the real page, in Chromium."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdbench.errors import HdbenchError, UsageError
from hdbench.study.packet.files import Packet
from hdbench.study.rehearsal.people import Person

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request, Response

_WINDOW = {"width": 1366, "height": 768}
_PATIENCE_MS = 120_000
#: The page waits for the person.
_READY = (
    "() => ['#hd-next', '#hd-go', '#hd-end', '#hd-error'].some((name) =>"
    " document.querySelector(name).offsetParent) ||"
    " !document.querySelector('#hd-left button').hasAttribute('aria-disabled')"
)
#: Who closes the tab does so after this share of the trials.
_CLOSES_AFTER = 0.4


@dataclass
class Visit:
    """What a person did, as their browser sent it."""

    person: Person
    session: str = ""
    packet: str = ""
    #: Answers by trial and attempt.
    rows: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0
    #: What the last page said.
    ended: str = ""

    def asked(self) -> str:
        """Return the trial that the page shows: practice, then new ones, then void ones again."""
        attempts: dict[str, list[dict[str, Any]]] = {}
        for (trial, _), row in self.rows.items():
            attempts.setdefault(trial, []).append(row)

        def rank(trial: dict[str, Any]) -> int:
            return 0 if trial["feedback"] else 2 if trial["trial"] in attempts else 1

        still_open = [
            trial
            for trial in self.trials
            if not any(
                row["void"] is None or row["attempt"] == 2
                for row in attempts.get(trial["trial"], [])
            )
        ]
        return str(min(still_open, key=rank)["trial"])


@contextlib.contextmanager
def chromium(program: Path | None) -> Iterator[Browser]:
    """Give a browser; ``program`` None takes Debian's, else playwright's own.

    Raises:
        UsageError: playwright or a browser is missing.
    """
    if find_spec("playwright") is None:
        raise UsageError(
            "playwright: not installed; rehearsals need the extra 'rehearsal'.\n"
            "Next: pip install 'hdbench[rehearsal]'"
        )
    from playwright.sync_api import Error, sync_playwright

    found = program or shutil.which("chromium")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=None if found is None else str(found), args=["--no-sandbox"]
            )
        except Error as error:
            raise UsageError(
                f"{found or 'chromium'}: cannot be started ({str(error)[:200]}).\n"
                "Next: install Debian's chromium, or 'playwright install chromium'"
            ) from None
        yield browser
        browser.close()


def visit(browser: Browser, address: str, packet: Packet, person: Person) -> Visit:
    """Return what a person did from the link to the last page.

    Raises:
        HdbenchError: the page failed, or did not go on.
    """
    from playwright.sync_api import Error

    done = Visit(person)
    context = browser.new_context(viewport=_WINDOW)  # pyright: ignore[reportArgumentType]
    try:
        while not done.ended:
            _sit_down(context, f"{address}?participant={person.name}", packet, done)
    except Error as error:
        raise HdbenchError(f"{person.name} ({person.kind}): {str(error)[:500]}") from None
    finally:
        context.close()
    return done


def _sit_down(context: BrowserContext, link: str, packet: Packet, done: Visit) -> None:
    """Open the page and answer, to the end or until the person closes the tab."""
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    page.on("request", lambda request: _sent(request, done))
    page.on("response", lambda response: _received(response, failures))
    with page.expect_response("**/api/session") as said:
        page.goto(link)
    _seated(said.value.json(), done)
    page.wait_for_function(
        "() => ['#hd-start', '#hd-end', '#hd-error'].some((name) =>"
        " document.querySelector(name).offsetParent)"
    )
    if page.is_visible("#hd-start"):
        page.click("#hd-start")
    leaves = done.person.kind == "closing" and not done.closed
    while True:
        what = _step(page, packet, done)
        if failures:
            raise HdbenchError(f"{done.person.name}: the page failed: {failures[0]}")
        if what == "error":
            raise HdbenchError(f"{done.person.name}: {page.inner_text('#hd-error')}")
        if what == "end":
            done.ended = page.inner_text("#hd-summary")
            return
        if leaves and len(done.rows) >= _CLOSES_AFTER * len(done.trials):
            done.closed += 1
            page.close()
            return


def _step(page: Page, packet: Packet, done: Visit) -> str:
    page.wait_for_function(_READY)
    for name in ("end", "error"):
        if page.is_visible(f"#hd-{name}"):
            return name
    for button in ("#hd-go", "#hd-next"):
        if page.is_visible(button):
            page.click(button)
            page.wait_for_function(f"() => !document.querySelector('{button}').offsetParent")
            return "pause"
    person, trial = done.person, packet.by_id[done.asked()]
    side = person.choice(trial)
    if pause := person.pause_ms():
        page.wait_for_timeout(pause)
    known = len(done.rows)
    with page.expect_response("**/api/judgment"):
        if person.uses_keys():
            page.keyboard.press("f" if side == "left" else "j")
        else:
            page.locator(f"#hd-{side} button").dispatch_event("click")
    if len(done.rows) == known:
        raise HdbenchError(f"{person.name}: an answer was not sent")
    return "choice"


def _sent(request: Request, done: Visit) -> None:
    if request.url.endswith("/api/judgment"):
        row = json.loads(request.post_data or "{}")["row"]
        done.rows.setdefault((row["trial"], row["attempt"]), row)


def _received(response: Response, failures: list[str]) -> None:
    if response.status >= 400 and not response.url.endswith("/favicon.ico"):
        failures.append(f"{response.url}: status {response.status}")


def _seated(said: dict[str, Any], done: Visit) -> None:
    if "packet" in said:
        done.session, done.packet = said["session"], said["packet"]["packet"]
        done.trials = said["packet"]["trials"]
        for row in said["rows"]:  # a tab that is closed sends its last answer unseen
            done.rows.setdefault((row["trial"], row["attempt"]), row)
