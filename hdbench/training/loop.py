"""Training a method on a benchmark: the whole algorithm of pix2pixHD in one scroll."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from hdbench.data.labels import LABEL_SPACES, LabelSpace
from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import ResizeAndFlip, read_scene, steps_per_epoch, training_batches
from hdbench.data.scene import (
    Batch,
    Scene,
    collate,
    from_network_range,
    to_network_range,
)
from hdbench.data.sheets import Cell, contact_sheet, write_sheet, write_sheet_page
from hdbench.errors import UsageError
from hdbench.networks.builder import build_discriminator, build_generator, conditioning, halvings
from hdbench.networks.perceptual import PerceptualChoice, PerceptualNetwork
from hdbench.provenance import derived_seed, digest
from hdbench.runtime.devices import Machine, autocast, machine_facts
from hdbench.runtime.job import Job, claimed, require_identity
from hdbench.runtime.weights import (
    halve_parameters,
    require_same_shapes,
    save_weights,
    weights_digest,
)
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.generator import GENERATOR_CARD, GENERATOR_WEIGHTS, GeneratorCard
from hdbench.schema.method import Pix2PixHD
from hdbench.storage import write_atomically
from hdbench.training.average import MovingAverage
from hdbench.training.objective import (
    feature_matching_loss,
    gan_loss,
    learning_rate,
    perceptual_loss,
)

#: The folder of a run's sample sheets.
SAMPLES = "samples"
_SHEET_SCENES = 4


class Pix2PixHDTrainer:
    """Generator, discriminators and their optimisers; one ``step`` is one update of all.

    Args:
        method: the method file.
        benchmark: budget and label space.
        seed: draws the initial weights.
        perceptual: the perceptual network, or None where the method gives it no weight.
        device: where to compute.
    """

    def __init__(
        self,
        method: Pix2PixHD,
        benchmark: Benchmark,
        seed: int,
        perceptual: PerceptualNetwork | None,
        device: torch.device,
    ) -> None:
        """Build everything with fresh weights."""
        self.method, self.device = method, device
        self.budget, self.size = benchmark.budget, benchmark.size
        space = LABEL_SPACES[benchmark.data.label_space]
        self.condition = conditioning(method, space.channels)
        torch.manual_seed(derived_seed("weights", seed))
        channels = self.condition.channels
        self.generator = build_generator(method, channels, self.budget).to(device)
        self.discriminator = build_discriminator(method, channels + 3, self.budget)
        self.discriminator.to(device)
        self.average = MovingAverage(self.generator, self.budget.ema)
        self.perceptual = None if perceptual is None else perceptual.to(device)
        adam = method.optimizer
        betas = (adam.beta1, adam.beta2)
        self.generator_optimizer = torch.optim.Adam(
            self.generator.parameters(), lr=adam.learning_rate, betas=betas, fused=True
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=adam.learning_rate, betas=betas, fused=True
        )

    def step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Update generator and discriminators once and return the unweighted losses.

        Both gradients are taken at the weights before the step (official implementation).

        Args:
            batch: scenes with photographs.
            rate: the method's learning rate; the budget multiplies the generator's.
        """
        batch = batch.to(self.device)
        assert batch.image is not None
        weight, kind = self.method.loss, self.method.loss.gan
        with autocast(self.device, self.budget.precision):
            condition = self.condition(batch)
            real = to_network_range(batch.image)
            fake = self.generator(condition)

            readings = self.discriminator.read(condition)
            on_real = self.discriminator(readings, real)
            on_fake = self.discriminator(readings, fake)

            losses = {
                "g_gan": gan_loss(on_fake, real=True, kind=kind),
                "g_features": feature_matching_loss(on_fake, on_real),
                "d_real": gan_loss(on_real, real=True, kind=kind),
                "d_fake": gan_loss(on_fake, real=False, kind=kind),
            }
            generator_loss = losses["g_gan"] + weight.feature_matching * losses["g_features"]
            if self.perceptual is not None:
                with torch.no_grad():
                    real_maps = self.perceptual(real)
                losses["g_perceptual"] = perceptual_loss(self.perceptual(fake), real_maps)
                generator_loss = generator_loss + weight.perceptual * losses["g_perceptual"]
            discriminator_loss = (losses["d_real"] + losses["d_fake"]) / 2

        # Each network learns from its own loss alone, though both share one pass of D.
        generator_rate = rate * self.budget.generator_rate
        _gradients(generator_loss, self.generator_optimizer, generator_rate, keep_graph=True)
        _gradients(discriminator_loss, self.discriminator_optimizer, rate, keep_graph=False)
        self.generator_optimizer.step()
        self.discriminator_optimizer.step()
        self.average.update()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def synthesize(self, batch: Batch) -> Tensor:
        """Return uint8 B x 3 x H x W images for a batch's label maps, in fp32.

        The moving average makes them, where one is kept.
        """
        condition = self.condition(batch.to(self.device))
        return from_network_range(self.average.network(condition)).cpu()

    def state(self) -> dict[str, Any]:
        """Return the state of networks and optimisers."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state that ``state`` returned.

        Raises:
            CheckpointError: it is of networks of another architecture or width.
        """
        require_same_shapes("checkpoint: generator", state["generator"], self.generator)
        require_same_shapes("checkpoint: discriminator", state["discriminator"], self.discriminator)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def _gradients(
    loss: Tensor, optimizer: torch.optim.Optimizer, rate: float, keep_graph: bool
) -> None:
    """Set the optimiser's rate, and its parameters' gradients to those of a loss."""
    parameters = [part for group in optimizer.param_groups for part in group["params"]]
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters, retain_graph=keep_graph)


