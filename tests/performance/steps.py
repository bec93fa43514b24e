"""A training step of ``ours-no-vgg`` on Streets by width and precision, on this machine's CPU."""

from __future__ import annotations

import statistics
import time

import torch

from hdbench.data.scene import collate
from hdbench.data.streets.scene import draw_scene
from hdbench.library import Library
from hdbench.schema.method import Pix2PixHD
from hdbench.training.loop import Pix2PixHDTrainer

STEPS = 6
library = Library()
benchmark, method = library.benchmark("streets"), library.method("ours-no-vgg")
assert isinstance(method, Pix2PixHD)
batches = [collate([draw_scene(1, n, 256, 128)]) for n in range(STEPS)]

first = 0.0
for width in (0.25, 0.5, 1.0):
    for precision in ("fp32", "bf16"):
        budget = benchmark.budget.model_copy(update={"width": width, "precision": precision})
        sized = benchmark.model_copy(update={"budget": budget})
        trainer = Pix2PixHDTrainer(method, sized, 0, None, torch.device("cpu"))
        times = []
        for batch in batches:
            began = time.perf_counter()
            trainer.step(batch, 2e-4)
            times.append(time.perf_counter() - began)
        step = statistics.median(times[1:])
        first = first or step
        print(f"width {width:<4} {precision}  {step:.3f} s per step, {step / first:.2f}x")
