from __future__ import annotations

import re

import pytest

from hdbench.schema.split import Split


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("train", Split("train", None)),
        ("train[:16]", Split("train", 16)),
        ("train_extra[:1]", Split("train_extra", 1)),
    ],
)
def test_a_split_is_a_name_or_its_first_scenes(text: str, split: Split) -> None:
    assert Split.parse(text) == split


@pytest.mark.parametrize(
    "text",
    ["", "[:3]", "train[:0]", "train[:-1]", "train[3:]", "train[:3", "train[:3]x", "../train"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^'{re.escape(text)}' .*'train'.*'train\[:16\]'"):
        Split.parse(text)
