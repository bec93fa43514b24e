"""What hdbench's own layers cost against PyTorch's, on the shapes of Streets at a quarter width.

Each time is a forward and a backward pass, the median over scenes; the two layers take turns, so
that a machine that slows down slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.data.labels import shipped_space
from hdbench.data.scene import collate
from hdbench.library import Library
from hdbench.networks.builder import conditioning
from hdbench.networks.layers import ConditionConv2d, InstanceNorm2d
from hdbench.runtime.devices import autocast
from hdbench.schema.method import Pix2PixHD
from hdbench.streets.scene import draw_scene

SCENES = 24
method = Library().method("ours-no-vgg")
assert isinstance(method, Pix2PixHD)
condition = conditioning(method, shipped_space("cityscapes").channels)
conditions = [condition(collate([draw_scene(1, n, 256, 128)])) for n in range(SCENES)]
with_images = [torch.cat([one, torch.rand(1, 3, 128, 256)], dim=1) for one in conditions]


class FunctionalNorm(nn.Module):
    """PyTorch's own instance norm."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each image, ``B x C x H x W``."""
        return F.instance_norm(x)


def ratio(ours: nn.Module, plain: nn.Module, inputs: Sequence[Tensor], precision: str) -> float:
    """Return the time of our layer over that of PyTorch's."""
    times: dict[nn.Module, list[float]] = {ours: [], plain: []}
    for x in inputs:
        for layer in (ours, plain):
            began = time.perf_counter()
            with autocast(torch.device("cpu"), precision):
                output = layer(x)
            output.backward(torch.ones_like(output))
            times[layer].append(time.perf_counter() - began)
    # The first scene warms up.
    return statistics.median(times[ours][1:]) / statistics.median(times[plain][1:])


used = statistics.mean(float((one.amax(dim=(0, 2, 3)) > 0).float().mean()) for one in conditions)
print(f"{used:.0%} of a condition's {condition.channels} channels are used by a scene")

seen = condition.channels
convolutions = (
    ("generator's first", conditions, ConditionConv2d(seen, 16, 7), nn.Conv2d(seen, 16, 7)),
    (
        "discriminator's first",
        with_images,
        ConditionConv2d(seen + 3, 16, 4, stride=2, padding=2),
        nn.Conv2d(seen + 3, 16, 4, stride=2, padding=2),
    ),
)
for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
    for name, inputs, ours, plain in convolutions:
        found = ratio(ours, plain, inputs, precision)
        print(f"{precision} ConditionConv2d over Conv2d, {name}: {found:.2f}x")
    for channels, height, width in ((16, 128, 256), (32, 64, 128), (64, 32, 64)):
        maps = [
            torch.randn(1, channels, height, width, dtype=dtype, requires_grad=True)
            for _ in range(SCENES)
        ]
        found = ratio(InstanceNorm2d(), FunctionalNorm(), maps, precision)
        shape = f"{channels}x{height}x{width}"
        print(f"{precision} InstanceNorm2d over F.instance_norm, {shape}: {found:.2f}x")
