"""The baselines' networks against plain forward passes, written from the facts alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.library import Library
from hdbench.networks.builder import (
    AS_STATED,
    Limits,
    build_discriminator,
    build_generator,
    limits_of,
    side_divisor,
    stated_generator,
)
from hdbench.networks.cascaded_refinement import CascadedRefinementNetwork, images_of
from hdbench.networks.discriminator import PatchDiscriminator
from hdbench.networks.noise import noise_of
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.networks.unet_generator import UNetGenerator
from hdbench.schema.benchmark import Size
from hdbench.schema.method import Pix2PixHD, UNet

LABELS = 5


def method(name: str) -> Pix2PixHD:
    found = Library().method(name)
    assert isinstance(found, Pix2PixHD)
    return found


def parameters(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def labels(height: int, width: int, batch: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(0, LABELS, (batch, height, width), generator=random)
    return F.one_hot(ids, LABELS).permute(0, 3, 1, 2).float()


def scrambled(network: nn.Module) -> None:
    """Give every parameter values of its own, norms' scales and shifts too."""
    random = torch.Generator().manual_seed(2)
    for value in network.parameters():
        value.data = 0.3 * torch.randn(value.shape, generator=random)


# -- published sizes ------------------------------------------------------------------------------


def test_the_unet_has_the_published_parameters() -> None:
    """54.414 M and 2.769 M for photographs to photographs, as the authors' program prints them."""
    with torch.device("meta"):
        generator = build_generator(method("pix2pix"), 3, AS_STATED)
        judge = build_discriminator(method("pix2pix"), 6, AS_STATED)
    assert round(parameters(generator) / 1e6, 3) == 54.414
    assert round(parameters(judge) / 1e6, 3) == 2.769


def test_the_cascade_has_the_authors_parameters() -> None:
    """By hand for 20 labels at 2048x1024: of each module two 3x3 convolutions and two norms."""
    widths = [1024, 1024, 1024, 1024, 1024, 512, 512, 128, 32]
    before, expected = 0, 3 * 32 + 3
    for width in widths:
        expected += 9 * (20 + before) * width + 9 * width * width + 4 * width
        before = width
    with torch.device("meta"):
        network = build_generator(method("crn"), 20, AS_STATED)
    assert parameters(network) == expected == 98_674_531


# -- plain forward passes -------------------------------------------------------------------------


