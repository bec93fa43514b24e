"""The training step as one first writes it, the reference for ours in tests and measurements.

Plain PyTorch layers, a pass of its own for every loss, no sharing; independent of hdbench's
networks and objective. It learns by the objective of the method file.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.data.scene import Batch, to_network_range
from hdbench.networks.builder import Limits, scaled, stated_generator
from hdbench.runtime.devices import autocast
from hdbench.schema.method import CoarseToFine
from hdbench.training.trainer import Pix2PixHDTrainer


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class _Mirrored(nn.ConvTranspose2d):
    """A transposed convolution of the map with a mirrored border, without what that border adds."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="reflect"))[..., 2:-2, 2:-2]


def straightforward_generator(
    inputs: int, base: int, strided: int, spec: CoarseToFine
) -> nn.Sequential:
    """Return the global generator for a condition of ``inputs`` channels."""
    mirrored = spec.resampling_padding == "reflection"

    def down(width: int) -> nn.Module:
        if mirrored:
            return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(width, 2 * width, 3, 2))
        return nn.Conv2d(width, 2 * width, 3, 2, 1)

    def activated(convolution: nn.Module, channels: int) -> list[nn.Module]:
        return [convolution, nn.InstanceNorm2d(channels), nn.ReLU()]

    layers = [nn.ReflectionPad2d(3), *activated(nn.Conv2d(inputs, base, 7), base)]
    widths = [base * 2**level for level in range(strided + 1)]
    for width in widths[:-1]:
        layers += activated(down(width), 2 * width)
    layers += [_Residual(widths[-1]) for _ in range(spec.residual_blocks)]
    up = _Mirrored if mirrored else nn.ConvTranspose2d
    for width in reversed(widths[:-1]):
        layers += activated(up(2 * width, width, 3, 2, 1, 1), width)
    border = nn.ZeroPad2d(3) if spec.output_padding == "zeros" else nn.ReflectionPad2d(3)
    return nn.Sequential(*layers, border, nn.Conv2d(base, 3, 7), nn.Tanh())


