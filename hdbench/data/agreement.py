"""Whether images follow their own labels, without any network: what swapped names look like.

Labels cut an image into regions; what their mean colours explain of the image's variance is
high for its own labels and lower for those of another scene. Some label maps explain more of any
image than others do (they have more regions), but that cancels where images only change places:
a set of scenes that trade their images is suspected if the trade explains more in sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from hdbench.data.scene import resize_nearest, resize_photograph

#: Rows and columns at which images and labels are compared.
_SIDE = 48
#: Of an image's variance: what a trade must explain more, on average over the scenes in it.
#: Of CamVid's 101 validation photographs under their true names the largest gain is 0.002, of 100
#: of Streets there is none; of 500 random swaps of two names it finds 84 % on CamVid (a film, in
#: which neighbours look alike: names shifted by one frame are not found) and all on Streets.
SUSPICIOUS = 0.025


def thumbnail(image: Tensor) -> Tensor:
    """Return a uint8 3 x H x W image at the size at which images are compared."""
    return resize_photograph(image, _SIDE, _SIDE)


def label_thumbnail(label: Tensor) -> Tensor:
    """Return a H x W map of ids at that size."""
    return resize_nearest(label, _SIDE, _SIDE)


def explained_variance(images: Sequence[Tensor], labels: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return N x N: which share of image i's colour variance the regions of labels j explain.

    Args:
        images: N thumbnails, uint8 3 x S x S.
        labels: N thumbnails of label ids, S x S.

    Returns:
        Values from 0 to 1; 1 for an image of one colour, which every labelling explains.
    """
    pixels = torch.stack(list(images)).flatten(2).double()
    pixels = pixels - pixels.mean(dim=2, keepdim=True)
    total = pixels.square().sum(dim=(1, 2))
    columns = pixels.flatten(0, 1).T
    explained = torch.ones(len(images), len(labels), dtype=torch.float64)
    for j, label in enumerate(labels):
        _, region, sizes = torch.unique(label.flatten(), return_inverse=True, return_counts=True)
        sums = torch.zeros(len(sizes), columns.shape[1], dtype=torch.float64)
        sums.index_add_(0, region, columns)
        between = (sums.square() / sizes[:, None]).sum(dim=0).view(-1, 3).sum(dim=1)
        explained[:, j] = torch.where(total > 0, between / total.clamp(min=1e-9), 1.0)
    return explained.numpy()


def suspected_trades(explained: NDArray[np.float64]) -> list[list[int]]:
    """Return sets of scenes whose images would fit better if they changed places among them.

    The best assignment of images to labels falls into cycles; a label map's bias cancels in each.

    Args:
        explained: N x N (``explained_variance``).

    Returns:
        Each cycle's indices: image ``cycle[n]`` fits the labels of ``cycle[n + 1]``; the most
        suspicious first.
    """
    _, best = linear_sum_assignment(explained, maximize=True)
    gains: list[tuple[float, list[int]]] = []
    left = set(range(len(best)))
    while left:
        cycle = [min(left)]
        while (following := int(best[cycle[-1]])) != cycle[0]:
            cycle.append(following)
        left -= set(cycle)
        moved = sum(explained[n, best[n]] - explained[n, n] for n in cycle) / len(cycle)
        if moved > SUSPICIOUS:
            gains.append((float(moved), cycle))
    return [cycle for _, cycle in sorted(gains, reverse=True)]
