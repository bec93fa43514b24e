"""How much of the decoding hides behind the training step.

Times the same steps three ways: batches already in memory (the floor), decoded by a worker ahead
of the network (the default), and decoded in between. Uses CamVid where HDBENCH_REAL_DATA names its
folder's parent, else drawn scenes of the same size.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from conftest import write_scene

from hdbench.data.labels import shipped_space
from hdbench.data.layouts import find_scenes
from hdbench.data.loading import ResizeAndFlip, training_batches
from hdbench.data.scene import Batch
from hdbench.library import Library
from hdbench.schema.method import Pix2PixHD
from hdbench.training.trainer import Pix2PixHDTrainer

STEPS = 60
torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # a core is left for decoding
library = Library()
benchmark, method = library.benchmark("camvid"), library.method("ours-no-vgg")
assert isinstance(method, Pix2PixHD)
trainer = Pix2PixHDTrainer(method, benchmark, 0, None, torch.device("cpu"))
real = os.environ.get("HDBENCH_REAL_DATA")
root = Path(real) / "camvid" if real else Path(tempfile.mkdtemp())
if not real:
    for n in range(40):
        write_scene(root, "train", f"{n:03}", n, (480, 360))
files = find_scenes("camvid", root, "train")
augment = ResizeAndFlip(benchmark.size.height, benchmark.size.width, flip=True)


def batches(workers: int) -> Iterable[Batch]:
    """Return the batches of all steps."""
    space = shipped_space("camvid")
    return training_batches(
        files, space, augment, batch_size=1, seed=0, start=0, stop=STEPS, workers=workers
    )


def seconds(source: Iterable[Batch]) -> float:
    """Return the wall time of a step, without the first ten."""
    began = 0.0
    for n, batch in enumerate(source):
        if n == 10:
            began = time.perf_counter()
        trainer.step(batch, 2e-4)
    return (time.perf_counter() - began) / (STEPS - 10)


floor = seconds(list(batches(0)))
ahead, between = seconds(batches(1)), seconds(batches(0))
print(f"{len(files)} scenes of {root}, {torch.get_num_threads()} threads")
print(f"in memory          {floor:.4f} s per step")
print(f"decoded ahead      {ahead:.4f} s per step, {ahead / floor:.3f}x of the floor")
print(f"decoded in between {between:.4f} s per step, {between / floor:.3f}x of the floor")
