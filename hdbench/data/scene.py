"""A scene and a batch of scenes, and the maps that networks read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as image_ops

from hdbench.schema.editing import SceneStyles
from hdbench.schema.image_input import ImageInput


@dataclass(frozen=True)
class Scene:
    """One labelled view. H x W is the same for all of its maps."""

    #: Stable across methods; file names derive from it.
    name: str
    #: uint8 H x W label ids; 0 everywhere where the dataset has no label maps.
    label: Tensor
    #: int32 H x W instance ids, or None where the dataset has none.
    instance: Tensor | None
    #: uint8 3 x H x W photograph, or None if it was not read.
    image: Tensor | None
    #: float32 C x H x W image that the scene is made from, its values as in its file (16 bits are
    #: exact); None where scenes are made from labels.
    input: Tensor | None = None
    #: What the input is; None where there is none.
    input_spec: ImageInput | None = None
    #: The styles that its regions were given, where it was edited.
    given_styles: SceneStyles | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.label.shape
        return height, width

    @property
    def regions(self) -> Tensor:
        """Ids H x W for ``boundary_map``: instances, else labels."""
        return self.label if self.instance is None else self.instance

    def resized(self, height: int, width: int) -> Scene:
        """Return the scene at another size.

        The photograph is resized bicubic with antialias, maps nearest, the input as it states.
        """
        if self.size == (height, width):
            return self
        return replace(
            self,
            label=resize_nearest(self.label, height, width),
            instance=None
            if self.instance is None
            else resize_nearest(self.instance, height, width),
            image=None if self.image is None else resize_photograph(self.image, height, width),
            input=None
            if self.input is None or self.input_spec is None
            else resize_input(self.input, height, width, self.input_spec),
        )

    def flipped(self) -> Scene:
        """Return the scene mirrored left to right."""
        return replace(
            self,
            label=self.label.flip(-1),
            instance=None if self.instance is None else self.instance.flip(-1),
            image=None if self.image is None else self.image.flip(-1),
            input=None if self.input is None else self.input.flip(-1),
        )


@dataclass(frozen=True)
class Batch:
    """B scenes of one size."""

    names: list[str]
    #: uint8 B x H x W label ids.
    label: Tensor
    #: int32 B x H x W instance ids, or None.
    instance: Tensor | None
    #: uint8 B x 3 x H x W photographs, or None.
    image: Tensor | None
    #: float32 B x C x H x W input images (``Scene.input``), or None.
    input: Tensor | None = None

    @property
    def regions(self) -> Tensor:
        """Ids B x H x W for ``boundary_map``: instances, else labels."""
        return self.label if self.instance is None else self.instance

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on a device."""
        return replace(
            self,
            label=self.label.to(device, non_blocking=True),
            instance=None if self.instance is None else self.instance.to(device, non_blocking=True),
            image=None if self.image is None else self.image.to(device, non_blocking=True),
            input=None if self.input is None else self.input.to(device, non_blocking=True),
        )

    def parts(self, count: int) -> list[Batch]:
        """Return the batch as ``count`` batches of as many scenes each, in order."""
        if count == 1:
            return [self]
        each = len(self.names) // count
        assert each * count == len(self.names)
        return [self._between(n * each, (n + 1) * each) for n in range(count)]

    def _between(self, first: int, last: int) -> Batch:
        here = slice(first, last)
        return Batch(
            self.names[here],
            self.label[here],
            None if self.instance is None else self.instance[here],
            None if self.image is None else self.image[here],
            None if self.input is None else self.input[here],
        )


def collate(scenes: Sequence[Scene]) -> Batch:
    """Return scenes of one size as a batch; what not all of them have is left out."""
    instances = [scene.instance for scene in scenes if scene.instance is not None]
    images = [scene.image for scene in scenes if scene.image is not None]
    inputs = [scene.input for scene in scenes if scene.input is not None]
    return Batch(
        names=[scene.name for scene in scenes],
        label=torch.stack([scene.label for scene in scenes]),
        instance=torch.stack(instances) if len(instances) == len(scenes) else None,
        image=torch.stack(images) if len(images) == len(scenes) else None,
        input=torch.stack(inputs) if len(inputs) == len(scenes) else None,
    )


