from __future__ import annotations

import pytest
import torch

from hdbench.networks.unet import build_unet, output_stride


@pytest.mark.parametrize("depth", [3, 4])
def test_features_halve_at_each_stage_and_logits_have_the_images_size(depth: int) -> None:
    network = build_unet("tu-resnet10t", depth, classes=11).eval()
    images = torch.randn(1, 3, 64, 96)
    stride = output_stride(depth)
    assert network.encoder(images)[-1].shape[-2:] == (64 // stride, 96 // stride)
    assert network(images).shape == (1, 11, 64, 96)


def test_every_weight_that_is_stored_is_used() -> None:
    network = build_unet("tu-resnet10t", 3, classes=5)
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_each_size_of_the_encoders_features_reaches_the_answer() -> None:
    """What is one pixel wide is lost at 1/8; it is the finer features that place it."""
    network = build_unet("tu-resnet10t", 3, classes=5).eval()
    features = network.encoder(torch.randn(1, 3, 32, 32))
    leaves = [one.detach().requires_grad_() for one in features[1:]]
    network.decoder([features[0], *leaves]).sum().backward()
    assert [one.shape[-1] for one in leaves] == [16, 8, 4]
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in leaves)