class _Discriminators(nn.Module):
    def __init__(self, inputs: int, base: int, layers: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(self._patches(inputs, base, layers) for _ in range(scales))

    @staticmethod
    def _patches(inputs: int, base: int, layers: int) -> nn.ModuleList:
        stages = [nn.Sequential(nn.Conv2d(inputs, base, 4, 2, 2), nn.LeakyReLU(0.2))]
        width = base
        for left in reversed(range(layers)):
            wide = min(2 * width, 8 * base)
            convolution = nn.Conv2d(width, wide, 4, 2 if left else 1, 2)
            stages.append(nn.Sequential(convolution, nn.InstanceNorm2d(wide), nn.LeakyReLU(0.2)))
            width = wide
        return nn.ModuleList([*stages, nn.Conv2d(width, 1, 4, 1, 2)])

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        outputs = []
        for stages in self.scales:
            assert isinstance(stages, nn.ModuleList)
            maps = [x]
            for stage in stages:
                maps.append(stage(maps[-1]))
            outputs.append(maps[1:])
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return outputs


def perceptual_maps(features: nn.Sequential, images: Tensor) -> list[Tensor]:
    """Return relu1_1, relu2_1, ...: the first ReLU's map at each resolution."""
    maps, awaited = [], True
    for layer in features:
        images = layer(images)
        if isinstance(layer, nn.ReLU) and awaited:
            maps.append(images)
        awaited = isinstance(layer, nn.MaxPool2d) or (awaited and not isinstance(layer, nn.ReLU))
    return maps


class StraightforwardTrainer:
    """A trainer of ``GlobalGenerator`` and its discriminators, from the weights of ours.

    Args:
        trainer: whose weights to begin with.
        features: the layers of the perceptual network, or None for no perceptual loss.
        dtype: of weights and arithmetic.
        precision: ``fp32`` (``dtype`` is used throughout), or ``bf16`` by autocast.
    """

    def __init__(
        self,
        trainer: Pix2PixHDTrainer,
        features: nn.Sequential | None,
        dtype: torch.dtype = torch.float32,
        precision: str = "fp32",
    ) -> None:
        method, width = trainer.method, trainer.budget.width
        self.condition, self.dtype, self.precision = trainer.condition, dtype, precision
        inputs = trainer.condition.channels
        spec = stated_generator(method, Limits(width, trainer.budget.downsamplings, None))
        self.generator = straightforward_generator(
            inputs,
            spec.base_channels,
            spec.downsamplings,
            spec,
        )
        self.loss, spec = method.loss, method.discriminator
        assert spec is not None
        base = scaled(spec.base_channels, width)
        self.discriminator = _Discriminators(inputs + 3, base, spec.layers, spec.scales)
        for mine, theirs in (
            (self.generator, trainer.generator),
            (self.discriminator, trainer.discriminator),
        ):
            assert theirs is not None
            mine.to(dtype)
            _copy_weights(theirs.parameters(), mine.parameters())
        self.features = None if features is None else copy.deepcopy(features).to(dtype)
        settings = {"lr": 2e-4, "betas": (0.5, 0.999)}
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), **settings)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), **settings)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update both networks once; gradients stay in ``grad``. Return unweighted losses."""
        assert batch.image is not None
        with autocast(torch.device("cpu"), self.precision):
            condition = self.condition(batch).to(self.dtype)
            real = to_network_range(batch.image).to(self.dtype)
            fake = self.generator(condition)
            on_detached = self.discriminator(torch.cat([condition, fake.detach()], dim=1))
            on_real = self.discriminator(torch.cat([condition, real], dim=1))
            on_fake = self.discriminator(torch.cat([condition, fake], dim=1))

            adversarial = {"lsgan": _lsgan, "log": _log}[self.loss.gan]
            losses = {
                "g_gan": adversarial(on_fake, 1.0),
                "d_real": adversarial(on_real, 1.0),
                "d_fake": adversarial(on_detached, 0.0),
            }
            generator_loss = losses["g_gan"]
            if self.loss.feature_matching:
                losses["g_features"] = _feature_matching(on_fake, on_real)
                generator_loss = generator_loss + self.loss.feature_matching * losses["g_features"]
            if self.features is not None:
                losses["g_perceptual"] = _perceptual(self.features, fake, real)
                generator_loss = generator_loss + self.loss.perceptual * losses["g_perceptual"]
            discriminator_loss = (losses["d_real"] + losses["d_fake"]) / 2

        self.generator_optimizer.zero_grad()
        generator_loss.backward()
        self.generator_optimizer.step()
        self.discriminator_optimizer.zero_grad()  # of what the generator's loss left there
        discriminator_loss.backward()
        self.discriminator_optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}


def gradients(trainer: Pix2PixHDTrainer | StraightforwardTrainer) -> tuple[Tensor, Tensor]:
    """Return the last gradients of generator and discriminators, each as one fp64 vector."""
    found = []
    for network in (trainer.generator, trainer.discriminator):
        parts = []
        assert network is not None
        for parameter in network.parameters():
            assert parameter.grad is not None
            parts.append(parameter.grad.flatten().double())
        found.append(torch.cat(parts))
    return found[0], found[1]


def gradient_errors(
    trainer: Pix2PixHDTrainer | StraightforwardTrainer, exact: tuple[Tensor, Tensor]
) -> tuple[float, float]:
    """Return the relative errors of a trainer's last gradients, generator first."""
    pairs = zip(gradients(trainer), exact, strict=True)
    generator, discriminator = [((a - b).norm() / b.norm()).item() for a, b in pairs]
    return generator, discriminator


def _lsgan(outputs: Sequence[Sequence[Tensor]], target: float) -> Tensor:
    parts = [F.mse_loss(maps[-1], torch.full_like(maps[-1], target)) for maps in outputs]
    return torch.stack(parts).sum()


def _log(outputs: Sequence[Sequence[Tensor]], target: float) -> Tensor:
    """Eq. 2, the generator's in its non-saturating form, from probabilities in fp64."""
    parts = []
    for maps in outputs:
        real = torch.sigmoid(maps[-1].double())
        parts.append(-torch.log(real if target else 1 - real).mean())
    return torch.stack(parts).sum()


def _feature_matching(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    parts = [
        F.l1_loss(mine, theirs.detach())
        for fakes, reals in zip(fake, real, strict=True)
        for mine, theirs in zip(fakes[:-1], reals[:-1], strict=True)
    ]
    return torch.stack(parts).sum() * 4 / (len(fake[0]) - 1) / len(fake)


def _perceptual(features: nn.Sequential, fake: Tensor, real: Tensor) -> Tensor:
    maps = zip(perceptual_maps(features, fake), perceptual_maps(features, real), strict=True)
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    parts = [
        weight * F.l1_loss(mine, theirs.detach())
        for weight, (mine, theirs) in zip(weights, maps, strict=True)
    ]
    return torch.stack(parts).sum()


@torch.no_grad()
def _copy_weights(source: Iterable[nn.Parameter], target: Iterable[nn.Parameter]) -> None:
    for theirs, mine in zip(source, target, strict=True):
        assert mine.shape == theirs.shape
        mine.copy_(theirs)
