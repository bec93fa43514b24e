"""Light spots: small white blobs that a generator draws where the photograph has none.

Trainings of pix2pixHD catch them and hardly lose them again (issues 46, 95 and 140 of
NVIDIA/pix2pixHD, "light spot", "strange artifact"). They are saturated, nearly colourless, roughly
round, and often in the same place of every image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

#: A spot's darkest channel is at least this, of 255, ...
WHITE = 235
#: ... its channels differ by at most this, ...
COLOURLESS = 24
#: ... and its darkest channel is above that of its surroundings, and of the photograph, by this.
CONTRAST = 16
#: Its diameter, that of a disk of as many pixels, is between these fractions of the image's shorter
#: side, and at least ``PIXELS``.
SMALLEST, LARGEST = 1 / 64, 1 / 8
PIXELS = 3.0
#: It is at most so many times as long as wide, and covers at least this fraction of the ellipse
#: with its second moments; a disk and a square cover 1 and 0.95 of theirs.
LONG, COMPACT = 2.0, 0.75
#: The photograph has it too if something there, or one smallest diameter aside, is at least this
#: light and stands out by at least this fraction of what the spot does.
LIGHT, SHARED = 200, 0.5


@dataclass(frozen=True)
class Spot:
    """One light spot, in pixels."""

    #: The centre.
    x: float
    y: float
    #: Pixels that it covers.
    area: int


def find_spots(image: Tensor, photograph: Tensor) -> list[Spot]:
    """Return the light spots of an image that the photograph does not have.

    A spot on white, such as an overexposed sky, cannot be seen and is not found.

    Args:
        image: uint8 3 x H x W, synthesized.
        photograph: uint8 3 x H x W, of the same scene.
    """
    found, real = image.cpu().numpy(), photograph.cpu().numpy()
    side = min(found.shape[1:])
    darkest = found.min(axis=0).astype(np.int16)
    white = (darkest >= WHITE) & (found.max(axis=0) - darkest <= COLOURLESS)
    if not white.any():
        return []
    above = _above_surroundings(darkest, side)
    real_darkest = real.min(axis=0).astype(np.int16)
    real_light = np.where(real_darkest >= LIGHT, _above_surroundings(real_darkest, side), 0)
    smallest = max(PIXELS, SMALLEST * side)
    least, most = (math.pi / 4 * diameter**2 for diameter in (smallest, LARGEST * side))
    aside = round(smallest)

    labels = np.zeros(white.shape, np.int32)
    ndimage.label(white & (above >= CONTRAST), output=labels)
    spots = []
    for n, box in enumerate(ndimage.find_objects(labels), start=1):
        here = np.asarray(ndimage.binary_fill_holes(labels[box] == n))
        area = int(here.sum())
        if not least <= area <= most or not _is_round(here):
            continue
        around = tuple(slice(max(0, part.start - aside), part.stop + aside) for part in box)
        lighter = darkest[box][here].mean() - real_darkest[box][here].mean()
        if lighter < CONTRAST or real_light[around].max() >= SHARED * above[box][here].max():
            continue
        y, x = (place.mean() for place in np.nonzero(here))
        spots.append(Spot(float(box[1].start + x), float(box[0].start + y), area))
    return spots


def spot_metrics(images: Sequence[Tensor], photographs: Sequence[Tensor]) -> dict[str, float]:
    """Return ``spots``, light spots per image, and ``spot_area``, the fraction of pixels in them.

    Both are sequences of uint8 3 x H x W, one photograph for each image.
    """
    found = [find_spots(*pair) for pair in zip(images, photographs, strict=True)]
    pixels = sum(image[0].numel() for image in images)
    return {
        "spots": sum(map(len, found)) / len(found),
        "spot_area": sum(spot.area for spots in found for spot in spots) / pixels,
    }


def _above_surroundings(darkest: NDArray[Any], side: int) -> NDArray[Any]:
    """Return how far each pixel is above the map without its small light things."""
    size = math.ceil(LARGEST * side) + 1
    return darkest - ndimage.grey_opening(darkest, size=(size, size))


def _is_round(mask: NDArray[Any]) -> bool:
    """Return whether a component is not long and fills the ellipse with its second moments."""
    places = np.stack(np.nonzero(mask)).astype(float)
    # A pixel is a square: its own second moments are 1/12.
    moments = np.cov(places, bias=True) + np.eye(2) / 12
    short, long = np.linalg.eigvalsh(moments)
    return long <= LONG**2 * short and mask.sum() >= COMPACT * 4 * math.pi * math.sqrt(short * long)
