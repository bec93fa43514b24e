"""The page of a training, drawn from files alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdbench.errors import UsageError
from hdbench.reporting import tensorboard
from hdbench.reporting.tensorboard import EVENTS, TensorBoardView, require_tensorboard
from hdbench.reporting.training_log import TrainingLog
from hdbench.reporting.training_page import TRAINING_PAGE, TrainingPage
from hdbench.schema.generator import BEST, GENERATOR_CARD

pytestmark = pytest.mark.usefixtures("with_pages")
PER_EPOCH = 10


def row(step: int, scores: dict[int, float]) -> str:
    values = {
        "step": step,
        "epoch": (step - 1) // PER_EPOCH,
        "rate": 2e-4,
        "seconds": step / 2,
        "g_gan": 1 / step,
        "d_real": 0.25,
    }
    if step % PER_EPOCH == 0:
        values |= {"peak_bytes": 1e9 + step, "spots": 3 - step / 100}
    if step in scores:
        values |= {"validation_mean_iou": scores[step], "validation_pixel_accuracy": 0.5}
    return json.dumps(values) + "\n"


def write_run(folder: Path, steps: int, scores: dict[int, float], best: int | None = None) -> None:
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(row(n, scores) for n in range(1, steps + 1)))
    for step in range(PER_EPOCH, steps + 1, PER_EPOCH):
        pixels = np.full((8, 1200, 3), step % 256, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "samples" / f"step-{step:08}.png")
    if best is not None:
        card = {"method": "m", "benchmark": "b", "seed": 0, "identity": {}, "weights": "0"}
        card |= {"steps": best, "seconds": 1.0, "command": "c", "machine": {}}
        (folder / BEST).mkdir(exist_ok=True)
        (folder / BEST / GENERATOR_CARD).write_text(json.dumps(card))


class Page(HTMLParser):
    """What a page shows and what it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.refreshes, self.svgs, self.scripts = False, 0, 0
        self.cells: list[list[str]] = []
        self._where = ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values, self._where = dict(attrs), tag
        self.svgs += tag == "svg"
        self.scripts += tag == "script"
        self.refreshes |= values.get("http-equiv") == "refresh"
        if tag == "img":
            self.images.append(values["src"] or "")
        if tag == "a" and "href" in values:
            self.links.append(values["href"] or "")
        if tag == "tr":
            self.cells.append([])

    def handle_data(self, data: str) -> None:
        if self._where == "td" and data.strip():
            self.cells[-1].append(data.strip())


def page_of(folder: Path, steps: int = 400, **options) -> TrainingPage:
    return TrainingPage(folder, "<ours> on streets", steps, 2, "how", **options)


@pytest.mark.slow
def test_it_shows_the_numbers_of_the_run(tmp_path: Path) -> None:
    write_run(tmp_path, 200, {20: 0.25, 40: 0.5, 60: 0.375}, best=40)
    page_of(tmp_path).update("training")
    page = Page(tmp_path / TRAINING_PAGE)
    assert page.refreshes
    rows = [cells for cells in page.cells if cells]
    assert rows == [
        ["6", "60", "0.3750", "50.00 %"],
        ["4", "40", "0.5000", "50.00 %", "best"],
        ["2", "20", "0.2500", "50.00 %"],
    ]
    assert page.svgs == 4  # losses, rate, validation, spots
    shown = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page.text))
    assert shown["step"] == "200 of 400"
    assert shown["images per second"] == "4"  # 200 steps of 2 in 100 s
    assert shown["time left"] == "1 min 40 s"
    assert shown["peak memory"] == "1.00 GB"
    page_of(tmp_path).update("finished")
    finished = Page(tmp_path / TRAINING_PAGE)
    assert not finished.refreshes
    assert finished.cells == page.cells


def test_it_needs_no_other_file_and_runs_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, 200, {20: 0.25}, best=20)
    page_of(tmp_path).update("training")
    page = Page(tmp_path / TRAINING_PAGE)
    assert page.scripts == 0
    assert "<ours>" not in page.text
    assert page.images
    assert all(image.startswith("data:image/jpeg;base64,") for image in page.images)
    linked = {link for link in page.links if link.startswith("samples/")}
    assert len(linked) == 20  # every sheet, in the page or only linked
    assert not [link for link in page.links if link not in linked]


def test_it_is_drawn_before_the_first_step_and_after_a_kill(tmp_path: Path) -> None:
    page_of(tmp_path).update("training")
    assert Page(tmp_path / TRAINING_PAGE).cells == []
    write_run(tmp_path, 45, {})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 46, "ep')
    page_of(tmp_path).update("stopped")
    assert "45 of 400" in Page(tmp_path / TRAINING_PAGE).text


def test_it_rests_fifty_times_as_long_as_it_took_to_draw(tmp_path: Path) -> None:
    write_run(tmp_path, 10, {})
    seconds = iter([0.0, 1.0, 1.0, 50.0, 52.0, 53.0, 53.0])
    page, path = page_of(tmp_path, clock=lambda: next(seconds)), tmp_path / TRAINING_PAGE
    page.update("training")  # takes 1 s, so the next is due at 51 s
    path.unlink()
    page.update("training")  # at 50 s
    assert not path.exists()
    page.update("training")  # at 52 s
    assert path.is_file()


def test_a_log_that_grows_reads_as_one_that_is_whole(tmp_path: Path) -> None:
    write_run(tmp_path, 37, {20: 0.5})
    content = (tmp_path / "metrics.jsonl").read_bytes()
    whole = TrainingLog(tmp_path / "metrics.jsonl", 400)
    whole.read()
    growing = TrainingLog(tmp_path / "grows.jsonl", 400)
    read = 0
    for cut in (0, 10, 500, 501, 3000, len(content)):
        (tmp_path / "grows.jsonl").write_bytes(content[:cut])
        read += len(growing.read())
    assert read == 37
    assert vars(growing) | {"_path": None} == vars(whole) | {"_path": None}
    assert whole.losses["d_real"].points == [(2 * n + 1, 0.25) for n in range(19)]
    (tmp_path / "grows.jsonl").write_bytes(content[:900])  # a resumed run dropped rows
    growing.read()
    assert growing.step == content[:900].count(b"\n")


# -- TensorBoard ----------------------------------------------------------------------------------


def test_without_tensorboard_the_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"hdbench\[tensorboard\]"):
        require_tensorboard()


def test_a_resumed_run_draws_no_point_twice(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_run(tmp_path, 25, {20: 0.25})
    first = TensorBoardView(tmp_path, 30)
    first.update("training")
    first.update("training")
    write_run(tmp_path, 30, {20: 0.25, 30: 0.5})  # killed, and resumed from an earlier step
    second = TensorBoardView(tmp_path, 30)
    second.update("training")
    second.update("finished")
    found = EventAccumulator(str(tmp_path / EVENTS))
    found.Reload()
    assert [event.step for event in found.Scalars("g/gan")] == list(range(1, 31))
    scores = [(event.step, event.value) for event in found.Scalars("validation/mean_iou")]
    assert scores == [(20, 0.25), (30, 0.5)]
    assert [image.step for image in found.Images("samples")] == [10, 20, 30]
