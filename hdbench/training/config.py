"""Everything that defines a training run of pix2pixHD, resolved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from hdbench.errors import UsageError
from hdbench.networks.builder import generator_words, limits_of, side_divisor, smallest_side
from hdbench.networks.discriminator import smallest_side as smallest_judged_side
from hdbench.networks.perceptual import PerceptualChoice
from hdbench.provenance import canonical_json, digest
from hdbench.runtime.devices import Execution, Machine
from hdbench.schema.base import identity_of
from hdbench.schema.benchmark import Benchmark, Budget
from hdbench.schema.method import GeneratorMethod, TrainedMethod
from hdbench.storage import write_atomically
from hdbench.training.data import TrainingData
from hdbench.training.stages import at_stage, planned_stages, stages_of

#: The method of a run with all of its keys, in the run's folder.
RESOLVED_METHOD = "method.resolved.toml"


@dataclass(frozen=True)
class RunConfig:
    """What a run trains, without the data and the machine."""

    method: TrainedMethod
    #: Size, budget and label space; its segmenter and scoring do not matter here.
    benchmark: Benchmark
    #: Of the initial weights, the order of scenes and the augmentation.
    seed: int
    #: The network of the perceptual loss; None where the method gives that loss no weight.
    perceptual: PerceptualChoice | None

    @property
    def title(self) -> str:
        """What progress bars and pages call the run."""
        return f"{self.method.name} on {self.benchmark.name}"

    @property
    def command(self) -> str:
        """The command that makes the run."""
        names = f"{self.method.name} --benchmark {self.benchmark.name}"
        return f"hdbench train {names} --seed {self.seed}"


def run_identity(config: RunConfig, digests: list[list[str]]) -> dict[str, Any]:
    """Return everything that a trained generator depends on, as JSON values."""
    method, benchmark = config.method, config.benchmark
    return {
        "kind": "generator",
        "version": 3,
        "method": identity_of(method, exclude={"title", "source"}),
        "data": identity_of(benchmark.data),
        **({} if benchmark.input is None else {"input": identity_of(benchmark.input)}),
        "size": identity_of(benchmark.size),
        "budget": identity_of(benchmark.budget),
        "scenes": len(digests),
        "scenes_digest": digest(digests),
        "perceptual": None if config.perceptual is None else config.perceptual.identity,
        "seed": config.seed,
    }


def require_fitting_size(method: GeneratorMethod, benchmark: Benchmark) -> None:
    """Raise UsageError, with sizes that fit, unless the sides suit the method's networks."""
    limits, size = limits_of(benchmark), benchmark.size
    divisor, smallest = side_divisor(method, limits), smallest_side(method, limits)
    for name, side in (("width", size.width), ("height", size.height)):
        if side < smallest:
            raise UsageError(
                f"benchmark '{benchmark.name}': [size] {name} = {side}; the generator of "
                f"'{method.name}' needs at least {smallest}"
            )
        if side % divisor:
            below = side // divisor * divisor
            raise UsageError(
                f"benchmark '{benchmark.name}': [size] {name} = {side} does not divide by "
                f"{divisor}, as the generator of '{method.name}' needs; "
                f"use {below} or {below + divisor}"
            )
    spec = method.discriminator
    if method.images_from == "weights" or spec is None:
        return
    judged = _smallest_judged(method, benchmark.budget)
    for name, side in (("width", size.width), ("height", size.height)):
        if side < judged:
            raise UsageError(
                f"benchmark '{benchmark.name}': [size] {name} = {side}; the discriminators of "
                f"'{method.name}' ([discriminator] scales = {spec.scales}, layers = {spec.layers}) "
                f"need at least {judged}; lower scales or layers, or use larger images"
            )


def require_execution(method: TrainedMethod, benchmark: Benchmark, execution: Execution) -> None:
    """Raise UsageError unless a method's steps can be computed in a certain way."""
    execution.share_of(benchmark.budget.batch_size)
    residual = method.generator.network == "coarse-to-fine"
    if execution.recompute and not residual:
        raise UsageError(
            f"--recompute: the generator of '{method.name}' ({method.generator.network}) has no "
            "residual blocks, so there is nothing to compute again; leave it out"
        )
    why = whole_batch_words(method)
    if execution.accumulate > 1 and why is not None:
        raise UsageError(
            f"--accumulate {execution.accumulate}: {why} of '{method.name}' looks at all "
            "scenes of a batch, so it cannot be computed in parts; leave it out"
        )


def whole_batch_words(method: TrainedMethod) -> str | None:
    """Return what of a method looks at all scenes of a batch together; None: nothing does."""
    spec = method.discriminator
    if "unet" in method.generator.network or (spec is not None and spec.norm == "batch"):
        return "batch norm"
    balanced = method.loss.perceptual_form == "crn"
    return "the balance of the perceptual loss" if balanced else None


def _smallest_judged(method: TrainedMethod, budget: Budget) -> int:
    """Return the shortest full side whose images suit the discriminators of every stage."""
    sides = []
    for stage in stages_of(method, budget):
        spec = at_stage(method, stage).discriminator
        assert spec is not None
        shrink = 2 ** (method.generator.enhancers - stage.enhancers)
        sides.append(shrink * smallest_judged_side(spec.layers, spec.scales, spec.padding))
    return max(sides)


def summary(config: RunConfig, data: TrainingData, machine: Machine) -> str:
    """Return the run in a few lines, for people."""
    method, size, budget = config.method, config.benchmark.size, config.benchmark.budget
    loss = method.loss
    stages = planned_stages(method, config.benchmark, data.steps_per_epoch(budget.batch_size))
    network = "none" if config.perceptual is None else config.perceptual.name
    return "\n".join(
        (
            f"{config.title}, seed {config.seed}, on {machine.device} in {budget.precision}",
            f"  data: {len(data.files)} scenes of {data.title} at {size.width}x{size.height}, "
            f"{budget.batch_size} per step",
            *(
                f"  stage {n} of {len(stages)}: {one.words}"
                for n, one in enumerate(stages, start=1)
            ),
            f"  rate: the generator's is multiplied by {budget.generator_rate:g}",
            f"  networks: {budget.width:g} of the method's channels; generator: "
            f"{generator_words(method, limits_of(config.benchmark))}",
            f"  losses: {loss.gan}, feature matching x {loss.feature_matching:g}, "
            f"perceptual x {loss.perceptual:g} (network: {network}), L1 x {loss.l1:g}",
        )
    )


def write_resolved_method(config: RunConfig, folder: Path) -> Path:
    """Write the run's method with all of its keys as a library file, and return its path.

    The comments at its top say what else the run was made of.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Written by '{config.command}'."))
    perceptual = None if config.perceptual is None else config.perceptual.identity
    for name, value in (
        ("size", config.benchmark.size.model_dump()),
        ("budget", config.benchmark.budget.model_dump()),
        ("perceptual network", perceptual),
    ):
        document.add(tomlkit.comment(f"{name}: {canonical_json(value)}"))
    document.add(tomlkit.nl())
    content = config.method.model_dump(exclude_none=True, serialize_as_any=True)
    document.update({key: value for key, value in content.items() if value != []})
    path = folder / RESOLVED_METHOD
    write_atomically(path, tomlkit.dumps(document).encode())
    return path