def run_identity(
    method: Pix2PixHD,
    benchmark: Benchmark,
    seed: int,
    data: list[list[str]],
    perceptual: PerceptualChoice | None,
) -> dict[str, Any]:
    """Return everything that a trained generator depends on, as JSON values.

    Args:
        method: the resolved method.
        benchmark: the resolved benchmark; its judge and scoring do not enter.
        seed: of weights, order and augmentation.
        data: name and digests of each training scene (``Dataset.train_digests``).
        perceptual: the perceptual network, or None where the method gives it no weight.
    """
    return {
        "kind": "generator",
        "version": 3,
        "method": method.model_dump(exclude={"title", "source"}),
        "data": benchmark.data.model_dump(),
        "size": benchmark.size.model_dump(),
        "budget": benchmark.budget.model_dump(),
        "scenes": len(data),
        "scenes_digest": digest(data),
        "perceptual": None if perceptual is None else perceptual.identity,
        "seed": seed,
    }


def planned_steps(benchmark: Benchmark, scenes: int) -> tuple[int, int]:
    """Return the steps at the full rate and the steps of decay."""
    budget = benchmark.budget
    per_epoch = steps_per_epoch(scenes, budget.batch_size)
    return budget.epochs * per_epoch, budget.decay_epochs * per_epoch


def require_fitting_size(method: Pix2PixHD, benchmark: Benchmark) -> None:
    """Check that the benchmark's sides divide by the generator's halvings.

    Raises:
        UsageError: they do not; the nearest sizes that do are named.
    """
    count, size = halvings(method, benchmark.budget), benchmark.size
    divisor = 2 ** (count + method.generator.enhancers)
    smallest = 2 * divisor  # reflection padding needs two pixels at the lowest resolution
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
                f"{divisor}, as the generator of '{method.name}' needs "
                f"({count} halvings, {method.generator.enhancers} enhancers); "
                f"use {below} or {below + divisor}"
            )


