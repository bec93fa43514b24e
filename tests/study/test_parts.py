from __future__ import annotations

import re
from pathlib import Path

import pytest

import hdbench.study

#: From the ground up.
PARTS = ("design", "packet", "answers", "analysis", "server", "prolific", "rehearsal")
ROOT = Path(hdbench.study.__file__).parent


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_study_knows_only_those_before_it(part: str) -> None:
    for path in (ROOT / part).glob("*.py"):
        known = set(re.findall(r"^ *(?:from|import) hdbench\.study\.(\w+)", path.read_text(), re.M))
        assert known <= set(PARTS[: PARTS.index(part) + 1]), path.name


def test_every_part_is_in_the_list() -> None:
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(PARTS)
