"""Scenes and contexts for edits, without any network."""

from __future__ import annotations

import numpy as np
import torch

from hdbench.data.labels import shipped_space
from hdbench.data.scene import Scene
from hdbench.editing.apply import Context
from hdbench.editing.shapes import shapes_of
from hdbench.editing.state import Regions

ROAD, BUILDING, TREE, SKY, PERSON, CAR, BUS = 7, 11, 21, 23, 24, 26, 28


def street_scene(name: str = "street", height: int = 32, width: int = 48) -> Scene:
    """Sky over a building, a tree and a road with two cars that touch, and one person."""
    label = np.full((height, width), SKY, np.uint8)
    label[8:20], label[20:] = BUILDING, ROAD
    label[6:20, 30:40] = TREE
    instance = label.astype(np.int32)
    for number, left in enumerate((4, 14)):
        label[18:26, left : left + 10] = CAR
        instance[18:26, left : left + 10] = CAR * 1000 + number
    label[16:24, 42:45], instance[16:24, 42:45] = PERSON, PERSON * 1000
    return Scene(name, torch.from_numpy(label), torch.from_numpy(instance), None)


def context_of(*scenes: Scene) -> Context:
    """What edits may refer to in a method without styles."""
    ids = Regions.of(scenes)
    return Context(shipped_space("cityscapes"), ids, shapes_of(scenes, ids.things), None)
