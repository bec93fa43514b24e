"""The peak of memory that ``train --plan`` estimates against the measured one, on this CPU.

Each setting has a process of its own. Measured is the peak of resident memory during a step that is
not the first, beside what the process held after a tiny training, which loads PyTorch's code. A
GPU's peak is not measured here.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from hdbench.data.scene import collate
from hdbench.library import Library
from hdbench.networks.perceptual import VGG19_CHANNELS, VGG19_CONVOLUTIONS, vgg19
from hdbench.runtime.devices import machine_facts
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.schema.method import Pix2PixHD
from hdbench.streets.scene import draw_scene
from hdbench.training.cost import stage_cost
from hdbench.training.stages import stages_of
from hdbench.training.trainer import Pix2PixHDTrainer


@dataclass(frozen=True)
class Setting:
    """One training step."""

    method: str
    width: int
    height: int
    #: Share of the paper's channels.
    channels: float
    precision: str = "fp32"

    @property
    def words(self) -> str:
        """The setting in words."""
        size = f"{self.width}x{self.height}"
        return f"{self.method} {size}, width {self.channels:g}, {self.precision}"


SETTINGS = (
    Setting("ours-no-vgg", 256, 128, 0.25),
    Setting("ours-no-vgg", 512, 256, 0.25),
    Setting("ours-no-vgg", 512, 256, 0.25, "bf16"),
    Setting("ours", 256, 128, 0.5),
    Setting("ours", 512, 256, 0.25),
    Setting("ours-full", 256, 128, 0.5),
    Setting("ours-full", 512, 256, 0.25),
    Setting("ours-styles", 256, 128, 0.25),
)


def opened(setting: Setting) -> tuple[Pix2PixHD, Benchmark]:
    """Return the method and a benchmark of the setting."""
    library = Library()
    method, benchmark = library.method(setting.method), library.benchmark("cityscapes")
    assert isinstance(method, Pix2PixHD)
    budget = {"width": setting.channels, "precision": setting.precision, "ema": 0.99}
    size = Size(width=setting.width, height=setting.height)
    budgeted = benchmark.budget.model_copy(update=budget)
    return method, benchmark.model_copy(update={"budget": budgeted, "size": size})


def stepped(setting: Setting, steps: int) -> Pix2PixHDTrainer:
    """Take steps of the last stage."""
    method, benchmark = opened(setting)
    perceptual = vgg19() if method.loss.perceptual else None
    trainer = Pix2PixHDTrainer(method, benchmark, 0, perceptual, torch.device("cpu"))
    trainer.enter(len(trainer.stages) - 1)
    batch = collate([draw_scene(1, 0, setting.width, setting.height)])
    for _ in range(steps):
        trainer.step(batch, 0.0)
    return trainer


def resident(key: str) -> int:
    """Return ``VmRSS`` or ``VmHWM`` of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def measured(setting: Setting) -> tuple[int, int]:
    """Return the peak of a step in bytes, and its operations."""
    torch.set_num_threads(1)
    stepped(Setting(setting.method, 128, 64, 0.0625, setting.precision), 2)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = resident("VmRSS")
    trainer = stepped(setting, 1)
    batch = collate([draw_scene(1, 0, setting.width, setting.height)])
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    trainer.step(batch, 0.0)
    peak = resident("VmHWM") - before
    counted = FlopCounterMode(display=False)
    with counted:
        trainer.step(batch, 0.0)
    return peak, counted.get_total_flops()


def main() -> None:
    """Measure the settings and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", type=int, help="the first settings alone")
    options = parser.parse_args()
    facts = machine_facts(torch.device("cpu"))
    print(f"{facts['processor']}, PyTorch {torch.__version__}; GPU peaks are not measured")
    ratios = []
    for setting in SETTINGS[: options.only]:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peak, flops = pool.submit(measured, setting).result()
        method, benchmark = opened(setting)
        blocks = (VGG19_CHANNELS, VGG19_CONVOLUTIONS) if method.loss.perceptual else None
        last = len(stages_of(method, benchmark.budget)) - 1
        cost = stage_cost(method, benchmark, blocks, last, benchmark.size, gpu=False)
        ratios.append(cost.step_bytes / peak)
        print(
            f"{setting.words}: estimated {cost.step_bytes / 1e9:.2f} GB, measured "
            f"{peak / 1e9:.2f} GB, ratio {ratios[-1]:.2f}; FLOPs, of which empty classes are left "
            f"out, {cost.step_flops / flops:.2f} times those counted",
            flush=True,
        )
    print(f"ratios of memory from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
