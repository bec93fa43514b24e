"""The scenes that a network is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import Augmentation, steps_per_epoch, training_batches
from hdbench.data.scene import Batch
from hdbench.runtime.devices import Machine


@dataclass(frozen=True)
class TrainingData:
    """The scenes that a network is trained on, and what identifies them."""

    files: list[SceneFiles]
    #: Name of each scene, and digests of its files as far as the training depends on them.
    digests: list[list[str]]
    #: What cards and progress bars call it, like ``streets/train``.
    title: str
    #: Where the images come from, as JSON values for the identity; None: the dataset's own, read at
    #: their native size. Others have the benchmark's size, and labels are resized to it.
    images: dict[str, Any] | None = None

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the steps of one epoch."""
        return steps_per_epoch(len(self.files), batch_size)

    def batches(
        self,
        space: LabelSpace,
        augment: Augmentation,
        *,
        batch_size: int,
        seed: int,
        machine: Machine,
        size: tuple[int, int] | None = None,
    ) -> Callable[[int, int], Iterator[Batch]]:
        """Return a function that yields the batches of steps ``start`` to ``stop`` (exclusive).

        Each of the machine's ranks gets its part of them.

        Raises:
            UsageError: the ranks cannot share a batch equally.
        """
        machine.execution.share_of(min(batch_size, len(self.files)))
        return partial(
            training_batches,
            self.files,
            space,
            augment,
            batch_size=batch_size,
            seed=seed,
            workers=machine.workers,
            size=size,
            ranks=machine.ranks,
        )
