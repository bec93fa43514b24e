"""One pass through each side of the game, so that ranks add up its gradients once.

A pass is a module because that is what ``DistributedDataParallel`` wraps. Each has one forward pass
in a step, though generator and discriminators each get their gradients from a loss of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.runtime.ranks import Ranks

#: A discriminator's feature maps and logits, for each scale.
Outputs = list[list[Tensor]]


class GeneratorPass(nn.Module):
    """Encoder, where there is one, and generator: from a condition to images."""

    def __init__(self, generator: nn.Module, encoder: nn.Module | None) -> None:
        super().__init__()
        self.generator, self.encoder = generator, encoder

    def forward(self, condition: Tensor, real: Tensor, regions: Tensor) -> Tensor:
        """Return images in [-1, 1], ``B x 3 x H x W`` (more channels where there are several).

        Args:
            condition: ``B x C x H x W``.
            real: the photographs in [-1, 1], from which styles are encoded.
            regions: ids of instances, ``B x H x W``.
        """
        styles = [] if self.encoder is None else [self.encoder(real, regions)]
        return self.generator(torch.cat([condition, *styles], dim=1))


class DiscriminatorPass(nn.Module):
    """The discriminators on photographs and on images of one condition."""

    def __init__(self, discriminator: MultiscaleDiscriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, condition: Tensor, real: Tensor, fake: Tensor) -> tuple[Outputs, Outputs]:
        """Return the outputs on photographs and on images, both ``B x 3 x H x W``."""
        readings = self.discriminator.read(condition)
        return self.discriminator(readings, real), self.discriminator(readings, fake)


class Passes:
    """The passes of one stage of a training, over all of its ranks."""

    def __init__(
        self,
        ranks: Ranks,
        generator: nn.Module,
        encoder: nn.Module | None,
        discriminator: MultiscaleDiscriminator | None,
    ) -> None:
        self.generator = ranks.parallel(GeneratorPass(generator, encoder))
        self.discriminator: Any = None
        if discriminator is not None:
            self.discriminator = ranks.parallel(DiscriminatorPass(discriminator))

    @contextlib.contextmanager
    def added_up(self, now: bool) -> Iterator[None]:
        """Add up the gradients of all ranks in the backward passes of the block, or in a later one.

        Only the last of the parts of a batch needs it: until then each rank keeps its own sum.
        """
        with contextlib.ExitStack() as stack:
            for one in (self.generator, self.discriminator):
                if isinstance(one, DistributedDataParallel) and not now:
                    stack.enter_context(one.no_sync())
            yield
