from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.library import Library
from hdbench.networks.builder import (
    Limits,
    build_discriminator,
    build_generator,
    limits_of,
    scaled,
)
from hdbench.networks.discriminator import MultiscaleDiscriminator, PatchDiscriminator
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer, ResidualBlock
from hdbench.networks.layers import (
    ConditionConv2d,
    DeepConv2d,
    InstanceNorm2d,
    NarrowConv2d,
    halved,
)
from hdbench.runtime.devices import autocast
from hdbench.schema.method import Pix2PixHD

MEMORY_FORMATS = [torch.contiguous_format, torch.channels_last]
LABELS_AND_BOUNDARY = 36  # Cityscapes: 35 one-hot channels and the boundary map


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def ours() -> Pix2PixHD:
    method = Library().method("ours")
    assert isinstance(method, Pix2PixHD)
    return method


def limits(downsamplings: int = 4, width: float = 1.0) -> Limits:
    """The paper's width, as the Cityscapes benchmark states it."""
    stated = limits_of(Library().benchmark("cityscapes"))
    assert (stated.width, stated.downsamplings) == (1.0, 4)
    return replace(stated, downsamplings=downsamplings, width=width)


def with_enhancers(count: int) -> Pix2PixHD:
    method = ours()
    return method.model_copy(
        update={"generator": method.generator.model_copy(update={"enhancers": count})}
    )


# -- exactly the published sizes ------------------------------------------------------------------


def test_the_global_generator_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        assert parameters(build_generator(ours(), LABELS_AND_BOUNDARY, limits())) == 182_546_755


def test_the_local_enhancer_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        network = build_generator(with_enhancers(1), LABELS_AND_BOUNDARY, limits())
        assert isinstance(network, LocalEnhancer)
        # G1 keeps its 64 channels; the enhancer's are half of them.
        network = LocalEnhancer(LABELS_AND_BOUNDARY, 32, 4, 9, 1, 3)
    assert parameters(network) == 182_857_059


@pytest.mark.parametrize(("scales", "count"), [(3, 8_404_803), (2, 5_603_202)])
def test_the_discriminators_have_the_papers_parameters(scales: int, count: int) -> None:
    with torch.device("meta"):
        network = MultiscaleDiscriminator(LABELS_AND_BOUNDARY + 3, 64, 3, scales)
    assert parameters(network) == count


def test_method_files_build_the_papers_networks() -> None:
    with torch.device("meta"):
        assert (
            parameters(build_discriminator(ours(), LABELS_AND_BOUNDARY + 3, limits())) == 8_404_803
        )
        generator = build_generator(with_enhancers(1), LABELS_AND_BOUNDARY, limits())
    assert parameters(generator) == 182_857_059


@pytest.mark.parametrize(("allowed", "height", "width"), [(1, 64, 128), (2, 32, 64), (9, 8, 16)])
def test_a_small_image_keeps_a_grid_of_its_own(allowed: int, height: int, width: int) -> None:
    """A budget takes downsamplings away, never adds any to the method's four."""
    with torch.device("meta"):
        network = build_generator(ours(), 5, limits(allowed))
        assert isinstance(network, GlobalGenerator)
        trunk = next(layer for layer in network.body if isinstance(layer, ResidualBlock))
        shapes: list[torch.Size] = []
        trunk.register_forward_hook(lambda module, given, output: shapes.append(output.shape))
        assert network(torch.zeros(1, 5, 128, 256)).shape == (1, 3, 128, 256)
    assert shapes[0][-2:] == (height, width)


