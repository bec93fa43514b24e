"""The cascaded refinement network (Chen and Koltun, ICCV 2017, Sec. 3.2).

Shapes: B batch, C input channels, H x W image. Modules follow each other from about 4 rows to H,
each at twice the size of the one before:

    module  concat(condition at its size, features of the module before, enlarged)
            2 x (3x3 convolution, layer norm over C, H and W, LeakyReLU 0.2)
    last    1x1 convolution to N images

The condition is averaged over areas, features are enlarged bilinearly with aligned corners (the
authors' program).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.networks.generator import require_divisible
from hdbench.networks.layers import ConditionConv2d, initialise
from hdbench.networks.unet_generator import halvings

_SLOPE = 0.2  # of LeakyReLU
#: Rows of the coarsest module's map, at least.
_LEAST_ROWS = 4


class RefinementModule(nn.Module):
    """One module: condition and the features of the module before to features.

    ``features`` are the channels of the module before; 0 for the coarsest, which has none.
    """

    def __init__(self, condition: int, features: int, channels: int) -> None:
        super().__init__()
        # The first convolution reads condition and features: two convolutions, added up.
        self.of_condition = ConditionConv2d(condition, channels, 3, padding=1, bias=False)
        self.of_features = (
            nn.Conv2d(features, channels, 3, padding=1, bias=False) if features else None
        )
        self.first = nn.Sequential(nn.GroupNorm(1, channels), nn.LeakyReLU(_SLOPE))
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(1, channels),
            nn.LeakyReLU(_SLOPE),
        )

    def forward(self, condition: Tensor, features: Tensor | None) -> Tensor:
        """Return features at the condition's size, twice that of the features before."""
        x = self.of_condition(condition)
        if self.of_features is not None:
            assert features is not None
            size = condition.shape[-2:]
            larger = F.interpolate(features, size, mode="bilinear", align_corners=True)
            x = x + self.of_features(larger)
        return self.second(self.first(x))


class CascadedRefinementNetwork(nn.Module):
    """CRN: refinement modules from the coarsest to the finest, then the images.

    ``channels`` are those of the modules from the finest to the coarsest: 32, 128, 512, 512 and
    five times 1024 in the paper, for 2048x1024. ``images`` is the number of images of a scene.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], images: int) -> None:
        super().__init__()
        self.divisor = 2 ** (len(channels) - 1)
        coarse_first = list(reversed(channels))
        self.refinements = nn.ModuleList(
            RefinementModule(in_channels, before, width)
            for before, width in zip([0, *coarse_first], coarse_first, strict=False)
        )
        self.to_images = nn.Conv2d(coarse_first[-1], 3 * images, kernel_size=1)
        initialise(self)

    def forward(self, condition: Tensor) -> Tensor:
        """Return images ``B x 3N x H x W`` for a condition ``B x C x H x W``.

        They have no tanh: values beyond [-1, 1] are cut off when they become pixels.

        Raises:
            ValueError: H or W does not divide by ``divisor``.
        """
        require_divisible(condition, self.divisor, type(self).__name__)
        pyramid = [condition]
        for _ in range(len(self.refinements) - 1):
            pyramid.append(F.avg_pool2d(pyramid[-1], kernel_size=2))
        features = None
        for module in self.refinements:
            features = module(pyramid.pop(), features)
        return self.to_images(features)


def modules_within(width: int, height: int) -> int:
    """Return how many modules there are from a map of at least 4 rows and columns to an image."""
    shorter, doublings = min(width, height), 0
    while doublings < halvings(width, height) and shorter >> (doublings + 1) >= _LEAST_ROWS:
        doublings += 1
    return doublings + 1


def images_of(output: Tensor) -> Tensor:
    """Return the images ``B x N x 3 x H x W`` of a generator's output ``B x 3N x H x W``."""
    return torch.stack(output.split(3, dim=1), dim=1)
