"""A training step of hdbench against the straightforward one, on this machine's CPU.

Each setting has a process of its own, in which the two take turns on the same scenes from the same
weights. A ratio is printed only after the gradients of both were compared with an fp64 reference;
where an error exceeds its tolerance, the script ends with an error instead.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import torch

from hdbench.data.scene import Batch, collate
from hdbench.library import Library
from hdbench.networks.perceptual import PerceptualNetwork, vgg19
from hdbench.runtime.devices import machine_facts
from hdbench.schema.method import Pix2PixHD
from hdbench.streets.scene import draw_scene
from hdbench.training.trainer import Pix2PixHDTrainer

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from straightforward import (  # pyright: ignore[reportMissingImports]
    StraightforwardTrainer,
    gradient_errors,
    gradients,
)

Size = Literal["small", "paper"]
Trainer = Pix2PixHDTrainer | StraightforwardTrainer
Result = TypeVar("Result")
Kind = Literal["straightforward", "ours"]
#: Width, height, share of the paper's channels, downsamplings of the generator.
SIZES: dict[Size, tuple[int, int, float, int]] = {
    "small": (256, 128, 0.25, 3),
    "paper": (512, 256, 1.0, 4),
}
SCENES = 4
#: How many times the straightforward step's own error, in the same precision, ours may have. No
#: fixed bound serves: that error is 7e-6 of the generator's gradient at the small size, 3e-3 at the
#: paper's and 0.1 and more in bf16.
SLACK = 1.2
#: The relative error above which the straightforward step in fp32 is itself in doubt.
DOUBTFUL = 1e-2


class Setting:
    """Networks of one size and precision, always with the same weights, and scenes for them."""

    def __init__(self, size: Size, precision: str) -> None:
        """Draw the scenes and read the method."""
        width, height, channels, downsamplings = SIZES[size]
        self.size, self.precision = size, precision
        self.batches = [collate([draw_scene(1, n, width, height)]) for n in range(SCENES)]
        library = Library()
        method, benchmark = library.method("ours"), library.benchmark("streets")
        assert isinstance(method, Pix2PixHD)
        budget = {"precision": precision, "width": channels, "downsamplings": downsamplings}
        budget["ema"] = 0.0  # the straightforward step keeps no average
        self.method = method
        self.benchmark = benchmark.model_copy(
            update={"budget": benchmark.budget.model_copy(update=budget)}
        )
        torch.manual_seed(0)
        small = PerceptualNetwork([16, 32, 64, 96, 96], [2, 2, 2, 2, 1])
        self.perceptual = small if size == "small" else vgg19()

    def ours(self) -> Pix2PixHDTrainer:
        """Return hdbench's trainer."""
        cpu = torch.device("cpu")
        return Pix2PixHDTrainer(self.method, self.benchmark, 0, self.perceptual, cpu)

    def straightforward(
        self, dtype: torch.dtype = torch.float32, precision: str = "fp32"
    ) -> StraightforwardTrainer:
        """Return the straightforward trainer."""
        return StraightforwardTrainer(self.ours(), self.perceptual.features, dtype, precision)


def step(trainer: Trainer, batch: Batch) -> None:
    """Take one step, at the rate that both trainers have."""
    if isinstance(trainer, Pix2PixHDTrainer):
        trainer.step(batch, 2e-4)
    else:
        trainer.step(batch)


def check(setting: Setting) -> None:
    """Print the errors of both steps' gradients, one trainer in memory at a time.

    Raises:
        ArithmeticError: an error exceeds its tolerance.
    """

    def stepped(trainer: Trainer) -> Trainer:
        step(trainer, setting.batches[0])
        return trainer

    exact = gradients(stepped(setting.straightforward(torch.float64)))

    def errors(name: str, trainer: Trainer) -> tuple[float, float]:
        found = gradient_errors(stepped(trainer), exact)
        print(
            f"  {name}: gradient's error against fp64, generator {found[0]:.1e}, "
            f"discriminators {found[1]:.1e}",
            flush=True,
        )
        return found

    usual = errors("straightforward, fp32", setting.straightforward())
    if not max(usual) <= DOUBTFUL:
        raise ArithmeticError(f"{setting.size}: more than {DOUBTFUL}; not timed")
    if setting.precision != "fp32":
        plain = setting.straightforward(precision=setting.precision)
        usual = errors(f"straightforward, {setting.precision}", plain)
        del plain
    ours = errors(f"ours, {setting.precision}", setting.ours())
    if not all(mine <= SLACK * theirs for mine, theirs in zip(ours, usual, strict=True)):
        raise ArithmeticError(f"{setting.size}: more than {SLACK} times that; not timed")


def compare(size: Size, precision: str, threads: int, steps: int) -> str:
    """Check both trainers' gradients, then time them.

    Returns:
        The medians of a straightforward step's seconds, of ours, and of the ratios of adjacent
        steps; of the processor's seconds too, which other processes disturb less.
    """
    torch.set_num_threads(threads)
    setting = Setting(size, precision)
    check(setting)
    trainers = {"straightforward": setting.straightforward(), "ours": setting.ours()}
    for trainer in trainers.values():  # warms up
        step(trainer, setting.batches[0])
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in trainers}
    for n in range(steps):
        for name, trainer in trainers.items():
            began = time.perf_counter(), time.process_time()
            step(trainer, setting.batches[n % SCENES])
            spent = time.perf_counter() - began[0], time.process_time() - began[1]
            times[name].append(spent)
    texts = []
    for clock, unit in enumerate(("s", "s of the processor")):
        plain, ours = ([spent[clock] for spent in times[name]] for name in trainers)
        ratio = statistics.median(a / b for a, b in zip(plain, ours, strict=True))
        seconds = statistics.median(plain), statistics.median(ours)
        texts.append(f"{seconds[0]:.3f} and {seconds[1]:.3f} {unit}, {ratio:.2f}x")
    return "; ".join(texts)


def peak_memory(size: Size, precision: str, kind: Kind, threads: int) -> float:
    """Return the peak resident memory in GB of a process that takes two steps of one kind."""
    torch.set_num_threads(threads)
    setting = Setting(size, precision)
    trainer = setting.ours() if kind == "ours" else setting.straightforward()
    for batch in setting.batches[:2]:
        step(trainer, batch)
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def alone(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a fresh process, so that one's peak of memory is not another's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    """Measure the settings that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=list(SIZES))
    parser.add_argument("--steps", type=int, help="of each kind (default: 20 small, 4 paper)")
    options = parser.parse_args()
    facts = machine_facts(torch.device("cpu"))
    print(f"{facts['processor']}, {options.threads} threads, PyTorch {torch.__version__}")
    for size, (width, height, channels, downsamplings) in SIZES.items():
        if options.only not in (None, size):
            continue
        steps = options.steps or (20 if size == "small" else 4)
        for precision in ("fp32", "bf16"):
            title = f"{size}: {width}x{height}, width {channels:g}, {downsamplings} downsamplings"
            print(f"{title}, {precision}", flush=True)
            timed = alone(compare, size, precision, options.threads, steps)
            peaks = [
                alone(peak_memory, size, precision, kind, options.threads)
                for kind in ("straightforward", "ours")
            ]
            print(f"  straightforward in fp32 and ours: {timed}", flush=True)
            print(f"  peak memory {peaks[0]:.2f} and {peaks[1]:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
