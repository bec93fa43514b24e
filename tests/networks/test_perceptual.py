from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import vgg19 as torchvision_vgg19

from hdbench.networks.perceptual import PerceptualSegmenter, vgg19

#: Layer index in torchvision's VGG-19 of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.
RELU_LAYERS = (1, 6, 11, 20, 29)


@pytest.mark.slow
def test_vgg19s_five_maps_are_those_of_torchvisions_layers() -> None:
    reference = torchvision_vgg19(weights=None).features
    network = vgg19()
    state = reference.state_dict()
    network.load_state_dict(
        {name: state[name.removeprefix("features.")] for name in network.state_dict()}
    )
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    maps = network(images)
    assert [value.shape[1] for value in maps] == [64, 128, 256, 512, 512]
    layers = list(reference.children())
    for index, found in zip(RELU_LAYERS, maps, strict=True):
        torch.testing.assert_close(found, nn.Sequential(*layers[: index + 1])(images))


def test_it_is_frozen_but_lets_gradients_through() -> None:
    network = PerceptualSegmenter([4, 4, 4, 4, 4], [1, 2, 1, 1, 1], classes=3).folded()
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    network(images)[-1].sum().backward()
    assert images.grad is not None
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_folding_batch_norm_changes_no_feature() -> None:
    torch.manual_seed(0)
    learnt = PerceptualSegmenter([4, 6, 8, 8, 8], [1, 2, 2, 1, 1], classes=3)
    for _ in range(3):  # statistics other than 0 and 1
        learnt(torch.randn(2, 3, 32, 48))
    for layer in learnt.features:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2.0)
            nn.init.normal_(layer.bias)
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    folded = learnt.folded()
    expected, x = [], images
    begins_block = True
    for layer in learnt.features.eval():
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            begins_block = True
        elif isinstance(layer, nn.ReLU) and begins_block:
            expected.append(x)
            begins_block = False
    for found, wanted in zip(folded(images), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_every_block_has_a_share_in_the_logits() -> None:
    network = PerceptualSegmenter([4, 4, 4, 4, 4], [1, 1, 1, 1, 1], classes=3)
    logits = network(torch.rand(2, 3, 33, 48))  # an odd side, whose pooled sizes are rounded down
    assert logits.shape == (2, 3, 33, 48)
    logits.sum().backward()
    assert all(head.weight.grad is not None for head in network.heads)
