"""Label spaces: what the ids of a label map mean, which of them are scored, their colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

#: The train id of everything that is not scored.
VOID = 255


@dataclass(frozen=True)
class LabelClass:
    """One label id of a dataset."""

    #: The value in label maps on disk.
    id: int
    name: str
    #: RGB, 0 to 255, for pictures of label maps.
    colour: tuple[int, int, int]
    #: Row in the confusion matrix, or None for void.
    train_id: int | None


@dataclass(frozen=True)
class LabelSpace:
    """All label ids of a dataset."""

    name: str
    classes: tuple[LabelClass, ...]

    @property
    def channels(self) -> int:
        """Channels of the one-hot encoding: the largest id plus one."""
        return max(entry.id for entry in self.classes) + 1

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
        """Bool [256]: which ids label maps may hold."""
        table = torch.zeros(256, dtype=torch.bool)
        for entry in self.classes:
            table[entry.id] = True
        return table

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


# Ids of the 11-class selection (SegNet tutorial); colours of the CamVid palette.
_CAMVID = LabelSpace(
    "camvid",
    (
        LabelClass(0, "sky", (128, 128, 128), 0),
        LabelClass(1, "building", (128, 0, 0), 1),
        LabelClass(2, "pole", (192, 192, 128), 2),
        LabelClass(3, "road", (128, 64, 128), 3),
        LabelClass(4, "pavement", (60, 40, 222), 4),
        LabelClass(5, "tree", (128, 128, 0), 5),
        LabelClass(6, "sign", (192, 128, 128), 6),
        LabelClass(7, "fence", (64, 64, 128), 7),
        LabelClass(8, "car", (64, 0, 128), 8),
        LabelClass(9, "pedestrian", (64, 64, 0), 9),
        LabelClass(10, "bicyclist", (0, 128, 192), 10),
        LabelClass(11, "void", (0, 0, 0), None),
    ),
)

LABEL_SPACES = {space.name: space for space in (_CAMVID,)}
