"""The mean over instances against loops over them, and its share of a training step.

At 1024x512 with 25 instances; first the outputs and the gradients of both are compared.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from hdbench.data.scene import Batch
from hdbench.library import Library
from hdbench.networks.encoder import instance_average
from hdbench.schema.method import Pix2PixHD
from hdbench.training.trainer import Pix2PixHDTrainer

WIDTH, HEIGHT, INSTANCES, ROUNDS = 1024, 512, 25, 15
TOLERANCE = 1e-5


def instances() -> Tensor:
    """Return ids 1 x H x W of instances that are the cells of random points (Voronoi)."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand((INSTANCES, 2), generator=random) * torch.tensor([HEIGHT, WIDTH])
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    distances = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in points.tolist()]
    return (26000 + torch.stack(distances).argmin(0)).to(torch.int32)[None]


def looped(features: Tensor, regions: Tensor) -> Tensor:
    """Return the mean over instances, one after the other."""
    averaged = torch.zeros_like(features)
    for one in regions.unique():
        inside = (regions == one).unsqueeze(1).to(features.dtype)
        mean = (features * inside).sum((0, 2, 3), keepdim=True) / inside.sum()
        averaged = averaged + mean * inside
    return averaged


def masked(features: Tensor, regions: Tensor) -> Tensor:
    """Return the same by the indices of each instance's pixels, one channel after the other."""
    averaged = torch.zeros_like(features)
    for one in regions.unique():
        image, row, column = (regions == one).nonzero(as_tuple=True)
        for channel in range(features.shape[1]):
            averaged[image, channel, row, column] = features[image, channel, row, column].mean()
    return averaged


def both_ways(
    average: Callable[[Tensor, Tensor], Tensor], features: Tensor, regions: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the averages, and the gradient of a weighted sum of them."""
    features = features.detach().requires_grad_()
    averaged = average(features, regions)
    weights = torch.linspace(-1, 1, averaged.numel()).view_as(averaged)
    [gradient] = torch.autograd.grad(averaged, features, weights)
    return averaged.detach(), gradient


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of some calls."""
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def step_seconds(regions: Tensor) -> float:
    """Return the median time of a training step of ours-styles, without perceptual loss."""
    library = Library()
    method, benchmark = library.method("ours-styles"), library.benchmark("streets")
    assert isinstance(method, Pix2PixHD)
    plain = method.model_copy(update={"loss": method.loss.model_copy(update={"perceptual": 0.0})})
    trainer = Pix2PixHDTrainer(plain, benchmark, 0, None, torch.device("cpu"))
    image = torch.randint(0, 256, (1, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    label = (regions % 11 + 7).to(torch.uint8)
    batch = Batch(["cells"], label, regions, image)
    times: list[float] = []
    for _ in range(4):
        began = time.perf_counter()
        trainer.step(batch, 2e-4)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Print the comparison."""
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    regions, features = instances(), torch.randn(1, 3, HEIGHT, WIDTH)
    ours = both_ways(instance_average, features, regions)
    took = seconds(lambda: both_ways(instance_average, features, regions))
    print(f"{WIDTH}x{HEIGHT}, {INSTANCES} instances, 3 channels, {torch.get_num_threads()} threads")
    print(f"instance_average, forward and backward: {1e3 * took:.2f} ms")
    exact = both_ways(looped, features.double(), regions)
    for name, loop in (("arithmetic with masks", looped), ("indices by channel", masked)):
        both = both_ways(loop, features, regions)
        errors = [float((a - b).abs().max()) for a, b in zip(ours, both, strict=True)]
        assert max(errors) < TOLERANCE, errors
        slower = seconds(lambda loop=loop: both_ways(loop, features, regions))
        print(
            f"loop over instances, {name}: {1e3 * slower:.1f} ms, {slower / took:.0f}x; largest "
            f"difference of outputs {errors[0]:.1e}, of gradients {errors[1]:.1e}"
        )
    errors = [float((a - b).abs().max()) for a, b in zip(ours, exact, strict=True)]
    print(f"against the loop in fp64: outputs {errors[0]:.1e}, gradients {errors[1]:.1e}")
    step = step_seconds(regions)
    print(
        f"training step of ours-styles at {WIDTH}x{HEIGHT}, a quarter of the paper's channels, no "
        f"perceptual loss: {step:.2f} s, of which the mean over instances {100 * took / step:.2f} %"
    )


if __name__ == "__main__":
    main()
