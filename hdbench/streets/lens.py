"""What a camera makes of the light that reaches it: no lens is quite sharp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdbench.streets.canvas import Array


def exposed(light: Array) -> NDArray[np.uint8]:
    """Return the photograph of a painted scene: uint8 3 x H x W from float32 values 0 to 255.

    It is blurred by 1-2-1 along both axes: a lens as sharp as the camera's pixels.
    """
    return np.rint(np.clip(_blurred(_blurred(light, 1), 2), 0.0, 255.0)).astype(np.uint8)


def _blurred(picture: Array, axis: int) -> Array:
    """Return the weighted mean 1-2-1 of neighbours along an axis; borders repeat."""
    lines = np.swapaxes(picture, 0, axis)
    blurred = lines * np.float32(0.5)
    quarter = lines * np.float32(0.25)
    blurred[1:] += quarter[:-1]
    blurred[:-1] += quarter[1:]
    blurred[0] += quarter[0]
    blurred[-1] += quarter[-1]
    return np.swapaxes(blurred, 0, axis)
