from __future__ import annotations

import pytest
import torch
from torch import nn

from hdbench.networks.pspnet import PSPNetDesign, PSPNetWithAuxiliary, build_pspnet, enlarged

DESIGN = PSPNetDesign("resnet18", depth=5, enlarge=1, classes=11)


def test_features_are_at_one_eighth_and_logits_at_full_size() -> None:
    network = build_pspnet(DESIGN).eval()
    images = torch.randn(1, 3, 64, 96)
    assert network.encoder(images)[-1].shape[-2:] == (8, 12)
    assert network(images).shape == (1, 11, 64, 96)


def test_the_pyramid_pools_at_the_papers_bins() -> None:
    decoder = build_pspnet(DESIGN).decoder
    pools = [layer for layer in decoder.modules() if isinstance(layer, nn.AdaptiveAvgPool2d)]
    assert [pool.output_size for pool in pools] == [(1, 1), (2, 2), (3, 3), (6, 6)]


def test_the_auxiliary_head_segments_the_stage_before_last() -> None:
    network = PSPNetWithAuxiliary(DESIGN)
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
    network = PSPNetWithAuxiliary(DESIGN).eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(images)[0], network.pspnet(images))


@pytest.mark.slow
@pytest.mark.parametrize(("enlarge", "cells"), [(1, (8, 12)), (2, (16, 24)), (4, (32, 48))])
def test_enlarged_images_are_seen_finer_and_answered_at_their_own_size(
    enlarge: int, cells: tuple[int, int]
) -> None:
    network = PSPNetWithAuxiliary(PSPNetDesign("resnet18", 4, enlarge, 11)).eval()
    images = torch.randn(1, 3, 64, 96)
    assert network.pspnet.encoder(enlarged(images, enlarge))[-1].shape[-2:] == cells
    main, auxiliary = network(images)
    assert main.shape == auxiliary.shape == (1, 11, 64, 96)
    assert torch.equal(main, network.pspnet(enlarged(images, enlarge)))


def test_enlarging_keeps_flat_areas_and_the_middle_of_every_pixel_pair() -> None:
    row = torch.tensor([[[[0.0, 4.0, 4.0]]]]).expand(1, 3, 1, 3)
    assert enlarged(row, 1) is row
    assert enlarged(row, 2)[0, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0, 4.0, 4.0]
