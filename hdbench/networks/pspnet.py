"""PSPNet (Zhao et al., CVPR 2017): pyramid pooling over features at 1/8 of the image.

segmentation-models-pytorch has the parts, but its defaults are another network: it reads the
encoder's second stage and pools over undilated features. Shapes: B batch, K classes, H x W image,
both divisible by 8.
"""

from __future__ import annotations

import segmentation_models_pytorch as smp
from torch import Tensor, nn
from torch.nn import functional as F

#: Features are at 1/8 of the image; its sides must divide by it.
OUTPUT_STRIDE = 8


def build_pspnet(encoder: str, classes: int) -> smp.PSPNet:
    """Return a PSPNet with fresh weights; ``B x 3 x H x W`` to logits ``B x K x H x W``.

    Args:
        encoder: an encoder of segmentation-models-pytorch that can be dilated.
        classes: number of scored classes.
    """
    return smp.PSPNet(
        encoder,
        encoder_weights=None,
        encoder_depth=5,
        output_stride=OUTPUT_STRIDE,  # pyright: ignore[reportArgumentType]
        upsampling=OUTPUT_STRIDE,
        classes=classes,
    )


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
        encoder: an encoder of segmentation-models-pytorch that can be dilated.
        classes: number of scored classes.
    """

    def __init__(self, encoder: str, classes: int) -> None:
        """Build both with fresh weights."""
        super().__init__()
        self.pspnet = build_pspnet(encoder, classes)
        self.auxiliary = AuxiliaryHead(self.pspnet.encoder.out_channels[-2], classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return main and auxiliary logits, each ``B x K x H x W``."""
        features = self.pspnet.encoder(images)
        main = self.pspnet.segmentation_head(self.pspnet.decoder(features))
        return main, self.auxiliary(features[-2], images.shape[-2:])