def plain_unet(state: dict[str, Tensor], x: Tensor, levels: int) -> Tensor:
    """Isola et al., Sec. 6.1.1, without dropout."""

    def normed(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        scale, shift = (state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def down(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], stride=2, padding=1)

    maps = [down(x, "first")]
    for n in range(levels - 1):
        x = down(torch.where(maps[-1] > 0, maps[-1], 0.2 * maps[-1]), f"encoder.{n}.1")
        maps.append(x if n == levels - 2 else normed(x, f"encoder.{n}.2"))
    x = maps[-1]
    for n in range(levels - 1):
        weight = state[f"decoder.{n}.1.weight"]
        x = F.conv_transpose2d(x.clamp(min=0), weight, stride=2, padding=1)
        x = torch.cat([normed(x, f"decoder.{n}.2"), maps[levels - 2 - n]], dim=1)
    weight, bias = state["to_image.1.weight"], state["to_image.1.bias"]
    return F.conv_transpose2d(x.clamp(min=0), weight, bias, stride=2, padding=1).tanh()


@pytest.mark.parametrize("batch", [1, 2])
def test_the_unet_is_the_plain_forward_pass(batch: int) -> None:
    network = UNetGenerator(LABELS, 4, downsamplings=5, dropout=0.0)
    scrambled(network)
    given = labels(32, 64, batch)
    expected = plain_unet(dict(network.state_dict()), given, levels=5)
    torch.testing.assert_close(network(given), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(network.eval()(given), expected, atol=1e-5, rtol=0)


def plain_cascade(state: dict[str, Tensor], given: Tensor, modules: int) -> Tensor:
    """Chen and Koltun, Sec. 3.2: one convolution over labels and features together."""

    def normed(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        variance = x.var(dim=(1, 2, 3), keepdim=True, unbiased=False)
        scale, shift = (state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
        x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
        return torch.maximum(x, 0.2 * x)

    features = None
    height, width = given.shape[-2:]
    for n in range(modules):
        shrink = 2 ** (modules - 1 - n)
        small = F.interpolate(given, (height // shrink, width // shrink), mode="area")
        name = f"refinements.{n}"
        kernel = state[f"{name}.of_condition.weight"]
        if features is not None:
            size = small.shape[-2:]
            larger = F.interpolate(features, size, mode="bilinear", align_corners=True)
            small = torch.cat([larger, small], dim=1)
            kernel = torch.cat([state[f"{name}.of_features.weight"], kernel], dim=1)
        x = normed(F.conv2d(small, kernel, padding=1), f"{name}.first.0")
        features = normed(
            F.conv2d(x, state[f"{name}.second.0.weight"], padding=1), f"{name}.second.1"
        )
    assert features is not None
    return F.conv2d(features, state["to_images.weight"], state["to_images.bias"])


@pytest.mark.parametrize(("images", "batch"), [(1, 1), (3, 2)])
def test_the_cascade_is_the_plain_forward_pass(images: int, batch: int) -> None:
    network = CascadedRefinementNetwork(LABELS, [4, 8, 8], images)
    scrambled(network)
    given = labels(16, 24, batch)
    found = network(given)
    expected = plain_cascade(dict(network.state_dict()), given, modules=3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert torch.equal(images_of(found)[:, images - 1], found[:, -3:])


def test_the_discriminator_of_pix2pix_sees_70_pixels() -> None:
    """The logit's receptive field: which pixels of the image have a gradient of their own."""
    torch.manual_seed(0)
    network = PatchDiscriminator(LABELS + 3, 4, 3, padding=1, norm="instance")
    for module in list(network.modules()):  # normalisation lets every pixel reach every logit
        for name, part in module.named_children():
            if type(part).__name__ == "InstanceNorm2d":
                setattr(module, name, nn.Identity())
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    logits = network(network.read(labels(256, 256), None), image)[-1]
    assert logits.shape == (1, 1, 30, 30)
    [gradient] = torch.autograd.grad(logits[0, 0, 15, 15], image)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert len(rows) == int(rows.max() - rows.min()) + 1 == 70


def test_second_maps_have_average_pooling_and_stop_at_the_last_block() -> None:
    network = PerceptualNetwork([4, 8, 8], [2, 2, 1])
    random = torch.Generator().manual_seed(0)
    for value in network.parameters():
        value.data = 0.3 * torch.randn(value.shape, generator=random)
    x = torch.randn(1, 3, 8, 16, generator=random)
    weights = [value for name, value in network.state_dict().items() if "weight" in name]
    biases = [value for name, value in network.state_dict().items() if "bias" in name]
    expected, image = [], x
    for block, count in enumerate([2, 2, 1]):
        image = F.avg_pool2d(image, 2) if block else image
        for _ in range(count):
            image = F.conv2d(image, weights.pop(0), biases.pop(0), padding=1).relu()
        expected.append(image)
    for mine, theirs in zip(network.second_maps(x), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


# -- noise ----------------------------------------------------------------------------------------


def test_noise_is_that_of_the_name_in_evaluation_too() -> None:
    torch.manual_seed(0)
    network = UNetGenerator(LABELS, 4, downsamplings=5, dropout=0.5).eval()
    given, before = labels(32, 32), torch.get_rng_state()

    def image(name: str) -> Tensor:
        with noise_of(name):
            return network(given)

    assert torch.equal(image("a"), image("a"))
    assert not torch.equal(image("a"), image("b"))
    assert torch.equal(torch.get_rng_state(), before)


def test_three_innermost_decoder_layers_drop_half_of_their_values() -> None:
    network = UNetGenerator(LABELS, 4, downsamplings=6, dropout=0.5)
    shares: list[float] = []
    for layer in network.decoder:
        layer.register_forward_hook(lambda m, x, y: shares.append(float((y == 0).float().mean())))
    network(labels(256, 256))
    assert [share > 0 for share in shares] == [True, True, True, False, False]
    assert all(0.4 < share < 0.6 for share in shares[:3])


# -- what a benchmark allows ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "width", "height", "depth"),
    [
        ("pix2pix", 2048, 1024, 8),
        ("pix2pix", 256, 128, 7),
        ("pix2pix", 256, 192, 6),
        ("crn", 2048, 1024, 9),
        ("crn", 256, 128, 6),
        ("crn", 256, 192, 6),
        ("crn", 96, 48, 4),
    ],
)
def test_networks_are_as_deep_as_images_allow(
    name: str, width: int, height: int, depth: int
) -> None:
    limits = Limits(1.0, 4, Size(width=width, height=height))
    spec = stated_generator(method(name), limits)
    assert (spec.downsamplings if isinstance(spec, UNet) else len(spec.channels)) == depth
    divisor = side_divisor(method(name), limits)
    assert width % divisor == height % divisor == 0


@pytest.mark.parametrize("name", ["pix2pix", "crn", "unet-generator", "crn-generator"])
def test_the_stated_network_is_the_one_that_is_built(name: str) -> None:
    """So imported weights, which nothing limits, build it again from the table alone."""
    limits = limits_of(Library().benchmark("streets"))
    found = method(name)
    stated = found.model_copy(update={"generator": stated_generator(found, limits)})

    def shapes(network: nn.Module) -> dict[str, torch.Size]:
        return {key: value.shape for key, value in network.state_dict().items()}

    with torch.device("meta"):
        assert shapes(build_generator(found, 36, limits)) == shapes(
            build_generator(stated, 36, AS_STATED)
        )


@pytest.mark.parametrize("name", ["pix2pix", "crn", "crn-generator"])
def test_networks_have_about_as_many_parameters_as_ours_on_streets(name: str) -> None:
    limits = limits_of(Library().benchmark("streets"))
    with torch.device("meta"):
        counts = [parameters(build_generator(method(one), 36, limits)) for one in (name, "ours")]
    assert 0.9 < counts[0] / counts[1] < 1.1
