"""Decode, check, resize, augment and batch scenes; reproducible from any step onwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as photometry

from hdbench.data.decoding import decoded
from hdbench.data.edited import read_scene_styles
from hdbench.data.inputs import read_input
from hdbench.data.label_maps import read_label_of
from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.scene import Batch, Scene, collate, resize_nearest, resize_photograph
from hdbench.errors import DataError
from hdbench.provenance import derived_seed, tensors_digest
from hdbench.runtime.children import in_children
from hdbench.runtime.ranks import ALONE, Ranks

#: Marks the digest of a map whose pixels are colours.
COLOUR_CODED = "colours:"

#: Draws one training example from a scene; all of its randomness comes from the generator.
Augmentation = Callable[[Scene, torch.Generator], Scene]


def read_photograph(path: Path, content: bytes | None = None) -> Tensor:
    """Return a photograph as uint8 3 x H x W RGB, from its bytes if they are passed.

    Raises DataError if it is missing, truncated, not an image, or not 8-bit RGB or grey.
    """
    image = decoded(path, content)
    if image.mode not in ("RGB", "L"):
        raise DataError(f"{path}: mode {image.mode}; expected an 8-bit RGB photograph")
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


def read_instance(path: Path) -> Tensor:
    """Return an instance map as int32 H x W, from an 8- or 16-bit PNG.

    Raises:
        DataError: the file is damaged or not a single-channel map.
    """
    image = decoded(path)
    if image.mode not in ("L", "P", "I", "I;16"):
        raise DataError(f"{path}: mode {image.mode}; expected a PNG with one 8- or 16-bit channel")
    return torch.from_numpy(np.array(image).astype(np.int32))


def ids_digest(path: Path) -> str:
    """Return the SHA-256 of the ids of a label or instance map: dtype, shape and values.

    PNG compression and palette colours do not change it. Before that of a colour-coded map stands
    ``COLOUR_CODED``: which ids it holds depends on the label space.
    """
    image = decoded(path)
    found = tensors_digest({"ids": torch.from_numpy(np.array(image))})
    return COLOUR_CODED + found if image.mode in ("RGB", "RGBA") else found


def photograph_digest(path: Path) -> str:
    """Return the SHA-256 of a photograph's pixels: shape and RGB values.

    Lossless compression does not change it; the pixels of a JPEG depend on this machine's decoder.
    """
    return tensors_digest({"photograph": read_photograph(path)})


def read_scene(files: SceneFiles, space: LabelSpace, photograph: bool = True) -> Scene:
    """Return a scene at its native size, which its files must share.

    Raises:
        DataError: a file is damaged, or their sizes differ.
    """
    image = read_photograph(files.image) if photograph else None
    spec, given = files.input_spec, None
    if spec is not None:
        given = read_input(files.required_input, spec)
    if space.classes:
        label = read_label_of(files, space)
    else:
        any_map = image if given is None else given
        assert any_map is not None
        label = torch.zeros(any_map.shape[-2:], dtype=torch.uint8)
    instance = None if files.instance is None else read_instance(files.instance)
    styles = None if files.styles is None else read_scene_styles(files.styles)
    scene = Scene(files.seeded_as or files.name, label, instance, image, given, spec, styles)
    require_one_size(files, scene)
    return scene


def read_resized(files: SceneFiles, space: LabelSpace, height: int, width: int) -> Scene:
    """Return a scene without instances at one size, whatever the sizes of its files.

    Used for images synthesized at the benchmark's size, whose label maps have the native size.
    """
    label = resize_nearest(read_label_of(files, space), height, width)
    image = resize_photograph(read_photograph(files.image), height, width)
    return Scene(name=files.name, label=label, instance=None, image=image)


def require_one_size(files: SceneFiles, scene: Scene) -> None:
    """Raise DataError if a map of a scene has another size than its label map, or its input."""
    label, given = files.label, files.input
    first = f"its input {given}" if label is None else f"its label map {label}"
    for path, pixels in (
        (files.image, scene.image),
        (files.instance, scene.instance),
        (files.input, scene.input),
    ):
        if pixels is not None and pixels.shape[-2:] != scene.label.shape:
            raise DataError(
                f"{path}: {pixels.shape[-1]}x{pixels.shape[-2]}, but {first} is "
                f"{scene.label.shape[1]}x{scene.label.shape[0]}"
            )


@dataclass(frozen=True)
class ResizeAndFlip:
    """The generator's augmentation (P App. A): the whole scene, flipped half of the time."""

    height: int
    width: int
    flip: bool

    def __call__(self, scene: Scene, random: torch.Generator) -> Scene:
        """Return the scene at the training size."""
        scene = scene.resized(self.height, self.width)
        if self.flip and torch.rand((), generator=random) < 0.5:
            scene = scene.flipped()
        return scene


