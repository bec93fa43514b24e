"""One step of a training: generator, discriminators, their losses and optimisers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

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
from hdbench.networks.generator import recompute_blocks
from hdbench.networks.growth import grow_discriminator, grow_generator, newest_enhancer
from hdbench.networks.noise import NoiseSource, noise_of
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.networks.synchronised import statistics_over, synchronised
from hdbench.provenance import derived_seed
from hdbench.runtime.devices import AS_USUAL, Execution, autocast
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
    wide,
)
from hdbench.training.passes import Passes
from hdbench.training.stages import at_stage, stages_of
from hdbench.training.start import StartingWeights

Network = TypeVar("Network", bound=nn.Module)


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
        execution: Execution = AS_USUAL,
    ) -> None:
        self.method, self.device, self.execution = method, device, execution
        self.budget, self._benchmark = benchmark.budget, benchmark
        self._limits = limits_of(benchmark)
        self.stages = stages_of(method, self.budget)
        self._space = label_space_of(benchmark.data.label_space)
        self.condition = conditioning(method, self._space.channels, benchmark.input)
        self.perceptual = None if perceptual is None else perceptual.to(device)
        self.balance, self.noise = Balance(execution.ranks), NoiseSource(seed)
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
        generator = self._placed(build_generator(method, channels, self._limits))
        if self.execution.recompute:
            recompute_blocks(generator)
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
        self._passes = Passes(self.execution.ranks, generator, self.encoder, self.discriminator)
        self.stage = n

    def _begin_discriminator(self, n: int, method: Pix2PixHD) -> None:
        """Build the discriminators of a stage, where the method has any and they are more."""
        known = None if n == 0 else self.discriminator
        if method.discriminator is None:
            self.discriminator = None
            self.discriminator_optimizer = None
            return
        channels = self.condition.channels + 3
        discriminator = self._placed(build_discriminator(method, channels, self._limits))
        if known is not None:
            grow_discriminator(known, discriminator)
        if known is None or len(discriminator.scales) > len(known.scales):
            self.discriminator = discriminator
            self.discriminator_optimizer = self._adam(discriminator.parameters())

    def _placed(self, network: Network) -> Network:
        synchronised(network, self.execution.ranks)
        return network.to(self.device)

    def _adam(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        spec = self.method.optimizer
        betas = (spec.beta1, spec.beta2)
        return torch.optim.Adam(parameters, lr=spec.learning_rate, betas=betas, fused=True)

    def step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Update generator and discriminators once; return the unweighted losses, on the device.

        Both gradients are taken at the weights before the step (official implementation). ``batch``
        is this rank's share; gradients and losses are the means over all ranks.
        """
        sides = [self.generator_optimizer]
        if self.discriminator_optimizer is not None:
            sides.append(self.discriminator_optimizer)
        for optimizer in sides:
            optimizer.zero_grad(set_to_none=True)
        ranks, parts = self.execution.ranks, batch.parts(self.execution.accumulate)
        found = []
        with statistics_over(ranks):
            for n, part in enumerate(parts):
                place = ranks.rank * len(batch.names) + n * len(part.names)
                with self._passes.added_up(now=n == len(parts) - 1):
                    found.append(self._add_gradients(part.to(self.device), place, len(parts)))
        losses = ranks.means(_means(found))

        _set_rate(self.generator_optimizer, rate * self.budget.generator_rate)
        if self.discriminator_optimizer is not None:
            _set_rate(self.discriminator_optimizer, rate)
        for optimizer in sides:
            optimizer.step()
        self.noise.advance()
        self.average.update()
        if self.encoder_average is not None:
            self.encoder_average.update()
        return losses

    def _add_gradients(self, batch: Batch, place: int, parts: int) -> dict[str, Tensor]:
        """Add the gradients of one of the parts of a batch; return its losses.

        ``place`` is that of its first scene in the whole batch.
        """
        assert batch.image is not None
        scenes = len(batch.names) * parts * self.execution.ranks.count
        with autocast(self.device, self.budget.precision):
            condition = self.condition(batch)
            real = to_network_range(batch.image)
            with self.noise.drawn(place, scenes):
                fake = self._passes.generator(condition, real, batch.regions)
            losses, terms = self._adversarial(condition, fake, real)
            compared, more = self._regression(batch, fake, real)
            losses |= compared
            first, *others = terms + more
            generator_loss = sum(others, start=first)

        # Each network's gradients come from its own loss alone, though both share one pass of D.
        learns = self.discriminator_optimizer
        _backward(generator_loss / parts, self.generator_optimizer, keep_graph=learns is not None)
        if learns is not None:
            discriminator_loss = (losses["d_real"] + losses["d_fake"]) / 2
            _backward(discriminator_loss / parts, learns, keep_graph=False)
        return {name: loss.detach() for name, loss in losses.items()}

    def _adversarial(
        self, condition: Tensor, fake: Tensor, real: Tensor
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the losses that discriminators give, and the generator's weighted terms."""
        if self.discriminator is None:
            return {}, []
        weight, kind = self.method.loss, self.method.loss.gan
        on_real, on_fake = self._passes.discriminator(condition, real, fake)

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
            losses["g_l1"] = F.l1_loss(wide(fake), real)
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


def _means(found: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each loss over the parts of a batch."""
    if len(found) == 1:
        return found[0]
    return {name: torch.stack([one[name] for one in found]).mean() for name in found[0]}


def _backward(loss: Tensor, optimizer: torch.optim.Optimizer, keep_graph: bool) -> None:
    """Add the gradients of a loss to those of an optimiser's parameters, and of no others."""
    parameters = [part for group in optimizer.param_groups for part in group["params"]]
    loss.backward(inputs=parameters, retain_graph=keep_graph)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
