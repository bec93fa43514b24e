"""What lowers the memory of a training, in the order in which to try it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hdbench.networks.builder import limits_of, side_divisor
from hdbench.runtime.devices import AS_USUAL, Execution
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.schema.method import Pix2PixHD
from hdbench.training.config import whole_batch_words
from hdbench.training.cost import Blocks, stage_cost
from hdbench.training.stages import planned_stages

#: Of a GPU's memory, bytes that are not the tensors': CUDA itself, workspaces of convolutions and
#: gaps between tensors. An assumption; no GPU's peak was measured.
GPU_RESERVE = 1.0e9


@dataclass(frozen=True)
class Variant:
    """A method and a benchmark after one change or several."""

    #: The change, as a file would say it.
    change: str
    method: Pix2PixHD
    benchmark: Benchmark
    #: Blocks of its perceptual network; None without one.
    blocks: Blocks | None
    #: How its steps are computed.
    execution: Execution = AS_USUAL


def run_words(start: Variant) -> str:
    """Return method, benchmark, size, precision and batch of a run in words."""
    size, budget = start.benchmark.size, start.benchmark.budget
    return (
        f"{start.method.name} on {start.benchmark.name} at {size.width}x{size.height}, "
        f"{budget.precision}, batch {budget.batch_size}"
    )


def changed(variant: Variant) -> Iterator[Variant]:
    """Return a run after each change that lowers its memory, the gentlest first."""
    method, benchmark, execution = variant.method, variant.benchmark, variant.execution
    budget, size = benchmark.budget, benchmark.size

    def with_budget(change: str, **values: object) -> Variant:
        update = {"budget": budget.model_copy(update=values)}
        return replace(variant, change=change, benchmark=benchmark.model_copy(update=update))

    def with_method(change: str, **values: object) -> Variant:
        return replace(variant, change=change, method=method.model_copy(update=values))

    if method.generator.network == "coarse-to-fine" and not execution.recompute:
        again = replace(execution, recompute=True)
        yield replace(variant, change="--recompute", execution=again)
    divided = execution.accumulate > 1
    if budget.batch_size > 1 and not divided and whole_batch_words(method) is None:
        parts = replace(execution, accumulate=budget.batch_size)
        yield replace(variant, change=f"--accumulate {budget.batch_size}", execution=parts)
    if budget.batch_size > 1 and not divided:
        yield with_budget("[budget] batch_size = 1", batch_size=1)
    if budget.precision != "bf16":
        yield with_budget('[budget] precision = "bf16"', precision="bf16")
    if budget.ema > 0:
        yield with_budget("[budget] ema = 0", ema=0.0)
    stages = method.stage
    last = stages[-2:]
    if len(last) == 2 and last[0].enhancers == last[1].enhancers and last[1].trains == "all":
        yield with_method("without the last [[stage]]", stage=stages[:-1])
    if method.loss.perceptual > 0:
        loss = method.loss.model_copy(update={"perceptual": 0.0})
        yield replace(with_method("[loss] perceptual = 0", loss=loss), blocks=None)
    if method.discriminator is not None and method.discriminator.scales > 2:
        scales = method.discriminator.model_copy(update={"scales": 2})
        yield with_method("[discriminator] scales = 2", discriminator=scales)
    divisor = side_divisor(method, limits_of(benchmark))
    half = Size(
        width=max(2, size.width // 2 // divisor) * divisor,
        height=max(2, size.height // 2 // divisor) * divisor,
    )
    if half.width * half.height < size.width * size.height:
        smaller = benchmark.model_copy(update={"size": half})
        change = f"[size] {half.width}x{half.height}"
        yield replace(variant, change=change, benchmark=smaller)
    if budget.width > 0.25:
        yield with_budget(f"[budget] width = {budget.width / 2:g}", width=budget.width / 2)


def peak_bytes(variant: Variant, gpu: bool) -> int:
    """Return the peak of the stage that needs the most."""
    plans = planned_stages(variant.method, variant.benchmark, 1)
    return max(
        stage_cost(
            variant.method,
            variant.benchmark,
            variant.blocks,
            n,
            plans[n].size,
            gpu,
            count=False,
            execution=variant.execution,
        ).step_bytes
        for n in _heaviest(variant.method, len(plans))
    )


def _heaviest(method: Pix2PixHD, count: int) -> list[int]:
    """Return the stages one of which needs the most: the last of each that learns in its way."""
    latest = {stage.trains: n for n, stage in enumerate(method.stage)}
    most = method.generator.enhancers
    chosen = [n for n in latest.values() if method.stage[n].enhancers == most]
    if method.stage and all(method.stage[n].trains != "all" for n in chosen):
        chosen.append(latest["all"])
    return sorted(chosen) or [count - 1]


def advice(start: Variant, gpu: bool) -> str:
    """Return the estimate of a run that ran out of memory, and what to lower, in order."""
    lines = [f"a step's peak is estimated at {peak_bytes(start, gpu) / 1e9:.1f} GB"]
    lines.append("Next: free memory, or lower in this order (method [...], benchmark [...]):")
    lines += [
        f"  {one.change}: {peak_bytes(one, gpu) / 1e9:.1f} GB with all above"
        for one in applied(start)
    ]
    name = start.benchmark.name
    lines.append(f"'hdbench train {start.method.name} --benchmark {name} --plan' says more")
    return "\n".join(lines)


def applied(start: Variant) -> Iterator[Variant]:
    """Return a run after one change, after two, and so on, each kind of change once."""
    for kind in [kind_of(one.change) for one in changed(start)]:
        found = [one for one in changed(start) if kind_of(one.change) == kind]
        if found:  # a batch that is divided need not become smaller
            start = found[0]
            yield start


def kind_of(change: str) -> str:
    """Return what a change concerns, without its value: ``[budget] ema``, ``[size]``, ``--x``."""
    first = change.split()[0]
    return first if first == "[size]" or first.startswith("--") else change.partition(" =")[0]
