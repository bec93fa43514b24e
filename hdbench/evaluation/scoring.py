"""From images on disk to matrices: the one path that methods, floors and oracle share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_label, read_photograph, read_scene
from hdbench.data.scene import edge_band, resize_photograph
from hdbench.errors import DataError, HdbenchError, listing
from hdbench.evaluation.confusion import Matrix, confusion_matrix, scores_of
from hdbench.provenance import digest, file_digest, versions
from hdbench.results import SCHEMA, Result
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Counting, Labels, Scoring
from hdbench.segmentation.segmenter import Segmenter

_GATE = 0.01  # the oracle may fall this far below what the segmenter's card declares


def choices_of(
    benchmark: Benchmark,
    scoring: Scoring,
    space: LabelSpace,
    segmenter: Segmenter,
    labels: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Return every choice that changes a score, as JSON values; device and time are not among them.

    Args:
        benchmark: dataset, split and image size.
        scoring: the convention.
        space: the class table.
        segmenter: the judge.
        labels: for every scene, in order, its name and the digests of the maps that are counted.
    """
    return {
        "schema": SCHEMA,
        "dataset": benchmark.data.layout,
        "split": benchmark.data.test,
        "scenes": len(labels),
        "labels": digest([list(entry) for entry in labels]),
        "classes": [[entry.id, entry.name, entry.train_id] for entry in space.classes],
        "scoring": scoring.model_dump(exclude={"title", "source"}),
        "image_size": [benchmark.size.width, benchmark.size.height],
        "photograph_resize": "bicubic, antialias, 8 bit",
        "segmenter": segmenter.card.choices,
    }


def predict(segmenter: Segmenter, image: Tensor, height: int, width: int, flip: bool) -> Tensor:
    """Return uint8 H x W train ids for one image.

    Args:
        segmenter: the judge.
        image: uint8 3 x h x w.
        height: rows of the answer; logits are resized bilinearly to it before the arg max.
        width: columns of the answer.
        flip: average the logits with those of the mirrored image.
    """
    logits = segmenter.logits(image[None])
    if flip:
        logits = (logits + segmenter.logits(image[None].flip(-1)).flip(-1)) / 2
    if logits.shape[-2:] != (height, width):
        logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
    return logits[0].argmax(dim=0).to(torch.uint8).cpu()


def prepared_image(path: Path, benchmark: Benchmark, photograph: bool) -> Tensor:
    """Return an image as the segmenter gets it: uint8 3 x H x W at the benchmark's size.

    Photographs are resized; a method's images must have the size already.

    Raises:
        DataError: the file is damaged or of another size.
    """
    image = read_photograph(path)
    size = benchmark.size
    if photograph:
        return resize_photograph(image, size.height, size.width)
    if image.shape[-2:] != (size.height, size.width):
        raise DataError(
            f"{path}: {image.shape[2]}x{image.shape[1]}; "
            f"benchmark '{benchmark.name}' scores images of {size.width}x{size.height}"
        )
    return image


def count_images(
    segmenter: Segmenter,
    scenes: Sequence[SceneFiles],
    images: Sequence[Path],
    space: LabelSpace,
    benchmark: Benchmark,
    scoring: Scoring,
    title: str,
    photographs: bool,
) -> Matrix:
    """Return int64 N x (K+1) x K: one matrix per image, one image per pass of the segmenter.

    Args:
        segmenter: the judge.
        scenes: the labels, N of them.
        images: the image of each scene.
        space: what label ids mean.
        benchmark: the size of images.
        scoring: the convention.
        title: what the progress bar says.
        photographs: whether the images are the dataset's own, resized here.
    """
    classes = len(space.scored)
    matrices = np.zeros((len(scenes), classes + 1, classes), dtype=np.int64)
    pairs = zip(scenes, images, strict=True)
    for n, (scene, path) in enumerate(tqdm(pairs, total=len(scenes), desc=title, unit="image")):
        truth, counted = read_truth(scene, space, scoring.labels)
        image = prepared_image(path, benchmark, photographs)
        height, width = truth.shape
        answer = predict(segmenter, image, height, width, scoring.segmenter.flip)
        matrices[n] = confusion_matrix(truth[counted].numpy(), answer[counted].numpy(), classes)
    return matrices


