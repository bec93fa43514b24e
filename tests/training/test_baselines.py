"""The steps of pix2pix and CRN against plain arithmetic, and what their switches allow."""

from __future__ import annotations

import copy

import pytest
import torch
from test_step import features
from test_switches import benchmark, noise
from torch import Tensor
from torch.nn import functional as F

from hdbench.data.scene import Batch, to_network_range
from hdbench.errors import LibraryError
from hdbench.library import Library
from hdbench.networks.noise import NoiseSource
from hdbench.runtime.weights import state_digest
from hdbench.schema.base import parse
from hdbench.schema.method import Pix2PixHD
from hdbench.streets.scene import draw_scene
from hdbench.training.objective import Balance, class_distances, nearest_image_loss
from hdbench.training.trainer import Pix2PixHDTrainer

CPU = torch.device("cpu")
BASELINES = ["pix2pix", "crn", "crn-diverse", "unet-generator", "crn-generator"]


def method(name: str) -> Pix2PixHD:
    found = Library().method(name)
    assert isinstance(found, Pix2PixHD)
    return found


def trainer(name: str, width: int = 64, height: int = 32, seed: int = 0) -> Pix2PixHDTrainer:
    found = method(name)
    network = features() if found.loss.perceptual else None
    return Pix2PixHDTrainer(found, benchmark(width, height), seed, network, CPU)


def gradients(network: torch.nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters()), retain_graph=True))


def test_a_step_of_pix2pix_is_the_plain_one_in_double() -> None:
    ours, data = trainer("pix2pix"), noise(64, 32)
    assert ours.discriminator is not None
    generator = copy.deepcopy(ours.generator).double()
    judge = copy.deepcopy(ours.discriminator).double()
    losses = ours.step(data, 2e-4)

    assert data.image is not None
    condition, real = ours.condition(data).double(), to_network_range(data.image).double()
    with NoiseSource(0).drawn(0, 1):
        fake = generator(condition)

    def logits(images: Tensor) -> Tensor:
        return judge(judge.read(condition), images)[0][-1]

    says_real, says_fake = logits(real), logits(fake)
    g_gan = F.softplus(-says_fake).mean()
    g_l1 = (fake - real).abs().mean()
    d_real, d_fake = F.softplus(-says_real).mean(), F.softplus(says_fake).mean()
    expected = {"g_gan": g_gan, "g_l1": g_l1, "d_real": d_real, "d_fake": d_fake}
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].double(), value, rtol=1e-5, atol=0)
    for network, plain, loss in (
        (ours.generator, generator, g_gan + 100 * g_l1),
        (ours.discriminator, judge, (d_real + d_fake) / 2),
    ):
        for value, exact in zip(network.parameters(), gradients(plain, loss), strict=True):
            assert value.grad is not None
            error = (value.grad.double() - exact).norm() / exact.norm().clamp(min=1e-8)
            assert error < 1e-3


def test_the_first_step_of_crn_gives_every_map_the_same_weight() -> None:
    """Each distance is divided by itself, so its gradient is that of its logarithm."""
    ours, data = trainer("crn"), noise(64, 32)
    assert ours.discriminator is None
    generator, network = copy.deepcopy(ours.generator).double(), features().double()
    losses = ours.step(data, 1e-4)
    assert data.image is not None
    real, fake = to_network_range(data.image).double(), generator(ours.condition(data).double())
    pairs = zip([fake, *network.second_maps(fake)], [real, *network.second_maps(real)], strict=True)
    distances = [(mine - theirs).abs().mean() for mine, theirs in pairs]
    assert losses.keys() == {"g_perceptual"}
    raw = torch.stack(distances).mean()
    torch.testing.assert_close(losses["g_perceptual"].double(), raw, rtol=1e-5, atol=0)
    loss = torch.stack([distance.log() for distance in distances]).sum()
    for value, exact in zip(ours.generator.parameters(), gradients(generator, loss), strict=True):
        assert value.grad is not None
        assert (value.grad.double() - exact).norm() < 1e-3 * exact.norm().clamp(min=1e-8)


