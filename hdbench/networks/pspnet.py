"""PSPNet (Zhao et al., CVPR 2017): pyramid pooling over features at 1/8 of the image.

segmentation-models-pytorch has the parts, but its defaults are another network: it reads the
encoder's second stage and pools over undilated features. ``build_pspnet`` is the one that hdbench
trains; ``PublishedPSPNet`` is the one whose trained weights others have published. Shapes: B batch,
K classes, H x W image, both divisible by 8, e the factor by which it is enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck

#: Features are at 1/8 of what the encoder reads; an image's sides must divide by it.
OUTPUT_STRIDE = 8
_BINS = (1, 2, 3, 6)  # cells per side of the pyramid's levels (Sec. 3.2)
_STRIDES, _DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)  # of ResNet's stages, for features at 1/8


@dataclass(frozen=True)
class PSPNetDesign:
    """What a PSPNet's weights fit into."""

    #: An encoder of segmentation-models-pytorch that can be dilated.
    encoder: str
    #: How many of its five stages are used.
    depth: int
    #: How much images are enlarged before the encoder reads them: 1, 2, 4 or 8. Features at 1/8 of
    #: an enlarged image are at a finer fraction of the image itself, as small images need.
    enlarge: int
    #: Number of scored classes.
    classes: int


def build_pspnet(design: PSPNetDesign) -> smp.PSPNet:
    """Return a PSPNet with fresh weights.

    It takes images enlarged as its design says (``enlarged``) and returns logits at the size that
    they had before: ``B x 3 x eH x eW`` to ``B x K x H x W``.
    """
    return smp.PSPNet(
        design.encoder,
        encoder_weights=None,
        encoder_depth=design.depth,
        output_stride=OUTPUT_STRIDE,  # pyright: ignore[reportArgumentType]
        upsampling=OUTPUT_STRIDE // design.enlarge,
        classes=design.classes,
    )


def enlarged(images: Tensor, factor: int) -> Tensor:
    """Return float images ``B x 3 x H x W`` enlarged bilinearly to ``factor`` times their sides."""
    if factor == 1:
        return images
    return F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)


class AuxiliaryHead(nn.Module):
    """The head of the auxiliary segmentation loss, on the encoder's stage before last (Sec. 4)."""

    def __init__(self, channels: int, classes: int) -> None:
        """Build 3x3 convolution, batch norm, ReLU, dropout 0.1, 1x1 convolution."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels // 4, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels // 4),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(channels // 4, classes, kernel_size=1),
        )

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits ``B x K x H x W`` for features at a fraction of ``size``."""
        logits = self.layers(features)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class PSPNetWithAuxiliary(nn.Module):
    """A PSPNet and its auxiliary head, as they are trained; only ``pspnet`` is kept afterwards."""

    def __init__(self, design: PSPNetDesign) -> None:
        super().__init__()
        self.enlarge = design.enlarge
        self.pspnet = build_pspnet(design)
        self.auxiliary = AuxiliaryHead(self.pspnet.encoder.out_channels[-2], design.classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return main and auxiliary logits, each ``B x K x H x W``, for ``B x 3 x H x W``."""
        features = self.pspnet.encoder(enlarged(images, self.enlarge))
        main = self.pspnet.segmentation_head(self.pspnet.decoder(features))
        return main, self.auxiliary(features[-2], images.shape[-2:])


@dataclass(frozen=True)
class PublishedDesign:
    """What distinguishes the published PSPNets: ResNets with a stem of three convolutions."""

    #: Output channels of the stem's convolutions.
    stem: tuple[int, int, int]
    #: Whether the first block of a dilated stage keeps the dilation of the stage before it.
    contracted: bool
    #: Whether bilinear resizing aligns the centres of the corner pixels.
    align_corners: bool
    #: Number of scored classes.
    classes: int
    #: Residual blocks of the four stages: 3, 4, 23, 3 in ResNet-101.
    blocks: tuple[int, int, int, int]
    #: Bottleneck channels of the first stage, 64 in ResNet-101; all others follow from it.
    width: int


class PublishedPSPNet(nn.Module):
    """The PSPNet of the published weights (Sec. 3.3), for inference.

    It differs from ``build_pspnet`` in its stem, in the first dilation of a stage, in batch norm at
    the pyramid's coarsest level, and in the 3x3 convolution after the pyramid. The auxiliary head
    is left out, as it is in testing (Sec. 4).
    """

    def __init__(self, design: PublishedDesign) -> None:
        super().__init__()
        self._align = design.align_corners
        layers: list[nn.Module] = []
        channels = 3
        for n, wanted in enumerate(design.stem):
            layers += _convolution(channels, wanted, kernel=3, stride=1 if n else 2)
            channels = wanted
        self.stem = nn.Sequential(*layers, nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        self.stages = nn.ModuleList()
        settings = zip(design.blocks, _STRIDES, _DILATIONS, strict=True)
        for n, (blocks, stride, dilation) in enumerate(settings):
            planes = design.width * 2**n
            first = max(1, dilation // 2) if design.contracted else dilation
            self.stages.append(_stage(channels, planes, blocks, stride, dilation, first))
            channels = planes * Bottleneck.expansion
        level = channels // len(_BINS)
        self.pyramid = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), *_convolution(channels, level, kernel=1))
            for bins in _BINS
        )
        self.bottleneck = nn.Sequential(*_convolution(2 * channels, level, kernel=3))
        self.classifier = nn.Conv2d(level, design.classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``B x K x H x W`` for normalised images ``B x 3 x H x W``."""
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        cells = features.shape[-2:]
        levels = [self._resized(level(features), cells) for level in self.pyramid]
        logits = self.classifier(self.bottleneck(torch.cat([features, *levels], dim=1)))
        return self._resized(logits, images.shape[-2:])

    def _resized(self, maps: Tensor, size: torch.Size) -> Tensor:
        return F.interpolate(maps, size, mode="bilinear", align_corners=self._align)


def _convolution(channels: int, wanted: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, wanted, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(wanted),
        nn.ReLU(inplace=True),
    ]


def _stage(
    channels: int, planes: int, blocks: int, stride: int, dilation: int, first: int
) -> nn.Sequential:
    """Return one stage of a ResNet; its first block has the stride and a dilation of its own."""
    wanted = planes * Bottleneck.expansion
    shortcut = nn.Sequential(
        nn.Conv2d(channels, wanted, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(wanted),
    )
    return nn.Sequential(
        Bottleneck(channels, planes, stride, shortcut, dilation=first),
        *(Bottleneck(wanted, planes, dilation=dilation) for _ in range(blocks - 1)),
    )
