"""One training step against a plain one that computes each loss in a pass of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from straightforward import StraightforwardTrainer, gradient_errors, gradients

from hdbench.data.scene import Batch, to_network_range
from hdbench.library import Library
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.runtime.devices import autocast
from hdbench.schema.method import Pix2PixHD
from hdbench.training.objective import feature_matching_loss, gan_loss
from hdbench.training.trainer import Pix2PixHDTrainer


def features() -> PerceptualNetwork:
    torch.manual_seed(5)
    return PerceptualNetwork([4, 8, 8, 8, 8], [1, 2, 1, 1, 1])


def trainer(precision: str, perceptual: PerceptualNetwork | None = None) -> Pix2PixHDTrainer:
    library = Library()
    method = library.method("ours" if perceptual else "ours-no-vgg")
    benchmark = library.benchmark("camvid")
    assert isinstance(method, Pix2PixHD)
    budget = benchmark.budget.model_copy(update={"width": 0.0625, "precision": precision})
    sized = benchmark.model_copy(update={"budget": budget})
    return Pix2PixHDTrainer(method, sized, 0, perceptual, torch.device("cpu"))


def batch(scenes: int = 1) -> Batch:
    """Noise, in which a few of the labels are nowhere."""
    random = torch.Generator().manual_seed(3)
    label = torch.randint(0, 9, (scenes, 64, 96), dtype=torch.uint8, generator=random)
    image = torch.randint(0, 256, (scenes, 3, 64, 96), dtype=torch.uint8, generator=random)
    return Batch(["noise"] * scenes, label, None, image)


@pytest.mark.slow
@pytest.mark.parametrize("scenes", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("perceptual", [None, features()], ids=["no-perceptual", "perceptual"])
def test_gradients_are_as_near_to_fp64_as_those_of_a_plain_step(
    perceptual: PerceptualNetwork | None, precision: str, scenes: int
) -> None:
    """On noise bf16 gets the generator's gradient half wrong, whoever computes it."""
    found, data = trainer(precision, perceptual), batch(scenes)
    layers = perceptual.features if perceptual else None
    plain = StraightforwardTrainer(found, layers, precision=precision)
    exact = StraightforwardTrainer(found, layers, torch.float64)
    found.step(data, 2e-4)
    plain.step(data)
    exact.step(data)
    errors, usual = (gradient_errors(one, gradients(exact)) for one in (found, plain))
    for mine, theirs in zip(errors, usual, strict=True):
        assert mine < 1.2 * theirs + 1e-6
        assert precision == "bf16" or mine < 1e-4


# Both sides round alike; what is left is the order in which another CPU's kernels may sum.
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 2e-2)])
def test_both_networks_learn_from_their_own_loss_alone(precision: str, tolerance: float) -> None:
    """The same layers, a pass for each loss: tight in bf16 too."""
    found, expected, data = trainer(precision), trainer(precision), batch()
    assert data.image is not None
    found.step(data, 2e-4)

    generator, discriminator = expected.generator, expected.discriminator
    assert discriminator is not None
    frozen = copy.deepcopy(discriminator).requires_grad_(False)
    with autocast(torch.device("cpu"), precision):
        condition, real = expected.condition(data), to_network_range(data.image)
        fake = generator(condition)
        on_fake = frozen(frozen.read(condition), fake)
        matching = feature_matching_loss(on_fake, frozen(frozen.read(condition), real))
        generator_loss = gan_loss(on_fake, real=True, kind="lsgan") + 10 * matching
        on_real, on_detached = (
            discriminator(discriminator.read(condition), image) for image in (real, fake.detach())
        )
        discriminator_loss = gan_loss(on_real, real=True, kind="lsgan")
        discriminator_loss = discriminator_loss + gan_loss(on_detached, real=False, kind="lsgan")
    generator_loss.backward()
    (discriminator_loss / 2).backward()

    assert (fake.dtype == torch.bfloat16) == (precision == "bf16")
    assert max(gradient_errors(found, gradients(expected))) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 3e-2)])
def test_losses_are_those_of_a_plain_step(precision: str, tolerance: float) -> None:
    perceptual = features()
    found, data = trainer(precision, perceptual), batch()
    exact = StraightforwardTrainer(found, perceptual.features, torch.float64)
    losses, expected = found.step(data, 2e-4), exact.step(data)
    assert losses.keys() == expected.keys()
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name].double(), loss, rtol=tolerance, atol=0.0)


def test_only_the_generators_steps_are_longer_by_the_budgets_factor() -> None:
    """Adam's first step moves a weight by the rate, whatever its gradient."""
    found, before = trainer("fp32"), trainer("fp32")
    found.budget = found.budget.model_copy(update={"generator_rate": 3.0})
    found.step(batch(), 2e-4)
    for mine, theirs, rate in (
        (found.generator, before.generator, 6e-4),
        (found.discriminator, before.discriminator, 2e-4),
    ):
        assert mine is not None
        assert theirs is not None
        moved = [
            (new - old).abs().max().item()
            for new, old in zip(mine.parameters(), theirs.parameters(), strict=True)
        ]
        assert max(moved) == pytest.approx(rate, rel=1e-3)
