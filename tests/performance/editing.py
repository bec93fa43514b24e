"""From the end of a stroke to the new picture in a real browser: the preview, then the exact image.

A real server, a real Chromium, strokes of the mouse at random places. The page itself takes the
times: from the event that ends the stroke to the picture's turn to be drawn. Exact images are asked
for once the hand rests, a quarter of a second after the preview; this is part of their time.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from hdbench.editing.rendering import Quality
from hdbench.editing.state import SceneState
from hdbench.runtime.devices import machine_facts
from hdbench.storage import write_atomically
from hdbench.workflows.edit import Studio, open_studio
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import open_workspace

CLASSES = (7, 8, 11, 21, 22, 23)
_WATCH = """
() => {
  const canvas = document.getElementById('canvas');
  window.times = {};
  let ended = 0;
  canvas.addEventListener('pointerup', () => { ended = performance.now(); });
  new MutationObserver(() => { window.times[canvas.dataset.shown] = performance.now() - ended; })
    .observe(canvas, { attributes: true, attributeFilter: ['data-shown'] });
}
"""


def quantiles(times: list[float]) -> dict[str, int]:
    """Return the median and the 90th percentile of milliseconds."""
    ninety = statistics.quantiles(times, n=10)[-1]
    return {"median": round(statistics.median(times)), "90 %": round(ninety)}


def alone(studio: Studio, quality: Quality, rounds: int = 12) -> float:
    """Return the median milliseconds of the networks alone, on scenes that change each time."""
    state = SceneState.of(studio.read(next(iter(studio.scenes.values()))))
    studio.renderer.tune(state)
    times = []
    for row in range(rounds):
        mask = np.zeros(state.size, bool)
        mask[row] = True
        state = state.painted(mask, 11, 11)
        began = time.perf_counter()
        studio.renderer.image(state, quality)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[2:])


def strokes(link: str, count: int, tell: Callable[[str], None]) -> tuple[list[float], list[float]]:
    """Return the milliseconds of previews and of exact images, stroke by stroke."""
    dice = random.Random(0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(link)
        page.locator("#canvas[data-shown^='exact']").wait_for(timeout=120_000)
        page.evaluate(_WATCH)
        box = page.locator("#canvas").bounding_box()
        assert box is not None
        for number in range(1, count + 1):
            page.locator(f"#palette [data-label='{dice.choice(CLASSES)}']").click()
            x, y = dice.uniform(0.1, 0.8), dice.uniform(0.35, 0.65)
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            page.mouse.down()
            page.mouse.move(
                box["x"] + (x + 0.1) * box["width"], box["y"] + y * box["height"], steps=10
            )
            page.mouse.up()
            page.locator(f"#canvas[data-shown='exact {number}']").wait_for(timeout=120_000)
            if number % 10 == 0:
                tell(f"{number} of {count} strokes")
        times = page.evaluate("window.times")
        browser.close()
    previews = [times.get(f"preview {n}") for n in range(1, count + 1)]
    exact = [times[f"exact {n}"] for n in range(1, count + 1)]
    return [one for one in previews if one is not None], exact


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--method", default="ours-styles")
    parser.add_argument("--size", default="512x256", metavar="WxH")
    parser.add_argument("--strokes", type=int, default=50)
    parser.add_argument("--workspace", type=Path, help="default: a new one, thrown away")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write a record, too")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as scratch:
        root = options.workspace or Path(scratch)
        bench = open_bench(open_workspace(Path(scratch), "streets", None, root))
        studio = open_studio(bench, options.method, 0, torch.device("cpu"), (height, width))
        networks = {quality: alone(studio, quality) for quality in ("preview", "exact")}
        command = [sys.executable, "-m", "hdbench", "edit", options.method, "--port", "0"]
        command += ["--no-browser", "--size", options.size, "--benchmark", "streets"]
        command += ["--workspace", str(root)]
        scene = list(studio.scenes)[-1]
        studio.session_path(scene).unlink(missing_ok=True)
        server = subprocess.Popen(
            [*command, "--scene", scene], stdout=subprocess.PIPE, text=True, cwd=scratch
        )
        assert server.stdout is not None
        link = server.stdout.readline().split(": ", 1)[1].strip()
        try:
            previews, exact = strokes(
                link, options.strokes, lambda line: print(line, file=sys.stderr, flush=True)
            )
        finally:
            server.terminate()
            server.wait()
    facts = machine_facts(torch.device("cpu"))
    measured = {
        "method": options.method,
        "size": options.size,
        "strokes": len(exact),
        "milliseconds": {"preview": quantiles(previews), "exact": quantiles(exact)},
        "networks alone": {quality: round(time) for quality, time in networks.items()},
        "date": datetime.date.today().isoformat(),
        "machine": facts,
    }
    if options.output is not None:
        write_atomically(options.output, (json.dumps(measured, indent=1) + "\n").encode())
    print(f"{facts['processor']}, {facts['threads']} threads; {options.method} at {options.size}")
    for quality, its in measured["milliseconds"].items():
        print(
            f"from the end of a stroke to the {quality} image: median {its['median']} ms, 90 % "
            f"{its['90 %']} ms of {len(exact)} strokes (networks {networks[quality]:.0f} ms)"
        )


if __name__ == "__main__":
    main()
