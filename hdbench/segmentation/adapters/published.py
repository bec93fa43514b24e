"""Published PSPNets: the names of their tensors, and the scores that their authors declare."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdbench.errors import CheckpointError, listing
from hdbench.networks.pspnet import AuxiliaryHead, PublishedDesign, PublishedPSPNet
from hdbench.provenance import file_digest
from hdbench.runtime.weights import fitted, load_weights, read_weights
from hdbench.segmentation.adoption import ImportOptions, blank_card, fill
from hdbench.segmentation.segmenter import WEIGHTS_FILE, Segmenter, SegmenterCard

_AUXILIARY = "auxiliary."
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class Publication:
    """One project's PSPNet on ResNet-101."""

    #: Channels of the stem, dilations and corners (``PublishedDesign``).
    stem: tuple[int, int, int]
    contracted: bool
    align_corners: bool
    #: Patterns of its tensors' names and hdbench's names, tried in this order.
    names: tuple[tuple[str, str], ...]
    #: ``SegmenterCard.sides``.
    sides: list[int]
    #: Scores on Cityscapes that its authors declare.
    declared: dict[str, Any]
    #: ResNet-101.
    blocks: tuple[int, int, int, int] = (3, 4, 23, 3)
    width: int = 64

    def design(self, classes: int) -> PublishedDesign:
        """Return the network that its weights fit into."""
        return PublishedDesign(
            self.stem, self.contracted, self.align_corners, classes, self.blocks, self.width
        )


PUBLICATIONS = {
    # pspnet_r101-d8_512x1024_80k_cityscapes of MMSegmentation: ResNetV1c, PSPHead, FCNHead.
    "pspnet-mmseg": Publication(
        stem=(32, 32, 64),
        contracted=True,
        align_corners=False,
        names=(
            (r"backbone\.stem\.(.+)", r"stem.\1"),
            (r"backbone\.layer1\.(.+)", r"stages.0.\1"),
            (r"backbone\.layer2\.(.+)", r"stages.1.\1"),
            (r"backbone\.layer3\.(.+)", r"stages.2.\1"),
            (r"backbone\.layer4\.(.+)", r"stages.3.\1"),
            (r"decode_head\.psp_modules\.(\d)\.1\.conv\.(.+)", r"pyramid.\1.1.\2"),
            (r"decode_head\.psp_modules\.(\d)\.1\.bn\.(.+)", r"pyramid.\1.2.\2"),
            (r"decode_head\.bottleneck\.conv\.(.+)", r"bottleneck.0.\1"),
            (r"decode_head\.bottleneck\.bn\.(.+)", r"bottleneck.1.\1"),
            (r"decode_head\.conv_seg\.(.+)", r"classifier.\1"),
            (r"auxiliary_head\.convs\.0\.conv\.(.+)", r"auxiliary.layers.0.\1"),
            (r"auxiliary_head\.convs\.0\.bn\.(.+)", r"auxiliary.layers.1.\1"),
            (r"auxiliary_head\.conv_seg\.(.+)", r"auxiliary.layers.4.\1"),
        ),
        sides=[8, 0],
        declared={
            "mean_iou": 0.7976,
            "size": [2048, 1024],
            "how": "whole images, one scale, no flip; MMSegmentation's model zoo",
        },
    ),
    # pspnet101 of semseg: the deeper stem, every block of a stage dilated, corners aligned.
    "pspnet-semseg": Publication(
        stem=(64, 64, 128),
        contracted=False,
        align_corners=True,
        names=(
            (r"layer0\.(.+)", r"stem.\1"),
            (r"layer1\.(.+)", r"stages.0.\1"),
            (r"layer2\.(.+)", r"stages.1.\1"),
            (r"layer3\.(.+)", r"stages.2.\1"),
            (r"layer4\.(.+)", r"stages.3.\1"),
            (r"ppm\.features\.(\d)\.(.+)", r"pyramid.\1.\2"),
            (r"cls\.([01])\.(.+)", r"bottleneck.\1.\2"),
            (r"cls\.4\.(.+)", r"classifier.\1"),
            (r"aux\.(.+)", r"auxiliary.layers.\1"),
        ),
        sides=[8, 1],
        declared={
            "mean_iou": 0.7863,
            "pixel_accuracy": 0.9614,
            "size": [2048, 1024],
            "how": "windows of 713x713 at stride 2/3, one scale; semseg's README",
        },
    ),
}


def load(folder: Path, card: SegmenterCard, device: torch.device, trust: bool) -> Segmenter:
    """Return the segmenter of a folder; raises CheckpointError if the card does not fit."""
    publication = PUBLICATIONS[card.architecture]
    with torch.device("meta"):  # no need to draw 68 million numbers
        network = PublishedPSPNet(publication.design(len(card.classes)))
    network.to_empty(device="cpu")
    load_weights(folder / WEIGHTS_FILE, network, card.weights)
    return Segmenter(network, card, device)


def adopt(kind: str, source: str, folder: Path, options: ImportOptions) -> SegmenterCard:
    """Write hdbench's folder of a published checkpoint.

    Every tensor of the file must be known and have the published shape. The auxiliary head is
    checked too and then dropped, because only training uses it.

    Raises:
        CheckpointError: the file cannot be read without running code, or has other tensors.
    """
    publication, path = PUBLICATIONS[kind], Path(source)
    design = publication.design(len(options.classes))
    state = translated(source, read_weights(path, options.trust), publication)
    with torch.device("meta"):
        network = PublishedPSPNet(design)
        auxiliary = nn.ModuleDict({"auxiliary": AuxiliaryHead(16 * design.width, design.classes)})
    state = _without_auxiliary(source, state, auxiliary.state_dict())
    card = blank_card(
        kind,
        "resnet101 with three convolutions as stem",
        options,
        {"file": path.name, "sha256": file_digest(path)},
        **_IMAGENET,
        sides=publication.sides,
        published=publication.declared if options.space.name == "cityscapes" else None,
    )
    return fill(source, network.to_empty(device="cpu"), state, folder, card)


def translated(
    source: str, state: dict[str, Tensor], publication: Publication
) -> dict[str, Tensor]:
    """Return a state dict under hdbench's names; raises CheckpointError for unknown names."""
    found: dict[str, Tensor] = {}
    unknown: list[str] = []
    for name, tensor in state.items():
        for pattern, ours in publication.names:
            match = re.fullmatch(pattern, name)
            if match:
                found[match.expand(ours)] = tensor
                break
        else:
            unknown.append(name)
    if unknown:
        raise CheckpointError(
            f"{source}: {len(unknown)} of {len(state)} tensors have names that this PSPNet "
            f"does not have\n{listing(unknown, 6)}"
        )
    return found


def _without_auxiliary(
    source: str, state: dict[str, Tensor], expected: dict[str, Tensor]
) -> dict[str, Tensor]:
    auxiliary = {name: value for name, value in state.items() if name.startswith(_AUXILIARY)}
    if auxiliary:
        fitted(source, "this PSPNet's auxiliary head", auxiliary, expected)
    return {name: value for name, value in state.items() if name not in auxiliary}
