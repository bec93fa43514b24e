"""Official weights: a plain forward pass from the facts, and every way to be another file."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.errors import CheckpointError, UsageError
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.encoder import FeatureEncoder
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer
from hdbench.networks.official import (
    DiscriminatorFacts,
    EncoderFacts,
    Facts,
    GeneratorFacts,
    official_names,
    read_official,
    to_official,
)

State = dict[str, Tensor]
CONDITION = 6

# -- state dicts as the official implementation writes them, from the facts alone ------------------


def _conv(state: State, name: str, channels_in: int, channels_out: int, kernel: int) -> None:
    state[f"{name}.weight"] = 0.2 * torch.randn(channels_out, channels_in, kernel, kernel)
    state[f"{name}.bias"] = 0.2 * torch.randn(channels_out)


def _transposed(state: State, name: str, channels_in: int, channels_out: int) -> None:
    state[f"{name}.weight"] = 0.2 * torch.randn(channels_in, channels_out, 3, 3)
    state[f"{name}.bias"] = 0.2 * torch.randn(channels_out)


def _block(state: State, name: str, channels: int) -> None:
    _conv(state, f"{name}.conv_block.1", channels, channels, 3)
    _conv(state, f"{name}.conv_block.5", channels, channels, 3)


def generator_state(
    enhancers: int = 0, base: int = 4, downs: int = 4, blocks: int = 9, local_blocks: int = 3
) -> State:
    """c7s1, then each module of the sequence counted: pad 0, conv 1, norm 2, ReLU 3, ..."""
    torch.manual_seed(enhancers)
    state: State = {}
    top = base * 2**enhancers
    _conv(state, "model.1", CONDITION, top, 7)
    n, channels = 4, top
    for _ in range(downs):
        _conv(state, f"model.{n}", channels, 2 * channels, 3)
        n, channels = n + 3, 2 * channels
    for _ in range(blocks):
        _block(state, f"model.{n}", channels)
        n += 1
    for _ in range(downs):
        _transposed(state, f"model.{n}", channels, channels // 2)
        n, channels = n + 3, channels // 2
    if not enhancers:
        _conv(state, f"model.{n + 1}", channels, 3, 7)
        return state
    for level in range(1, enhancers + 1):
        half = channels // 2
        _conv(state, f"model{level}_1.1", CONDITION, half, 7)
        _conv(state, f"model{level}_1.4", half, channels, 3)
        for block in range(local_blocks):
            _block(state, f"model{level}_2.{block}", channels)
        _transposed(state, f"model{level}_2.{local_blocks}", channels, half)
        channels = half
    _conv(state, f"model{enhancers}_2.{local_blocks + 4}", channels, 3, 7)
    return state


def discriminator_state(scales: int = 3, base: int = 4, layers: int = 3) -> State:
    torch.manual_seed(scales)
    state: State = {}
    widths = [base * 2 ** min(n, 3) for n in range(layers + 1)]
    for scale in range(scales):
        channels = CONDITION + 3
        for layer, width in enumerate([*widths, 1]):
            _conv(state, f"scale{scale}_layer{layer}.0", channels, width, 4)
            channels = width
    return state


def encoder_state(base: int = 4, downs: int = 4, styles: int = 3) -> State:
    torch.manual_seed(5)
    state: State = {}
    _conv(state, "model.1", 3, base, 7)
    n, channels = 4, base
    for _ in range(downs):
        _conv(state, f"model.{n}", channels, 2 * channels, 3)
        n, channels = n + 3, 2 * channels
    for _ in range(downs):
        _transposed(state, f"model.{n}", channels, channels // 2)
        n, channels = n + 3, channels // 2
    _conv(state, f"model.{n + 1}", channels, styles, 7)
    return state


# -- the plain forward passes ----------------------------------------------------------------------


def _normed(x: Tensor) -> Tensor:
    return F.relu(F.instance_norm(x))


def _padded(state: State, name: str, x: Tensor, by: int) -> Tensor:
    x = F.pad(x, (by, by, by, by), mode="reflect")
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _down(state: State, name: str, x: Tensor) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return _normed(F.conv2d(x, weight, bias, stride=2, padding=1))


def _up(state: State, name: str, x: Tensor) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return _normed(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1))


def _residual(state: State, name: str, x: Tensor) -> Tensor:
    inner = _normed(_padded(state, f"{name}.conv_block.1", x, 1))
    return x + F.instance_norm(_padded(state, f"{name}.conv_block.5", inner, 1))


def _sequence(state: State, x: Tensor, downs: int, blocks: int) -> tuple[Tensor, int]:
    x = _normed(_padded(state, "model.1", x, 3))
    n = 4
    for _ in range(downs):
        x, n = _down(state, f"model.{n}", x), n + 3
    for _ in range(blocks):
        x, n = _residual(state, f"model.{n}", x), n + 1
    for _ in range(downs):
        x, n = _up(state, f"model.{n}", x), n + 3
    return x, n


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


def plain_generator(state: State, x: Tensor, enhancers: int, downs: int, blocks: int) -> Tensor:
    pyramid = [x]
    for _ in range(enhancers):
        pyramid.append(_halved(pyramid[-1]))
    features, n = _sequence(state, pyramid[-1], downs, blocks)
    last = f"model.{n + 1}"
    for level in range(1, enhancers + 1):
        front = _normed(_padded(state, f"model{level}_1.1", pyramid[-1 - level], 3))
        features = _down(state, f"model{level}_1.4", front) + features
        for block in range(3):
            features = _residual(state, f"model{level}_2.{block}", features)
        features = _up(state, f"model{level}_2.3", features)
        last = f"model{level}_2.7"
    return torch.tanh(_padded(state, last, features, 3))


def plain_discriminators(state: State, x: Tensor, scales: int) -> list[list[Tensor]]:
    outputs = []
    for n in range(scales):  # the last number sees the full resolution
        maps, value = [], x
        for layer in range(5):
            name = f"scale{scales - 1 - n}_layer{layer}.0"
            stride = 2 if layer < 3 else 1
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            value = F.conv2d(value, weight, bias, stride=stride, padding=2)
            if 0 < layer < 4:
                value = F.instance_norm(value)
            if layer < 4:
                value = F.leaky_relu(value, 0.2)
            maps.append(value)
        outputs.append(maps)
        x = _halved(x)
    return outputs


def plain_encoder(state: State, x: Tensor, regions: Tensor) -> Tensor:
    features, n = _sequence(state, x, downs=4, blocks=0)
    features = torch.tanh(_padded(state, f"model.{n + 1}", features, 3))
    pooled = features.clone()
    for image in range(len(x)):
        for region in regions[image].unique():
            where = regions[image] == region
            pooled[image][:, where] = features[image][:, where].mean(dim=1, keepdim=True)
    return pooled


# -- outputs ---------------------------------------------------------------------------------------


def loaded(part: str, state: State) -> tuple[Facts, nn.Module]:
    facts, ours = read_official("weights.pth", part, state)
    network = facts.build()
    network.load_state_dict(ours)
    return facts, network.eval()


@pytest.mark.parametrize("enhancers", [0, 1, 2])
@torch.no_grad()
def test_generators_equal_a_plain_forward_pass(enhancers: int) -> None:
    state = generator_state(enhancers, blocks=3)
    facts, network = loaded("generator", state)
    assert facts == GeneratorFacts(CONDITION, 4 * 2**enhancers, 4, 3, enhancers, 3)
    side = 2 ** (5 + enhancers)
    x = torch.rand(2, CONDITION, side, 2 * side)
    expected = plain_generator(state, x, enhancers, 4, 3)
    torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.05  # not saturated, not constant


@pytest.mark.parametrize("scales", [1, 2, 3])
@torch.no_grad()
def test_discriminators_equal_a_plain_forward_pass(scales: int) -> None:
    state = discriminator_state(scales)
    facts, network = loaded("discriminator", state)
    assert facts == DiscriminatorFacts(CONDITION + 3, 4, 3, scales)
    assert isinstance(network, MultiscaleDiscriminator)
    condition, image = torch.rand(1, CONDITION, 64, 96), torch.rand(1, 3, 64, 96)
    found = network(network.read(condition), image)
    expected = plain_discriminators(state, torch.cat([condition, image], dim=1), scales)
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_encoder_equals_a_plain_forward_pass() -> None:
    state = encoder_state()
    facts, network = loaded("encoder", state)
    assert facts == EncoderFacts(4, 4, 3)
    image, regions = torch.rand(2, 3, 32, 48) * 2 - 1, torch.randint(0, 4, (2, 32, 48))
    found = network(image, regions)
    torch.testing.assert_close(found, plain_encoder(state, image, regions), atol=1e-5, rtol=0)


# -- names and sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "count", "some"),
    [
        (GeneratorFacts(36, 64, 4, 9, 0, 3), 182_546_755, ("model.16.conv_block.5", "model.38")),
        (GeneratorFacts(36, 64, 4, 9, 1, 3), 182_857_059, ("model1_1.4", "model1_2.7")),
        (DiscriminatorFacts(39, 64, 3, 3), 8_404_803, ("scale0_layer0.0", "scale2_layer4.0")),
        (DiscriminatorFacts(39, 64, 3, 2), 5_603_202, ("scale1_layer4.0",)),
        (EncoderFacts(16, 4, 3), 788_803, ("model.13", "model.29")),
    ],
)
def test_the_official_networks_have_the_sizes_of_the_facts(
    facts: Facts, count: int, some: tuple[str, ...]
) -> None:
    with torch.device("meta"):
        network = facts.build()
    assert sum(one.numel() for one in network.parameters()) == count
    names = set(official_names(network).values())
    assert {f"{name}.weight" for name in some} <= names


@pytest.mark.parametrize(
    ("part", "state"),
    [
        ("generator", generator_state(0)),
        ("generator", generator_state(2)),
        ("generator", generator_state(1, downs=2, blocks=1, local_blocks=2)),
        ("discriminator", discriminator_state()),
        ("encoder", encoder_state()),
    ],
)
def test_the_way_back_gives_the_same_names_in_the_same_order(part: str, state: State) -> None:
    _, network = loaded(part, state)
    again = to_official(network)
    assert list(again) == list(state)
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_statistics_of_instance_norm_in_old_files_are_left_out() -> None:
    state = generator_state(blocks=1)
    old = {**state, "model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}
    _, ours = read_official("old.pth", "generator", old)
    assert len(ours) == len(state)


@pytest.mark.parametrize(
    "network",
    [
        GlobalGenerator(4, 4, 1, 1, upsample="nearest"),
        LocalEnhancer(4, 4, 1, 1, 1, 1, upsample="nearest"),
        FeatureEncoder(4, 1, 3, upsample="nearest"),
        nn.Conv2d(3, 3, 1),
    ],
)
def test_networks_that_the_official_layout_lacks_are_refused(network: nn.Module) -> None:
    with pytest.raises(UsageError, match=type(network).__name__):
        official_names(network)


# -- what is no such file --------------------------------------------------------------------------


def refused(part: str, state: State) -> str:
    with pytest.raises(CheckpointError) as error:
        read_official("some.pth", part, state)
    assert "some.pth" in str(error.value)
    return str(error.value)


def test_a_missing_an_unknown_and_a_misshapen_tensor_are_each_named() -> None:
    state = generator_state(blocks=2)
    del state["model.4.bias"]
    state["model.99.weight"] = torch.zeros(1)
    state["model.7.weight"] = torch.zeros(16, 8, 5, 5)
    message = refused("generator", state)
    assert "3 differences" in message
    assert "model.4.bias: missing" in message
    assert "model.99.weight: not in" in message
    assert "model.7.weight: file 16x8x5x5" in message


def test_only_the_first_of_many_differences_are_listed() -> None:
    message = refused("generator", {"weight": torch.zeros(2), "bias": torch.zeros(2)})
    with torch.device("meta"):
        expected = len(GeneratorFacts(36, 64, 4, 9, 0, 3).build().state_dict())
    assert f"{expected + 2} differences" in message  # all of the paper's, and the file's two
    assert "and" in message.splitlines()[-1]
    assert len(message.splitlines()) < 12


@pytest.mark.parametrize(
    ("part", "state", "other"),
    [
        ("generator", discriminator_state(), "--discriminator"),
        ("generator", encoder_state(), "--encoder"),
        ("discriminator", generator_state(blocks=1), "first argument"),
        ("encoder", generator_state(blocks=1), "first argument"),
    ],
)
def test_another_network_of_the_same_training_is_recognised(
    part: str, state: State, other: str
) -> None:
    assert other in refused(part, state)


def test_an_enhancer_without_its_second_half_is_named() -> None:
    state = generator_state(2, blocks=1)
    cut = {name: value for name, value in state.items() if not name.startswith("model2_2")}
    assert "model2_2.0.conv_block.1.weight: missing" in refused("generator", cut)
    fewer = {name: value for name, value in state.items() if not name.startswith("model2_")}
    message = refused("generator", fewer)  # then the image's convolution is missing too
    assert "1 enhancer" in message
    assert "model1_2.7.weight: missing" in message


def test_values_that_are_not_finite_are_refused() -> None:
    state = generator_state(blocks=1)
    state["model.4.bias"] = torch.full_like(state["model.4.bias"], float("nan"))
    assert "model.4.bias" in refused("generator", state)
    state["model.4.bias"] = torch.zeros(8, dtype=torch.int64)
    assert "model.4.bias: torch.int64" in refused("generator", state)
