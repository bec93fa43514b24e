"""An exponential moving average of a network's weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage:
    """Exponential moving average of a network's parameters.

    After n updates the next one keeps ``min(decay, (1 + n) / (10 + n))`` of the average, so that
    the first weights are soon forgotten (TensorFlow's ``ExponentialMovingAverage``).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._source, self._decay = network, decay
        self._average = AveragedModel(network) if decay else None
        self._updates = 0

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights; the network itself where none are kept."""
        return self._source if self._average is None else self._average.module

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the network's weights.

        ``AveragedModel.update_parameters`` would make each step wait for a GPU: it moves the number
        of updates there, and the decay needs it here.
        """
        if self._average is None:
            return
        averaged: list[Tensor] = list(self._average.module.parameters())
        latest: list[Tensor] = list(self._source.parameters())
        if self._updates == 0:
            for mine, new in zip(averaged, latest, strict=True):
                mine.copy_(new)
        else:
            decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
            get_ema_multi_avg_fn(decay)(averaged, latest, self._updates)
        self._updates += 1
        self._average.n_averaged.fill_(self._updates)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and the number of updates; empty where none are kept."""
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state that ``state_dict`` returned."""
        if self._average is not None:
            self._average.load_state_dict(state)
            self._updates = int(self._average.n_averaged)