# -- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("enhancers", [1, 2, 3])
def test_any_number_of_enhancers_doubles_the_resolution_each(enhancers: int) -> None:
    network = LocalEnhancer(5, 4, 2, 1, enhancers, 1)
    side = network.divisor * 2
    images = network(torch.randn(2, 5, side, side * 2))
    assert images.shape == (2, 3, side, side * 2)
    assert images.abs().max() <= 1
    images.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("network", "good", "bad"),
    [
        (GlobalGenerator(5, 4, 4, 1), (32, 48), (40, 48)),
        (LocalEnhancer(5, 4, 4, 1, 1, 1), (64, 64), (48, 64)),
        (LocalEnhancer(5, 4, 4, 1, 2, 1), (128, 128), (96, 64)),
    ],
)
def test_sides_that_do_not_divide_are_named(network: nn.Module, good, bad) -> None:
    assert network(torch.zeros(1, 5, *good)).shape == (1, 3, *good)
    with pytest.raises(ValueError, match=f"^{type(network).__name__}: {bad[1]}x{bad[0]} "):
        network(torch.zeros(1, 5, *bad))


def test_discriminators_score_patches_at_every_scale() -> None:
    network = MultiscaleDiscriminator(6, 4, 3, 3)
    outputs = network(network.read(torch.randn(1, 3, 64, 96)), torch.randn(1, 3, 64, 96))
    assert len(outputs) == 3
    assert [len(maps) for maps in outputs] == [5, 5, 5]
    assert [tuple(maps[-1].shape) for maps in outputs] == [
        (1, 1, 11, 15),
        (1, 1, 7, 9),
        (1, 1, 5, 6),
    ]


@pytest.mark.parametrize("used", [[0, 2], [0, 1, 2, 3]])
def test_discriminators_see_condition_and_image_halved_together(used: list[int]) -> None:
    torch.manual_seed(0)
    network = MultiscaleDiscriminator(7, 4, 3, 3)
    condition, images = torch.zeros(1, 4, 64, 96), torch.randn(1, 3, 64, 96)
    condition[:, used] = torch.randn(1, len(used), 64, 96)
    outputs = network(network.read(condition), images)
    both = torch.cat([condition, images], dim=1)
    for discriminator, maps in zip(network.scales, outputs, strict=True):
        assert isinstance(discriminator, PatchDiscriminator)
        expected = both
        for stage, found in zip(discriminator.stages, maps, strict=True):
            expected = stage(expected)
            torch.testing.assert_close(found, expected)
        both = halved(both)


def normalised(layer: nn.Module, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's output and its input's gradient, each tensor in the memory format it came in."""
    x = x.clone().requires_grad_()
    output = layer(x)
    output.backward(gradient)
    assert x.grad is not None
    return output.detach(), x.grad


@pytest.mark.parametrize("gradient_format", MEMORY_FORMATS)
@pytest.mark.parametrize("input_format", MEMORY_FORMATS)
@pytest.mark.parametrize("batch", [1, 2])
def test_instance_norm_is_pytorchs_in_any_memory_format(
    batch: int, input_format: torch.memory_format, gradient_format: torch.memory_format
) -> None:
    """PyTorch's own is the reference where all is contiguous; elsewhere it errs."""
    torch.manual_seed(0)
    x = 2 + 3 * torch.randn(batch, 6, 9, 11, dtype=torch.float64)
    gradient = torch.randn_like(x)
    expected = normalised(nn.InstanceNorm2d(6), x, gradient)
    found = normalised(
        InstanceNorm2d(),
        x.contiguous(memory_format=input_format),
        gradient.contiguous(memory_format=gradient_format),
    )
    torch.testing.assert_close(found, expected)


def test_instance_norm_reads_a_gradient_by_its_values_alone() -> None:
    """The stride of a dimension of size 1 says nothing, yet PyTorch's kernels go by it."""
    torch.manual_seed(0)
    x, gradient = torch.randn(1, 6, 9, 11), torch.randn(1, 6, 9, 11)
    last = gradient.contiguous(memory_format=torch.channels_last)
    odd = last.as_strided(last.shape, (6, *last.stride()[1:]))
    assert torch.equal(odd, gradient)
    layer = InstanceNorm2d()
    torch.testing.assert_close(normalised(layer, x, odd), normalised(layer, x, gradient))


def convolutions() -> tuple[ConditionConv2d, nn.Conv2d]:
    """The layer and its reference, with the same weights."""
    torch.manual_seed(0)
    layer, plain = ConditionConv2d(6, 4, kernel_size=3), nn.Conv2d(6, 4, kernel_size=3)
    plain.load_state_dict(layer.state_dict())
    return layer, plain


def labelled(used: list[int]) -> Tensor:
    """An input whose other channels are zero everywhere; its gradient is asked for."""
    x = torch.zeros(2, 6, 8, 9)
    x[:, used] = torch.randn(2, len(used), 8, 9)
    return x.requires_grad_()


@pytest.mark.parametrize("used", [[], [0, 3], list(range(6))])
def test_labels_that_are_nowhere_do_not_change_the_convolution(used: list[int]) -> None:
    layer, plain = convolutions()
    x = labelled(used)
    for convolution in (layer, plain):
        (convolution(x) ** 2).sum().backward()
    torch.testing.assert_close(layer(x), plain(x))
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad)
    assert layer.bias is not None
    assert plain.bias is not None
    torch.testing.assert_close(layer.bias.grad, plain.bias.grad)


