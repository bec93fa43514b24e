"""The noise of pix2pix: dropout that stays on when images are made, from seeds of one's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from hdbench.provenance import derived_seed

#: The first of the scenes at hand, and how many scenes the whole batch has.
_PLACE: ContextVar[tuple[int, int] | None] = ContextVar("place in a batch", default=None)


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
        kept = _drawn(x.shape) >= self.probability
        return x * (kept.to(x.device, x.dtype) / (1 - self.probability))


def _drawn(shape: torch.Size) -> Tensor:
    """Return uniform numbers in [0, 1) for the scenes at hand; those of the others are dropped."""
    place = _PLACE.get()
    if place is None:
        return torch.rand(shape)
    first, count = place
    return torch.rand((count, *shape[1:]))[first : first + shape[0]]


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
        self._state = self._next = random.get_state()

    @contextlib.contextmanager
    def drawn(self, first: int, count: int) -> Iterator[None]:
        """Draw the noise of a step, and leave PyTorch's own state as it is.

        Args:
            first: the place of the first scene at hand in the whole batch.
            count: the scenes of the whole batch, whose noise does not depend on how it is divided.
        """
        token = _PLACE.set((first, count))
        try:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(self._state)
                yield
                self._next = torch.get_rng_state()
        finally:
            _PLACE.reset(token)

    def advance(self) -> None:
        """Go on to the next step."""
        self._state = self._next

    def state_dict(self) -> dict[str, Tensor]:
        """Return what ``load_state_dict`` goes on from."""
        return {"state": self._state}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        self._state = self._next = state["state"].cpu()
