"""One step of a training: generator, discriminators, their losses and optimisers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.data.labels import label_space_of
from hdbench.data.scene import Batch, from_network_range, one_hot, to_network_range
from hdbench.networks.builder import (
    build_discriminator,
    build_encoder,
    build_generator,
    conditioning,
    limits_of,
)
from hdbench.networks.cascaded_refinement import images_of
from hdbench.networks.growth import grow_discriminator, grow_generator, newest_enhancer
from hdbench.networks.noise import NoiseSource, noise_of
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.provenance import derived_seed
from hdbench.runtime.devices import autocast
from hdbench.runtime.weights import require_same_shapes
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.method import Pix2PixHD
from hdbench.training.average import MovingAverage
from hdbench.training.keeping import Networks
from hdbench.training.objective import (
    Balance,
    class_distances,
    feature_matching_loss,
    gan_loss,
    nearest_image_loss,
    perceptual_loss,
)
from hdbench.training.stages import at_stage, stages_of
from hdbench.training.start import StartingWeights


class Pix2PixHDTrainer:
    """Generator, encoder, discriminators, optimisers; one ``step`` is one update of all.

    A training of several stages begins with the networks of the first; ``enter`` goes on.
    """

    def __init__(
        self,
        method: Pix2PixHD,
        benchmark: Benchmark,
        seed: int,
        perceptual: PerceptualNetwork | None,
        device: torch.device,
    ) -> None:
        self.method, self.device = method, device
        self.budget, self._benchmark = benchmark.budget, benchmark
        self._limits = limits_of(benchmark)
        self.stages = stages_of(method, self.budget)
        self._space = label_space_of(benchmark.data.label_space)
        self.condition = conditioning(method, self._space.channels, benchmark.input)
        self.perceptual = None if perceptual is None else perceptual.to(device)
        self.balance, self.noise = Balance(), NoiseSource(seed)
        torch.manual_seed(derived_seed("encoder", seed))
        encoder = build_encoder(method, self._limits)
        self.encoder = None if encoder is None else encoder.to(device)
        self.encoder_average = (
            None if self.encoder is None else MovingAverage(self.encoder, self.budget.ema)
        )
        self._seed = seed
        self._begin(0)

    def begin_from(self, start: StartingWeights) -> None:
        """Take over the weights of other networks, before the first step.

        Raises:
            CheckpointError: they are of another architecture or width.
        """
        networks = self.generator, self.encoder, self.discriminator
        start.into(self.method, self._benchmark, self._space, *networks)
        self.average = MovingAverage(self.generator, self.budget.ema)
        if self.encoder is not None:
            self.encoder_average = MovingAverage(self.encoder, self.budget.ema)

    def enter(self, stage: int) -> None:
        """Go on with a later stage: its networks start with the weights of those before it."""
        for n in range(self.stage + 1, stage + 1):
            self._begin(n)

    def _begin(self, n: int) -> None:
        """Build what a stage adds; networks that stay as they are keep their optimiser's state."""
        stage = self.stages[n]
        method = at_stage(self.method, stage)
        torch.manual_seed(derived_seed("weights", self._seed, *([n] if n else [])))
        channels = self.condition.channels
        generator = build_generator(method, channels, self._limits).to(self.device)
        if n > 0:
            grow_generator(self.generator, generator)
        self._begin_discriminator(n, method)
        learning = list(generator.parameters())
        if stage.trains == "newest-enhancer":
            generator.requires_grad_(False)
            learning = list(newest_enhancer(generator))
            for weights in learning:
                weights.requires_grad_()
        if self.encoder is not None:
            learning += self.encoder.parameters()  # in every stage (official implementation)
        self.generator = generator
        self.generator_optimizer = self._adam(learning)
        self.average = MovingAverage(generator, self.budget.ema)
        self.stage = n

    def _begin_discriminator(self, n: int, method: Pix2PixHD) -> None:
        """Build the discriminators of a stage, where the method has any and they are more."""
        known = None if n == 0 else self.discriminator
        if method.discriminator is None:
            self.discriminator = None
            self.discriminator_optimizer = None
            return
        channels = self.condition.channels + 3
        discriminator = build_discriminator(method, channels, self._limits)
        discriminator = discriminator.to(self.device)
        if known is not None:
            grow_discriminator(known, discriminator)
        if known is None or len(discriminator.scales) > len(known.scales):
            self.discriminator = discriminator
            self.discriminator_optimizer = self._adam(discriminator.parameters())

    def _adam(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        spec = self.method.optimizer
        betas = (spec.beta1, spec.beta2)
        return torch.optim.Adam(parameters, lr=spec.learning_rate, betas=betas, fused=True)

    def step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Update generator and discriminators once; return the unweighted losses, on the device.

        Both gradients are taken at the weights before the step (official implementation).
        """
        batch = batch.to(self.device)
        assert batch.image is not None
        with autocast(self.device, self.budget.precision):
            condition = self.condition(batch)
            real = to_network_range(batch.image)
            styles = [] if self.encoder is None else [self.encoder(real, batch.regions)]
            with self.noise.drawn():
                fake = self.generator(torch.cat([condition, *styles], dim=1))
            losses, terms = self._adversarial(condition, fake, real)
            compared, more = self._regression(batch, fake, real)
            losses |= compared
            first, *others = terms + more
            generator_loss = sum(others, start=first)

        # Each network's gradients come from its own loss alone, though both share one pass of D.
        learns = self.discriminator_optimizer
        _backward(generator_loss, self.generator_optimizer, keep_graph=learns is not None)
        _set_rate(self.generator_optimizer, rate * self.budget.generator_rate)
        if learns is not None:
            _backward((losses["d_real"] + losses["d_fake"]) / 2, learns, keep_graph=False)
            _set_rate(learns, rate)
        self.generator_optimizer.step()
        if learns is not None:
            learns.step()
        self.average.update()
        if self.encoder_average is not None:
            self.encoder_average.update()
        return {name: loss.detach() for name, loss in losses.items()}

    def _adversarial(
        self, condition: Tensor, fake: Tensor, real: Tensor
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the losses that discriminators give, and the generator's weighted terms."""
        if self.discriminator is None:
            return {}, []
        weight, kind = self.method.loss, self.method.loss.gan
        readings = self.discriminator.read(condition)
        on_real = self.discriminator(readings, real)
        on_fake = self.discriminator(readings, fake)

        losses = {"g_gan": gan_loss(on_fake, real=True, kind=kind)}
        terms = [losses["g_gan"]]
        if weight.feature_matching > 0:
            losses["g_features"] = feature_matching_loss(on_fake, on_real)
            terms.append(weight.feature_matching * losses["g_features"])
        losses["d_real"] = gan_loss(on_real, real=True, kind=kind)
        losses["d_fake"] = gan_loss(on_fake, real=False, kind=kind)
        return losses, terms

    def _regression(
        self, batch: Batch, fake: Tensor, real: Tensor
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the losses that compare image and photograph, and their weighted terms."""
        losses: dict[str, Tensor] = {}
        terms: list[Tensor] = []
        weight = self.method.loss
        if self.perceptual is not None and weight.perceptual_form == "pix2pixhd":
            with torch.no_grad():
                real_maps = self.perceptual(real)
            losses["g_perceptual"] = perceptual_loss(self.perceptual(fake), real_maps)
            terms.append(weight.perceptual * losses["g_perceptual"])
        elif self.perceptual is not None:
            images = images_of(fake).flatten(0, 1)
            with torch.no_grad():
                real_maps = [real, *self.perceptual.second_maps(real)]
            maps = [images, *self.perceptual.second_maps(images)]
            classes = (
                one_hot(batch.label, self._space.channels) if len(images) > len(real) else None
            )
            distances = class_distances(maps, real_maps, classes)
            losses["g_perceptual"] = torch.stack(distances).sum(dim=3).mean()
            nearest = nearest_image_loss(distances, self.balance.of(distances))
            terms.append(weight.perceptual * nearest)
        if weight.l1 > 0:
            losses["g_l1"] = F.l1_loss(fake.float(), real)
            terms.append(weight.l1 * losses["g_l1"])
        return losses, terms

    @property
    def averaged(self) -> Networks:
        """The networks that make images: with averaged weights, where an average is kept."""
        encoder = self.encoder_average
        return Networks(self.average.network, None if encoder is None else encoder.network)

    @torch.no_grad()
    def synthesize(self, batch: Batch, networks: Networks | None = None) -> Tensor:
        """Return uint8 B x 3 x H x W images for a batch's label maps, in fp32.

        They are made by the ``averaged`` networks or by others. The styles of a method with an
        encoder are those of the batch's photographs.
        """
        networks = networks or self.averaged
        batch = batch.to(self.device)
        condition = self.condition(batch)
        if networks.encoder is not None:
            assert batch.image is not None
            styles = networks.encoder(to_network_range(batch.image), batch.regions)
            condition = torch.cat([condition, styles], dim=1)
        with noise_of(*batch.names):
            images = images_of(networks.generator(condition))[:, 0]
        return from_network_range(images).cpu()

    def state(self) -> dict[str, Any]:
        """Return the state of networks and optimisers."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {"stage": self.stage, **parts}

    def load_state(self, state: dict[str, Any]) -> None:
        """Load a state that ``state`` returned, if its networks have the same shapes.

        Raises:
            CheckpointError: its networks have another architecture or width.
        """
        stage = state.get("stage", 0)  # checkpoints from before there were stages have none
        if stage < len(self.stages):
            self.enter(stage)
        require_same_shapes("checkpoint: generator", state["generator"], self.generator)
        if self.discriminator is not None:
            found = state["discriminator"]
            require_same_shapes("checkpoint: discriminator", found, self.discriminator)
        if self.encoder is not None:
            require_same_shapes("checkpoint: encoder", state["encoder"], self.encoder)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "generator": self.generator,
            "average": self.average,
            "encoder": self.encoder,
            "encoder_average": self.encoder_average,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "noise": self.noise if self.method.is_noisy else None,
            "balance": self.balance if self.method.loss.perceptual_form == "crn" else None,
        }
        return {name: part for name, part in parts.items() if part is not None}


def _backward(loss: Tensor, optimizer: torch.optim.Optimizer, keep_graph: bool) -> None:
    """Set the gradients of an optimiser's parameters, and of no others, to those of a loss."""
    parameters = [part for group in optimizer.param_groups for part in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters, retain_graph=keep_graph)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
