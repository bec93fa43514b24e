from __future__ import annotations

import pytest
import torch
from cityscapesscripts.helpers.labels import labels

from hdbench.data.labels import VOID, shipped_space
from hdbench.data.scene import one_hot
from hdbench.library import LABEL_SPACES, Library

CITYSCAPES = shipped_space("cityscapes")


@pytest.mark.parametrize("name", Library().entries(LABEL_SPACES))
def test_ids_ascend_below_the_channels_and_train_ids_have_no_gaps(name: str) -> None:
    space = shipped_space(name)
    ids = [entry.id for entry in space.classes]
    assert ids == sorted(set(ids))
    assert all(0 <= entry < space.channels for entry in ids)
    assert [entry.train_id for entry in space.scored] == list(range(len(space.scored)))
    assert len({entry.name for entry in space.classes}) == len(space.classes)


def test_the_cityscapes_table_is_that_of_cityscapes_scripts() -> None:
    official = [entry for entry in labels if entry.id >= 0]
    assert len(official) == len(CITYSCAPES.classes) == 34
    for ours, theirs in zip(CITYSCAPES.classes, official, strict=True):
        assert (ours.id, ours.name, ours.colour) == (theirs.id, theirs.name, theirs.color)
        assert ours.train_id == (None if theirs.ignoreInEval else theirs.trainId)
        assert CITYSCAPES.train_id_table[ours.id] == theirs.trainId  # 255 is void in both


def test_nineteen_classes_are_scored_in_the_order_of_their_train_ids() -> None:
    assert [entry.name for entry in CITYSCAPES.scored] == [
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light"),
        *("traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car"),
        *("truck", "bus", "train", "motorcycle", "bicycle"),
    ]
    label = torch.tensor([[0, 7, 16, 33]], dtype=torch.uint8)
    assert CITYSCAPES.to_train_ids(label).tolist() == [[VOID, 0, VOID, 18]]


def test_a_legend_explains_what_is_scored_and_what_is_shown() -> None:
    maps = [torch.tensor([[7, 0]], dtype=torch.uint8), torch.tensor([[9, 26]], dtype=torch.uint8)]
    names = [entry.name for entry in CITYSCAPES.legend(maps)]
    assert names[:4] == ["unlabeled", "road", "sidewalk", "parking"]
    assert set(names) == {"unlabeled", "parking", *(entry.name for entry in CITYSCAPES.scored)}
    assert CITYSCAPES.legend([]) == list(CITYSCAPES.scored)  # both in the order of their ids


def test_cityscapes_has_the_official_35_channels_of_which_the_last_is_empty() -> None:
    label = torch.arange(34, dtype=torch.uint8).view(1, 2, 17)
    encoded = one_hot(label, CITYSCAPES.channels)
    assert encoded.shape == (1, 35, 2, 17)
    assert encoded.sum(dim=(0, 2, 3)).tolist() == [1.0] * 34 + [0.0]
