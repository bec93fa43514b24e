"""Synthesis of hdbench against the straightforward forward pass, on this machine's CPU.

The straightforward one is plain PyTorch layers in fp32, one after the other. Both take turns on the
same scenes with the same weights; a ratio is printed only beside the PSNR of the images. Below it
stands the floor: operations over the rate of matrix products, bytes of the maps over bandwidth.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from floor import bandwidth, matrix_rate
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hdbench.data.labels import shipped_space
from hdbench.data.scene import collate, from_network_range
from hdbench.data.sheets import to_pil
from hdbench.library import GENERATORS, Library
from hdbench.networks.builder import (
    AS_STATED,
    Limits,
    build_generator,
    conditioning,
    limits_of,
    stated_generator,
)
from hdbench.runtime.devices import in_precision, machine_facts
from hdbench.runtime.weights import load_weights
from hdbench.schema.method import Pix2PixHD
from hdbench.streets.scene import draw_scene

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from straightforward import (  # pyright: ignore[reportMissingImports]
    straightforward_generator,
)

LIBRARY = Library()
SPACE = shipped_space("cityscapes")
SHIPPED = LIBRARY.entries(GENERATORS)["streets-ours-v1"]
LEVELS = (1, 3, 6, 9)
BF16, FP32 = torch.bfloat16, torch.float32


def psnr(one: Tensor, other: Tensor) -> float:
    """Return the PSNR of two uint8 images in dB."""
    error = (one.float() - other.float()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def bytes_of_maps(network: nn.Module, x: Tensor) -> int:
    """Return the bytes of all maps that layers read or write, in the network's precision."""
    total = 0

    def add(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal total
        total += given[0].nbytes + made.nbytes

    leaves = [layer for layer in network.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(add) for layer in leaves]
    network(x)
    for hook in hooks:
        hook.remove()
    return total


@torch.no_grad()
def compare(name: str, limits: Limits, size: tuple[int, int], rounds: int, weights: bool) -> Tensor:
    """Time the ways of one generator in turns, print ratios and floors, and return an image."""
    method = LIBRARY.method(name)
    assert isinstance(method, Pix2PixHD)
    condition = conditioning(method, SPACE.channels)
    scenes = [condition(collate([draw_scene(1, n, *size)])) for n in range(2)]
    torch.manual_seed(0)
    ours, reduced = (build_generator(method, condition.channels, limits).eval() for _ in range(2))
    if weights:
        load_weights(SHIPPED / "generator.safetensors", ours)
    reduced.load_state_dict(ours.state_dict())
    in_precision(reduced, "bf16")
    ways: dict[str, Callable[[Tensor], Tensor]] = {"ours, fp32": ours}
    if method.generator.enhancers == 0:
        spec = stated_generator(method, limits)
        inputs = condition.channels
        plain = straightforward_generator(inputs, spec.base_channels, spec.downsamplings, spec)
        for mine, theirs in zip(plain.parameters(), ours.parameters(), strict=True):
            mine.copy_(theirs)
        ways = {"straightforward": plain.eval(), **ways}
    ways["ours, bf16"] = lambda x: reduced(x.to(BF16))
    images = {way: from_network_range(run(scenes[0])[0]) for way, run in ways.items()}  # warms up
    walls: dict[str, list[float]] = {way: [] for way in ways}
    works: dict[str, list[float]] = {way: [] for way in ways}
    for n in range(rounds):
        for way, run in ways.items():
            began = time.perf_counter(), time.process_time()
            run(scenes[n % 2])
            walls[way].append(time.perf_counter() - began[0])
            works[way].append(time.process_time() - began[1])
    with FlopCounterMode(display=False) as counter:
        reduced(scenes[0].to(BF16))
    flops = counter.get_total_flops()
    moved = bytes_of_maps(reduced, scenes[0].to(BF16))
    first = next(iter(ways))
    kind = "trained weights" if weights else "random weights"
    print(f"{name} at {size[0]}x{size[1]}, {kind}, {flops / 1e9:.0f} GFLOP")
    for way in ways:
        ratios = [
            statistics.median(a / b for a, b in zip(times[first], times[way], strict=True))
            for times in (walls, works)
        ]
        print(
            f"  {way:15} {statistics.median(walls[way]):7.3f} s, {ratios[0]:.2f}x; processor "
            f"{statistics.median(works[way]):7.3f} s, {ratios[1]:.2f}x; "
            f"PSNR {psnr(images[first], images[way]):.1f} dB",
            flush=True,
        )
    rates = {dtype: flops / matrix_rate(dtype) for dtype in (FP32, BF16)}
    print(
        f"  floor: products {rates[FP32]:.3f} s in fp32, {rates[BF16]:.3f} s in bf16; "
        f"maps in bf16 {moved / 1e9:.1f} GB, {moved / bandwidth():.3f} s",
        flush=True,
    )
    return images[first]


def levels(image: Tensor) -> None:
    """Print processor time and size of an image by compression level."""
    picture = to_pil(image)
    for level in LEVELS:
        times, size = [], 0
        for _ in range(5):
            buffer = io.BytesIO()
            began = time.thread_time()
            picture.save(buffer, format="PNG", compress_level=level)
            times.append(time.thread_time() - began)
            size = buffer.tell()
        used = ", hdbench's" if level == 6 else ""
        print(f"  level {level}{used}: {1000 * min(times):.0f} ms, {size / 1000:.0f} kB")


def main() -> None:
    """Measure the generators and the levels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: 3)")
    options = parser.parse_args()
    facts = machine_facts(torch.device("cpu"))
    print(f"{facts['processor']}, {facts['threads']} threads, PyTorch {torch.__version__}")
    compare("ours", AS_STATED, (1024, 512), options.rounds, weights=False)
    compare("ours-full", AS_STATED, (1024, 512), options.rounds, weights=False)
    streets = limits_of(LIBRARY.benchmark("streets"))
    compare("ours", streets, (256, 128), 3 * options.rounds, weights=True)
    image = compare("ours", streets, (1024, 512), options.rounds, weights=True)
    print("PNG of the last image")
    levels(image)


if __name__ == "__main__":
    main()
