"""Scores of images against label maps, without a workspace."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hdbench.data.decoding import photograph_size
from hdbench.data.labels import shipped_space
from hdbench.data.layouts import SceneFiles
from hdbench.data.matching import match_names
from hdbench.errors import DataError, UsageError, counted, listing
from hdbench.evaluation.scores import scores_record
from hdbench.library import Library
from hdbench.runtime.devices import choose_device
from hdbench.schema.benchmark import Size
from hdbench.schema.result import ScoreRecord
from hdbench.schema.scoring import parse_size
from hdbench.segmentation.passes import count_images
from hdbench.segmentation.segmenter import load_segmenter

#: A file, or the pixels: uint8 H x W x 3 for images, H x W ids for maps.
FileOrPixels = Path | str | NDArray[Any] | Tensor | Image.Image


@dataclass(frozen=True)
class Scores:
    """The scores of some images under one convention; ``score`` returns them."""

    #: Of the convention's own counting, in [0, 1]; None where undefined.
    pixel_accuracy: float | None
    mean_iou: float | None
    #: Intersection over union of each class, by name.
    class_iou: dict[str, float | None]
    #: The same under the convention's further counting policies, by name.
    readings: dict[str, ScoreRecord]
    #: The classes, in the order of rows and columns.
    classes: list[str]
    #: The names of the images, in the order of ``matrices``.
    names: list[str]
    #: int64 N x (K+1) x K: a confusion matrix for each image, truth in rows, the last of them void;
    #: prediction in columns.
    matrices: NDArray[np.int64]


def score(
    images: str | Path | Sequence[FileOrPixels],
    labels: str | Path | Sequence[FileOrPixels],
    segmenter: str | Path,
    scoring: str | Path,
    *,
    instances: Sequence[FileOrPixels] | None = None,
    device: str = "auto",
    workers: int = 1,
) -> Scores:
    """Score images against label maps, as ``hdbench evaluate`` does; no workspace is needed.

    Example::

        scores = hdbench.score("outputs", "labels", "streets-pspnet-v1", "streets-std-v1")
        print(scores.pixel_accuracy, scores.mean_iou, scores.class_iou["car"])

    Args:
        images: a folder, or a sequence of files or of uint8 H x W x 3 RGB pixels, all of one size.
            The files of a folder are assigned to label maps by name, as ``hdbench import-images``
            does.
        labels: a folder of PNG files, or a sequence in the order of the images: files, or H x W
            label ids of the convention's label space.
        segmenter: the name of a shipped segmenter, or the folder of any (``hdbench segmenter``).
        scoring: the name or the path of a scoring convention.
        instances: instance maps in the order of the labels, for conventions that count edges.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workers: threads that decode ahead of the segmenter and count behind it.

    Raises:
        UsageError: the convention, the segmenter or the number of files does not fit.
        DataError: an image or label map is missing, damaged or of another size.
        CheckpointError: the segmenter's files are damaged.
    """
    library = Library()
    convention = library.scoring(str(scoring))
    folder = segmenter if isinstance(segmenter, Path) else library.segmenter(segmenter)
    network = load_segmenter(folder, choose_device(device))
    space = shipped_space(convention.label_space)
    with _scenes(images, labels, instances) as scenes:
        size = _common_size([scene.image for scene in scenes])
        found = count_images(
            network,
            scenes,
            [scene.image for scene in scenes],
            range(len(scenes)),
            space,
            _Target("hdbench.score", size),
            [convention],
            photographs=False,
            workers=workers,
        )
        with contextlib.closing(found):
            matrices = np.stack([one.matrices[0] for one in found])
    record = scores_record(matrices, space, convention)
    return Scores(
        record.pixel_accuracy,
        record.mean_iou,
        record.class_iou,
        record.readings,
        [entry.name for entry in space.scored],
        [scene.name for scene in scenes],
        matrices,
    )


@dataclass(frozen=True)
class _Target:
    """What the images are scored for: their own size."""

    name: str
    size: Size


@contextlib.contextmanager
def _scenes(images: Any, labels: Any, instances: Any) -> Iterator[list[SceneFiles]]:
    """Give the files of what is scored; pixels become lossless files as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="hdbench-") as scratch:
        place = Path(scratch)
        if isinstance(labels, str | Path):
            maps = sorted(Path(labels).glob("*.png"))
            if not maps:
                raise UsageError(f"labels: {labels} has no PNG files")
        else:
            maps = [
                _file(one, place / f"label-{n:06}.png", "labels") for n, one in enumerate(labels)
            ]
        if isinstance(images, str | Path):
            pictures = _matched(Path(images), maps)
        else:
            pictures = [_file(one, place / f"{n:06}.png", "images") for n, one in enumerate(images)]
        regions: list[Path | None] = [None] * len(maps)
        if instances is not None:
            regions = [
                _file(one, place / f"instance-{n:06}.png", "instances")
                for n, one in enumerate(instances)
            ]
        if not len(pictures) == len(maps) == len(regions) or not maps:
            raise UsageError(
                f"{counted(len(pictures), 'image')} for {counted(len(maps), 'label map')} and "
                f"{counted(len(regions), 'instance map')}; expected as many of each, at least one"
            )
        yield [
            SceneFiles(name=picture.stem, label=label, image=picture, instance=region)
            for picture, label, region in zip(pictures, maps, regions, strict=True)
        ]


def _matched(folder: Path, maps: Sequence[Path]) -> list[Path]:
    """Return the image of each label map; DataError if one is missing or there are several."""
    if not folder.is_dir():
        raise UsageError(f"images: {folder}: no such folder")
    names = [path.stem for path in maps]
    matching = match_names(folder, names)
    problems = [*matching.problems, *(f"{name}: no image" for name in matching.missing)]
    if problems:
        raise DataError(
            f"{folder}: {counted(len(problems), 'problem')} with the images of {len(names)} label "
            f"maps\n{listing(problems)}"
        )
    return [matching.files[name] for name in names]


def _file(value: Any, path: Path, what: str) -> Path:
    """Return the file of an entry: itself, or a PNG that holds its pixels."""
    if isinstance(value, str | Path):
        return Path(value)
    if isinstance(value, Image.Image):
        value.save(path, format="PNG")
        return path
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if what == "images":
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise UsageError(
                f"{what}: {array.dtype} of shape {list(array.shape)}; expected uint8 H x W x 3"
            )
    else:
        most = 2**8 if what == "labels" else 2**16
        if array.dtype.kind not in "iu" or array.ndim != 2:
            raise UsageError(
                f"{what}: {array.dtype} of shape {list(array.shape)}; expected integers H x W"
            )
        if array.size and (array.min() < 0 or array.max() >= most):
            raise UsageError(f"{what}: ids below 0, or of {most} and more")
        array = array.astype(np.uint8 if what == "labels" else np.uint16)
    Image.fromarray(array).save(path)
    return path


def _common_size(images: Sequence[Path]) -> Size:
    sizes = {path: photograph_size(path) for path in images}
    first = images[0]
    others = [path for path in images if sizes[path] != sizes[first]]
    if others:
        raise DataError(
            f"{others[0]}: {sizes[others[0]]}, but {first} is {sizes[first]}; the images of one "
            "call share a size"
        )
    height, width = parse_size(sizes[first])
    return Size(width=width, height=height)
