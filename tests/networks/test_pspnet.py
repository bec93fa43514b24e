from __future__ import annotations

import torch
from torch import nn

from hdbench.networks.pspnet import PSPNetWithAuxiliary, build_pspnet


def test_features_are_at_one_eighth_and_logits_at_full_size() -> None:
    network = build_pspnet("resnet18", 11).eval()
    images = torch.randn(1, 3, 64, 96)
    assert network.encoder(images)[-1].shape[-2:] == (8, 12)
    assert network(images).shape == (1, 11, 64, 96)


def test_the_pyramid_pools_at_the_papers_bins() -> None:
    decoder = build_pspnet("resnet18", 11).decoder
    pools = [layer for layer in decoder.modules() if isinstance(layer, nn.AdaptiveAvgPool2d)]
    assert [pool.output_size for pool in pools] == [(1, 1), (2, 2), (3, 3), (6, 6)]


def test_the_auxiliary_head_segments_the_stage_before_last() -> None:
    network = PSPNetWithAuxiliary("resnet18", 11)
    main, auxiliary = network(torch.randn(2, 3, 64, 64))
    assert main.shape == auxiliary.shape == (2, 11, 64, 64)
    auxiliary.sum().backward()
    learnt = {
        name.split(".")[0]
        for name, parameter in network.pspnet.encoder.named_parameters()
        if parameter.grad is not None
    }
    assert learnt == {"conv1", "bn1", "layer1", "layer2", "layer3"}


def test_training_and_shipping_compute_the_same_logits() -> None:
    network = PSPNetWithAuxiliary("resnet18", 11).eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(images)[0], network.pspnet(images))
