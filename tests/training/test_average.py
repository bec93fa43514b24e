from __future__ import annotations

import pytest
import torch
from torch import nn

from hdbench.training.average import MovingAverage


def weights_after(steps: int) -> list[float]:
    """The weights that a network of one number has before each update."""
    return [(-1) ** n * (n + 1) / 7 for n in range(steps)]


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_recursion_written_out(decay: float) -> None:
    network = nn.Conv2d(1, 1, 1, bias=False)
    average, expected = MovingAverage(network, decay), 0.0
    for n, weight in enumerate(weights_after(40)):
        nn.init.constant_(network.weight, weight)
        average.update()
        share = min(decay, (1 + n) / (10 + n))
        expected = weight if n == 0 else share * expected + (1 - share) * weight
    found = next(average.network.parameters()).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_decay_of_0_keeps_none() -> None:
    network = nn.Conv2d(1, 1, 1)
    average = MovingAverage(network, 0.0)
    average.update()
    assert average.network is network
    assert average.state_dict() == {}


def test_an_average_goes_on_from_its_state() -> None:
    networks = [nn.Conv2d(1, 1, 1, bias=False) for _ in range(2)]
    whole, half = (MovingAverage(network, 0.9) for network in networks)
    for n, weight in enumerate(weights_after(12)):
        if n == 6:
            resumed = MovingAverage(networks[1], 0.9)
            resumed.load_state_dict(half.state_dict())
            half = resumed
        for network, average in zip(networks, (whole, half), strict=True):
            nn.init.constant_(network.weight, weight)
            average.update()
    states = [average.network.state_dict()["weight"] for average in (whole, half)]
    assert torch.equal(*states)
