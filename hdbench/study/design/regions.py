"""The outlined object of a scene: the box of the largest object in the instance map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.data.scene import Scene
from hdbench.errors import UsageError, suggestion
from hdbench.runtime.progress import progress
from hdbench.schema.packet import Box, SkippedObject
from hdbench.schema.study import Region
from hdbench.workspace.bench import Bench


def require_regions(bench: Bench, region: Region) -> None:
    """Raise UsageError if a benchmark's label space or dataset has no objects of a class."""
    names = [entry.name for entry in bench.space.classes]
    if region.label not in names:
        raise UsageError(
            f"[region] label = '{region.label}': label space '{bench.space.name}' has no such "
            f"class{suggestion(region.label, names)}"
        )
    if any(entry.instance is None for entry in bench.dataset.test_scenes):
        raise UsageError(
            f"benchmark '{bench.benchmark.name}' has no instance maps, so no single "
            f"'{region.label}' can be outlined.\n"
            "Next: a benchmark with instance maps (cityscapes, streets), or the study 'unlimited'"
        )


def largest_objects(
    bench: Bench, scenes: Sequence[SceneFiles], region: Region
) -> tuple[dict[str, Box], list[SkippedObject]]:
    """Return the box of the largest object of each scene, and what is skipped.

    Scenes without an object of at least ``region.minimum_area`` have no box, nor have groups of
    objects, whose instance id is the class id in Cityscapes. Boxes are measured at the benchmark's
    size.

    Raises:
        DataError: a map is damaged.
    """
    size = bench.benchmark.size
    class_id = next(entry.id for entry in bench.space.classes if entry.name == region.label)
    boxes: dict[str, Box] = {}
    skipped: list[SkippedObject] = []
    for entry in progress(scenes, desc="finding objects", unit="scene", delay=2):
        scene = read_scene(entry, bench.space, photograph=False)
        objects = _objects(scene.resized(size.height, size.width), class_id)
        best: tuple[float, Box] | None = None
        for instance, area, box in objects:
            if area < region.minimum_area:
                reason = "below the minimum area"
                skipped.append(
                    SkippedObject(scene=entry.name, instance=instance, area=area, reason=reason)
                )
            elif best is None or area > best[0]:
                best = (area, box)
        if best is None:
            reason = f"no '{region.label}' of at least {region.minimum_area:.2%} of the image"
            skipped.append(SkippedObject(scene=entry.name, instance=None, area=None, reason=reason))
        else:
            boxes[entry.name] = best[1]
    return boxes, skipped


def _objects(scene: Scene, class_id: int) -> list[tuple[int, float, Box]]:
    """Return id, share of the image and box of each object of a class, in the order of ids."""
    assert scene.instance is not None
    of_class = (scene.label == class_id).numpy()
    ids = scene.instance.numpy()
    found = []
    for instance in np.unique(ids[of_class]).tolist():
        if instance == class_id:  # a group
            continue
        rows, columns = np.nonzero(of_class & (ids == instance))
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        found.append((instance, len(rows) / ids.size, box))
    return found
