"""A moving average of a network's weights, which changes less from step to step than they do."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage:
    """Exponential moving average of a network's parameters.

    After n updates the next one counts with ``min(decay, (1 + n) / (10 + n))``, so that the first
    weights are soon forgotten (TensorFlow's ``ExponentialMovingAverage``).

    Args:
        network: whose parameters are averaged; it has no buffers.
        decay: of the average, below 1; 0 keeps none.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin with the network's weights."""
        self._source, self._decay = network, decay
        self._average = AveragedModel(network, multi_avg_fn=self._mix) if decay else None

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights; the network itself where none are kept."""
        return self._source if self._average is None else self._average.module

    def update(self) -> None:
        """Take the network's weights into the average."""
        if self._average is not None:
            self._average.update_parameters(self._source)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and the number of updates; empty where none are kept."""
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that ``state_dict`` returned."""
        if self._average is not None:
            self._average.load_state_dict(state)

    def _mix(self, averaged: Any, fresh: Any, updates: Tensor | int) -> None:
        warm = (1 + int(updates)) / (10 + int(updates))
        get_ema_multi_avg_fn(min(self._decay, warm))(averaged, fresh, updates)
