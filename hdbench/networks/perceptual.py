"""VGG-19 features for the perceptual loss (Sec. 4 of the paper)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from hdbench.errors import CheckpointError

#: Layer index in torchvision's VGG-19 of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.
RELU_LAYERS = (1, 6, 11, 20, 29)
#: The file that torchvision publishes for VGG-19 trained on ImageNet.
WEIGHTS_NAME = "vgg19-dcbb9e9d.pth"


class VGG19Features(nn.Module):
    """The five feature maps that the perceptual loss compares; frozen.

    Images go in as they leave the generator, in [-1, 1] and without ImageNet's normalisation
    (official implementation).
    """

    def __init__(self) -> None:
        """Build the layers with untrained weights; see ``load_vgg19``."""
        super().__init__()
        layers = list(make_layers(cfgs["E"]).children())  # configuration E is VGG-19
        self.features = nn.Sequential(*layers[: RELU_LAYERS[-1] + 1])
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return relu1_1 to relu5_1 for images ``B x 3 x H x W`` in [-1, 1]."""
        if images.device.type == "cpu":  # its convolutions and pooling are quicker so
            images = images.contiguous(memory_format=torch.channels_last)
        maps = []
        for index, layer in enumerate(self.features):
            images = layer(images)
            if index in RELU_LAYERS:
                maps.append(images)
        return maps


def default_weights_path() -> Path:
    """Return where torchvision keeps its copy of the VGG-19 weights on this machine."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME


def load_vgg19(weights: Path | None) -> VGG19Features:
    """Return VGG-19 features with ImageNet weights from a local torchvision file.

    Nothing is downloaded.

    Args:
        weights: the file; None means torchvision's own cache.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """
    path = weights or default_weights_path()
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no VGG-19 weights here, and the perceptual loss needs them.\n"
            f"Next: download torchvision's {WEIGHTS_NAME} on a connected machine and pass "
            "--vgg-weights FILE, or train 'ours-no-vgg', the method that needs none."
        )
    network = VGG19Features()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name: state[name] for name in network.state_dict()})
    except Exception as error:  # torch, pickle and zip files fail in a dozen unrelated ways
        raise CheckpointError(
            f"{path}: not the state dict of torchvision's vgg19 "
            f"({type(error).__name__}: {str(error)[:120]}); expected {WEIGHTS_NAME}"
        ) from error
    return network
