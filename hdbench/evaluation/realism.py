"""FID and KID of features, and the diversity of styles: realism where no labels are asked.

FID (Heusel et al., NeurIPS 2017) and KID (Binkowski et al., ICLR 2018) are computed by
torch-fidelity, part of the extra ``realism``; ``hdbench.networks.realism`` has its network.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from hdbench.errors import UsageError

#: KID is the mean over this many pairs of random subsets, of at most this many images each, and
#: of at most half of them, so that subsets differ.
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
_SEED = 2020


def frechet_distance(features: Tensor, reference: Tensor) -> float:
    """Return FID between two sets of features, N x D and M x D; UsageError below 2 images."""
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    if min(len(features), len(reference)) < 2:
        raise UsageError("FID needs at least 2 images and 2 photographs; their covariance counts")
    ours, theirs = (fid_features_to_statistics(rows.double()) for rows in (features, reference))
    return fid_statistics_to_metric(ours, theirs, verbose=False)[KEY_METRIC_FID]


def kernel_distance(features: Tensor, reference: Tensor) -> dict[str, Any]:
    """Return KID between two sets of features: mean and deviation over subsets, and their size.

    Subsets hold at most half of the smaller set, so that they differ from each other, and at most
    1000 images. Raises UsageError if a set has fewer than 4.
    """
    from torch_fidelity.metric_kid import (
        KEY_METRIC_KID_MEAN,
        KEY_METRIC_KID_STD,
        kid_features_to_metric,
    )

    size = min(KID_SUBSET_SIZE, min(len(features), len(reference)) // 2)
    if size < 2:
        raise UsageError("KID needs at least 4 images and 4 photographs: subsets of 2 in each half")
    found = kid_features_to_metric(
        features.double(),
        reference.double(),
        kid_subsets=KID_SUBSETS,
        kid_subset_size=size,
        rng_seed=_SEED,
        verbose=False,
    )
    return {
        "kid": found[KEY_METRIC_KID_MEAN],
        "kid_deviation": found[KEY_METRIC_KID_STD],
        "kid_subset_size": size,
        "kid_subsets": KID_SUBSETS,
    }


def diversity(
    styles: Iterable[Sequence[Tensor]], distance: Callable[[Tensor, Tensor], float]
) -> Iterator[float]:
    """Yield, for each scene, the mean distance between its images in several styles."""
    for images in styles:
        yield float(np.mean([distance(*pair) for pair in itertools.combinations(images, 2)]))
