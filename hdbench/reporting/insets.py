"""Which part of a scene is enlarged, and pictures of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hdbench.data.scene import Scene, boundary_map, resize_nearest, resize_photograph
from hdbench.schema.report import Box
from hdbench.styles import instances_of

#: Of the image's sides: the smallest and the largest part that is enlarged.
SMALLEST, LARGEST = 0.2, 0.4
_AROUND = 1.3  # sides of the part, in sides of what it surrounds
_OUTLINE = (230, 159, 0)  # Okabe and Ito's orange


@dataclass(frozen=True)
class Inset:
    """A part of an image of H x W pixels."""

    top: int
    left: int
    height: int
    width: int

    def enlarged(self, image: Tensor, smooth: bool) -> Tensor:
        """Return the part of a uint8 3 x H x W image at the size of the image."""
        part = image[:, self.top : self.top + self.height, self.left : self.left + self.width]
        height, width = image.shape[1:]
        if smooth:
            return resize_photograph(part, height, width)
        return torch.stack([resize_nearest(channel, height, width) for channel in part])

    def outlined(self, image: Tensor) -> Tensor:
        """Return a uint8 3 x H x W image with a line along the part's edge."""
        shown = image.clone()
        line = max(1, round(image.shape[1] / 128))
        colour = torch.tensor(_OUTLINE, dtype=torch.uint8)[:, None, None]
        part = shown[:, self.top : self.top + self.height, self.left : self.left + self.width]
        part[:, :line], part[:, -line:] = colour, colour
        part[:, :, :line], part[:, :, -line:] = colour, colour
        return shown


def inset_of(scene: Scene, wanted: Box | str) -> Inset:
    """Return the part of a scene that is enlarged: a box, or around the largest instance.

    An instance is a region whose class has instances. A scene without any has the part with most
    edges between labels, the uppermost and leftmost of several.
    """
    height, width = scene.size
    if isinstance(wanted, Box):
        top, left = round(wanted.top * height), round(wanted.left * width)
        bottom, right = round(wanted.bottom * height), round(wanted.right * width)
        return Inset(top, left, max(1, bottom - top), max(1, right - left))
    mask = _largest_instance(scene)
    if mask is None:
        return _busiest(scene)
    rows, columns = (torch.nonzero(mask.any(dim=n)).flatten() for n in (1, 0))
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    share = min(LARGEST, max(SMALLEST, _AROUND * tall / height, _AROUND * wide / width))
    middle = int(rows[0]) + tall / 2, int(columns[0]) + wide / 2
    sides = round(share * height), round(share * width)
    top, left = (
        min(max(0, round(centre - side / 2)), whole - side)
        for centre, side, whole in zip(middle, sides, (height, width), strict=True)
    )
    return Inset(top, left, *sides)


def _largest_instance(scene: Scene) -> Tensor | None:
    """Return where the largest instance is, bool H x W, or None if there is none."""
    if scene.instance is None:
        return None
    # The id of a region without instances, or of a group of them, is its label.
    found = [entry for entry in instances_of(scene) if entry.region != entry.label]
    if not found:
        return None
    largest = max(found, key=lambda entry: (entry.pixels, -entry.region))
    return scene.instance == largest.region


def _busiest(scene: Scene) -> Inset:
    """Return the part of the smallest size with most edges between labels."""
    height, width = scene.size
    sides = max(1, round(SMALLEST * height)), max(1, round(SMALLEST * width))
    edges = boundary_map(scene.label[None].long())
    counts = (F.avg_pool2d(edges.double(), sides, stride=1) * sides[0] * sides[1]).round()
    top, left = divmod(int(counts.flatten().argmax()), counts.shape[-1])
    return Inset(top, left, *sides)
