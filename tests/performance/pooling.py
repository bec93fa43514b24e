"""The mean over instances against loops over them, and its share of a training step.

At 1024x512 with 25 instances; first the outputs and the gradients of both are compared.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hdbench.data.scene import Batch
from hdbench.library import Library
from hdbench.networks.encoder import instance_average
from hdbench.schema.method import Pix2PixHD
from hdbench.training.trainer import Pix2PixHDTrainer

WIDTH, HEIGHT, INSTANCES, ROUNDS, STEPS = 1024, 512, 25, 15, 3
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
    average: Callable[[Tensor, Tensor], Tensor], features: Tensor, regions: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the averages, and the gradient of a weighted sum of them."""
    features = features.detach().requires_grad_()
    averaged = average(features, regions)
    [gradient] = torch.autograd.grad(averaged, features, weights.to(averaged.dtype))
    return averaged.detach(), gradient


@dataclass(frozen=True)
class Times:
    """Milliseconds of the calls of one function, the first call left out."""

    clock: list[float]
    processor: list[float]  # of all threads; other processes disturb it less

    @property
    def least(self) -> float:
        """Return the shortest time by the clock."""
        return min(self.clock)

    def __str__(self) -> str:
        return (
            f"median {statistics.median(self.clock):.2f} ms, least {self.least:.2f} ms; "
            f"processor time: median {statistics.median(self.processor):.2f} ms, "
            f"least {min(self.processor):.2f} ms"
        )

    def over(self, other: Times) -> str:
        """Return how many times as long these take, by medians, least times and processor time."""
        return (
            f"{statistics.median(self.clock) / statistics.median(other.clock):.0f}x by medians, "
            f"{self.least / other.least:.0f}x by least times, "
            f"{min(self.processor) / min(other.processor):.0f}x by least processor time"
        )


def timed(rounds: int, **works: Callable[[], object]) -> dict[str, Times]:
    """Return the times of functions that are called in turn, so that all meet the same machine."""
    times = {name: Times([], []) for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began, used = time.perf_counter(), time.process_time()
            work()
            if number:
                times[name].clock.append(1e3 * (time.perf_counter() - began))
                times[name].processor.append(1e3 * (time.process_time() - used))
    return times


def training_step(regions: Tensor) -> Callable[[], object]:
    """Return a training step of ours-styles, without perceptual loss."""
    library = Library()
    method, benchmark = library.method("ours-styles"), library.benchmark("streets")
    assert isinstance(method, Pix2PixHD)
    plain = method.model_copy(update={"loss": method.loss.model_copy(update={"perceptual": 0.0})})
    trainer = Pix2PixHDTrainer(plain, benchmark, 0, None, torch.device("cpu"))
    image = torch.randint(0, 256, (1, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    label = (regions % 11 + 7).to(torch.uint8)
    batch = Batch(["cells"], label, regions, image)
    return lambda: trainer.step(batch, 2e-4)


def main() -> None:
    """Print the comparison."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    torch.manual_seed(0)
    regions, features = instances(), torch.randn(1, 3, HEIGHT, WIDTH)
    weights = torch.linspace(-1, 1, features.numel()).view_as(features)
    averages = {"ours": instance_average, "masks": looped, "indices": masked}
    ours, *loops = (both_ways(one, features, regions, weights) for one in averages.values())
    exact = both_ways(looped, features.double(), regions, weights)
    works = {
        name: functools.partial(both_ways, one, features, regions, weights)
        for name, one in averages.items()
    }
    times = timed(ROUNDS, **works)
    print(f"{WIDTH}x{HEIGHT}, {INSTANCES} instances, 3 channels, {torch.get_num_threads()} threads")
    print(f"instance_average, forward and backward: {times['ours']}")
    kinds = {"masks": "by arithmetic with masks", "indices": "by indices, channel by channel"}
    for (name, kind), loop in zip(kinds.items(), loops, strict=True):
        output, gradient = differences(ours, loop)
        assert max(output, gradient) < TOLERANCE, (output, gradient)
        print(f"loop over instances {kind}: {times[name]}")
        print(f"  {times[name].over(times['ours'])}")
        print(f"  largest difference of outputs {output:.1e}, of gradients {gradient:.1e}")
    output, gradient = differences(ours, exact)
    print(f"against the loop in fp64: outputs {output:.1e}, gradients {gradient:.1e}")
    step = timed(STEPS, step=training_step(regions))["step"]
    print(f"training step of ours-styles, a quarter of the paper's channels, no VGG loss: {step}")
    print(
        f"  share of the mean over instances, least times: {times['ours'].least / step.least:.2%}"
    )


def differences(some: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> list[float]:
    """Return the largest absolute difference of outputs and of gradients."""
    return [float((a - b).abs().max()) for a, b in zip(some, others, strict=True)]


if __name__ == "__main__":
    main()
