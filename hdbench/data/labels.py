"""Label spaces: what the ids of a label map mean, which of them are scored, their colours."""

from __future__ import annotations

from collections.abc import Iterable
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
    #: RGB, 0 to 255, for painted label maps.
    colour: tuple[int, int, int]
    #: Row in the confusion matrix, or None for void.
    train_id: int | None


@dataclass(frozen=True)
class LabelSpace:
    """All label ids of a dataset."""

    name: str
    #: Channels of the one-hot encoding; every id is below it.
    channels: int
    #: In the order of their ids.
    classes: tuple[LabelClass, ...]

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
        table[[entry.id for entry in self.classes]] = True
        return table

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


# Ids of the 11-class selection (SegNet tutorial); colours of the CamVid palette.
_CAMVID = LabelSpace(
    "camvid",
    12,
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

# Ids, names, colours and trainIds of Cordts et al., CVPR 2016. The official pix2pixHD encodes 35
# channels (label_nc), of which the last is never 1. License plates have the id -1, which no PNG can
# hold; the official label maps show what is behind them. An id of 255 therefore means a map of
# trainIds, and reading it is an error like any other unknown id.
_CITYSCAPES = LabelSpace(
    "cityscapes",
    35,
    (
        LabelClass(0, "unlabeled", (0, 0, 0), None),
        LabelClass(1, "ego vehicle", (0, 0, 0), None),
        LabelClass(2, "rectification border", (0, 0, 0), None),
        LabelClass(3, "out of roi", (0, 0, 0), None),
        LabelClass(4, "static", (0, 0, 0), None),
        LabelClass(5, "dynamic", (111, 74, 0), None),
        LabelClass(6, "ground", (81, 0, 81), None),
        LabelClass(7, "road", (128, 64, 128), 0),
        LabelClass(8, "sidewalk", (244, 35, 232), 1),
        LabelClass(9, "parking", (250, 170, 160), None),
        LabelClass(10, "rail track", (230, 150, 140), None),
        LabelClass(11, "building", (70, 70, 70), 2),
        LabelClass(12, "wall", (102, 102, 156), 3),
        LabelClass(13, "fence", (190, 153, 153), 4),
        LabelClass(14, "guard rail", (180, 165, 180), None),
        LabelClass(15, "bridge", (150, 100, 100), None),
        LabelClass(16, "tunnel", (150, 120, 90), None),
        LabelClass(17, "pole", (153, 153, 153), 5),
        LabelClass(18, "polegroup", (153, 153, 153), None),
        LabelClass(19, "traffic light", (250, 170, 30), 6),
        LabelClass(20, "traffic sign", (220, 220, 0), 7),
        LabelClass(21, "vegetation", (107, 142, 35), 8),
        LabelClass(22, "terrain", (152, 251, 152), 9),
        LabelClass(23, "sky", (70, 130, 180), 10),
        LabelClass(24, "person", (220, 20, 60), 11),
        LabelClass(25, "rider", (255, 0, 0), 12),
        LabelClass(26, "car", (0, 0, 142), 13),
        LabelClass(27, "truck", (0, 0, 70), 14),
        LabelClass(28, "bus", (0, 60, 100), 15),
        LabelClass(29, "caravan", (0, 0, 90), None),
        LabelClass(30, "trailer", (0, 0, 110), None),
        LabelClass(31, "train", (0, 80, 100), 16),
        LabelClass(32, "motorcycle", (0, 0, 230), 17),
        LabelClass(33, "bicycle", (119, 11, 32), 18),
    ),
)

# Of datasets without label maps.
_NONE = LabelSpace("none", 0, ())

LABEL_SPACES = {space.name: space for space in (_CAMVID, _CITYSCAPES, _NONE)}
