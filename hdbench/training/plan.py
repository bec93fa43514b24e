"""What a training needs: stages, parameters, operations, memory and time (``train --plan``)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from hdbench.data.labels import LabelSpace, label_space_of
from hdbench.data.loading import steps_per_epoch
from hdbench.data.scene import Batch
from hdbench.errors import HdbenchError
from hdbench.networks.builder import limits_of, side_divisor
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.runtime.progress import progress
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.training.cost import Cost, stage_cost
from hdbench.training.levers import GPU_RESERVE, Variant, applied, changed, kind_of, peak_bytes
from hdbench.training.stages import StagePlan, planned_stages
from hdbench.training.trainer import Pix2PixHDTrainer

#: Sizes of memory, in GB, that ``train --plan`` says what fits in.
MEMORIES = (8, 12, 16, 24)
#: Operations of the larger of the two steps that are timed, on a CPU and on a GPU.
_TIMED = {"cpu": 1.5e11, "cuda": 2e13}
_QUICK = 2.0  # seconds of a step whose price is measured: for each change it is done seven times
#: Changes whose price in time is measured (``levers.kind_of``).
PRICED = ("--recompute", "--accumulate", "[budget] precision")


@dataclass(frozen=True)
class Timing:
    """Steps of the last stage that were timed at two small sizes; seconds are linear in pixels."""

    sizes: list[Size]
    seconds: list[float]
    device: str
    #: Processes that wanted a core, and cores, meanwhile.
    load: float
    cores: int
    #: Seconds of a step at the larger size after a change, over those as it is. Only for changes
    #: that leave the networks as they are, and none where a step takes long.
    prices: dict[str, float]

    def at(self, size: Size) -> float:
        """Return the seconds of a step at another size."""
        small, large = (one.width * one.height for one in self.sizes)
        slope = (self.seconds[1] - self.seconds[0]) / (large - small)
        slope = max(slope, 0.5 * self.seconds[1] / large)  # the first step may have been disturbed
        return self.seconds[1] + slope * (size.width * size.height - large)


@dataclass(frozen=True)
class Plan:
    """What a training needs."""

    start: Variant
    stages: list[StagePlan]
    costs: list[Cost]
    #: Peak bytes on a CPU of the stage that needs the most.
    cpu_bytes: int
    #: Scenes of the training split; None where the data are not here.
    scenes: int | None
    #: Bytes on a GPU after each change alone, and after it and all before it.
    alone: list[tuple[str, int]]
    together: list[tuple[str, int]]
    #: None where nothing was timed; ``untimed`` says why.
    timing: Timing | None
    untimed: str | None = None
    seconds: list[float | None] = field(default_factory=list)

    @property
    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values; bytes are bytes, seconds seconds."""
        benchmark = self.start.benchmark
        return {
            "method": self.start.method.name,
            "benchmark": benchmark.name,
            "size": benchmark.size.model_dump(),
            "batch_size": benchmark.budget.batch_size,
            "scenes": self.scenes,
            "stages": [
                {
                    "words": plan.words,
                    "size": plan.size.model_dump(),
                    "steps": None if self.scenes is None else plan.stop - plan.start,
                    "seconds_of_a_step": seconds,
                    **asdict(cost),
                }
                for plan, cost, seconds in zip(self.stages, self.costs, self.seconds, strict=True)
            ],
            "gpu_reserve": GPU_RESERVE,
            "peak_bytes": {
                "gpu": max(cost.step_bytes for cost in self.costs),
                "cpu": self.cpu_bytes,
            },
            "lowered": {
                "alone": [{"change": name, "bytes": size} for name, size in self.alone],
                "together": [{"change": name, "bytes": size} for name, size in self.together],
            },
            "timing": None if self.timing is None else _timing_json(self.timing),
            "untimed": self.untimed,
        }


def _timing_json(timing: Timing) -> dict[str, Any]:
    sizes = [size.model_dump() for size in timing.sizes]
    return {**asdict(timing), "sizes": sizes}


def plan_training(start: Variant, scenes: int | None, device: torch.device, timed: bool) -> Plan:
    """Return what a training needs, on a GPU and on this machine.

    Args:
        start: the method, the benchmark at the size in question, and the perceptual network.
        scenes: of the training split, if they are known.
        device: where steps are timed.
        timed: whether steps are timed at all.
    """
    method, benchmark, blocks = start.method, start.benchmark, start.blocks
    per_epoch = 1 if scenes is None else steps_per_epoch(scenes, benchmark.budget.batch_size)
    stages = planned_stages(method, benchmark, per_epoch)
    singles, combined = list(changed(start)), list(applied(start))
    with progress(
        total=len(stages) + 1 + len(singles) + len(combined), desc="adding up", unit="variant"
    ) as bar:
        costs: list[Cost] = []
        for n, stage in enumerate(stages):
            costs.append(stage_cost(method, benchmark, blocks, n, stage.size, gpu=True))
            bar.update()
        cpu = peak_bytes(start, gpu=False)
        bar.update()
        found: list[list[tuple[str, int]]] = []
        for variants in (singles, combined):
            found.append([])
            for variant in variants:
                found[-1].append((variant.change, peak_bytes(variant, gpu=True)))
                bar.update()
    timing, untimed = None, "not asked for"
    if timed:
        try:
            timing, untimed = _timed(start, stages[-1].size, costs[-1], device), None
        except HdbenchError as error:
            untimed = str(error)
    seconds: list[float | None] = [None] * len(stages)
    if timing is not None:
        last = timing.at(stages[-1].size)
        seconds = [last * cost.step_flops / costs[-1].step_flops for cost in costs]
    alone, together = found
    return Plan(start, stages, costs, cpu, scenes, alone, together, timing, untimed, seconds)


