"""The objective of pix2pixHD (Sec. 3.2, Eq. 2 to 5), and the losses of its baselines.

A discriminator's output is, for each scale, its feature maps and last its logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hdbench.data.labels import VOID
from hdbench.runtime.ranks import ALONE, Ranks

#: Weights of relu1_1 to relu5_1 in the perceptual loss (official implementation).
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
_NEAREST = 0.999  # the share of the nearest image (the authors' GTA_Diversity_256p.py)
_REMEMBERED = 1000  # steps
_LEAST_DISTANCE = 1e-8


def wide(x: Tensor) -> Tensor:
    """Return a tensor in fp32, or in fp64 if it is: losses are never computed in bf16."""
    return x if x.dtype == torch.float64 else x.float()


def gan_loss(outputs: Sequence[Sequence[Tensor]], real: bool, kind: str) -> Tensor:
    """Return the adversarial loss of the discriminators' outputs, summed over scales (Eq. 3).

    ``real`` says whether the logits should say "real"; ``kind`` is ``lsgan`` (least squares,
    targets 1 and 0) or ``log`` (cross-entropy, Eq. 2).
    """
    total = outputs[0][-1].new_zeros((), dtype=torch.float32)
    for maps in outputs:
        logits = wide(maps[-1])
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
            total = total + F.l1_loss(wide(fake_map), wide(real_map.detach()))
    return total * (4 / (len(fake[0]) - 1)) / len(fake)


def perceptual_loss(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Return the weighted L1 distance of perceptual features (Sec. 4); real gets no gradient."""
    total = fake[0].new_zeros((), dtype=torch.float32)
    for weight, fake_map, real_map in zip(PERCEPTUAL_WEIGHTS, fake, real, strict=True):
        total = total + weight * F.l1_loss(wide(fake_map), wide(real_map.detach()))
    return total


def class_distances(
    fake: Sequence[Tensor], real: Sequence[Tensor], classes: Tensor | None
) -> list[Tensor]:
    """Return the L1 distance of each map, by image and class (Chen and Koltun 2017, Eq. 3 and 4).

    Args:
        fake: maps of N images of each of B scenes, ``BN x C x h x w``, a scene's images in a row.
        real: maps of the photographs, ``B x C x h x w``; they get no gradient.
        classes: one-hot labels ``B x P x H x W``, averaged to the size of each map; None: all
            pixels are of one class.

    Returns:
        For each map ``B x N x P``: the mean over channels and pixels, those of other classes as 0.
    """
    distances = []
    for fake_map, real_map in zip(fake, real, strict=True):
        images = wide(fake_map).unflatten(0, (len(real_map), -1))
        by_pixel = (images - wide(real_map.detach())[:, None]).abs().mean(dim=2)
        if classes is None:
            distances.append(by_pixel.mean(dim=(2, 3))[..., None])
        else:
            height, width = by_pixel.shape[-2:]
            share = F.adaptive_avg_pool2d(classes, (height, width))
            weighted = torch.einsum("bnhw,bphw->bnp", by_pixel, share)
            distances.append(weighted / (height * width))
    return distances


def nearest_image_loss(distances: Sequence[Tensor], divisors: Tensor) -> Tensor:
    """Return the perceptual loss of the cascaded refinement network, the mean over scenes.

    Each map's distance ``B x N x P`` is divided by one of ``divisors``. For each class the nearest
    of the N images counts, and all of them with a weight of 0.001 (the authors' program; Eq. 4 has
    the nearest alone), so that none stays without a gradient.
    """
    total = torch.stack([d / divisor for d, divisor in zip(distances, divisors, strict=True)])
    by_image = total.sum(dim=0)
    nearest, mean = by_image.amin(dim=1), by_image.mean(dim=1)
    return (_NEAREST * nearest + (1 - _NEAREST) * mean).sum(dim=1).mean()


class Balance:
    """Divisors by which the maps of a perceptual loss contribute alike: their running means.

    Chen and Koltun rescale the terms once, by hand, to equal contributions (Sec. 3.3); the numbers
    that they found belong to their network. Here the mean is that of the steps so far, and of about
    the last 1,000 later on.
    """

    def __init__(self, ranks: Ranks = ALONE) -> None:
        """``ranks`` share each step's scenes."""
        self._ranks = ranks
        self._means: Tensor | None = None
        self._steps = 0

    def of(self, distances: Sequence[Tensor]) -> Tensor:
        """Return the divisors after a step with these distances, ``B x N x P`` each."""
        found = torch.stack([one.detach().sum(dim=2).mean() for one in distances])
        found = self._ranks.mean(found)
        self._steps = min(self._steps + 1, _REMEMBERED)
        known = found if self._means is None else self._means.to(found.device)
        means = known + (found - known) / self._steps
        self._means = means
        return means.clamp(min=_LEAST_DISTANCE)

    def state_dict(self) -> dict[str, Any]:
        """Return what ``load_state_dict`` goes on from."""
        return {"means": self._means, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._means, self._steps = state["means"], state["steps"]


def pixel_cross_entropy(logits: Tensor, truth: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Return the mean cross-entropy over pixels that are not void; 0 if all are void.

    ``logits`` are B x K x H x W, ``truth`` int64 B x H x W train ids or ``VOID``. Where ``ranks``
    share a batch, the mean of what they get is that of all of its pixels.
    """
    total = F.cross_entropy(logits, truth, ignore_index=VOID, reduction="sum")
    count = ranks.mean((truth != VOID).sum())
    return total / count.clamp(min=1 / ranks.count)
