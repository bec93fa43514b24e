"""Every switch of the objective, alone and together, against the plain training step."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from straightforward import StraightforwardTrainer, gradient_errors, gradients
from test_step import features

from hdbench.data.scene import Batch
from hdbench.errors import UsageError
from hdbench.library import Library
from hdbench.networks.builder import build_generator, limits_of
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.schema.method import Pix2PixHD, Stage
from hdbench.training.config import require_fitting_size
from hdbench.training.trainer import Pix2PixHDTrainer

Tables = dict[str, dict[str, object]]
LOSSES = list(product(["lsgan", "log"], [0.0, 10.0], [0.0, 10.0]))
DISCRIMINATORS = list(product([1, 2, 3, 4], [1, 2, 3, 4, 5]))
#: The same, the largest images marked as slow.
STEPS = [*DISCRIMINATORS[:-1], pytest.param(*DISCRIMINATORS[-1], marks=pytest.mark.slow)]


def variant(tables: Tables) -> Pix2PixHD:
    """``ours`` with two residual blocks and other keys."""
    method = Library().method("ours")
    assert isinstance(method, Pix2PixHD)
    blocks: Tables = {"generator": {"residual_blocks": 2}}
    for part in (blocks, tables):
        changed = {
            name: getattr(method, name).model_copy(update=keys) for name, keys in part.items()
        }
        method = method.model_copy(update=changed)
    return method


def losses_of(gan: str, feature_matching: float, perceptual: float) -> Tables:
    return {"loss": {"gan": gan, "feature_matching": feature_matching, "perceptual": perceptual}}


def benchmark(width: int = 64, height: int = 32) -> Benchmark:
    """Networks of a sixteenth of the paper's width and two downsamplings, in fp32."""
    found = Library().benchmark("streets-smoke")
    budget = found.budget.model_copy(
        update={"width": 0.0625, "downsamplings": 2, "precision": "fp32"}
    )
    return found.model_copy(update={"budget": budget, "size": Size(width=width, height=height)})


def noise(width: int, height: int) -> Batch:
    random = torch.Generator().manual_seed(3)
    label = torch.randint(0, 9, (1, height, width), dtype=torch.uint8, generator=random)
    image = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=random)
    return Batch(["noise"], label, None, image)


def require_like_the_plain_step(method: Pix2PixHD, width: int, height: int) -> None:
    """One step has the losses and the gradients of the plain step in fp64."""
    sized = benchmark(width, height)
    require_fitting_size(method, sized)
    network = features() if method.loss.perceptual else None
    found = Pix2PixHDTrainer(method, sized, 0, network, torch.device("cpu"))
    exact = StraightforwardTrainer(found, network and network.features, torch.float64)
    data = noise(width, height)
    losses, expected = found.step(data, 2e-4), exact.step(data)
    assert losses.keys() == expected.keys()
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name].double(), loss.double(), rtol=1e-4, atol=0.0)
    assert max(gradient_errors(found, gradients(exact))) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("gan", "matching", "perceptual"), LOSSES)
def test_every_combination_of_losses_is_the_plain_step(
    gan: str, matching: float, perceptual: float
) -> None:
    require_like_the_plain_step(variant(losses_of(gan, matching, perceptual)), 64, 32)


@pytest.mark.slow
@pytest.mark.parametrize(("scales", "layers"), STEPS)
def test_any_number_of_scales_and_layers_is_the_plain_step(scales: int, layers: int) -> None:
    """At the smallest side that is allowed, and each with another combination of losses."""
    losses = LOSSES[DISCRIMINATORS.index((scales, layers)) % len(LOSSES)]
    method = variant({**losses_of(*losses), "discriminator": {"scales": scales, "layers": layers}})
    side = max(32, 2 ** (scales + layers - 1))
    require_like_the_plain_step(method, side, side)


@pytest.mark.slow
@pytest.mark.parametrize("resampling", ["zeros", "reflection"])
@pytest.mark.parametrize("output", ["reflection", "zeros"])
def test_paddings_are_those_of_the_plain_step(output: str, resampling: str) -> None:
    paddings: dict[str, object] = {"output_padding": output, "resampling_padding": resampling}
    require_like_the_plain_step(variant({"generator": paddings}), 64, 32)


def test_a_loss_without_weight_is_not_computed() -> None:
    method = variant(losses_of("lsgan", 0.0, 0.0))
    trainer = Pix2PixHDTrainer(method, benchmark(), 0, None, torch.device("cpu"))
    assert set(trainer.step(noise(64, 32), 2e-4)) == {"g_gan", "d_real", "d_fake"}


# -- images that are too small --------------------------------------------------------------------


@pytest.mark.parametrize(("scales", "layers"), DISCRIMINATORS)
def test_images_too_small_for_the_discriminators_are_refused(scales: int, layers: int) -> None:
    method = variant({"discriminator": {"scales": scales, "layers": layers}})
    needed = 2 ** (scales + layers - 1)
    for width, height in ((1024, 512), (max(8, needed), max(8, needed))):
        require_fitting_size(method, benchmark(width, height))
    for key in ("width", "height"):
        sides = {"width": 1024, "height": 1024, key: needed // 2}
        if needed // 2 >= 8:  # smaller ones do not suit the generator either
            with pytest.raises(UsageError) as error:
                require_fitting_size(method, benchmark(**sides))
            for words in (
                f"'{benchmark().name}': [size] {key} = {needed // 2}",
                f"'{method.name}' ([discriminator] scales = {scales}, layers = {layers})",
                f"at least {needed}",
            ):
                assert words in str(error.value)


def test_the_smaller_images_of_a_first_stage_count_too() -> None:
    """One scale is the least, so that G1 alone is judged at a quarter of the size."""
    stages = [
        Stage(enhancers=count, trains="all", epochs=1, decay_epochs=0, rate=1.0) for count in (0, 2)
    ]
    method = variant({"generator": {"enhancers": 2}, "discriminator": {"scales": 1, "layers": 4}})
    require_fitting_size(method, benchmark(64, 32))
    staged = method.model_copy(update={"stage": stages})
    require_fitting_size(staged, benchmark(128, 64))
    with pytest.raises(UsageError, match=r"\[size\] height = 32; .* at least 64"):
        require_fitting_size(staged, benchmark(64, 32))


def test_more_enhancers_than_halve_the_channels_are_refused() -> None:
    """A sixteenth of 64 channels is 4, which two enhancers halve to 1."""
    limits = limits_of(benchmark())
    build_generator(variant({"generator": {"enhancers": 2}}), 5, limits)
    with pytest.raises(UsageError, match=r"'ours': \[generator\] enhancers = 3; .* at most 2"):
        build_generator(variant({"generator": {"enhancers": 3}}), 5, limits)