@dataclass(frozen=True)
class ScaleAndCrop:
    """The segmenter's augmentation: random scale, crop to the full size, flip, light and noise.

    Scaled scenes smaller than the crop are padded: labels with ``fill``, photographs with grey.
    """

    height: int
    width: int
    scale_min: float
    scale_max: float
    flip: bool
    #: The label id of padding.
    fill: int
    #: Brightness, contrast and saturation are each multiplied by 1 - jitter to 1 + jitter.
    jitter: float
    #: The standard deviation of added noise is drawn up to this, of 255.
    noise: float

    def __call__(self, scene: Scene, random: torch.Generator) -> Scene:
        """Return one crop of ``height`` x ``width``."""
        scene = self._cropped(scene, torch.rand(4, generator=random).tolist())
        assert scene.image is not None
        return replace(scene, image=self._exposed(scene.image, random))

    def _cropped(self, scene: Scene, draws: list[float]) -> Scene:
        scale = self.scale_min + (self.scale_max - self.scale_min) * draws[0]
        high, wide = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        assert scene.image is not None
        label = resize_nearest(scene.label, high, wide)
        image = resize_photograph(scene.image, high, wide)
        pad = (0, max(0, self.width - wide), 0, max(0, self.height - high))
        label = torch.nn.functional.pad(label, pad, value=self.fill)
        image = torch.nn.functional.pad(image, pad, value=128)
        top = int(draws[1] * (label.shape[0] - self.height + 1))
        left = int(draws[2] * (label.shape[1] - self.width + 1))
        window = (slice(top, top + self.height), slice(left, left + self.width))
        scene = replace(
            scene,
            label=label[window],
            instance=None,
            image=image[:, *window],
            input=None,  # these networks read photographs
            input_spec=None,
        )
        return scene.flipped() if self.flip and draws[3] < 0.5 else scene

    def _exposed(self, image: Tensor, random: torch.Generator) -> Tensor:
        """Return a photograph under another light and with sensor noise."""
        if self.jitter:
            factors = 1 + self.jitter * (2 * torch.rand(3, generator=random) - 1)
            brightness, contrast, saturation = factors.tolist()
            image = photometry.adjust_brightness(image, brightness)
            image = photometry.adjust_contrast(image, contrast)
            image = photometry.adjust_saturation(image, saturation)
        if self.noise:
            deviation = self.noise * torch.rand((), generator=random)
            noisy = image + deviation * torch.randn(image.shape, generator=random)
            image = noisy.round().clamp(0, 255).to(torch.uint8)
        return image


@dataclass(frozen=True)
class _Examples:
    """Makes a batch of augmented scenes by (epoch, index): a function of these and the seed."""

    files: Sequence[SceneFiles]
    space: LabelSpace
    augment: Augmentation
    seed: int
    size: tuple[int, int] | None

    def __call__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        return collate([self._example(epoch, index) for epoch, index in keys])

    def _example(self, epoch: int, index: int) -> Scene:
        random = torch.Generator()
        random.manual_seed(derived_seed("augment", self.seed, epoch, index))
        return self.augment(self._read(self.files[index]), random)

    def _read(self, files: SceneFiles) -> Scene:
        if self.size is None:
            return read_scene(files, self.space)
        return read_resized(files, self.space, *self.size)


def _order(
    count: int, batch_size: int, seed: int, start: int, stop: int, ranks: Ranks
) -> Iterator[list[tuple[int, int]]]:
    """Yield a rank's part of the batches of (epoch, index), from one step to another."""
    per_epoch = steps_per_epoch(count, batch_size)
    order: list[int] = []
    ordered_epoch = -1
    for step in range(start, stop):
        epoch, position = divmod(step, per_epoch)
        if epoch != ordered_epoch:
            random = torch.Generator()
            random.manual_seed(derived_seed("order", seed, epoch))
            order = torch.randperm(count, generator=random).tolist()
            ordered_epoch = epoch
        chosen = order[position * batch_size : (position + 1) * batch_size]
        share = len(chosen) // ranks.count
        first = ranks.rank * share
        yield [(epoch, index) for index in chosen[first : first + share]]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the steps of one epoch; an incomplete last batch is dropped unless it is all."""
    return max(1, count // batch_size)


def training_batches(
    files: Sequence[SceneFiles],
    space: LabelSpace,
    augment: Augmentation,
    start: int,
    stop: int,
    *,
    batch_size: int,
    seed: int,
    workers: int,
    size: tuple[int, int] | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Batch]:
    """Yield the batches of steps ``start`` to ``stop`` (exclusive), or a rank's part of each.

    A batch depends on the seed and the step alone, not on the first step or the number of workers;
    0 workers decode in this process. ``size`` is rows and columns to which scenes are resized
    before augmentation; None reads them at their native size, which all files of a scene must
    share. Each of several ``ranks`` gets as many scenes, one after another in the whole batch. A
    damaged file is an error at the step that needs it.

    Raises:
        DataError: a file is damaged; raised at the step that needs it.
    """
    make = _Examples(files, space, augment, seed, size)
    order = _order(len(files), batch_size, seed, start, stop, ranks)
    yield from in_children(make, order, workers)
