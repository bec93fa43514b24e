"""Progress in a log or a pipe, and on a terminal."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from tqdm import tqdm

from hdbench.runtime.progress import LogLines, progress


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines_of(
    capsys: pytest.CaptureFixture[str], steps: int, pace: float, total: int | None, initial: int = 0
) -> list[str]:
    """The lines of a loop that counts ``steps``, ``pace`` seconds each."""
    clock = Clock()
    log = LogLines(desc="ours", unit="step", total=total, initial=initial, clock=clock)
    with log:
        for _ in range(steps):
            clock.now += pace
            log.update()
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_slow_loops_print_a_line_each_30_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines_of(capsys, steps=10, pace=15.0, total=10_000)
    assert [line.split(",")[0] for line in found] == [
        f"ours: {n} of 10000 steps (0 %)" for n in (2, 4, 6, 8, 10)
    ]


def test_others_print_a_line_for_each_5_percent(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines_of(capsys, steps=400, pace=0.25, total=400)
    assert len(found) == 20
    assert found[0] == "ours: 20 of 400 steps (5 %), 0.25 s/step, 1 min 35 s left"
    assert found[9] == "ours: 200 of 400 steps (50 %), 0.25 s/step, 50 s left"
    assert found[-1] == "ours: 400 of 400 steps (100 %), 0.25 s/step, took 1 min 40 s"


def test_lines_are_never_within_two_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines_of(capsys, steps=100, pace=0.0625, total=100)
    counts = [int(line.split()[1]) for line in found]
    assert counts[-1] == 100
    assert all((b - a) * 0.0625 >= 2 for a, b in zip([0, *counts], counts[:-1], strict=False))


def test_a_quick_loop_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(capsys, steps=100, pace=0.0078125, total=100) == []
    assert lines_of(capsys, steps=0, pace=0, total=0) == []


def test_a_resumed_loop_goes_on_counting_and_times_its_own_steps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = lines_of(capsys, steps=50, pace=0.5, total=100, initial=50)
    assert found[0] == "ours: 55 of 100 steps (55 %), 0.50 s/step, 22 s left"
    assert found[-1] == "ours: 100 of 100 steps (100 %), 0.50 s/step, took 25 s"


def test_without_a_total_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines_of(capsys, steps=7, pace=10.0, total=None)
    assert found == [f"ours: {n} steps, 10 s/step" for n in (3, 6, 7)]


def test_an_interrupted_loop_says_where_it_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()

    def loop() -> None:
        for item in LogLines(range(100), desc="ours", unit="step", clock=clock):
            clock.now += 0.5
            if item == 7:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    (*_, last) = capsys.readouterr().err.splitlines()
    assert last.startswith("ours: 7 of 100 steps (7 %)")


def test_lines_end_with_the_values(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with LogLines(desc="ours", unit="step", total=2, clock=clock) as log:
        log.set_postfix({"g_gan": "0.870"})
        clock.now += 7200
        log.update()
    assert capsys.readouterr().err.endswith("7200 s/step, 2 h 0 min left, g_gan 0.870\n")


def test_a_redirected_run_writes_whole_lines() -> None:
    code = (
        "import itertools, time\n"
        "seconds = itertools.count()\n"
        "time.monotonic = lambda: next(seconds)\n"
        "from hdbench.runtime.progress import progress\n"
        "for _ in progress(range(1000), desc='scoring ours', unit='image'): pass\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=True
    )
    assert b"\r" not in found.stderr
    assert found.stdout == b""
    assert len(found.stderr.splitlines()) > 20
    assert found.stderr.splitlines()[-1].startswith(b"scoring ours: 1000 of 1000 images (100 %)")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = progress([1, 2, 3], desc="scoring ours", unit="image")
    assert isinstance(bar, tqdm)
    assert list(bar) == [1, 2, 3]
    assert "scoring ours" in sys.stderr.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_what_is_disabled_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress([1, 2], desc="scoring ours", unit="image", disable=True)) == [1, 2]
    assert capsys.readouterr().err == ""
