"""How often light spots are found where there are none, and where there is one; and how fast.

Photographs of Streets, and CamVid's where HDBENCH_REAL_DATA names its folder's parent; images of
methods where ``--workspace`` has runs on the benchmark streets.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hdbench.data.layouts import find_scenes
from hdbench.data.loading import read_photograph
from hdbench.data.scene import resize_photograph
from hdbench.evaluation.spots import find_spots, spot_metrics
from hdbench.streets.scene import draw_scene

PLANTED = 60
DIAMETERS = range(3, 13)


def streets(count: int, width: int = 256, height: int = 128) -> list[Tensor]:
    """Return scenes of the validation split."""
    images = [draw_scene(2, index, width, height).image for index in range(count)]
    return [image for image in images if image is not None]


def camvid(root: Path) -> list[Tensor]:
    """Return CamVid's validation frames at the benchmark's size."""
    files = find_scenes("camvid", root / "camvid", "val")
    return [resize_photograph(read_photograph(entry.image), 192, 256) for entry in files]


def worn(photograph: Tensor, random: np.random.Generator) -> Tensor:
    """Return a photograph moved by two pixels, blurred over 3x3 and with noise of 5 of 255."""
    moved = photograph.roll((2, 2), (1, 2)).float()[None]
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="reflect"), 3, stride=1)[0]
    noise = torch.from_numpy(random.normal(0, 5, tuple(blurred.shape))).float()
    return (blurred + noise).round().clamp(0, 255).to(torch.uint8)


def with_disk(
    photograph: Tensor, x: int, y: int, diameter: int, edge: float, noise: np.ndarray
) -> Tensor:
    """Return a photograph with a white disk whose edge fades over some pixels."""
    rows, columns = np.mgrid[: photograph.shape[1], : photograph.shape[2]]
    radius = np.hypot(columns - x, rows - y)
    opacity = np.clip((diameter / 2 + edge / 2 - radius) / edge, 0, 1)
    pixels = photograph.numpy() * (1 - opacity) + (255 + noise) * opacity
    return torch.from_numpy(np.clip(np.round(pixels), 0, 255).astype(np.uint8))


def found(photographs: Sequence[Tensor], diameter: int, edge: float, noise: float) -> float:
    """Return the share of planted disks that are found within two pixels of their centre."""
    random, hits = np.random.default_rng(diameter), 0
    for photograph in photographs:
        height, width = photograph.shape[1:]
        x, y = int(random.integers(10, width - 10)), int(random.integers(10, height - 10))
        grain = random.normal(0, noise, tuple(photograph.shape)) if noise else np.zeros(1)
        image = with_disk(photograph, x, y, diameter, edge, grain)
        near = [max(abs(s.x - x), abs(s.y - y)) <= 2 for s in find_spots(image, photograph)]
        hits += any(near)
    return hits / len(photographs)


def per_image(images: Sequence[Tensor], photographs: Sequence[Tensor]) -> str:
    """Return light spots per image in words."""
    return f"{spot_metrics(images, photographs)['spots']:.2f} spots per image"


def report(name: str, photographs: list[Tensor]) -> None:
    """Print false alarms and planted disks of a dataset."""
    random = np.random.default_rng(0)
    others = photographs[len(photographs) // 2 :] + photographs[: len(photographs) // 2]
    print(f"{name}: {len(photographs)} photographs")
    print(f"  against themselves: {per_image(photographs, photographs)}")
    moved = [worn(photograph, random) for photograph in photographs]
    print(f"  against themselves moved, blurred, noisy: {per_image(photographs, moved)}")
    print(f"  against another scene's: {per_image(photographs, others)}")
    for kind, edge, noise in (("sharp", 1.0, 0.0), ("soft, noise of 10", 3.0, 10.0)):
        shares = {d: found(photographs[:PLANTED], d, edge, noise) for d in DIAMETERS}
        listed = ", ".join(f"{d} px {100 * share:.0f} %" for d, share in shares.items())
        print(f"  planted disks found, {kind}: {listed}")


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path)
    workspace = parser.parse_args().workspace
    drawn = streets(100)
    report("Streets 256x128", drawn)
    real = os.environ.get("HDBENCH_REAL_DATA")
    if real:
        report("CamVid 256x192", camvid(Path(real)))
    runs = sorted(workspace.glob("runs/streets/*/seed0/images/val")) if workspace else []
    for folder in runs:
        paths = sorted(folder.glob("*.png"))
        if len(paths) == len(drawn):
            images = [read_photograph(path) for path in paths]
            print(f"{folder.parents[2].name} on streets: {per_image(images, drawn)}")
    for width, height in ((256, 128), (1024, 512)):
        sheet = streets(4, width, height)
        disks = [
            with_disk(one, width // 3, height // 2, height // 16, 1, np.zeros(1)) for one in sheet
        ]
        times: list[float] = []
        for _ in range(9):
            began = time.perf_counter()
            spot_metrics(disks, sheet)
            times.append(time.perf_counter() - began)
        print(f"a sheet of 4 images at {width}x{height}: {1e3 * statistics.median(times):.0f} ms")


if __name__ == "__main__":
    main()