def train(
    method: Pix2PixHD,
    benchmark: Benchmark,
    seed: int,
    files: list[SceneFiles],
    data: list[list[str]],
    folder: Path,
    machine: Machine,
    perceptual: PerceptualChoice | None,
    restart: bool,
) -> Path:
    """Train a method, or go on where an earlier call stopped, and return the generator's file.

    Args:
        method: the resolved method.
        benchmark: the resolved benchmark.
        seed: of weights, order and augmentation.
        files: the training scenes.
        data: their names and digests (``Dataset.train_digests``).
        folder: the run's folder.
        machine: device, decoding workers, time between checkpoints.
        perceptual: the perceptual network, or None where the method gives it no weight.
        restart: move what the folder holds aside first.

    Raises:
        UsageError: the benchmark's sides do not divide.
        CheckpointError: weights or checkpoints are missing, damaged or of another job.
        DivergedError: a loss is not finite.
        Interrupted: the user stopped it; everything is saved.
    """
    require_fitting_size(method, benchmark)
    identity = run_identity(method, benchmark, seed, data, perceptual)
    output = folder / GENERATOR_WEIGHTS
    if output.is_file() and not restart:
        require_identity(folder, identity)
        return output
    features = None if perceptual is None else perceptual.load()
    trainer = Pix2PixHDTrainer(method, benchmark, seed, features, machine.device)
    constant, decay = planned_steps(benchmark, len(files))
    per_epoch = steps_per_epoch(len(files), benchmark.budget.batch_size)
    space = LABEL_SPACES[benchmark.data.label_space]
    size = benchmark.size
    augment = ResizeAndFlip(size.height, size.width, benchmark.budget.flip)

    def batches(start: int, stop: int) -> Iterator[Batch]:
        return training_batches(
            files,
            space,
            augment,
            batch_size=benchmark.budget.batch_size,
            seed=seed,
            start=start,
            stop=stop,
            workers=machine.workers,
        )

    shown = [read_scene(entry, space) for entry in spread(files, _SHEET_SCENES)]
    title, steps = f"{method.name} on {benchmark.name}", constant + decay
    with (
        claimed(folder, identity, restart),
        Job(folder, title, steps, machine.checkpoint_minutes) as job,
    ):
        job.resume(trainer)
        for step, batch in job.follow(batches):
            rate = learning_rate(step, constant, decay, method.optimizer.learning_rate)
            losses = trainer.step(batch, rate)
            job.record(step, {"epoch": step // per_epoch, "rate": rate}, losses, batch.names)
            if (step + 1) % per_epoch == 0:
                sheet = _sample_sheet(trainer, shown, space, step + 1)
                write_sheet(sheet, folder / SAMPLES / f"step-{step + 1:08d}.png")
                write_sheet_page(folder / SAMPLES, title, finished=step + 1 == steps)

        generator = trainer.average.network.cpu()
        if benchmark.budget.storage == "fp16":
            halve_parameters(generator)
        card = GeneratorCard(
            method=method.name,
            benchmark=benchmark.name,
            seed=seed,
            identity=identity,
            weights=weights_digest(generator),
            steps=job.step,
            seconds=round(job.seconds, 1),
            command=f"hdbench train {method.name} --benchmark {benchmark.name} --seed {seed}",
            machine=machine_facts(machine.device),
        )
        facts = {"identity": digest(identity), "weights": card.weights, "steps": str(card.steps)}
        write_atomically(folder / GENERATOR_CARD, (card.model_dump_json(indent=2) + "\n").encode())
        save_weights(output, generator, facts)  # last: a run with it is finished
    return output


def _sample_sheet(
    trainer: Pix2PixHDTrainer, scenes: list[Scene], space: LabelSpace, step: int
) -> Image.Image:
    """Draw labels, synthesized image and photograph of a few training scenes."""
    rows = []
    for native in scenes:
        scene = native.resized(trainer.size.height, trainer.size.width)
        assert scene.image is not None
        rows.append(
            [
                Cell(f"labels of {scene.name}", space.paint(scene.label)),
                Cell(f"synthesized, step {step}", trainer.synthesize(collate([scene]))[0]),
                Cell("photograph", scene.image),
            ]
        )
    return contact_sheet(rows)
