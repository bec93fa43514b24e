"""U-Net (Ronneberger et al., MICCAI 2015): down to coarse features, and up again beside them.

The decoder doubles features and halves their channels, block by block, until they have the image's
size; each block also reads what the encoder had at that size, so that what is thin keeps its place.
segmentation-models-pytorch has all of it. Shapes: B batch, K classes, H x W image, both divisible
by 2 ** depth.
"""

from __future__ import annotations

import segmentation_models_pytorch as smp

_LAST_CHANNELS = 16  # of the decoder's block at the image's size, as smp has it


def output_stride(depth: int) -> int:
    """Return the fraction of the image at which the coarsest features are; sides divide by it."""
    return 2**depth


def build_unet(encoder: str, depth: int, classes: int) -> smp.Unet:
    """Return a U-Net with fresh weights, from ``B x 3 x H x W`` to logits ``B x K x H x W``.

    ``depth`` stages of the encoder are used, each at half the size of the one before.
    """
    return smp.Unet(
        encoder,
        encoder_weights=None,
        encoder_depth=depth,
        decoder_channels=[_LAST_CHANNELS * 2**n for n in reversed(range(depth))],
        classes=classes,
    )
