from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdbench.errors import LibraryError
from hdbench.library import STUDIES, Library
from hdbench.schema.study import Display


def test_unlimited_and_limited_say_what_the_paper_says() -> None:
    unlimited, limited = Library().study("unlimited"), Library().study("limited")
    assert unlimited.design.judgments_per_pair == 10
    assert (unlimited.design.mode, unlimited.design.durations_ms) == ("unlimited", [])
    assert limited.design.durations_ms == [1000 * 2**n // 8 for n in range(7)]
    assert limited.design.judgments_per_pair == 2 * 7  # every scene, duration and side
    assert Library().study("regions").region.label == "car"


@pytest.mark.parametrize("name", Library().entries(STUDIES))
def test_every_protocol_has_checks_and_a_pair_that_fits_a_small_screen(name: str) -> None:
    study = Library().study(name)
    assert 0 < study.quality.checks_passed <= study.checks.count
    assert 2 * study.display.width <= 1366


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[design]\njudgments_per_pair = 5", r"\[design\] judgments_per_pair = 5 "),
        ("[design]\nmask = true", r'\[design\] mode = "unlimited" .*mask = false'),
        ('[design]\nmode = "timed"', r'\[design\] mode = "timed" .*durations_ms'),
        (
            '[design]\nmode = "timed"\ndurations_ms = [250, 125]',
            r"\[design\] durations_ms = \[250, 125\]",
        ),
        ("[checks]\ncount = 3", r"\[quality\] checks_passed = 7, .*\[checks\] count = 3"),
        ('[checks]\nkind = "labels"', r"\[checks\] kind = 'labels' .*'label'"),
        ("[region]\nenabled = true", r"\[region\] enabled = true .*label"),
        ('[region]\nlabel = "car"', r'\[region\] enabled = false .*label = ""'),
        ("[display]\nwidth = 900", r"\[display\] width = 900: "),
        ("[question]\ninstructions = []", r"\[question\] instructions = \[\]: "),
        ('[question]\ntext = ""', r"\[question\] text = '': "),
        ("[quality]\nchecks = 7", r"\[quality\] .*'checks' .*'checks_passed'"),
    ],
)
def test_a_wrong_protocol_is_an_error_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'name = "x"\nextends = "unlimited"\n{text}')
    with pytest.raises(LibraryError, match=message):
        Library().study(str(path))
    assert re.search(message, "\n".join(Library().problems_in([path])))


def test_a_protocol_outside_the_library_is_recognised(tmp_path: Path) -> None:
    text = (Library().root / "protocols/studies/unlimited.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('"unlimited"\ntitle', '"mine"\ntitle', 1))
    assert Library().find(str(path)) == (STUDIES, path)
    assert Library().title(STUDIES, str(path)) == "Pairwise preference, unlimited time"


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_a_displayed_image_fills_its_box_without_leaving_it(width: int, height: int) -> None:
    box = Display(width=640, height=480)
    shown = box.fit(width, height)
    assert shown[0] <= 640
    assert shown[1] <= 480
    assert shown[0] == 640 or shown[1] == 480


def test_cityscapes_and_camvid_keep_their_shape() -> None:
    box = Library().study("unlimited").display
    assert box.fit(1024, 512) == (640, 320)
    assert box.fit(256, 192) == (640, 480)
