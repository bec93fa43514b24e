"""One training step against a plain reference that computes each loss in a pass of its own."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from hdbench.data.scene import Batch, to_network_range
from hdbench.library import Library
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.schema.method import Pix2PixHD
from hdbench.training.loop import Pix2PixHDTrainer
from hdbench.training.objective import feature_matching_loss, gan_loss


def trainer() -> Pix2PixHDTrainer:
    library = Library()
    method, benchmark = library.method("ours-no-vgg"), library.benchmark("camvid")
    assert isinstance(method, Pix2PixHD)
    budget = benchmark.budget.model_copy(update={"width": 0.0625})
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
    return network(network.pyramid(condition), image)


def test_both_networks_learn_from_their_own_loss_alone() -> None:
    found, expected, data = trainer(), trainer(), batch()
    assert data.image is not None
    losses = found.step(data, 2e-4)

    generator, discriminator = expected.generator, expected.discriminator
    condition, real = expected.condition(data), to_network_range(data.image)
    fake = generator(condition)
    frozen = copy.deepcopy(discriminator).requires_grad_(False)
    on_fake = judged(frozen, condition, fake)
    matching = feature_matching_loss(on_fake, judged(frozen, condition, real))
    (gan_loss(on_fake, real=True, kind="lsgan") + 10 * matching).backward()
    on_real = gan_loss(judged(discriminator, condition, real), real=True, kind="lsgan")
    on_detached = judged(discriminator, condition, fake.detach())
    ((on_real + gan_loss(on_detached, real=False, kind="lsgan")) / 2).backward()

    torch.testing.assert_close(losses["g_features"], matching.detach())
    torch.testing.assert_close(losses["d_real"], on_real.detach())
    for mine, theirs in ((found.generator, generator), (found.discriminator, discriminator)):
        gradients, references = (
            torch.cat(
                [part.grad.flatten() for part in network.parameters() if part.grad is not None]
            )
            for network in (mine, theirs)
        )
        assert gradients.numel() == sum(part.numel() for part in theirs.parameters())
        assert (gradients - references).norm() < 1e-3 * references.norm()
