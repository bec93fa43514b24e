"""FID, KID and LPIPS: how images compare with photographs where no labels are asked.

FID (Heusel et al., NeurIPS 2017) and KID (Binkowski et al., ICLR 2018) by torch-fidelity on the
Inception features of the original TensorFlow weights; LPIPS v0.1 (Zhang et al., CVPR 2018) by its
authors' package. Both come with the extra ``realism``; all weights are local files, nothing is
downloaded, and no file is loaded that could run code.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hdbench.errors import CheckpointError, UsageError
from hdbench.runtime.progress import progress
from hdbench.runtime.weights import fitted, read_weights

#: The files that torch-fidelity and torchvision publish.
INCEPTION_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
ALEXNET_WEIGHTS = "alexnet-owt-7be5be79.pth"
_INCEPTION_ORIGIN = "github.com/toshas/torch-fidelity, release v0.2.0"
_ALEXNET_ORIGIN = "torchvision's AlexNet_Weights.IMAGENET1K_V1"
FEATURES = 2048
#: KID is the mean over this many pairs of random subsets, of at most this many images each, and
#: of at most half of them, so that subsets differ.
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
_SEED = 2020


def load_inception(weights: Path, device: torch.device) -> nn.Module:
    """Return torch-fidelity's Inception-v3 with weights from a local file.

    Raises:
        UsageError: the extra ``realism`` is not installed.
        CheckpointError: the file is missing, or not these weights.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise _not_installed("torch-fidelity") from None
    # torch-fidelity would unpickle whatever the file holds; this refuses all but tensors first.
    _state_dict(weights, INCEPTION_WEIGHTS, _INCEPTION_ORIGIN, "--inception-weights")
    try:
        extractor = FeatureExtractorInceptionV3(
            "inception-v3-compat", [str(FEATURES)], feature_extractor_weights_path=str(weights)
        )
    except RuntimeError as error:
        raise CheckpointError(
            f"{weights}: not the weights of torch-fidelity's Inception-v3 "
            f"({str(error).splitlines()[0][:120]}); expected {INCEPTION_WEIGHTS}"
        ) from None
    return extractor.to(device)


def inception_features(
    extractor: nn.Module, images: Iterable[Tensor], count: int, device: torch.device, title: str
) -> Tensor:
    """Return float32 N x 2048: the pooled features of images, one at a time.

    Args:
        extractor: ``load_inception``.
        images: uint8 3 x H x W each, of any size; resized to 299x299 as TensorFlow 1 did.
        count: N, for the progress bar.
        device: where it computes.
        title: what the bar says.
    """
    rows = []
    with torch.no_grad():
        for image in progress(images, total=count, desc=title, unit="image"):
            rows.append(extractor(image[None].to(device))[0].cpu())
    return torch.cat(rows)


def frechet_distance(features: Tensor, reference: Tensor) -> float:
    """Return FID between two sets of features, N x D and M x D.

    Raises:
        UsageError: a set has fewer than 2 images, which have no covariance.
    """
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
    1000 images.

    Raises:
        UsageError: a set has fewer than 4 images.
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


def load_lpips(weights: Path, device: torch.device) -> nn.Module:
    """Return LPIPS v0.1 on AlexNet, whose ImageNet weights come from a local torchvision file.

    Its own linear weights are part of the package.

    Raises:
        UsageError: the extra ``realism`` is not installed.
        CheckpointError: the file is missing, or not these weights.
    """
    try:
        from lpips import LPIPS
    except ImportError:
        raise _not_installed("lpips") from None
    state = _state_dict(weights, ALEXNET_WEIGHTS, _ALEXNET_ORIGIN, "--lpips-weights")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision deprecates how the package asks for layers
        network = LPIPS(net="alex", pnet_rand=True, verbose=False)
    trunk = network.net
    # The package keeps torchvision's layers, dealt into slices: slice2.3.weight.
    names = {name: f"features.{name.split('.', 1)[1]}" for name in trunk.state_dict()}
    expected = {names[name]: value for name, value in trunk.state_dict().items()}
    own = {name: value for name, value in state.items() if name in expected}  # no classifier
    own = fitted(str(weights), f"torchvision's {ALEXNET_WEIGHTS}", own, expected)
    trunk.load_state_dict({name: own[theirs] for name, theirs in names.items()})
    return network.requires_grad_(False).eval().to(device)


def lpips_distance(network: nn.Module, one: Tensor, other: Tensor, device: torch.device) -> float:
    """Return the LPIPS distance of two images, uint8 3 x H x W of one size; 0 if they are equal."""
    pair = [image[None].to(device).float() / 127.5 - 1.0 for image in (one, other)]
    with torch.no_grad():
        return float(network(*pair))


def lpips_diversity(
    network: nn.Module, styles: Iterable[Sequence[Tensor]], device: torch.device
) -> Iterator[float]:
    """Yield, for each scene, the mean LPIPS distance between its images in several styles.

    Args:
        network: ``load_lpips``.
        styles: for each scene its images, at least 2 of them, uint8 3 x H x W.
        device: where it computes.
    """
    for images in styles:
        pairs = list(itertools.combinations(images, 2))
        yield float(np.mean([lpips_distance(network, *pair, device) for pair in pairs]))


def _state_dict(path: Path, name: str, origin: str, option: str) -> dict[str, Tensor]:
    """Return a file's tensors without running any code that it may hold."""
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; nothing is downloaded here.\n"
            f"Next: get {name} ({origin}) on a connected machine and pass {option} FILE"
        )
    try:
        return read_weights(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}\nExpected: {name} ({origin})") from None


def _not_installed(package: str) -> UsageError:
    return UsageError(
        f"{package} is not installed.\nNext: pip install 'hdbench[realism]', which brings it"
    )
