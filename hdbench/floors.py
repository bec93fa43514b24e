"""Floors: trivial baselines, which learn nothing; a score must beat theirs to mean anything.

They use the training split's photographs and labels at the benchmark's size, and only the labels of
the test split.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.runtime.progress import progress


class TrainingSet:
    """The training split in memory at one size."""

    def __init__(self, files: list[SceneFiles], space: LabelSpace, height: int, width: int) -> None:
        labels, images = [], []
        for entry in progress(files, desc="reading training scenes", unit="scene"):
            scene = read_scene(entry, space).resized(height, width)
            assert scene.image is not None
            labels.append(scene.label)
            images.append(scene.image)
        #: uint8 N x H x W.
        self.labels = torch.stack(labels)
        #: uint8 N x 3 x H x W.
        self.images = torch.stack(images)
        #: uint8 256 x 3: mean colour of each label id; of all pixels where an id never occurs.
        self.mean_colours = self._mean_colours()

    def _mean_colours(self) -> Tensor:
        pixels = self.images.permute(0, 2, 3, 1).reshape(-1, 3).double()
        ids = self.labels.reshape(-1).long()
        sums = torch.zeros(256, 3, dtype=torch.float64).index_add_(0, ids, pixels)
        counts = torch.bincount(ids, minlength=256).double().unsqueeze(1)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), pixels.mean(dim=0))
        return means.round().to(torch.uint8)


def mean_colour(label: Tensor, training: TrainingSet) -> Tensor:
    """Return a uint8 3 x H x W image: each class in its mean colour."""
    return training.mean_colours[label.long()].permute(2, 0, 1)


def nearest(label: Tensor, training: TrainingSet) -> Tensor:
    """Return the training photograph whose labels agree in most pixels; the first of equals."""
    agreement = (training.labels == label).flatten(1).sum(dim=1)
    return training.images[int(agreement.argmax())]


def patchwork(label: Tensor, training: TrainingSet) -> Tensor:
    """Return an image of training pixels that have the same label at the same place.

    For each class, photographs are taken in the order in which they agree with that class's
    region, each filling what the ones before it left. A pixel that no photograph can fill gets
    its class's mean colour.
    """
    height, width = label.shape
    flat = label.reshape(-1)
    labels, images = training.labels.flatten(1), training.images.flatten(2)
    output = training.mean_colours[flat.long()].T.clone()
    for entry in flat.unique():
        left = torch.nonzero(flat == entry).squeeze(1)
        agrees = labels[:, left] == entry
        for n in agrees.sum(dim=1).argsort(descending=True, stable=True).tolist():
            fits = labels[n, left] == entry
            chosen = left[fits]
            output[:, chosen] = images[n][:, chosen]
            left = left[~fits]
            if not len(left):
                break
    return output.reshape(3, height, width)


#: From a uint8 H x W label map and the training set to a uint8 3 x H x W image.
FLOORS: dict[str, Callable[[Tensor, TrainingSet], Tensor]] = {
    "mean-colour": mean_colour,
    "nearest": nearest,
    "patchwork": patchwork,
}
