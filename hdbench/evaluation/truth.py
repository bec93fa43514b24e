"""A scene's labels as a scoring convention counts them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hdbench.data.scene import edge_band, resize_nearest
from hdbench.evaluation.confusion import Matrix, confusion_matrix
from hdbench.schema.scoring import Labels, parse_size


@dataclass(frozen=True)
class Truth:
    """A scene's labels as one convention counts them."""

    #: uint8 H x W train ids.
    train_ids: Tensor
    #: bool H x W: which pixels are counted; None where all are.
    counted: Tensor | None

    def matrix(self, prediction: Tensor, classes: int) -> Matrix:
        """Return int64 (K+1) x K: the confusion matrix of predicted uint8 H x W train ids."""
        if self.counted is None:
            return confusion_matrix(self.train_ids.numpy(), prediction.numpy(), classes)
        truth, guess = self.train_ids[self.counted], prediction[self.counted]
        return confusion_matrix(truth.numpy(), guess.numpy(), classes)


def truth_of(train_ids: Tensor, regions: Tensor, labels: Labels) -> Truth:
    """Return a scene's labels (uint8 h x w train ids, as on disk) as a convention counts them.

    ``regions``, h x w, are ids whose borders are the edges that an ``edge_band`` lies along.
    """
    height, width = train_ids.shape if labels.size == "native" else parse_size(labels.size)
    band = None
    if labels.edge_band:
        band = edge_band(_at(regions, height, width), labels.edge_band)
    return Truth(_at(train_ids, height, width), band)


def _at(ids: Tensor, height: int, width: int) -> Tensor:
    return ids if ids.shape == (height, width) else resize_nearest(ids, height, width)
