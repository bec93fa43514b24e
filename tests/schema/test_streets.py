from __future__ import annotations

import re

import pytest

from hdbench.schema.streets import require_streets_size


@pytest.mark.parametrize(("width", "height"), [(64, 32), (66, 33), (2048, 1024)])
def test_sizes_that_can_be_drawn(width: int, height: int) -> None:
    require_streets_size(width, height)


@pytest.mark.parametrize(
    ("width", "height"), [(40, 20), (65, 32), (64, 48), (1, 1), (64, 31), (1, 999), (257, 128)]
)
def test_the_sizes_that_are_named_instead_fit(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f" {width}x{height};") as error:
        require_streets_size(width, height)
    named = re.findall(r"(\d+)x(\d+)", str(error.value).split(";")[1])
    assert named
    assert len(set(named)) == len(named)
    for size in named:
        require_streets_size(*map(int, size))
