"""The noise of pix2pix: dropout that stays on when images are made, from seeds of one's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hdbench.provenance import derived_seed


class Dropout(nn.Module):
    """Set values to 0 with a probability, and scale the others, in training and in synthesis.

    Which values these are is drawn on the CPU from PyTorch's default generator, so that a seed
    gives the same image on every device; ``noise_of`` and ``NoiseSource`` set the seed.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Return ``B x C x H x W`` with values dropped."""
        kept = torch.rand(x.shape) >= self.probability
        return x * (kept.to(x.device, x.dtype) / (1 - self.probability))


@contextlib.contextmanager
def noise_of(*names: str) -> Iterator[None]:
    """Draw the noise of the scenes of these names: the same whenever their images are made."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("noise", *names))
        yield


class NoiseSource:
    """The noise of a training's steps, whose state goes into checkpoints."""

    def __init__(self, seed: int) -> None:
        random = torch.Generator().manual_seed(derived_seed("noise of training", seed))
        self._state = random.get_state()

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw the noise of the next step, and leave PyTorch's own state as it is."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._state)
            yield
            self._state = torch.get_rng_state()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what ``load_state_dict`` goes on from."""
        return {"state": self._state}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        self._state = state["state"].cpu()