def one_hot(label: Tensor, channels: int) -> Tensor:
    """Return float B x channels x H x W from label ids B x H x W below ``channels``."""
    shape = (label.shape[0], channels, *label.shape[1:])
    encoded = torch.zeros(shape, dtype=torch.float32, device=label.device)
    return encoded.scatter_(1, label.long().unsqueeze(1), 1.0)


def boundary_map(ids: Tensor) -> Tensor:
    """Return float B x 1 x H x W: 1 where an id differs from any of its 4 neighbours (P Sec. 3.3).

    Both sides of an edge are marked. ``ids`` are B x H x W instance ids, or label ids without
    instances, at the size at which the map is used.
    """
    edges = torch.zeros_like(ids, dtype=torch.bool)
    vertical = ids[:, 1:, :] != ids[:, :-1, :]
    horizontal = ids[:, :, 1:] != ids[:, :, :-1]
    edges[:, 1:, :] |= vertical
    edges[:, :-1, :] |= vertical
    edges[:, :, 1:] |= horizontal
    edges[:, :, :-1] |= horizontal
    return edges.unsqueeze(1).float()


def edge_band(ids: Tensor, width: int) -> Tensor:
    """Return bool H x W: True near an edge of H x W ids.

    A pixel is in the band if it is at most ``width - 1`` rows and columns from a pixel that
    ``boundary_map`` marks: a straight edge has ``width`` pixels on each side.
    """
    reach = width - 1
    edges = boundary_map(ids[None])
    return F.max_pool2d(edges, 2 * reach + 1, stride=1, padding=reach)[0, 0].bool()


def resize_nearest(ids: Tensor, height: int, width: int) -> Tensor:
    """Return a H x W map of ids at another size: the id of the pixel that holds the new centre.

    Equal to Pillow's nearest and torch's ``nearest-exact``, in exact arithmetic for integers of any
    width. If a new centre falls on the edge between two pixels, the later one counts.
    """
    rows = _centres(ids.shape[-2], height)
    columns = _centres(ids.shape[-1], width)
    return ids[..., rows, :][..., columns]


def _largest(pixels: Tensor, dim: int, target: int) -> Tensor:
    source = pixels.shape[dim]
    if target >= source:
        return pixels.index_select(dim, _centres(source, target))
    # The centre of every old pixel lies in one new pixel, and each new one has at least one.
    first = torch.searchsorted(_centres(target, source), torch.arange(target))
    return torch.from_numpy(np.maximum.reduceat(pixels.numpy(), first.numpy(), axis=dim))


def _centres(source: int, target: int) -> Tensor:
    return torch.div((2 * torch.arange(target) + 1) * source, 2 * target, rounding_mode="floor")


def resize_photograph(
    image: Tensor, height: int, width: int, operator: str = "bicubic-antialias"
) -> Tensor:
    """Return a uint8 3 x H x W photograph at another size.

    Operators are ``bicubic`` and ``bilinear``, with or without ``-antialias``; only scoring
    conventions choose another than the default.
    """
    if image.shape[-2:] == (height, width):
        return image
    kernel, _, antialias = operator.partition("-")
    return image_ops.resize(
        image,
        [height, width],
        interpolation=InterpolationMode(kernel),
        antialias=bool(antialias),
    )


def resize_input(pixels: Tensor, height: int, width: int, spec: ImageInput) -> Tensor:
    """Return a float32 C x H x W input image at another size.

    ``bicubic-antialias``: as photographs are, without rounding; values stay within the range.
    ``maximum``: the maximum of the pixels whose centres a new pixel covers, so that lines
    as thin as one pixel are kept at full brightness; as ``nearest`` where the image grows.
    ``nearest``: as maps of ids are.
    """
    if pixels.shape[-2:] == (height, width):
        return pixels
    match spec.resize:
        case "nearest":
            return resize_nearest(pixels, height, width)
        case "maximum":
            rows = _largest(pixels, 1, height)
            return _largest(rows, 2, width)
        case "bicubic-antialias":
            size = (height, width)
            resized = F.interpolate(pixels[None], size, mode="bicubic", antialias=True)[0]
            return resized.clamp(*spec.range)


def to_network_range(images: Tensor) -> Tensor:
    """Return uint8 images 0 to 255 as float in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def from_network_range(images: Tensor) -> Tensor:
    """Return float images in [-1, 1] as uint8 0 to 255, rounded to the nearest value."""
    return ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
