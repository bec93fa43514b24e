"""Label spaces: what the ids of a label map mean, which of them are scored, their colours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from hdbench.library import Library
from hdbench.schema.label_space import LabelSpaceFile, OwnLabelSpace

#: The train id of everything that is not scored.
VOID = 255


@dataclass(frozen=True)
class LabelClass:
    """One label id of a dataset."""

    #: The channel in the one-hot encoding, and the value in label maps on disk unless ``stored``.
    id: int
    name: str
    #: RGB, 0 to 255, for painted label maps.
    colour: tuple[int, int, int]
    #: Row in the confusion matrix, or None for void.
    train_id: int | None
    #: The value in label maps on disk, where it is not the id.
    stored: int | None = None


@dataclass(frozen=True)
class LabelSpace:
    """All label ids of a dataset."""

    name: str
    #: Channels of the one-hot encoding; every id is below it.
    channels: int
    #: In the order of their ids.
    classes: tuple[LabelClass, ...]
    #: The user's own file that states it, or None for a space of the library.
    path: str | None = None

    @cached_property
    def scored(self) -> tuple[LabelClass, ...]:
        """The classes that are scored, in the order of their train ids."""
        entries = [entry for entry in self.classes if entry.train_id is not None]
        return tuple(sorted(entries, key=lambda entry: entry.train_id or 0))

    @cached_property
    def train_id_table(self) -> Tensor:
        """uint8 [256]: label id to train id, ``VOID`` where not scored."""
        table = torch.full((256,), VOID, dtype=torch.uint8)
        for train_id, entry in enumerate(self.scored):
            table[entry.id] = train_id
        return table

    @cached_property
    def colour_table(self) -> Tensor:
        """uint8 [256, 3]: label id to RGB, black where the id is unknown."""
        table = torch.zeros((256, 3), dtype=torch.uint8)
        for entry in self.classes:
            table[entry.id] = torch.tensor(entry.colour)
        return table

    @cached_property
    def known(self) -> Tensor:
        """Bool [256]: which values label maps on disk may hold."""
        table = torch.zeros(256, dtype=torch.bool)
        table[[_on_disk(entry) for entry in self.classes]] = True
        return table

    def from_disk(self, values: Tensor) -> Tensor:
        """Return uint8 ids for a map of known values on disk."""
        moved = [entry for entry in self.classes if entry.stored is not None]
        if not moved:
            return values
        table = torch.arange(256, dtype=torch.uint8)
        for entry in moved:
            table[_on_disk(entry)] = entry.id
        return table[values.long()]

    @property
    def padding_id(self) -> int:
        """The id of pixels outside a scene, which no loss counts: a void class, or a free id."""
        void = [entry.id for entry in self.classes if entry.train_id is None]
        ids = {entry.id for entry in self.classes}
        return void[0] if void else next(n for n in range(255, -1, -1) if n not in ids)

    def legend(self, labels: Iterable[Tensor]) -> list[LabelClass]:
        """Return the classes of a legend for label maps: those in them, and all scored ones."""
        shown = torch.zeros(256, dtype=torch.bool)
        for label in labels:
            shown[label.flatten().long()] = True
        return [entry for entry in self.classes if entry.train_id is not None or shown[entry.id]]

    def to_train_ids(self, label: Tensor) -> Tensor:
        """Return uint8 train ids for a map of label ids of any shape."""
        return self.train_id_table[label.long()]

    def paint(self, label: Tensor) -> Tensor:
        """Return a uint8 3xHxW picture of a HxW map of label ids."""
        return self.colour_table[label.long()].permute(2, 0, 1)

    def paint_train_ids(self, train_ids: Tensor) -> Tensor:
        """Return a uint8 3xHxW picture of a HxW map of train ids; void is black."""
        table = torch.zeros((256, 3), dtype=torch.uint8)
        for train_id, entry in enumerate(self.scored):
            table[train_id] = torch.tensor(entry.colour)
        return table[train_ids.long()].permute(2, 0, 1)


def _on_disk(entry: LabelClass) -> int:
    return entry.id if entry.stored is None else entry.stored


def label_space_of(file: LabelSpaceFile) -> LabelSpace:
    """Return the label space that a file states, like ``benchmark.data.label_space``."""
    train_ids = file.train_ids
    classes = (
        LabelClass(
            entry.id, entry.name, _colour(entry.colour), train_ids.get(entry.id), entry.stored
        )
        for entry in file.classes
    )
    channels = file.one_hot_channels
    path = file.path if isinstance(file, OwnLabelSpace) else None
    return LabelSpace(file.name, channels, tuple(classes), path)


@cache
def shipped_space(name: str) -> LabelSpace:
    """Return a label space of the library; raises LibraryError if there is none of this name."""
    return label_space_of(Library().label_space(name))


def identified_space(identity: Any) -> LabelSpace:
    """Return the label space that a run's identity names, or states if it is a user's own.

    One's own has no colours there. Raises KeyError or TypeError if it is neither, and LibraryError
    if the library has none of this name.
    """
    if isinstance(identity, str):
        return shipped_space(identity)
    classes = (
        LabelClass(entry, name, (0, 0, 0), train_id, None if stored == entry else stored)
        for entry, name, train_id, stored in identity["classes"]
    )
    return LabelSpace(identity["name"], identity["channels"], tuple(classes))


def _colour(values: list[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return red, green, blue
