"""A small packet written by hand as the format says, and a server for its ``web/`` folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from hdbench.study.packet.page import content_security_policy, participant_page

STUDY = "5" * 16
PACKET = "0123456789abcdef"
#: What the two methods' images and the mask are painted in.
LEFT, RIGHT, MASK = (220, 30, 30), (30, 60, 220), (30, 200, 60)


def handmade_packet(
    folder: Path,
    *,
    durations: Sequence[int | None] | None = None,
    practice: int = 1,
    size: tuple[int, int] = (64, 32),
    display: tuple[int, int] = (640, 320),
    region: list[int] | None = None,
    **texts: Any,
) -> dict[str, Any]:
    """Write a packet of one participant and return what ``web/packets`` says.

    Args:
        folder: where; ``study.json`` and ``web/`` are written.
        durations: one judgment for each, in milliseconds (None: unlimited).
        practice: practice trials before them.
        size: width and height of the images.
        display: width and height in CSS pixels.
        region: a box outlined in every judgment.
        texts: other entries of the packet (question, labels, instructions, ...).
    """
    durations = [None, None, None] if durations is None else list(durations)
    timed = durations[0] is not None
    web = folder / "web"
    (web / "packets").mkdir(parents=True)
    (web / "images").mkdir()
    trials = []
    for number, duration in enumerate([durations[0]] * practice + durations):
        name = {side: f"{number:03x}{index:013x}" for index, side in enumerate(("l", "r", "m"))}
        for side, colour in (("l", LEFT), ("r", RIGHT), ("m", MASK)):
            if side != "m" or timed:
                Image.new("RGB", size, colour).save(web / "images" / f"{name[side]}.png")
        trials.append(
            {
                "trial": f"{0xABC000 + number:016x}",
                "left": f"{name['l']}.png",
                "right": f"{name['r']}.png",
                "mask": f"{name['m']}.png" if timed else None,
                "duration_ms": duration,
                "region": None if number < practice else region,
                "feedback": "left" if number < practice else None,
            }
        )
    packet = {
        "schema": 1,
        "study": STUDY,
        "packet": PACKET,
        "question": "Which image looks more like a photograph?",
        "left_label": "Left image",
        "right_label": "Right image",
        "instructions": ["You will see pairs of images of streets.", "Choose as you see it."],
        "mode": "timed" if timed else "unlimited",
        "display": {"width": display[0], "height": display[1]},
        "images": "images/",
        "trials": trials,
        **texts,
    }
    (web / "packets" / f"{PACKET}.json").write_text(json.dumps(packet))
    (web / "index.html").write_text(participant_page())
    study = {"schema": 1, "study": "handmade", "methods": ["a", "b"], "packets": 1}
    (folder / "study.json").write_text(json.dumps(study))
    return packet


@dataclass
class Server:
    """A running server; nothing leaves it for a held path before ``release``."""

    url: str
    held: dict[str, threading.Event] = field(default_factory=dict)

    def hold(self, path: str) -> None:
        self.held[path] = threading.Event()

    def release(self, path: str) -> None:
        self.held[path].set()


class _Handler(SimpleHTTPRequestHandler):
    server: _Http

    def do_GET(self) -> None:
        if waiting := self.server.shared.held.get(self.path.split("?")[0]):
            waiting.wait(20)
        super().do_GET()

    def end_headers(self) -> None:
        if self.server.policy:
            self.send_header("Content-Security-Policy", self.server.policy)
        else:  # images on another host than the page
            self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Http(ThreadingHTTPServer):
    shared: Server
    policy: str | None


@contextmanager
def served(web: Path, *, policy: bool = True) -> Iterator[Server]:
    """Serve a folder on a free port of this machine, under the page's own policy."""
    http = _Http(("127.0.0.1", 0), partial(_Handler, directory=str(web)))
    http.shared = Server(f"http://127.0.0.1:{http.server_address[1]}/")
    http.policy = content_security_policy() if policy else None
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield http.shared
    finally:
        for event in http.shared.held.values():
            event.set()
        http.shutdown()
        http.server_close()
        thread.join()
