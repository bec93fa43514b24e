"""The detector of light spots, on spots that were planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hdbench.data.labels import shipped_space
from hdbench.data.layouts import find_scenes
from hdbench.data.loading import read_scene
from hdbench.evaluation.spots import Spot, find_spots, spot_metrics
from hdbench.streets.scene import draw_scene

HEIGHT, WIDTH = 128, 256


def street(scale: int = 1) -> Tensor:
    """A bright sky above a grey road with a white line, and noise."""
    random = np.random.default_rng(0)
    image = np.full((3, HEIGHT * scale, WIDTH * scale), 90.0)
    image[:, : 50 * scale] = np.array([200, 215, 230])[:, None, None]
    image[:, :, 120 * scale : 124 * scale] = 250
    image += random.normal(0, 3, image.shape)
    return torch.from_numpy(image.clip(0, 255).astype(np.uint8))


def planted(
    image: Tensor, x: float, y: float, diameter: float, value: object = 255, stretch: float = 1.0
) -> Tensor:
    """A disk with an edge of one pixel; ``stretch`` makes it long."""
    rows, columns = torch.meshgrid(*map(torch.arange, image.shape[1:]), indexing="ij")
    radius = torch.hypot((columns - x) / stretch, rows - y)
    cover = ((diameter + 1) / 2 - radius).clamp(0, 1)
    colour = torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1)
    return (image * (1 - cover) + colour * cover).round().to(torch.uint8)


@pytest.mark.parametrize("place", [(40, 20), (60, 90), (3, 100), (220, 48)], ids=str)
@pytest.mark.parametrize("diameter", [4, 5, 6, 8, 11, 15])
def test_a_planted_spot_is_found_where_it_is(place: tuple[int, int], diameter: int) -> None:
    """On bright sky, on the road, on the horizon, and cut by the image's border."""
    photograph = street()
    (found,) = find_spots(planted(photograph, *place, diameter), photograph)
    assert found.y == pytest.approx(place[1], abs=0.7)
    if place[0] > diameter:
        assert found.x == pytest.approx(place[0], abs=0.7)
        assert found.area == pytest.approx(np.pi / 4 * diameter**2, rel=0.35)


def test_spots_are_counted_each() -> None:
    photograph = street()
    image = planted(planted(photograph, 30, 80, 8), 200, 100, 10)
    image = planted(image, 70, 15, 6)
    metrics = spot_metrics([image, photograph], [photograph, photograph])
    areas = [spot.area for spot in find_spots(image, photograph)]
    assert len(areas) == 3
    assert metrics["spots"] == 1.5
    assert metrics["spot_area"] == pytest.approx(sum(areas) / (2 * HEIGHT * WIDTH))


@pytest.mark.parametrize(
    ("diameter", "value", "stretch"),
    [
        (2, 255, 1.0),  # a pixel or two
        (20, 255, 1.0),  # a moon: larger than an eighth of the height
        (8, 180, 1.0),  # light grey
        (8, [255, 255, 120], 1.0),  # yellow
        (6, 255, 3.5),  # a lane marking
        (8, 0, 1.0),  # black
    ],
    ids=["tiny", "large", "grey", "yellow", "long", "black"],
)
def test_other_things_are_no_spots(diameter: int, value: object, stretch: float) -> None:
    photograph = street()
    assert find_spots(planted(photograph, 60, 90, diameter, value, stretch), photograph) == []


@pytest.mark.parametrize("aside", [0, 1, 2])
def test_what_the_photograph_has_there_is_no_spot(aside: int) -> None:
    """A headlight that is drawn a pixel or two from its place."""
    photograph = planted(street(), 60, 90, 8)
    assert find_spots(planted(street(), 60 + aside, 90, 8), photograph) == []
    assert len(find_spots(planted(street(), 90, 90, 8), photograph)) == 1


def test_a_spot_on_white_cannot_be_seen() -> None:
    white = torch.full((3, HEIGHT, WIDTH), 250, dtype=torch.uint8)
    assert find_spots(planted(white, 60, 90, 8), white) == []


def test_a_ring_is_no_spot_and_a_spot_with_a_hole_is() -> None:
    photograph = street()
    disk = planted(photograph, 60, 90, 12)
    assert len(find_spots(planted(disk, 60, 90, 3, 200), photograph)) == 1
    arc = planted(disk, 60, 93, 11, 90)
    assert find_spots(arc, photograph) == []


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_sizes_are_fractions_of_the_image(scale: int) -> None:
    photograph = street(scale)
    for diameter, count in ((8 * scale, 1), (19 * scale, 0)):
        image = planted(photograph, 60 * scale, 90 * scale, diameter)
        assert len(find_spots(image, photograph)) == count


def test_the_same_images_give_the_same_spots_and_stay_as_they_are() -> None:
    photograph = street()
    image = planted(photograph, 60, 90, 8)
    before = image.clone()
    first, again = find_spots(image, photograph), find_spots(image, photograph)
    assert first == again
    assert isinstance(first[0], Spot)
    assert torch.equal(image, before)


def require_found_but_not_invented(photographs: list[Tensor], share: float) -> None:
    """Photographs have no spots, not even beside others; planted ones are found in a share."""
    others = photographs[1:] + photographs[:1]
    pairs = list(zip(photographs, others, strict=True))
    assert spot_metrics(photographs, photographs)["spots"] == 0
    assert spot_metrics(*zip(*pairs, strict=True))["spots"] <= 0.1  # pyright: ignore
    found = 0
    for n, photograph in enumerate(photographs):
        height, width = photograph.shape[1:]
        place = (width * (1 + n * 7 % 10) // 12, height * (1 + n * 3 % 10) // 12)
        spots = find_spots(planted(photograph, *place, height / 16), photograph)
        found += any(abs(s.x - place[0]) < 2 and abs(s.y - place[1]) < 2 for s in spots)
    assert found >= share * len(photographs)


def test_streets_has_none_and_shows_planted_ones() -> None:
    photographs = [draw_scene(2, index, 256, 128).image for index in range(10)]
    require_found_but_not_invented([one for one in photographs if one is not None], 0.8)


@pytest.mark.real_data
def test_real_photographs_have_none_and_show_planted_ones(real_data: Path) -> None:
    """CamVid's skies are white, and hide a part of what is planted."""
    files = find_scenes("camvid", real_data / "camvid", "val")[::5]
    scenes = [read_scene(entry, shipped_space("camvid")).resized(192, 256) for entry in files]
    require_found_but_not_invented([one.image for one in scenes if one.image is not None], 0.6)
