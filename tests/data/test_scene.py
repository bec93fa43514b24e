from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdbench.data.scene import (
    Scene,
    boundary_map,
    collate,
    edge_band,
    from_network_range,
    one_hot,
    resize_nearest,
    resize_photograph,
    to_network_range,
)

_SIDES = st.integers(1, 40)


def naive_boundaries(ids: np.ndarray) -> np.ndarray:
    height, width = ids.shape
    edges = np.zeros_like(ids, dtype=np.float32)
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                v, u = y + dy, x + dx
                if 0 <= v < height and 0 <= u < width and ids[v, u] != ids[y, x]:
                    edges[y, x] = 1
    return edges


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_boundaries_equal_the_definition(height: int, width: int, seed: int) -> None:
    ids = np.random.default_rng(seed).choice([7, 26001, 33001], (height, width)).astype(np.int32)
    expected = naive_boundaries(ids)
    found = boundary_map(torch.from_numpy(ids)[None])
    assert found.shape == (1, 1, height, width)
    assert np.array_equal(found[0, 0].numpy(), expected)


def test_boundaries_mark_both_sides_of_an_edge() -> None:
    ids = torch.tensor([[[1, 1, 2, 2]]])
    assert boundary_map(ids).flatten().tolist() == [0, 1, 1, 0]


def test_a_band_has_its_width_on_each_side_of_an_edge() -> None:
    ids = torch.tensor([[5, 5, 5, 5, 9, 9, 9, 9]])
    for width, expected in (
        (1, [0, 0, 0, 1, 1, 0, 0, 0]),
        (2, [0, 0, 1, 1, 1, 1, 0, 0]),
        (3, [0, 1, 1, 1, 1, 1, 1, 0]),
        (4, [1, 1, 1, 1, 1, 1, 1, 1]),
    ):
        assert edge_band(ids, width).tolist() == [[bool(value) for value in expected]]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**31))
def test_a_band_is_all_within_chebyshev_distance_of_a_boundary(
    height: int, width: int, band: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    ids = np.full((height, width), 26001, np.int32)
    ids[random.integers(0, height) :, random.integers(0, width) :] = 26002
    found = edge_band(torch.from_numpy(ids), band).numpy()
    edges = np.argwhere(naive_boundaries(ids))
    for place in np.ndindex(height, width):
        near = any(np.abs(edge - place).max() <= band - 1 for edge in edges)
        assert found[place] == near


def test_one_hot_has_one_channel_per_id() -> None:
    label = torch.tensor([[[0, 2], [1, 2]]], dtype=torch.uint8)
    encoded = one_hot(label, 4)
    assert encoded.shape == (1, 4, 2, 2)
    assert torch.equal(encoded.argmax(dim=1), label.long())
    assert torch.equal(encoded.sum(dim=1), torch.ones(1, 2, 2))


@settings(deadline=None, max_examples=60)
@given(_SIDES, _SIDES, _SIDES, _SIDES, st.integers(0, 99))
def test_nearest_is_pillows_nearest(h: int, w: int, high: int, wide: int, seed: int) -> None:
    """Wherever a new pixel's centre is inside an old pixel; on an edge Pillow's rounding varies."""
    label = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    expected = np.array(Image.fromarray(label).resize((wide, high), Image.Resampling.NEAREST))
    found = resize_nearest(torch.from_numpy(label), high, wide).numpy()
    rows = (2 * np.arange(high) + 1) * h % (2 * high) != 0
    columns = (2 * np.arange(wide) + 1) * w % (2 * wide) != 0
    inside = rows[:, None] & columns[None, :]
    assert np.array_equal(found[inside], expected[inside])


def test_a_centre_on_an_edge_takes_the_later_pixel() -> None:
    assert resize_nearest(torch.tensor([[5, 6]]), 1, 1).tolist() == [[6]]


def test_nearest_keeps_wide_instance_ids() -> None:
    ids = torch.tensor([[33001, 2**30 + 1]], dtype=torch.int32)
    assert resize_nearest(ids, 1, 4).tolist() == [[33001, 33001, 2**30 + 1, 2**30 + 1]]


def test_photographs_are_resized_as_pillow_does() -> None:
    """Bicubic with antialias, to within rounding of Pillow's fixed-point arithmetic."""
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    expected = np.array(Image.fromarray(image).resize((64, 48), Image.Resampling.BICUBIC))
    found = resize_photograph(torch.from_numpy(image).permute(2, 0, 1), 48, 64)
    assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected.astype(int)).max() <= 1


def test_the_network_range_is_exact_both_ways() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    there = to_network_range(values)
    assert (there.min(), there.max()) == (-1, 1)
    assert torch.equal(from_network_range(there), values)
    assert from_network_range(torch.tensor([-1.5, 1.5])).tolist() == [0, 255]


def make_scene(instance: bool = True) -> Scene:
    random = torch.Generator().manual_seed(0)
    label = torch.randint(0, 12, (12, 16), generator=random, dtype=torch.uint8)
    return Scene(
        name="one",
        label=label,
        instance=label.int() * 1000 if instance else None,
        image=torch.randint(0, 256, (3, 12, 16), generator=random, dtype=torch.uint8),
    )


def test_all_maps_are_resized_and_flipped_together() -> None:
    scene = make_scene()
    assert scene.resized(12, 16) is scene
    small = scene.resized(6, 8)
    assert small.size == (6, 8)
    assert small.instance is not None
    assert small.image is not None
    assert torch.equal(small.instance, small.label.int() * 1000)
    twice = scene.flipped().flipped()
    assert torch.equal(twice.label, scene.label)
    assert twice.image is not None
    assert scene.image is not None
    assert torch.equal(twice.image, scene.image)


def test_a_batch_has_instances_only_if_all_scenes_do() -> None:
    assert collate([make_scene(), make_scene()]).instance is not None
    mixed = collate([make_scene(), make_scene(instance=False)])
    assert mixed.instance is None
    assert mixed.names == ["one", "one"]


@pytest.mark.real_data
def test_boundaries_of_real_instance_maps(real_data) -> None:
    """Stuff and things of COCO photographs: instance boundaries contain edges within a class."""
    from hdbench.data.loading import read_instance

    folder = real_data / "coco_stuff_samples"
    found = 0
    for path in sorted((folder / "train_inst").glob("*.png")):
        instance = read_instance(path)
        label = torch.from_numpy(np.array(Image.open(folder / "train_label" / path.name)))
        assert instance.shape == label.shape
        inside = boundary_map(instance[None]).bool() & ~boundary_map(label[None]).bool()
        found += int(inside.any())
    assert found >= 5
