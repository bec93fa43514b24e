"""A segmenter that scores images, and the card that says what it is."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from hdbench.data.labels import LabelSpace
from hdbench.errors import CheckpointError, UsageError
from hdbench.library import CARD_FILE
from hdbench.networks.pspnet import OUTPUT_STRIDE, PSPNetDesign, build_pspnet, enlarged
from hdbench.provenance import tensors_digest
from hdbench.runtime.checkpoint import load_weights
from hdbench.storage import cannot_write, write_atomically

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class SegmenterCard:
    """What a segmenter is, what it expects, and what it declared when it was measured."""

    architecture: str
    encoder: str
    #: How many of the encoder's stages are used, and how much it enlarges images (PSPNetDesign).
    depth: int
    enlarge: int
    #: The label space whose train ids it predicts.
    label_space: str
    classes: list[str]
    #: Subtracted from and dividing RGB in [0, 1].
    mean: list[float]
    std: list[float]
    #: Width and height of the images that it was trained on, in pixels.
    window: list[int]
    #: The dataset and split that it learnt from, and the digest of their files.
    trained_on: str
    scenes_digest: str
    #: Epochs, optimiser and the like, for people.
    training: dict[str, Any]
    #: SHA-256 over all tensors as fp32, the precision in which they judge.
    weights: str
    #: Scores of real photographs, once measured: scoring convention, split, accuracy, mean IoU.
    oracle: dict[str, Any] | None

    @property
    def design(self) -> PSPNetDesign:
        """What the weights fit into."""
        return PSPNetDesign(self.encoder, self.depth, self.enlarge, len(self.classes))


class Segmenter:
    """Predicts train ids; always in evaluation mode and fp32.

    Args:
        network: normalised images, enlarged as the card says, to logits ``B x K x H x W``.
        card: what it is.
    """

    def __init__(self, network: nn.Module, card: SegmenterCard, device: torch.device) -> None:
        """Freeze the network on a device."""
        self.network = network.eval().requires_grad_(False).to(device)
        self.card = card
        self.device = device
        self._mean = torch.tensor(card.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(card.std, device=device).view(1, 3, 1, 1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return float logits ``B x K x H x W`` for uint8 RGB images ``B x 3 x H x W``.

        Raises:
            UsageError: a side does not divide by 8.
        """
        height, width = images.shape[-2:]
        if height % OUTPUT_STRIDE or width % OUTPUT_STRIDE:
            raise UsageError(
                f"the segmenter reads sides that divide by {OUTPUT_STRIDE}, not {width}x{height}; "
                "change the benchmark's [size]"
            )
        inputs = normalised(images.to(self.device), self._mean, self._std)
        return self.network(enlarged(inputs, self.card.enlarge))

    def accepts(self, space: LabelSpace, width: int, height: int) -> None:
        """Check that this segmenter judges images of a size in a label space.

        Args:
            space: what the labels mean.
            width: of the images, in pixels.
            height: of the images, in pixels.

        Raises:
            UsageError: it predicts other classes, or was trained at another size, which would
                move the bins of its pyramid.
        """
        names = [entry.name for entry in space.scored]
        if self.card.label_space != space.name or self.card.classes != names:
            raise UsageError(
                f"this segmenter predicts '{self.card.label_space}' "
                f"({', '.join(self.card.classes)}), the benchmark's labels are '{space.name}' "
                f"({', '.join(names)}); its predictions would mean other classes"
            )
        if self.card.window != [width, height]:
            raise UsageError(
                "this segmenter was trained at {}x{}, ".format(*self.card.window)
                + f"the benchmark's images are {width}x{height}; PSPNet pools over the whole "
                "image, so it is only evaluated at its training size"
            )


def normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return uint8 RGB images as floats with the mean taken off, over the standard deviation."""
    return (images.float() / 255.0 - mean) / std


def halve_parameters(network: nn.Module) -> None:
    """Round parameters to half precision, in place; buffers stay, as variances may not fit it."""
    for parameter in network.parameters():
        parameter.data = parameter.data.half()


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of a network's tensors as fp32, in whatever precision they are stored."""
    return tensors_digest(
        {
            name: value.float() if value.is_floating_point() else value
            for name, value in network.state_dict().items()
        }
    )


def save_segmenter(folder: Path, network: smp.PSPNet, card: SegmenterCard) -> None:
    """Write a segmenter in segmentation-models-pytorch's own layout, and its card, last.

    Tensors are stored in the precision that they have.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the hub mixin announces its model card
        try:
            network.save_pretrained(folder)  # pyright: ignore[reportCallIssue]
        except OSError as error:
            raise cannot_write(folder, error) from error
    write_card(folder, card)


def write_card(folder: Path, card: SegmenterCard) -> None:
    """Write or replace a segmenter's card."""
    write_atomically(folder / CARD_FILE, (json.dumps(asdict(card), indent=2) + "\n").encode())


def load_segmenter(folder: Path, device: torch.device) -> Segmenter:
    """Return the segmenter of a folder; nothing is downloaded and no pickled code is run.

    Raises:
        CheckpointError: a file is missing, damaged, or not what the card says.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no segmenter here; expected the folder of one, with {CARD_FILE} and "
            f"{WEIGHTS_FILE}"
        )
    try:
        card = SegmenterCard(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a segmenter's card ({error})") from None
    if card.architecture != "pspnet":
        raise CheckpointError(f"{path}: architecture '{card.architecture}'; expected 'pspnet'")
    network = build_pspnet(card.design)
    load_weights(folder / WEIGHTS_FILE, network)
    found = weights_digest(network)
    if found != card.weights:
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE}: its tensors hash to {found[:12]}, the card says "
            f"{card.weights[:12]}; one of the two files was replaced"
        )
    return Segmenter(network, card, device)
