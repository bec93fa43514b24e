"""One training step against a plain reference that computes each loss in a pass of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from hdbench.data.scene import Batch, to_network_range
from hdbench.library import Library
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.runtime.devices import autocast
from hdbench.schema.method import Pix2PixHD
from hdbench.training.loop import Pix2PixHDTrainer
from hdbench.training.objective import feature_matching_loss, gan_loss


def trainer(precision: str) -> Pix2PixHDTrainer:
    library = Library()
    method, benchmark = library.method("ours-no-vgg"), library.benchmark("camvid")
    assert isinstance(method, Pix2PixHD)
    budget = benchmark.budget.model_copy(update={"width": 0.0625, "precision": precision})
    sized = benchmark.model_copy(update={"budget": budget})
    return Pix2PixHDTrainer(method, sized, 0, None, torch.device("cpu"))


def batch() -> Batch:
    random = torch.Generator().manual_seed(3)
    label = torch.randint(0, 12, (1, 64, 96), dtype=torch.uint8, generator=random)
    image = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=random)
    return Batch(["noise"], label, None, image)


def judged(
    network: MultiscaleDiscriminator, condition: Tensor, image: Tensor
) -> list[list[Tensor]]:
    return network(network.read(condition), image)


def gradient(network: nn.Module) -> Tensor:
    """A network's gradient as one vector."""
    parts = [part.grad for part in network.parameters()]
    return torch.cat([part.flatten() for part in parts if part is not None])


# Both sides round alike; what is left is the order in which another CPU's kernels may sum.
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 2e-2)])
def test_both_networks_learn_from_their_own_loss_alone(precision: str, tolerance: float) -> None:
    found, expected, data = trainer(precision), trainer(precision), batch()
    assert data.image is not None
    losses = found.step(data, 2e-4)

    generator, discriminator = expected.generator, expected.discriminator
    frozen = copy.deepcopy(discriminator).requires_grad_(False)
    with autocast(torch.device("cpu"), precision):
        condition, real = expected.condition(data), to_network_range(data.image)
        fake = generator(condition)
        on_fake = judged(frozen, condition, fake)
        matching = feature_matching_loss(on_fake, judged(frozen, condition, real))
        generator_loss = gan_loss(on_fake, real=True, kind="lsgan") + 10 * matching
        on_real = gan_loss(judged(discriminator, condition, real), real=True, kind="lsgan")
        on_detached = judged(discriminator, condition, fake.detach())
        on_fake_loss = gan_loss(on_detached, real=False, kind="lsgan")
    generator_loss.backward()
    ((on_real + on_fake_loss) / 2).backward()

    assert (fake.dtype == torch.bfloat16) == (precision == "bf16")
    for name, loss in (("g_features", matching), ("d_real", on_real), ("d_fake", on_fake_loss)):
        torch.testing.assert_close(losses[name], loss.detach(), rtol=tolerance, atol=0.0)
    for mine, theirs in ((found.generator, generator), (found.discriminator, discriminator)):
        reference = gradient(theirs)
        assert reference.numel() == sum(part.numel() for part in theirs.parameters())
        assert (gradient(mine) - reference).norm() < tolerance * reference.norm()


def test_only_the_generators_steps_are_longer_by_the_budgets_factor() -> None:
    """Adam's first step moves a weight by the rate, whatever its gradient."""
    found, before = trainer("fp32"), trainer("fp32")
    found.budget = found.budget.model_copy(update={"generator_rate": 3.0})
    found.step(batch(), 2e-4)
    for mine, theirs, rate in (
        (found.generator, before.generator, 6e-4),
        (found.discriminator, before.discriminator, 2e-4),
    ):
        moved = [
            (new - old).abs().max().item()
            for new, old in zip(mine.parameters(), theirs.parameters(), strict=True)
        ]
        assert max(moved) == pytest.approx(rate, rel=1e-3)
