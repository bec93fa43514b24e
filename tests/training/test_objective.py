from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from hdbench.schema.benchmark import Size
from hdbench.schema.method import Stage
from hdbench.training.objective import feature_matching_loss, gan_loss, perceptual_loss
from hdbench.training.stages import StagePlan


def output(*maps: float) -> list[torch.Tensor]:
    """One scale's feature maps and logits, each constant."""
    return [torch.full((1, 2, 2, 2), value) for value in maps]


def test_least_squares_by_hand() -> None:
    """(0.5 - 1)^2 + (2 - 1)^2 for real, 0.5^2 + 2^2 for fake, summed over two scales."""
    outputs = [output(9, 9, 0.5), output(9, 9, 2.0)]
    assert gan_loss(outputs, real=True, kind="lsgan").item() == pytest.approx(1.25)
    assert gan_loss(outputs, real=False, kind="lsgan").item() == pytest.approx(4.25)


def test_log_loss_by_hand() -> None:
    """-log sigmoid(x) for real, -log(1 - sigmoid(x)) for fake (Eq. 2)."""
    outputs = [output(9, 1.0)]
    real = -math.log(1 / (1 + math.exp(-1)))
    assert gan_loss(outputs, real=True, kind="log").item() == pytest.approx(real)
    assert gan_loss(outputs, real=False, kind="log").item() == pytest.approx(real + 1)


def test_feature_matching_by_hand() -> None:
    """Per scale |1-2| + |3-7| and |0-1| + |2-2|; 4 over 2 maps of a scale, over 2 scales."""
    fake = [output(1, 3, 100), output(0, 2, 100)]
    real = [output(2, 7, -100), output(1, 2, -100)]
    assert feature_matching_loss(fake, real).item() == pytest.approx((5 + 1) * (4 / 2) / 2)


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_feature_matching_weighs_discriminators_of_any_depth_alike(layers: int) -> None:
    """The official factor 4 / (layers + 1): equal distances in all maps give four times one."""
    maps = [*range(layers + 1), 9]
    fake, real = [output(*maps)], [output(*(value + 0.5 for value in maps))]
    assert feature_matching_loss(fake, real).item() == pytest.approx(4 * 0.5)


def test_feature_matching_gives_real_features_no_gradient() -> None:
    fake = [[torch.rand(1, 2, 2, 2, requires_grad=True) for _ in range(3)]]
    real = [[torch.rand(1, 2, 2, 2, requires_grad=True) for _ in range(3)]]
    feature_matching_loss(fake, real).backward()
    assert all(value.grad is not None for value in fake[0][:-1])
    assert fake[0][-1].grad is None  # logits are not matched
    assert all(value.grad is None for value in real[0])


def test_perceptual_loss_by_hand() -> None:
    fake, real = output(1, 1, 1, 1, 1), output(0, 0, 0, 0, 3)
    expected = 1 / 32 + 1 / 16 + 1 / 8 + 1 / 4 + 2
    assert perceptual_loss(fake, real).item() == pytest.approx(expected)


def test_the_rate_is_constant_then_falls_linearly_to_zero() -> None:
    stage = Stage(enhancers=0, trains="all", epochs=1, decay_epochs=1, rate=1.0)
    plan = StagePlan(stage, Size(width=64, height=32), 100, 4, 4, 2e-4)
    rates = [plan.learning_rate(100 + step) for step in range(9)]
    assert rates[:5] == [2e-4] * 5
    assert rates[5:] == pytest.approx([1.5e-4, 1e-4, 0.5e-4, 0.0])
    assert replace(plan, decay=0).learning_rate(103) == 2e-4
