"""Training a method on a benchmark: its stages, samples, checkpoints and generator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hdbench.data.labels import LABEL_SPACES
from hdbench.data.loading import ResizeAndFlip
from hdbench.data.scene import Batch
from hdbench.provenance import digest
from hdbench.runtime.devices import Machine, machine_facts
from hdbench.runtime.job import Job, claimed, require_identity
from hdbench.runtime.metrics import read_metrics
from hdbench.runtime.weights import (
    halve_parameters,
    save_weights,
    weights_digest,
)
from hdbench.schema.generator import (
    ENCODER_WEIGHTS,
    GENERATOR_CARD,
    GENERATOR_WEIGHTS,
    GeneratorCard,
)
from hdbench.storage import write_atomically
from hdbench.training.config import (
    RunConfig,
    require_fitting_size,
    run_identity,
    summary,
    write_resolved_method,
)
from hdbench.training.data import TrainingData
from hdbench.training.samples import SampleSheets, SpotWatch
from hdbench.training.stages import planned_stages
from hdbench.training.trainer import Pix2PixHDTrainer


def train(
    config: RunConfig, data: TrainingData, folder: Path, machine: Machine, restart: bool = False
) -> Path:
    """Train a method, or resume its training, and return the generator's file.

    Raises:
        UsageError: the benchmark's image size does not suit the method's networks.
        CheckpointError: weights or checkpoints are missing, damaged or of another job.
        DivergedError: a loss is not finite.
        Interrupted: the user stopped it; everything is saved.
    """
    method, benchmark, budget = config.method, config.benchmark, config.benchmark.budget
    require_fitting_size(method, benchmark)
    identity = run_identity(config, data.digests)
    output = folder / GENERATOR_WEIGHTS
    if output.is_file() and not restart:
        require_identity(folder, identity)
        return output

    perceptual = None if config.perceptual is None else config.perceptual.load()
    trainer = Pix2PixHDTrainer(method, benchmark, config.seed, perceptual, machine.device)
    space = LABEL_SPACES[benchmark.data.label_space]
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
                workers=machine.workers,
            )
            for batch in of_stage(first, last):
                yield n, batch

    with (
        claimed(folder, identity, restart),
        Job(folder, config.title, steps, machine.checkpoint_minutes) as job,
    ):
        resolved = write_resolved_method(config, folder)
        print(f"{summary(config, data, machine)}\n  method: {resolved}", file=sys.stderr)
        job.resume(trainer)
        samples = None
        earlier = read_metrics(folder / "metrics.jsonl")
        watch = SpotWatch([row for row in earlier if row["step"] <= job.step])
        for step, (n, batch) in job.follow(batches):
            if samples is None or n != trainer.stage:
                trainer.enter(n)
                samples = SampleSheets(folder, config.title, data.files, space, stages[n].size)
            rate = stages[n].learning_rate(step)
            losses = trainer.step(batch, rate)
            facts = {"epoch": step // per_epoch, "rate": rate}
            if (step + 1) % per_epoch == 0:
                finished = step + 1 == steps
                spots = samples.draw(trainer.synthesize, step + 1, finished)
                facts |= spots
                if line := watch.rise(spots["spots"], step + 1):
                    tqdm.write(line, file=sys.stderr)
            job.record(step, facts, losses, batch.names)
        _store_generator(trainer, config, identity, job, output)
    return output


def _store_generator(
    trainer: Pix2PixHDTrainer, config: RunConfig, identity: dict[str, Any], job: Job, output: Path
) -> None:
    """Write the trained generator, its feature encoder where it has one, and their card."""
    half = config.benchmark.budget.storage == "fp16"
    generator, encoder = trainer.average.network.cpu(), None
    if half:
        halve_parameters(generator)
    if trainer.encoder_average is not None:
        encoder = trainer.encoder_average.network.cpu()
        if half:
            halve_parameters(encoder)
    card = GeneratorCard(
        method=config.method.name,
        benchmark=config.benchmark.name,
        seed=config.seed,
        identity=identity,
        weights=weights_digest(generator),
        encoder=None if encoder is None else weights_digest(encoder),
        steps=job.step,
        seconds=round(job.seconds, 1),
        command=config.command,
        machine=machine_facts(trainer.device),
    )
    facts = {"identity": digest(identity), "weights": card.weights, "steps": str(card.steps)}
    if encoder is not None:
        assert card.encoder is not None
        save_weights(output.parent / ENCODER_WEIGHTS, encoder, {**facts, "weights": card.encoder})
    content = (card.model_dump_json(indent=2) + "\n").encode()
    write_atomically(output.parent / GENERATOR_CARD, content)
    save_weights(output, generator, facts)  # last: a run with this file is finished
