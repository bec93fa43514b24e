"""The participant's page in a browser: pages whose errors fail the test, and what they wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

#: The page waits for the participant.
READY = (
    "() => ['#hd-next', '#hd-go', '#hd-end', '#hd-error'].some((name) =>"
    " document.querySelector(name)?.offsetParent) ||"
    " !document.querySelector('#hd-left button').hasAttribute('aria-disabled')"
)


@contextmanager
def opened(browser: Browser, *, policy: bool = True) -> Iterator[Page]:
    """A page of a context of its own; an error on it is one of the test.

    So is, with ``policy``, what the page's Content-Security-Policy refused.
    """
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    if policy:
        page.on(
            "console",
            lambda message: wrong.append(message.text) if "Security" in message.text else None,
        )
    page.on("dialog", lambda dialog: dialog.accept())
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert wrong == []


def go_on(page: Page) -> str:
    """Wait until the page wants something, leave what only wants a click; return what it was."""
    page.wait_for_function(READY)
    for name in ("end", "error"):
        if page.is_visible(f"#hd-{name}"):
            return name
    for name, button in (("notice", "#hd-go"), ("next", "#hd-next")):
        if page.is_visible(button):
            page.click(button)
            page.wait_for_function(f"() => !document.querySelector('{button}').offsetParent")
            return name
    return "choice"
