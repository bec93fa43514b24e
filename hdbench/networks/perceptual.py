"""VGG-like networks whose features the perceptual loss compares (Sec. 4 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.vgg import make_layers

from hdbench.networks.placement import on_cpu

#: VGG-19's blocks up to relu5_2: channels, and the number of their convolutions.
VGG19_CHANNELS = (64, 128, 256, 512, 512)
VGG19_CONVOLUTIONS = (2, 2, 4, 4, 2)


class PerceptualNetwork(nn.Module):
    """Five blocks of 3x3 convolutions and ReLU, with 2x2 max pooling between them; frozen.

    With VGG-19's channels and convolutions its layers, and their names, are torchvision's.
    """

    def __init__(self, channels: Sequence[int], convolutions: Sequence[int]) -> None:
        super().__init__()
        self.features = make_layers(_configuration(channels, convolutions))
        self.requires_grad_(False)
        self._convolutions = tuple(convolutions)
        self._wide = min(channels) >= VGG19_CHANNELS[0]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return relu1_1, 2_1, 3_1, 4_1, 5_1: the first map of each block.

        Images are in [-1, 1], as they leave the generator, without ImageNet's normalisation
        (official implementation).
        """
        return self._maps(images, 1, F.max_pool2d)

    def second_maps(self, images: Tensor) -> list[Tensor]:
        """Return relu1_2, 2_2, 3_2, 4_2, 5_2, or a block's only map, with average pooling.

        The perceptual loss of the cascaded refinement network compares them (Chen and Koltun, ICCV
        2017, Sec. 3.3). Images are in [-1, 1].
        """
        return self._maps(images, 2, F.avg_pool2d)

    def _maps(
        self, images: Tensor, wanted: int, pool: Callable[[Tensor, int], Tensor]
    ) -> list[Tensor]:
        """Return the map of each block after so many convolutions, or after its last."""
        if on_cpu(images) and self._wide:  # VGG-19's layers are quicker so
            images = images.contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = []
        done = 0  # convolutions of the block
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                images, done = pool(images, 2), 0
                continue
            images = layer(images)
            if not isinstance(layer, nn.ReLU):
                continue
            done += 1
            if done == min(wanted, self._convolutions[len(maps)]):
                maps.append(images)
                if len(maps) == len(self._convolutions):
                    break
        return maps


class PerceptualSegmenter(nn.Module):
    """A perceptual network with batch norm, and a head, as it learns to segment.

    The head adds up 1x1 convolutions of the five blocks, from the coarsest to the finest, so that
    every block is of use and none must hold everything.
    """

    def __init__(self, channels: Sequence[int], convolutions: Sequence[int], classes: int) -> None:
        super().__init__()
        self.channels, self.convolutions = list(channels), list(convolutions)
        self.features = make_layers(_configuration(channels, convolutions), batch_norm=True)
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, kernel_size=1) for width in channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``B x K x H x W`` for images ``B x 3 x H x W`` in [-1, 1]."""
        blocks: list[Tensor] = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                blocks.append(images)
            images = layer(images)
        blocks.append(images)
        logits = self.heads[-1](blocks[-1])
        for head, block in zip(reversed(self.heads[:-1]), reversed(blocks[:-1]), strict=True):
            coarser = F.interpolate(logits, block.shape[-2:], mode="bilinear", align_corners=False)
            logits = head(block) + coarser
        return logits

    @torch.no_grad()
    def folded(self) -> PerceptualNetwork:
        """Return the features alone, batch norm folded into the convolutions before it."""
        network = PerceptualNetwork(self.channels, self.convolutions)
        pairs = zip(
            (layer for layer in self.features.eval() if isinstance(layer, nn.Conv2d)),
            (layer for layer in self.features if isinstance(layer, nn.BatchNorm2d)),
            strict=True,
        )
        plain = (layer for layer in network.features if isinstance(layer, nn.Conv2d))
        for target, (convolution, norm) in zip(plain, pairs, strict=True):
            target.load_state_dict(fuse_conv_bn_eval(convolution, norm).state_dict())
        return network


@dataclass(frozen=True)
class PerceptualChoice:
    """The perceptual network of a run, before it is loaded."""

    #: What the benchmark calls it.
    name: str
    #: Digest of its weights; for ``vgg19-imagenet`` the first digits that torchvision publishes.
    weights: str
    #: Reads it from disk and checks it against the digest.
    load: Callable[[], PerceptualNetwork]

    @property
    def identity(self) -> dict[str, str]:
        """What of it enters a run's identity."""
        return {"name": self.name, "weights": self.weights}


def vgg19() -> PerceptualNetwork:
    """Return VGG-19 up to relu5_2 with untrained weights."""
    return PerceptualNetwork(VGG19_CHANNELS, VGG19_CONVOLUTIONS)


def _configuration(channels: Sequence[int], convolutions: Sequence[int]) -> list[str | int]:
    """Return blocks in torchvision's notation: ``[64, 64, "M", 128, ...]``."""
    layers: list[str | int] = []
    for width, count in zip(channels, convolutions, strict=True):
        layers += ["M"] * bool(layers) + [width] * count
    return layers
