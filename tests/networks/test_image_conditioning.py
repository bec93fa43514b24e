from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from hdbench.data.labels import shipped_space
from hdbench.data.scene import Batch, boundary_map
from hdbench.library import Library
from hdbench.networks.builder import (
    build_discriminator,
    build_generator,
    conditioning,
    limits_of,
)
from hdbench.networks.layers import ConditionConv2d
from hdbench.schema.image_input import ImageInput
from hdbench.schema.method import require_trained


def spec(boundaries: bool) -> ImageInput:
    return ImageInput(
        kind="image",
        channels=2,
        range=[0, 4],
        resize="nearest",
        boundaries=boundaries,
    )


def batch() -> Batch:
    label = torch.zeros(1, 2, 3, dtype=torch.uint8)
    label[0, :, 2] = 1
    pixels = torch.tensor([[[[0.0, 1, 2], [3, 4, 0]], [[2.0, 2, 2], [2, 2, 2]]]])
    return Batch(["one"], label, None, None, pixels)


@pytest.mark.parametrize("boundaries", [False, True])
@pytest.mark.parametrize("method", ["ours", "ours-labels-only"])
def test_the_condition_is_the_scaled_image_and_what_both_files_allow(
    boundaries: bool, method: str
) -> None:
    resolved = require_trained(Library().method(method))
    both = boundaries and method == "ours"
    condition = conditioning(resolved, shipped_space("camvid").channels, spec(boundaries))
    found = condition(batch())
    assert condition.channels == found.shape[1] == 2 + both
    assert found[0, 0].tolist() == [[-1, -0.5, 0], [0.5, 1, -1]]
    assert not found[0, 1].any()  # the middle of the range
    if both:
        assert torch.equal(found[:, 2:], boundary_map(batch().label))


def test_without_an_input_the_condition_is_the_labels() -> None:
    resolved = require_trained(Library().method("ours"))
    assert conditioning(resolved, 12).channels == 13


@pytest.mark.parametrize("zero", [[], [1], [0, 1, 2]], ids=str)
def test_a_channel_that_is_grey_all_over_changes_no_output_and_no_gradient(zero: list[int]) -> None:
    """The middle of the range becomes 0, which ``ConditionConv2d`` leaves out."""
    torch.manual_seed(0)
    layer, plain = ConditionConv2d(3, 4, kernel_size=3), nn.Conv2d(3, 4, kernel_size=3)
    plain.load_state_dict(layer.state_dict())
    image = torch.rand(2, 3, 8, 9) * 2 - 1
    image[:, zero] = 0
    for one in (layer, plain):
        one(image).square().sum().backward()
    assert torch.allclose(layer(image), plain(image), atol=1e-6)
    for ours, theirs in zip(layer.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4)


def test_the_networks_take_an_image_of_one_channel() -> None:
    limits = replace(limits_of(Library().benchmark("camvid-edges")), width=1 / 16)
    method = require_trained(Library().method("ours"))
    image = spec(False).model_copy(update={"channels": 1})
    condition = conditioning(method, 12, image)
    generator = build_generator(method, condition.channels, limits)
    discriminator = build_discriminator(method, condition.channels + 3, limits)
    given = condition(Batch([""], torch.zeros(1, 32, 32), None, None, torch.rand(1, 1, 32, 32)))
    made = generator(given)
    assert made.shape == (1, 3, 32, 32)
    assert method.discriminator is not None
    assert len(discriminator(discriminator.read(given), made)) == method.discriminator.scales