def _timed(start: Variant, size: Size, cost: Cost, device: torch.device) -> Timing:
    """Time steps of the last stage at two small sizes.

    Raises:
        HdbenchError: the networks alone are too large for this machine's free memory.
    """
    method, benchmark = start.method, start.benchmark
    # Weights, their gradients and two moments, and a copy while one stage follows another.
    needed = 4.0 * (5 * sum(cost.parameters.values()))
    free = free_memory(device)
    if free is not None and 1.5 * needed > free:
        raise HdbenchError(
            f"the networks alone need {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free here"
        )
    perceptual = None if start.blocks is None else PerceptualNetwork(*start.blocks)
    trainer = Pix2PixHDTrainer(method, benchmark, 0, perceptual, device, start.execution)
    trainer.enter(len(trainer.stages) - 1)
    space = label_space_of(benchmark.data.label_space)
    divisor = side_divisor(method, limits_of(benchmark))
    shrink = max(1.0, math.sqrt(cost.step_flops / _TIMED[device.type]))
    sizes, seconds = [], []
    for factor in (2 * shrink, shrink):
        tried = _shrunk(size, factor, divisor)
        if factor == shrink and tried == sizes[0]:
            tried = Size(width=2 * tried.width, height=2 * tried.height)
        batch = _random_batch(space, benchmark, tried)
        trainer.step(batch, 0.0)
        sizes.append(tried)
        seconds.append(min(_seconds(trainer, batch) for _ in range(2)))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    prices = {}
    for variant in changed(start):
        if kind_of(variant.change) in PRICED and seconds[-1] < _QUICK:
            other = Pix2PixHDTrainer(
                method, variant.benchmark, 0, perceptual, device, variant.execution
            )
            other.enter(len(other.stages) - 1)
            prices[variant.change] = _price(trainer, other, batch)
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    return Timing(sizes, seconds, name, load, cores, prices)


def _price(trainer: Pix2PixHDTrainer, other: Pix2PixHDTrainer, batch: Batch) -> float:
    """Return the time of another trainer's step over that of this one; both in turns."""
    other.step(batch, 0.0)
    pairs = [(_seconds(trainer, batch), _seconds(other, batch)) for _ in range(3)]
    own, its = (min(one) for one in zip(*pairs, strict=True))
    return its / own


def _seconds(trainer: Pix2PixHDTrainer, batch: Batch) -> float:
    """Return a step's seconds; on a CPU the processor's, which other work disturbs less."""
    gpu = trainer.device.type == "cuda"
    clock = time.perf_counter if gpu else time.process_time
    began = clock()
    losses = trainer.step(batch, 0.0)
    sum(loss.item() for loss in losses.values())  # waits for a GPU
    return (clock() - began) / (1 if gpu else torch.get_num_threads())


def _shrunk(size: Size, factor: float, divisor: int) -> Size:
    width, height = (
        max(2, round(side / factor / divisor)) * divisor for side in (size.width, size.height)
    )
    return Size(width=width, height=height)


def _random_batch(space: LabelSpace, benchmark: Benchmark, size: Size) -> Batch:
    """Return scenes of random labels in blocks, which hold every class."""
    random, count = torch.Generator().manual_seed(0), benchmark.budget.batch_size
    blocks = (count, math.ceil(size.height / 8), math.ceil(size.width / 8))
    label = torch.randint(0, max(1, space.channels), blocks, generator=random, dtype=torch.uint8)
    label = label.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, : size.height, : size.width]
    pixels = (count, 3, size.height, size.width)
    image = torch.randint(0, 256, pixels, dtype=torch.uint8, generator=random)
    given, spec = None, benchmark.input
    if spec is not None:
        low, high = spec.range
        shape = (count, spec.channels, size.height, size.width)
        given = low + (high - low) * torch.rand(shape, generator=random)
    return Batch([f"random {n}" for n in range(count)], label.contiguous(), None, image, given)


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    lines = [line.split() for line in text.splitlines() if line.startswith("MemAvailable")]
    return int(lines[0][1]) * 1024 if lines else None


def sized(benchmark: Benchmark, size: tuple[int, int] | None, batch: int | None) -> Benchmark:
    """Return a benchmark with another image size and batch, where they are given."""
    if size is not None:
        update = {"size": Size(width=size[0], height=size[1])}
        benchmark = benchmark.model_copy(update=update)
    if batch is not None:
        budget = benchmark.budget.model_copy(update={"batch_size": batch})
        benchmark = benchmark.model_copy(update={"budget": budget})
    return benchmark


def fitting(needed: int, memories: Sequence[int] = MEMORIES) -> list[bool]:
    """Return, for each size of memory in GB, whether that many bytes fit beside the reserve."""
    return [needed + GPU_RESERVE <= 1e9 * memory for memory in memories]