def test_a_channel_that_is_left_out_gets_no_gradient_and_the_others_their_own() -> None:
    layer, plain = convolutions()
    x = labelled([0, 3])
    (found,) = torch.autograd.grad((layer(x) ** 2).sum(), x)
    (expected,) = torch.autograd.grad((plain(x) ** 2).sum(), x)
    torch.testing.assert_close(found[:, [0, 3]], expected[:, [0, 3]])
    assert found[:, [1, 2, 4, 5]].abs().max() == 0 < expected[:, [1, 2, 4, 5]].abs().max()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "make",
    [lambda: NarrowConv2d(32, 3, 7), lambda: DeepConv2d(512, 512, 3)],
    ids=["narrow", "deep"],
)
@pytest.mark.parametrize("batch", [1, 2])
def test_convolutions_computed_otherwise_are_pytorchs(batch: int, make, precision: str) -> None:
    """Against PyTorch's own in fp64, and as near to it as PyTorch's own in the same precision."""
    torch.manual_seed(0)
    layer = make()
    x = torch.randn(batch, layer.in_channels, 12, 15)
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size)
    plain.load_state_dict(layer.state_dict())
    reference = convolved(copy.deepcopy(plain).double(), x.double(), "fp32")
    for found, usual, exact in zip(
        convolved(layer, x, precision), convolved(plain, x, precision), reference, strict=True
    ):
        assert found.dtype == usual.dtype
        error, usual_error = ((value.double() - exact).norm() for value in (found, usual))
        assert error < 2 * usual_error + 1e-6 * exact.norm()


def convolved(layer: nn.Conv2d, x: Tensor, precision: str) -> list[Tensor]:
    """Output and gradients of input, weights and biases."""
    x = x.clone().requires_grad_()
    with autocast(torch.device("cpu"), precision):
        output = layer(x)
    torch.manual_seed(1)
    gradient = torch.randn_like(output, dtype=torch.float32).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, [x, *layer.parameters()], gradient)]


def test_the_input_pyramid_does_not_count_padding() -> None:
    assert torch.equal(halved(torch.ones(1, 1, 6, 8)), torch.ones(1, 1, 3, 4))


def test_widths_are_multiples_of_four() -> None:
    assert [scaled(64, width) for width in (1.0, 0.5, 0.25, 0.1, 0.01)] == [64, 32, 16, 8, 4]


# -- enlarging without a grid ---------------------------------------------------------------------


def nearest() -> Pix2PixHD:
    method = Library().method("ours-nearest")
    assert isinstance(method, Pix2PixHD)
    return method


def plain_nearest(state: dict[str, Tensor], x: Tensor, downsamplings: int, blocks: int) -> Tensor:
    """The global generator with nearest-neighbour enlargement, from its weights alone.

    Every convolution but the last is followed by instance norm; they come in the order of names.
    """
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    layers = iter((state[f"{name}.weight"], state[f"{name}.bias"]) for name in names)

    def convolved(x: Tensor, padding: int, reflect: bool = False, stride: int = 1) -> Tensor:
        weight, bias = next(layers)
        if reflect:
            x, padding = F.pad(x, [padding] * 4, mode="reflect"), 0
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    x = F.relu(F.instance_norm(convolved(x, 3, reflect=True)))
    for _ in range(downsamplings):
        x = F.relu(F.instance_norm(convolved(x, 1, stride=2)))
    for _ in range(blocks):
        inner = F.relu(F.instance_norm(convolved(x, 1, reflect=True)))
        x = x + F.instance_norm(convolved(inner, 1, reflect=True))
    for _ in range(downsamplings):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = F.relu(F.instance_norm(convolved(x, 1)))
    images = torch.tanh(convolved(x, 3, reflect=True))
    assert next(layers, None) is None
    return images


