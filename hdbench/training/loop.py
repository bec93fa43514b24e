"""Training a method on a benchmark: its stages, samples, checkpoints and generator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hdbench.data.labels import label_space_of
from hdbench.data.loading import ResizeAndFlip
from hdbench.data.scene import Batch
from hdbench.runtime.claims import claimed, finished, require_identity
from hdbench.runtime.devices import Machine, machine_facts
from hdbench.runtime.job import Job
from hdbench.runtime.memory import peak_memory
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.training.config import (
    RunConfig,
    require_fitting_size,
    run_identity,
    summary,
    write_resolved_method,
)
from hdbench.training.data import TrainingData
from hdbench.training.keeping import store_networks
from hdbench.training.samples import SampleSheets, SpotWatch
from hdbench.training.stages import planned_stages
from hdbench.training.start import StartingWeights
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.training.watching import Validation, Watch


def train(
    config: RunConfig,
    data: TrainingData,
    folder: Path,
    machine: Machine,
    restart: bool = False,
    watch: Watch | None = None,
    start: StartingWeights | None = None,
) -> Path:
    """Train a method, or resume its training, and return the generator's file.

    ``watch`` scores the generator and shows its training; the outcome does not depend on it.
    ``start`` are the weights of the method's ``[start]``, which only its first step needs.

    Raises:
        UsageError: the benchmark's image size does not suit the method's networks.
        CheckpointError: weights or checkpoints are missing, damaged or of another job.
        DivergedError: a loss is not finite.
        Interrupted: the user stopped it; everything is saved.
    """
    method, benchmark, budget = config.method, config.benchmark, config.benchmark.budget
    require_fitting_size(method, benchmark)
    identity = run_identity(config, data.digests)
    output, ranks, execution = folder / GENERATOR_WEIGHTS, machine.ranks, machine.execution
    if not restart and finished(output, lambda: require_identity(folder, identity), ranks):
        return output

    perceptual = None if config.perceptual is None else config.perceptual.load()
    trainer = Pix2PixHDTrainer(
        method, benchmark, config.seed, perceptual, machine.device, execution
    )
    space = label_space_of(benchmark.data.label_space)
    per_epoch = data.steps_per_epoch(budget.batch_size)
    stages = planned_stages(method, benchmark, per_epoch)
    steps = stages[-1].stop

    def batches(start: int, stop: int) -> Iterator[tuple[int, Batch]]:
        for n, stage in enumerate(stages):
            first, last = max(start, stage.start), min(stop, stage.stop)
            if first >= last:
                continue
            of_stage = data.batches(
                space,
                ResizeAndFlip(stage.size.height, stage.size.width, budget.flip),
                batch_size=budget.batch_size,
                seed=config.seed,
                machine=machine,
            )
            for batch in of_stage(first, last):
                yield n, batch

    watch = watch or Watch()
    with (
        claimed(folder, identity, restart, ranks),
        Job(folder, config.title, steps, machine.checkpoint_minutes, execution=execution) as job,
        watch.while_training() as look,
    ):
        if ranks.first:
            resolved = write_resolved_method(config, folder)
            print(f"{summary(config, data, machine)}\n  method: {resolved}", file=sys.stderr)
        job.resume(trainer)
        if start is not None and job.step == 0:
            trainer.begin_from(start)
        samples, validation = None, Validation(watch, trainer, folder, identity)
        earlier = read_metrics(folder / "metrics.jsonl")
        spots = SpotWatch([row for row in earlier if row["step"] <= job.step])
        for step, (n, batch) in job.follow(batches):
            if samples is None or n != trainer.stage:
                trainer.enter(n)
                samples = SampleSheets(folder, data.files, space, stages[n].size)
            rate = stages[n].learning_rate(step)
            losses = trainer.step(batch, rate)
            logged = {"epoch": step // per_epoch, "rate": rate}
            done, ended = step + 1, (step + 1) % per_epoch == 0
            if ended and ranks.first:
                logged |= samples.draw(trainer.synthesize, done)
                if line := spots.rise(logged["spots"], done):
                    tqdm.write(line, file=sys.stderr)
                if stages[n].size == benchmark.size and watch.due(done // per_epoch, done == steps):
                    logged |= validation.score(_facts(trainer, config, done, job.elapsed))
                logged["peak_bytes"] = peak_memory()
            job.record(step, {**logged, "seconds": round(job.elapsed, 3)}, losses, batch.names)
            if ended:
                job.read_losses()
            look(ended)
        pace, facts = job.pace, _facts(trainer, config, job.step, job.seconds)

        def store() -> None:
            store_networks(folder, trainer.averaged, budget, {**facts, "identity": identity})
            watch.update("finished")
            print(f"trained {config.title}: {pace}", file=sys.stderr)

        ranks.from_first(store)
    return output


def _facts(
    trainer: Pix2PixHDTrainer, config: RunConfig, steps: int, seconds: float
) -> dict[str, Any]:
    """Return what a generator's card says beside identity and digests."""
    return {
        "method": config.method.name,
        "benchmark": config.benchmark.name,
        "seed": config.seed,
        "steps": steps,
        "seconds": round(seconds, 1),
        "command": config.command,
        "machine": {**machine_facts(trainer.device), **trainer.execution.order},
    }
