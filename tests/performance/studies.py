"""The paper's study (500 images x 10 judgments x 3 pairs): design, packet and proof in seconds.

Images are small, because copying them is not what is measured; it is printed beside the rest.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from hdbench.library import Library
from hdbench.study.design.trials import design
from hdbench.study.packet import build as packet
from hdbench.study.packet.gathering import gather
from hdbench.study.packet.verify import verify
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

METHODS = ("ours", "pix2pix", "crn")
SCENES, SIZE = 500, (64, 48)

BENCHMARK = """
extends = "camvid"
name    = "many"
title   = "Many small scenes"
[size]
width  = 64
height = 48
"""


def dataset(root: Path) -> Bench:
    """Write scenes of noise and images of three methods for them."""
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", SCENES)):
        for folder in (split, f"{split}annot"):
            (root / "data" / folder).mkdir(parents=True)
        for n in range(count):
            name = f"{split}_{n:04}.png"
            photograph = random.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
            Image.fromarray(photograph).save(root / "data" / split / name)
            label = np.full(SIZE[::-1], n % 11, np.uint8)
            Image.fromarray(label).save(root / "data" / f"{split}annot" / name)
    (root / "many.toml").write_text(BENCHMARK)
    bench = open_bench(Workspace(root / "ws", root / "data", str(root / "many.toml")))
    for method in METHODS:
        folder = bench.image_folder(method, 0)
        folder.mkdir(parents=True)
        for entry in bench.dataset.test_scenes:
            pixels = random.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{entry.name}.png")
    return bench


def timed(bench: Bench, root: Path, study: str) -> None:
    """Print what each step of one study costs."""
    protocol = Library().study(study)
    began = time.perf_counter(), time.process_time()
    trials = design(3, SCENES, 37, protocol, 0)
    designed = time.perf_counter() - began[0], time.process_time() - began[1]
    material = gather(bench, protocol, METHODS, None, 0, False, None)
    copying: list[float] = []
    write = packet.write_images

    def copy(*arguments: object) -> tuple[dict[str, str], int]:
        start = time.perf_counter(), time.process_time()
        written = write(*arguments)  # pyright: ignore[reportArgumentType]
        copying.extend((time.perf_counter() - start[0], time.process_time() - start[1]))
        return written

    began = time.perf_counter(), time.process_time()
    with mock.patch.object(packet, "write_images", copy):
        flags = packet.Flags(0, 0, False, None)
        built = packet.build(bench, protocol, material, None, flags, root / study)
    total = time.perf_counter() - began[0], time.process_time() - began[1]
    began = time.perf_counter(), time.process_time()
    findings = verify(built.folder)
    verified = time.perf_counter() - began[0], time.process_time() - began[1]
    assert not any(finding.violations for finding in findings)
    print(f"{study}: {len(trials)} trials in {built.study.packets} packets")
    rest = total[0] - copying[0], total[1] - copying[1]
    for step, (wall, processor) in (
        ("design", designed),
        ("build, which designs and proves, without images", rest),
        ("copying images within it", (copying[0], copying[1])),
        ("verify", verified),
        ("build without images + verify", (rest[0] + verified[0], rest[1] + verified[1])),
    ):
        print(f"  {step:<50} {wall:6.2f} s, {processor:6.2f} s of processor time")


with tempfile.TemporaryDirectory() as folder:
    many = dataset(Path(folder))
    for name in ("unlimited", "limited"):
        timed(many, Path(folder), name)
