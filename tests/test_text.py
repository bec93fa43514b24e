"""How numbers and names are written."""

from __future__ import annotations

import pytest

from hdbench.errors import counted
from hdbench.schema.record import Interval
from hdbench.text import (
    ACCURACY,
    NOTHING,
    SCORE,
    SHARE,
    Style,
    csv_cell,
    first_of,
    joined,
    markdown,
    p_text,
    p_words,
    percent,
)


@pytest.mark.parametrize(
    ("value", "interval", "style", "sign", "text"),
    [
        (0.838, Interval(0.829, 0.846), SHARE, "", "83.8 [82.9, 84.6]"),
        (0.5, None, Style(3), "", "0.500"),
        (0.02, Interval(-0.01, 0.05), SHARE, "+", "+2.0 [-1.0, +5.0]"),
        (-1e-9, None, ACCURACY, "+", "+0.00"),
        (None, Interval(0.0, 1.0), SCORE, "", NOTHING),
        (float("nan"), None, SCORE, "", NOTHING),
        (1234.5, None, Style(0), "", "1234"),
    ],
)
def test_numbers(value, interval, style, sign, text) -> None:
    assert style.text(value, interval, sign) == text


def test_percentages_p_values_and_counts() -> None:
    assert [percent(0.12345), percent(0.12345, ACCURACY), percent(None)] == [
        "12.3 %",
        "12.35 %",
        NOTHING,
    ]
    assert [p_words(value) for value in (0.0123, 0.0004, None)] == ["0.012", "<0.001", NOTHING]
    assert [p_text(value) for value in (0.0123, 0.0004)] == ["p = 0.012", "p < 0.001"]
    assert [counted(n, "scene") for n in (0, 1, 1000)] == ["0 scenes", "1 scene", "1,000 scenes"]


def test_lists() -> None:
    assert [joined(words) for words in (["a"], ["a", "b"], ["a", "b", "c"], [])] == [
        "a",
        "a and b",
        "a, b and c",
        "",
    ]
    assert first_of(["a", "b", "c"]) == "a, b, c"
    assert first_of(["a", "b", "c", "d"], 2) == "a, b and 2 more"


def test_names_of_others_are_inert() -> None:
    assert markdown("<b>*x*|") == "&lt;b&gt;\\*x\\*\\|"
    assert [csv_cell(cell) for cell in ("=1+1", "@x", "-", "a=1", "")] == [
        "'=1+1",
        "'@x",
        "'-",
        "a=1",
        "",
    ]
