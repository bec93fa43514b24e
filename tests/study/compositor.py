"""Frames on screen, counted from what Chromium's compositor drew, not by the page itself."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

CATEGORIES = ["viz", "disabled-by-default-devtools.screenshot"]
#: One frame of the compositor's clock, in microseconds (headless Chromium ticks at 60 Hz).
_TICK = "DelayBasedBeginFrameSource::OnTimerTick"
_SWAP = "Display::DrawAndSwap"


@dataclass(frozen=True)
class Exposure:
    """One pair as the compositor drew it."""

    #: Frames between the first drawing of the pair and the first drawing of the mask.
    frames: int
    #: Milliseconds that the slower of these two drawings took.
    drawing_ms: float


def start_trace(browser: Browser, page: Page) -> None:
    browser.start_tracing(page=page, screenshots=True, categories=CATEGORIES)


def stop_trace(
    browser: Browser, face: tuple[int, int, int], mask: tuple[int, int, int]
) -> list[Exposure]:
    """Return the exposures in their order.

    Drawn frames are recognised by the colours in their screenshots; their times are the display
    times that the compositor gave them.
    """
    events = json.loads(browser.stop_tracing())["traceEvents"]
    ticks = sorted(event["args"]["interval"] for event in events if event["name"] == _TICK)
    period = ticks[len(ticks) // 2]
    swaps = [event for event in events if event["name"] == _SWAP]
    return [
        Exposure(
            round((_shown_at(last) - _shown_at(first)) / period),
            max(_drawing_ms(swaps, first), _drawing_ms(swaps, last)),
        )
        for first, last in _exposures(events, face, mask)
    ]


def _exposures(
    events: list[dict[str, Any]], face: tuple[int, int, int], mask: tuple[int, int, int]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    shots = [event for event in events if event["name"] == "Screenshot"]
    shots.sort(key=_shown_at)
    first = None
    for shot in shots:
        colours = _colours(shot)
        if first is None and _near(face, colours):
            first = shot
        elif first is not None and not _near(face, colours):
            if _near(mask, colours):
                yield first, shot
            first = None


def _shown_at(shot: dict[str, Any]) -> int:
    return int(shot["args"]["expected_display_time"])


def _colours(shot: dict[str, Any]) -> list[tuple[int, int, int]]:
    image = Image.open(io.BytesIO(base64.b64decode(shot["args"]["snapshot"]))).convert("RGB")
    width, height = image.size
    return [image.getpixel((width * x // 20, height * 3 // 10)) for x in range(1, 20)]  # type: ignore


def _near(colour: tuple[int, int, int], found: list[tuple[int, int, int]]) -> bool:
    return any(max(abs(a - b) for a, b in zip(colour, one, strict=True)) < 60 for one in found)


def _drawing_ms(swaps: list[dict[str, Any]], shot: dict[str, Any]) -> float:
    """Return how long the drawing took that ended last before its screenshot was written."""
    done = [swap for swap in swaps if swap["ts"] <= shot["ts"]]
    return max(done, key=lambda swap: swap["ts"])["dur"] / 1000 if done else float("inf")
