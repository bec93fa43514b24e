"""One scene of Streets as label map, instance map and photograph."""

from __future__ import annotations

import torch

from hdbench.data.scene import Scene
from hdbench.schema.streets import require_streets_size
from hdbench.streets.canvas import Canvas
from hdbench.streets.draws import Draws
from hdbench.streets.lens import exposed
from hdbench.streets.street import Street
from hdbench.streets.view import View

#: Raised with any change of any pixel.
VERSION = 1


def draw_scene(seed: int, index: int, width: int, height: int) -> Scene:
    """Return a scene of Streets: Cityscapes' ids and a photograph; a pure function.

    The same scene at another size shows the same street, sampled more finely. Width is twice the
    height, which is at least 32; else ValueError is raised.
    """
    require_streets_size(width, height)
    canvas = Canvas(height, width)
    street = Street(lambda part: Draws(VERSION, seed, index, part), canvas)
    street.paint(View(canvas, Draws(VERSION, seed, index, "view")))
    return Scene(
        name=scene_name(seed, index),
        label=torch.from_numpy(canvas.labels()),
        instance=torch.from_numpy(canvas.instances()),
        image=torch.from_numpy(exposed(canvas.colour)),
    )


def scene_name(seed: int, index: int) -> str:
    """Return a scene's name, in the form of Cityscapes: city, sequence, frame."""
    return f"streets_{seed:06}_{index:06}"
