"""Training with a feature encoder: what learns from what, and resuming."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from conftest import trainable
from test_loop import RARELY, crash, elsewhere, train, weights
from test_step import batch
from torch import nn

from hdbench.data.scene import from_network_range, to_network_range
from hdbench.library import Library
from hdbench.networks.builder import build_encoder, limits_of
from hdbench.runtime.weights import load_weights, stored_digest
from hdbench.schema.generator import ENCODER_WEIGHTS, GENERATOR_WEIGHTS
from hdbench.schema.method import Encoder, Pix2PixHD
from hdbench.training.objective import feature_matching_loss, gan_loss
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import read_generator_card

ENCODER = Encoder(base_channels=16, downsamplings=2, style_channels=3)


def trainer(method: str = "ours-styles") -> Pix2PixHDTrainer:
    library = Library()
    found, benchmark = library.method(method), library.benchmark("camvid")
    assert isinstance(found, Pix2PixHD)
    loss = found.loss.model_copy(update={"perceptual": 0.0})
    budget = benchmark.budget.model_copy(update={"width": 0.0625, "ema": 0.0})
    sized = benchmark.model_copy(update={"budget": budget})
    return Pix2PixHDTrainer(
        found.model_copy(update={"loss": loss}), sized, 0, None, torch.device("cpu")
    )


@pytest.fixture
def styled(bench: Bench) -> tuple[Bench, Pix2PixHD]:
    return bench, trainable(bench).model_copy(update={"encoder": ENCODER})


def test_the_encoder_learns_from_the_generators_loss() -> None:
    found, expected, data = trainer(), trainer(), batch(2)
    assert data.image is not None
    assert expected.encoder is not None
    condition, real = expected.condition(data), to_network_range(data.image)
    styles = expected.encoder(real, data.regions)
    fake = expected.generator(torch.cat([condition, styles], dim=1))
    critic = expected.discriminator
    assert critic is not None
    on_fake, on_real = (critic(critic.read(condition), image) for image in (fake, real))
    loss = gan_loss(on_fake, real=True, kind="lsgan")
    loss = loss + 10 * feature_matching_loss(on_fake, on_real)
    wanted = torch.autograd.grad(loss, list(expected.encoder.parameters()))

    found.step(data, 2e-4)
    assert found.encoder is not None
    for mine, theirs in zip(found.encoder.parameters(), wanted, strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad, theirs, rtol=1e-3, atol=1e-6)


def test_the_discriminators_never_see_styles() -> None:
    counts = [
        [part.shape for part in cast(nn.Module, trainer(name).discriminator).parameters()]
        for name in ("ours", "ours-styles")
    ]
    assert counts[0] == counts[1]


def test_samples_have_the_styles_of_their_photographs() -> None:
    found, data = trainer(), batch(1)
    assert data.image is not None
    assert found.encoder is not None
    styles = found.encoder(to_network_range(data.image), data.regions)
    made = found.generator(torch.cat([found.condition(data), styles], dim=1))
    assert torch.equal(found.synthesize(data), from_network_range(made.detach()))


@pytest.mark.slow
def test_the_encoder_is_stored_and_named_on_the_card(styled: tuple[Bench, Pix2PixHD]) -> None:
    bench, method = styled
    folder = train(bench, method, RARELY).parent
    card = read_generator_card(folder)
    assert card.encoder == stored_digest(folder / ENCODER_WEIGHTS)
    assert card.identity["method"]["encoder"] == ENCODER.model_dump()
    encoder = build_encoder(method, limits_of(bench.benchmark))
    assert encoder is not None
    load_weights(folder / ENCODER_WEIGHTS, encoder, card.encoder)


@pytest.mark.slow
def test_a_crash_changes_neither_generator_nor_encoder(
    styled: tuple[Bench, Pix2PixHD], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, method = styled
    undisturbed = train(elsewhere(bench, "uninterrupted"), method, RARELY).parent
    crash(bench, method, monkeypatch, 5, {4})
    resumed = train(bench, method).parent
    for name in (GENERATOR_WEIGHTS, ENCODER_WEIGHTS):
        assert weights(resumed / name) == weights(undisturbed / name)