def read_truth(files: SceneFiles, space: LabelSpace, labels: Labels) -> tuple[Tensor, Tensor]:
    """Return uint8 H x W train ids, and bool H x W: which pixels are counted.

    Args:
        files: the scene; its instance map is read only if the convention asks for edges.
        space: what label ids mean.
        labels: the convention's ground truth.

    Raises:
        DataError: a map is damaged, or their sizes differ.
    """
    if labels.edge_band == 0:
        label = read_label(files.label, space)
        return space.to_train_ids(label), torch.ones_like(label, dtype=torch.bool)
    scene = read_scene(files, space, photograph=False)
    return space.to_train_ids(scene.label), edge_band(scene.regions, labels.edge_band)


def summary(matrices: Matrix, space: LabelSpace, counting: Counting) -> dict[str, Any]:
    """Return the scores of summed matrices as JSON values; undefined ones are None."""
    scores = scores_of(matrices.sum(axis=0), counting)
    names = [entry.name for entry in space.scored]
    return {
        "pixel_accuracy": _defined(scores.pixel_accuracy),
        "mean_iou": _defined(scores.mean_iou),
        "class_iou": {
            name: _defined(float(value))
            for name, value in zip(names, scores.class_iou, strict=True)
        },
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def require_images(images: Sequence[Path], method: str) -> None:
    """Check that every image is there.

    Raises:
        DataError: some are not; all of them are counted and the first listed.
    """
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise DataError(
            f"'{method}' lacks {len(missing)} of {len(images)} images\n"
            f"{listing(str(path) for path in missing)}"
        )


def score(
    method: str,
    seed: int,
    run: str | None,
    segmenter: Segmenter,
    scenes: Sequence[SceneFiles],
    images: Sequence[Path],
    choices: dict[str, Any],
    space: LabelSpace,
    benchmark: Benchmark,
    scoring: Scoring,
) -> Result:
    """Return the result of one method's images.

    Args:
        method: its name; ``oracle`` for the dataset's own photographs.
        seed: the run's seed.
        run: digest of the run's identity, or None.
        segmenter: the judge.
        scenes: the labels.
        images: the image of each scene.
        choices: all that changes the numbers (``choices_of``).
        space: what label ids mean.
        benchmark: dataset, split and size.
        scoring: the convention.

    Raises:
        DataError: images are missing, damaged or of another size.
        UsageError: the segmenter judges another label space.
    """
    segmenter.accepts(space, benchmark.size.width, benchmark.size.height)
    require_images(images, method)
    matrices = count_images(
        segmenter,
        scenes,
        images,
        space,
        benchmark,
        scoring,
        f"scoring {method}",
        photographs=run is None,
    )
    return Result(
        method=method,
        benchmark=benchmark.name,
        seed=seed,
        scoring=scoring.name,
        choices=choices,
        run=run,
        scenes=[scene.name for scene in scenes],
        images=[file_digest(path) for path in images],
        classes=[entry.name for entry in space.scored],
        scores=summary(matrices, space, scoring.counting),
        provenance={"versions": versions(), "device": str(segmenter.device)},
        matrices=matrices,
    )


def oracle_gate(result: Result, segmenter: Segmenter, trainable: bool) -> None:
    """Check the oracle against what the segmenter's card declares for this benchmark.

    The fingerprint is not compared on purpose: a wrong mean, class table or photograph changes it
    and is what the gate is for.

    Args:
        result: the oracle's.
        segmenter: the judge.
        trainable: whether it is the benchmark's own, which can be trained anew.

    Raises:
        HdbenchError: a score fell more than one point below.
    """
    declared = segmenter.card.oracle
    if declared is None or (declared["benchmark"], declared["scoring"]) != (
        result.benchmark,
        result.scoring,
    ):
        return
    anew = ", then 'hdbench segmenter train --restart' if the data is meant to have changed"
    for name in ("pixel_accuracy", "mean_iou"):
        measured = result.scores[name] or 0.0
        if measured < declared[name] - _GATE:
            raise HdbenchError(
                f"the oracle's {name} is {measured:.4f}, the segmenter's card declares "
                f"{declared[name]:.4f}: the photographs, labels, sizes or the card's mean and "
                "std changed, so no score here can be trusted.\n"
                f"Next: 'hdbench data check'{anew if trainable else ''}"
            )
