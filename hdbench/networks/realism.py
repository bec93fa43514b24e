"""The networks behind FID, KID and LPIPS, with weights from local files.

Inception-v3 with the original TensorFlow weights comes from torch-fidelity, LPIPS v0.1 (Zhang et
al., CVPR 2018) from its authors' package; both belong to the extra ``realism``. Nothing is
downloaded, and no file is loaded that could run code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

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
    """Return float32 N x 2048: the pooled features of ``count`` images, one at a time.

    Images are uint8 3 x H x W, of any size; they are resized to 299x299 as TensorFlow 1 did.
    """
    rows = []
    with torch.no_grad():
        for image in progress(images, total=count, desc=title, unit="image"):
            rows.append(extractor(image[None].to(device))[0].cpu())
    return torch.cat(rows)


def load_lpips(weights: Path, device: torch.device) -> nn.Module:
    """Return LPIPS v0.1 on AlexNet, whose ImageNet weights come from a local torchvision file.

    Its own linear weights are part of the package. Errors are those of ``load_inception``.

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