def test_enlarging_by_the_nearest_pixel_is_the_plain_forward_pass() -> None:
    torch.manual_seed(0)
    network = GlobalGenerator(5, 8, 3, 2, upsample="nearest")
    for parameter in network.parameters():  # biases too
        nn.init.normal_(parameter, std=0.2)
    x = torch.randn(2, 5, 32, 48)
    found = network(x)
    assert found.shape == (2, 3, 32, 48)
    torch.testing.assert_close(found, plain_nearest(network.state_dict(), x, 3, 2))


@pytest.mark.parametrize("enhancers", [0, 1, 2])
def test_enlarging_by_the_nearest_pixel_transposes_no_convolution(enhancers: int) -> None:
    spec = nearest().generator.model_copy(update={"enhancers": enhancers, "residual_blocks": 1})
    method = nearest().model_copy(update={"generator": spec})
    narrow = limits(2, 0.0625)
    network = build_generator(method, 5, narrow)
    layers = list(network.modules())
    assert not any(isinstance(layer, nn.ConvTranspose2d) for layer in layers)
    assert sum(isinstance(layer, nn.Upsample) for layer in layers) == 2 + enhancers
    side = 4 * 2 ** (2 + enhancers)
    images = network(torch.randn(1, 5, side, 2 * side))
    assert images.shape == (1, 3, side, 2 * side)
    images.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_ours_nearest_differs_from_ours_in_the_enlargement_alone() -> None:
    expected = ours().generator.model_copy(update={"upsample": "nearest"})
    assert ours().generator.upsample == "transposed"
    assert nearest().generator == expected
    with torch.device("meta"):  # 3x3 kernels either way
        count = parameters(build_generator(nearest(), LABELS_AND_BOUNDARY, limits()))
    assert count == 182_546_755


# -- gradients ------------------------------------------------------------------------------------


def gradients(network: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    network.zero_grad()
    if isinstance(network, MultiscaleDiscriminator):
        output = network(network.read(x[:, :2]), x[:, 2:])
    else:
        output = network(x)
    if isinstance(output, list):
        loss = sum((value**2).mean() for maps in output for value in maps)
    else:
        loss = (output - target).abs().mean()
    loss.backward()  # pyright: ignore[reportAttributeAccessIssue]
    found = [parameter.grad for parameter in network.parameters()]
    return torch.cat([gradient.flatten().double() for gradient in found if gradient is not None])


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "make",
    [
        lambda: GlobalGenerator(5, 16, 3, 2),
        lambda: LocalEnhancer(5, 8, 2, 2, 1, 2),
        lambda: MultiscaleDiscriminator(5, 16, 3, 3),
    ],
    ids=["GlobalGenerator", "LocalEnhancer", "MultiscaleDiscriminator"],
)
def test_gradients_equal_an_fp64_reference(make, batch: int, memory_format) -> None:
    torch.manual_seed(0)
    network = make()
    x, target = torch.randn(batch, 5, 48, 64), torch.rand(batch, 3, 48, 64) * 2 - 1
    reference = gradients(copy.deepcopy(network).double(), x.double(), target.double())
    network = network.to(memory_format=memory_format)
    found = gradients(
        network,
        x.contiguous(memory_format=memory_format),
        target.contiguous(memory_format=memory_format),
    )
    cosine = torch.dot(found, reference) / (found.norm() * reference.norm())
    assert cosine > 0.99999
    assert (found - reference).norm() < 1e-2 * reference.norm()
