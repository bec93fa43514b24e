"""A scene at one moment of its editing: label ids, ids of regions, and the styles of regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from hdbench.data.labels import LabelSpace
from hdbench.data.scene import Scene
from hdbench.errors import UsageError, suggestion
from hdbench.schema.editing import MOST_REGIONS, StyleValue
from hdbench.styles import Instance, instances_of

#: In Cityscapes' instance maps, ``label * 1000 + n`` is an instance, and a smaller id a class.
CITYSCAPES = 1000
#: Its classes with instances (``hasInstances`` of cityscapesScripts).
_CITYSCAPES_THINGS = frozenset(range(24, 34))


@dataclass(frozen=True)
class Regions:
    """How the ids of a dataset's instance maps are given, so that edits give theirs alike."""

    #: Classes with instances; pixels of any other class are one region.
    things: frozenset[int]
    #: Whether ids are Cityscapes'; else they are any numbers.
    cityscapes: bool

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> Regions:
        """Return how the ids of some scenes are given.

        A class has instances if a scene holds two of it, or, with Cityscapes' ids, one.
        """
        cityscapes, things = True, set[int]()
        several = set[int]()
        for scene in scenes:
            if scene.instance is None:
                return cls(frozenset(), False)
            seen = set[int]()
            for entry in instances_of(scene):
                if entry.region >= CITYSCAPES and entry.region // CITYSCAPES == entry.label:
                    things.add(entry.label)
                elif entry.region != entry.label:
                    cityscapes = False
                if entry.label in seen:
                    several.add(entry.label)
                seen.add(entry.label)
        if cityscapes and things and things <= _CITYSCAPES_THINGS:
            return cls(_CITYSCAPES_THINGS, True)
        return cls(frozenset(things if cityscapes else several), cityscapes)


@dataclass(frozen=True)
class SceneState:
    """A scene between two edits; never changed, so that undo returns to the same one."""

    name: str
    #: uint8 H x W ids of the label space.
    label: NDArray[np.uint8]
    #: int32 H x W, or None: a class is a region.
    instance: NDArray[np.int32] | None
    #: Styles that regions were given; all others are random.
    styles: Mapping[int, StyleValue] = field(default_factory=dict)

    @classmethod
    def of(cls, scene: Scene) -> SceneState:
        """Return the state of a scene that nothing was done to."""
        instance = None if scene.instance is None else scene.instance.numpy().astype(np.int32)
        return cls(scene.name, scene.label.numpy().astype(np.uint8), instance)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.label.shape[0], self.label.shape[1]

    @property
    def regions(self) -> NDArray[np.integer]:
        """Ids H x W of regions."""
        return self.label if self.instance is None else self.instance

    @cached_property
    def scene(self) -> Scene:
        """The scene as networks read it."""
        instance = None if self.instance is None else torch.from_numpy(self.instance)
        return Scene(self.name, torch.from_numpy(self.label), instance, None)

    @cached_property
    def by_region(self) -> dict[int, Instance]:
        """The regions by their ids."""
        return {entry.region: entry for entry in instances_of(self.scene)}

    @cached_property
    def given_styles(self) -> dict[int, StyleValue]:
        """The given styles of regions that are still there."""
        return {key: value for key, value in self.styles.items() if key in self.by_region}

    def region(self, number: int) -> Instance:
        """Return a region; UsageError if the scene has no such one."""
        if number not in self.by_region:
            near = suggestion(str(number), map(str, self.by_region))
            raise UsageError(f"scene '{self.name}' has no region {number}{near}")
        return self.by_region[number]

    def painted(self, mask: NDArray[np.bool_], label: int, region: int) -> SceneState:
        """Return the scene with a class, as part of a region, wherever a mask says."""
        labels = np.where(mask, np.uint8(label), self.label)
        instance = self.instance
        if instance is not None:
            instance = np.where(mask, np.int32(region), instance)
        return replace(self, label=labels, instance=instance)

    def restyled(self, region: int, style: StyleValue | None) -> SceneState:
        """Return the scene with a region's style given, or given no more (None)."""
        styles = {key: value for key, value in self.styles.items() if key != region}
        if style is not None:
            styles[region] = style
        return replace(self, styles=styles)

    def region_for(self, label: int, ids: Regions) -> int:
        """Return the region that new pixels of a class belong to: its own, or a new one.

        Raises:
            UsageError: there is no id left.
        """
        if self.instance is None:
            return label
        own = [entry.region for entry in self.by_region.values() if entry.label == label]
        if label not in ids.things:
            if ids.cityscapes:
                return label
            if own:
                return min(own)
        elif ids.cityscapes:
            first = label * CITYSCAPES
            free = set(range(first, first + CITYSCAPES)).difference(self.by_region)
            # A given style of a region that is gone is not that of the next one.
            free = free.difference(self.styles) or free
            if free:
                return min(free)
            raise UsageError(f"scene '{self.name}' has {CITYSCAPES} instances of class {label}")
        new = max(max(self.by_region, default=0), max(self.styles, default=0)) + 1
        if new >= MOST_REGIONS:
            raise UsageError(f"scene '{self.name}': no id below {MOST_REGIONS} is left")
        return new


def require_class(label: int, space: LabelSpace) -> None:
    """Raise UsageError unless a label space has the id."""
    if label not in {entry.id for entry in space.classes}:
        first, last = space.classes[0].id, space.classes[-1].id
        raise UsageError(f"class {label}: label space '{space.name}' has the ids {first} to {last}")
