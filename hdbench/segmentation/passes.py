"""From images and label maps to matrices; each image is decoded once and seen once per view.

Three stages overlap: threads decode ahead of the segmenter and count behind it. Each stage holds as
many images as there are threads, so memory does not grow with the dataset.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from hdbench.data.label_maps import read_label_of
from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_photograph, read_scene
from hdbench.data.scene import resize_photograph
from hdbench.errors import DataError, HdbenchError
from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.truth import Truth, truth_of
from hdbench.runtime.overlap import overlapped
from hdbench.schema.benchmark import Size
from hdbench.schema.scoring import Labels, Scoring, SegmenterInput
from hdbench.segmentation.prediction import predict, require_fitting, seen_size
from hdbench.segmentation.segmenter import Segmenter
from hdbench.storage import read_bytes


class Target(Protocol):
    """What images are scored for: a benchmark, or no more than its name and size."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def size(self) -> Size:
        """Of a method's images."""
        ...


@dataclass(frozen=True)
class View:
    """Input and output size of a pass; conventions that share a view share a pass."""

    photographs: str
    policy: SegmenterInput
    label_size: str
    label_resize: str


def view_of(scoring: Scoring) -> View:
    """Return the view of a convention."""
    labels = scoring.labels
    return View(scoring.photographs, scoring.segmenter, labels.size, labels.resize)


@dataclass(frozen=True)
class Counted:
    """One image's matrices."""

    #: Its number among the scenes.
    index: int
    #: SHA-256 of the bytes that were decoded.
    image: str
    #: int64 (K+1) x K, one for each convention.
    matrices: list[Matrix]


@dataclass(frozen=True)
class _Decoded:
    index: int
    image: str
    #: uint8 3 x h x w for each view, as the segmenter sees it.
    seen: list[Tensor]
    #: For each convention.
    truths: list[Truth]


def count_images(
    segmenter: Segmenter,
    scenes: Sequence[SceneFiles],
    images: Sequence[Path],
    chosen: Sequence[int],
    space: LabelSpace,
    benchmark: Target,
    scorings: Sequence[Scoring],
    *,
    photographs: bool,
    workers: int,
) -> Generator[Counted]:
    """Yield the matrices of images, in the order of ``chosen``; closing it ends its threads.

    ``images`` are those of each of the ``scenes``, of which the indices in ``chosen`` are counted.
    ``photographs`` says that they are the dataset's own; under a convention that keeps their size,
    it must be the label map's. Matrices do not depend on the number of ``workers``, the threads
    that decode and count.

    Raises:
        DataError: an image or a label map is damaged or of another size.
        UsageError: the segmenter was trained at another size than a label map's size asks for.
    """
    views: list[View] = []
    for scoring in scorings:
        if view_of(scoring) not in views:
            views.append(view_of(scoring))
    view_numbers = [views.index(view_of(scoring)) for scoring in scorings]
    fitting: set[tuple[int, ...]] = set()

    def decoded(n: int) -> _Decoded:
        content = read_bytes(images[n])
        image = read_photograph(images[n], content)
        truths, own_size = read_truths(scenes[n], space, [scoring.labels for scoring in scorings])
        if own_size not in fitting:  # a dataset's label maps mostly share a size
            for scoring in scorings:
                require_fitting(segmenter, space, benchmark.size, scoring, own_size)
            fitting.add(own_size)
        sized = {
            size: entering(n, image, size, own_size)
            for size in {view.photographs for view in views}
        }
        seen = [
            as_seen(sized[view.photographs], view.policy, benchmark, own_size) for view in views
        ]
        return _Decoded(n, hashlib.sha256(content).hexdigest(), seen, truths)

    def entering(n: int, image: Tensor, size: str, own_size: tuple[int, int]) -> Tensor:
        if size == "generator":
            return at_benchmark_size(image, images[n], benchmark, photographs)
        if image.shape[-2:] != own_size:
            raise DataError(
                f"{images[n]}: {image.shape[2]}x{image.shape[1]}, its label map "
                f"{scenes[n].label} is {own_size[1]}x{own_size[0]}; expected one size"
            )
        return image

    def predicted(ones: Iterable[_Decoded]) -> Iterator[tuple[_Decoded, list[Tensor]]]:
        for one in ones:
            answers = []
            for number, (view, image) in enumerate(zip(views, one.seen, strict=True)):
                height, width = one.truths[view_numbers.index(number)].train_ids.shape
                try:
                    answers.append(predict(segmenter, image, height, width, view.policy))
                except HdbenchError as error:
                    raise type(error)(f"{images[one.index]}: {error}") from None
            yield one, answers

    def counted(pair: tuple[_Decoded, list[Tensor]]) -> Counted:
        one, answers = pair
        matrices = [
            truth.matrix(answers[view_numbers[n]], len(space.scored))
            for n, truth in enumerate(one.truths)
        ]
        return Counted(one.index, one.image, matrices)

    ahead = overlapped(decoded, chosen, workers)
    with contextlib.closing(ahead):
        behind = overlapped(counted, predicted(ahead), workers)
        with contextlib.closing(behind):
            yield from behind


def prepared_image(path: Path, benchmark: Target, photograph: bool) -> Tensor:
    """Return an image as uint8 3 x H x W at the benchmark's size (``at_benchmark_size``).

    Raises:
        DataError: the file is damaged, or a method's image has another size.
    """
    return at_benchmark_size(read_photograph(path), path, benchmark, photograph)


def at_benchmark_size(image: Tensor, path: Path, benchmark: Target, photograph: bool) -> Tensor:
    """Return a uint8 3 x h x w image at the benchmark's size.

    Photographs are resized; a method's images must have the size already, else DataError is raised.
    """
    size = benchmark.size
    if photograph:
        return resize_photograph(image, size.height, size.width)
    if image.shape[-2:] != (size.height, size.width):
        raise DataError(
            f"{path}: {image.shape[2]}x{image.shape[1]}; "
            f"benchmark '{benchmark.name}' scores images of {size.width}x{size.height}"
        )
    return image


def as_seen(
    image: Tensor, policy: SegmenterInput, benchmark: Target, native: tuple[int, int]
) -> Tensor:
    """Return a uint8 3 x H x W image as the segmenter sees it at scale 1 (``seen_size``)."""
    height, width = seen_size(policy, benchmark.size, native)
    return resize_photograph(image, height, width, policy.image_resize)


def read_truths(
    files: SceneFiles, space: LabelSpace, conventions: Sequence[Labels]
) -> tuple[list[Truth], tuple[int, int]]:
    """Return a scene's labels as each convention counts them, and the size of its map on disk.

    The instance map is read only if a convention counts edges.

    Raises:
        DataError: a map is damaged, or their sizes differ.
    """
    if any(labels.edge_band for labels in conventions):
        scene = read_scene(files, space, photograph=False)
        label, regions = scene.label, scene.regions
    else:
        label = regions = read_label_of(files, space)
    train_ids = space.to_train_ids(label)
    truths = [truth_of(train_ids, regions, labels) for labels in conventions]
    height, width = label.shape
    return truths, (height, width)
