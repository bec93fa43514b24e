"""PSPNet (Zhao et al., CVPR 2017): pyramid pooling over features at 1/8 of the image.

segmentation-models-pytorch has the parts, but its defaults are another network: it reads the
encoder's second stage and pools over undilated features. Shapes: B batch, K classes, H x W image,
both divisible by 8, e the factor by which it is enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass

import segmentation_models_pytorch as smp
from torch import Tensor, nn
from torch.nn import functional as F

#: Features are at 1/8 of what the encoder reads; an image's sides must divide by it.
OUTPUT_STRIDE = 8


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
    """The head of the auxiliary segmentation loss, on the encoder's stage before last (Sec. 3.3).

    Args:
        channels: channels of that stage.
        classes: number of scored classes.
    """

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
    """A PSPNet and its auxiliary head, as they are trained; only ``pspnet`` is kept afterwards.

    Args:
        design: of the PSPNet.
    """

    def __init__(self, design: PSPNetDesign) -> None:
        """Build both with fresh weights."""
        super().__init__()
        self.enlarge = design.enlarge
        self.pspnet = build_pspnet(design)
        self.auxiliary = AuxiliaryHead(self.pspnet.encoder.out_channels[-2], design.classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return main and auxiliary logits, each ``B x K x H x W``, for ``B x 3 x H x W``."""
        features = self.pspnet.encoder(enlarged(images, self.enlarge))
        main = self.pspnet.segmentation_head(self.pspnet.decoder(features))
        return main, self.auxiliary(features[-2], images.shape[-2:])