def test_of_several_images_the_nearest_of_each_class_learns() -> None:
    """By hand: two images of two pixels, a class each; image 0 is right on the left."""
    real = torch.tensor([[[[0.0, 0.0]]]])
    fake = torch.tensor([[[[0.0, 4.0]]], [[[6.0, 2.0]]]])
    classes = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    [distance] = class_distances([fake], [real], classes)
    assert distance.tolist() == [[[0.0, 2.0], [3.0, 1.0]]]  # image x class, means over two pixels
    loss = nearest_image_loss([distance], torch.tensor([2.0]))
    nearest, mean = (0.0 + 1.0) / 2, (1.5 + 1.5) / 2
    assert float(loss) == pytest.approx(0.999 * nearest + 0.001 * mean)
    [alone] = class_distances([fake[:1]], [real], None)
    assert alone.tolist() == [[[2.0]]]


def test_divisors_are_running_means_and_go_on_after_a_stop() -> None:
    found, balance = [], Balance()
    for value in (1.0, 3.0, 8.0):
        found.append(float(balance.of([torch.full((1, 1, 1), value)])))
    assert found == [1.0, 2.0, 4.0]
    resumed = Balance()
    resumed.load_state_dict(balance.state_dict())
    assert float(resumed.of([torch.full((1, 1, 1), 0.0)])) == pytest.approx(3.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_a_resumed_training_ends_with_the_same_weights(name: str) -> None:
    """Noise and divisors are part of the state."""
    whole, first = trainer(name), trainer(name)
    data = noise(64, 32)
    for _ in range(3):
        whole.step(data, 2e-4)
    first.step(data, 2e-4)
    first.synthesize(data)  # its noise is not the training's
    resumed = trainer(name)
    resumed.load_state(copy.deepcopy(first.state()))
    for _ in range(2):
        resumed.step(data, 2e-4)
    digests = [state_digest(one.generator.state_dict()) for one in (whole, resumed)]
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pix2pix", "crn", "unet-generator", "crn-generator"])
def test_each_overfits_one_scene(name: str) -> None:
    """A hundred steps on one street bring the image near it."""
    scene = draw_scene(0, 0, 64, 32)
    assert scene.image is not None
    data = Batch([scene.name], scene.label[None], None, scene.image[None])
    trained = trainer(name)

    def error() -> float:
        assert data.image is not None
        return float((trained.synthesize(data).float() - data.image.float()).abs().mean())

    before = error()
    for _ in range(100):
        trained.step(data, 2e-3)
    assert error() < before / 2


@pytest.mark.parametrize(
    ("base", "changed", "said"),
    [
        ("crn", {"loss": {"gan": "lsgan"}}, "[discriminator]"),
        ("crn", {"loss": {"feature_matching": 1.0}}, "feature_matching"),
        ("crn", {"loss": {"perceptual": 0.0}}, "perceptual"),
        ("ours", {"loss": {"gan": "none"}}, "gan"),
        ("crn-generator", {"generator": {"images": 9}}, "images"),
        ("unet-generator", {"generator": {"downsamplings": 3}}, "downsamplings"),
        ("unet-generator", {"generator": {"residual_blocks": 9}}, "residual_blocks"),
        ("ours", {"generator": {"network": "u-net"}}, "'unet'"),
    ],
)
def test_what_cannot_be_is_named(base: str, changed: dict, said: str) -> None:
    content = method(base).model_dump(exclude_none=True)
    for table, keys in changed.items():
        content[table] |= keys
    with pytest.raises(LibraryError) as caught:
        parse(Pix2PixHD, content, "here.toml")
    assert "here.toml" in str(caught.value)
    assert said in str(caught.value)


def test_another_network_replaces_the_whole_table() -> None:
    assert (
        method("unet-generator").generator.model_dump() == method("pix2pix").generator.model_dump()
    )
    assert method("unet-generator").loss == method("ours").loss
