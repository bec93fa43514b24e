"""Which part of a scene is enlarged."""

from __future__ import annotations

import torch

from hdbench.data.scene import Scene
from hdbench.reporting.insets import LARGEST, SMALLEST, Inset, inset_of
from hdbench.schema.report import Box

HEIGHT, WIDTH = 40, 80


def scene(*instances: tuple[int, int, int, int, int], maps: bool = True) -> Scene:
    """A road with things on it: id, top, left, height, width; an id below 1000 is a group."""
    label = torch.full((HEIGHT, WIDTH), 7, dtype=torch.uint8)
    instance = label.int()
    for region, top, left, height, width in instances:
        place = slice(top, top + height), slice(left, left + width)
        label[place] = region // 1000 or region
        instance[place] = region
    return Scene("x", label, instance if maps else None, None)


def test_the_largest_instance_is_in_the_middle_and_the_image_is_never_left() -> None:
    found = inset_of(scene((26000, 10, 20, 4, 4), (26001, 20, 40, 4, 6)), "largest-instance")
    assert (found.height, found.width) == (round(SMALLEST * HEIGHT), round(SMALLEST * WIDTH))
    assert found.top + found.height / 2 == 22
    assert found.left + found.width / 2 == 43
    corner = inset_of(scene((26000, 36, 76, 4, 4)), "largest-instance")
    assert (corner.top + corner.height, corner.left + corner.width) == (HEIGHT, WIDTH)


def test_what_has_no_instances_is_not_chosen_and_a_large_one_is_shown_in_part() -> None:
    """The road and a group of cars are larger, and are no instances."""
    found = inset_of(scene((26, 0, 0, 30, 60), (24000, 34, 60, 4, 4)), "largest-instance")
    assert found.top <= 34 < found.top + found.height
    assert found.left <= 60 < found.left + found.width
    whole = inset_of(scene((27000, 0, 0, 40, 70)), "largest-instance")
    assert (whole.height, whole.width) == (round(LARGEST * HEIGHT), round(LARGEST * WIDTH))


def test_of_equal_instances_the_one_with_the_lowest_id_is_chosen() -> None:
    found = inset_of(scene((26001, 5, 5, 4, 4), (26000, 30, 60, 4, 4)), "largest-instance")
    assert found.top <= 30 < found.top + found.height


def test_without_instances_the_part_with_most_edges_is_chosen() -> None:
    plain = scene((8, 20, 40, 2, 2), (9, 24, 44, 2, 2), maps=False)
    found = inset_of(plain, "largest-instance")
    assert found.top <= 20
    assert found.left <= 40
    assert found.top + found.height >= 26
    assert found.left + found.width >= 46


def test_a_box_is_in_shares_of_the_sides() -> None:
    box = Box(left=0.25, top=0.5, right=0.75, bottom=1.0)
    assert inset_of(scene(), box) == Inset(20, 20, 20, 40)


def test_labels_are_enlarged_without_new_colours_and_outlined_at_the_edge() -> None:
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    image[:, 10:20, 20:40] = 200
    inset = Inset(5, 10, 20, 40)
    large = inset.enlarged(image, smooth=False)
    assert large.shape == image.shape
    assert set(large.flatten().tolist()) == {0, 200}
    assert large[0, 10, 20] == 200
    assert large[0, 9, 19] == 0
    shown = inset.outlined(image)
    assert (shown != image).any(dim=0).nonzero().min(dim=0).values.tolist() == [5, 10]
    assert image.max() == 200
