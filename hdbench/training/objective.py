"""The objective of pix2pixHD (Sec. 3.2, Eq. 2 to 5).

A discriminator's output is, for each scale, its feature maps and last its logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hdbench.data.labels import VOID

#: Weights of relu1_1 to relu5_1 in the perceptual loss (official implementation).
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def gan_loss(outputs: Sequence[Sequence[Tensor]], real: bool, kind: str) -> Tensor:
    """Return the adversarial loss of the discriminators' outputs, summed over scales (Eq. 3).

    ``real`` says whether the logits should say "real"; ``kind`` is ``lsgan`` (least squares,
    targets 1 and 0) or ``log`` (cross-entropy, Eq. 2).
    """
    total = outputs[0][-1].new_zeros((), dtype=torch.float32)
    for maps in outputs:
        logits = maps[-1].float()
        target = torch.full_like(logits, float(real))
        if kind == "lsgan":
            total = total + F.mse_loss(logits, target)
        else:
            total = total + F.binary_cross_entropy_with_logits(logits, target)
    return total


def feature_matching_loss(
    fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]
) -> Tensor:
    """Return the L1 distance of the discriminators' feature maps (Eq. 4), logits left out.

    Mean over elements, summed over maps, divided by the number of scales and multiplied by 4 over
    the number of maps of a scale, which is 1 for the paper's discriminators (the official
    implementation; the paper sums over scales). The real maps get no gradient.
    """
    total = fake[0][0].new_zeros((), dtype=torch.float32)
    for fake_maps, real_maps in zip(fake, real, strict=True):
        for fake_map, real_map in zip(fake_maps[:-1], real_maps[:-1], strict=True):
            total = total + F.l1_loss(fake_map.float(), real_map.detach().float())
    return total * (4 / (len(fake[0]) - 1)) / len(fake)


def perceptual_loss(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Return the weighted L1 distance of perceptual features (Sec. 4); real gets no gradient."""
    total = fake[0].new_zeros((), dtype=torch.float32)
    for weight, fake_map, real_map in zip(PERCEPTUAL_WEIGHTS, fake, real, strict=True):
        total = total + weight * F.l1_loss(fake_map.float(), real_map.detach().float())
    return total


def pixel_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the mean cross-entropy over pixels that are not void; 0 if all are void.

    ``logits`` are B x K x H x W, ``truth`` int64 B x H x W train ids or ``VOID``.
    """
    total = F.cross_entropy(logits, truth, ignore_index=VOID, reduction="sum")
    return total / (truth != VOID).sum().clamp(min=1)
