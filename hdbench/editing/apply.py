"""What each edit does to a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hdbench.data.labels import LabelSpace
from hdbench.editing.rasters import Mask, paint_mask
from hdbench.editing.shapes import Shapes
from hdbench.editing.state import Regions, SceneState, require_class
from hdbench.errors import UsageError, counted
from hdbench.schema.editing import Edit, Move, Paint, Relabel, Remove, Restyle, Stamp
from hdbench.schema.styles import Styles


@dataclass(frozen=True)
class Context:
    """What edits may refer to beside the scene."""

    space: LabelSpace
    ids: Regions
    shapes: Shapes
    #: The centres that a style's number counts; None: the method has no styles.
    styles: Styles | None


def applied(state: SceneState, edit: Edit, context: Context) -> SceneState:
    """Return the scene after an edit.

    Raises:
        UsageError: the edit names a class, region, shape or style that there is not, or changes
            no pixel of the scene because it lies outside of it.
    """
    match edit:
        case Paint():
            return _painted(state, edit, context)
        case Stamp():
            return _stamped(state, edit, context)
        case Remove():
            return _removed(state, edit.region, context)
        case Relabel():
            return _relabelled(state, edit, context)
        case Move():
            return _moved(state, edit, context)
        case Restyle():
            return _restyled(state, edit, context)


def _painted(state: SceneState, edit: Paint, context: Context) -> SceneState:
    require_class(edit.label, context.space)
    mask = paint_mask(edit, state.regions)
    _require_pixels(mask, edit.tool)
    if edit.into is None:
        region = state.region_for(edit.label, context.ids)
    else:
        region = state.region(edit.into).region
        if state.by_region[region].label != edit.label:
            raise UsageError(
                f"region {region} is of class {state.by_region[region].label}, not {edit.label}"
            )
    return state.painted(mask, edit.label, region)


def _stamped(state: SceneState, edit: Stamp, context: Context) -> SceneState:
    shape = context.shapes[edit.shape]
    mask = shape.placed(state.size, edit.at, edit.scale, edit.flip)
    _require_pixels(mask, "the stamp")
    return state.painted(mask, shape.label, state.region_for(shape.label, context.ids))


def _removed(state: SceneState, number: int, context: Context) -> SceneState:
    return _filled(state, _pixels(state, number), context)


def _relabelled(state: SceneState, edit: Relabel, context: Context) -> SceneState:
    require_class(edit.label, context.space)
    mask = _pixels(state, edit.region)
    if state.by_region[edit.region].label == edit.label:
        raise UsageError(f"region {edit.region} is of class {edit.label} already")
    return state.painted(mask, edit.label, state.region_for(edit.label, context.ids))


def _moved(state: SceneState, edit: Move, context: Context) -> SceneState:
    mask = _pixels(state, edit.region)
    columns, rows = (round(part) for part in edit.by)
    moved = shifted(mask, rows, columns)
    _require_pixels(moved, f"region {edit.region}, moved")
    label = state.by_region[edit.region].label
    region = edit.region if state.instance is not None else label
    return _filled(state, mask, context).painted(moved, label, region)


def _restyled(state: SceneState, edit: Restyle, context: Context) -> SceneState:
    label = state.region(edit.region).label
    if context.styles is None:
        raise UsageError("the method has no styles; 'ours-styles' has")
    centres = context.styles.by_id[label].centres
    if isinstance(edit.style, int) and edit.style >= len(centres):
        raise UsageError(
            f"style {edit.style} for region {edit.region}, whose class has "
            f"{counted(len(centres), 'style')}, 0 to {len(centres) - 1}"
        )
    if isinstance(edit.style, list) and len(edit.style) != len(centres[0]):
        raise UsageError(
            f"a style of {counted(len(edit.style), 'number')}; expected {len(centres[0])}"
        )
    return state.restyled(edit.region, edit.style)


def _pixels(state: SceneState, number: int) -> Mask:
    """Return the pixels of a region; raises UsageError if there is none, or nothing else."""
    mask = np.asarray(state.regions == state.region(number).region)
    if mask.all():
        raise UsageError(f"region {number} is the whole scene; nothing is around it")
    return mask


def _filled(state: SceneState, mask: Mask, context: Context) -> SceneState:
    """Return the scene with each pixel of a mask as the nearest pixel around it is.

    Void and other instances do not grow, unless there is nothing else.
    """
    grows = np.ones(256, bool)
    grows[[entry.id for entry in context.space.classes if entry.train_id is None]] = False
    grows[list(context.ids.things)] = False
    around = ~mask & grows[state.label]
    if not around.any():
        around = ~mask
    nearest = ndimage.distance_transform_edt(~around, return_distances=False, return_indices=True)
    rows, columns = np.asarray(nearest)
    instance = state.instance
    if instance is not None:
        instance = np.where(mask, instance[rows, columns], instance)
    label = np.where(mask, state.label[rows, columns], state.label)
    return SceneState(state.name, label, instance, state.styles)


def shifted(mask: Mask, rows: int, columns: int) -> Mask:
    """Return a mask moved down and to the right; what leaves the scene is lost."""
    moved = np.zeros_like(mask)
    height, width = mask.shape
    if abs(rows) < height and abs(columns) < width:
        to = (_part(rows, height), _part(columns, width))
        source = (_part(-rows, height), _part(-columns, width))
        moved[to] = mask[source]
    return moved


def _part(by: int, length: int) -> slice:
    return slice(max(by, 0), min(length + by, length))


def _require_pixels(mask: NDArray[np.bool_], what: str) -> None:
    if not mask.any():
        height, width = mask.shape
        raise UsageError(
            f"{what}: covers no pixel; expected points within 0 to {width} and 0 to {height}"
        )
