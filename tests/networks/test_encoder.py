"""The feature encoder, and the mean over instances against loops and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hdbench.library import Library
from hdbench.networks.builder import build_encoder, build_generator, limits_of, side_divisor
from hdbench.networks.encoder import FeatureEncoder, instance_average
from hdbench.schema.method import Pix2PixHD


def styled() -> Pix2PixHD:
    method = Library().method("ours-styles")
    assert isinstance(method, Pix2PixHD)
    return method


def looped(features: Tensor, regions: Tensor) -> Tensor:
    """The mean over instances, one instance after the other."""
    averaged = torch.empty_like(features)
    for image, ids in enumerate(regions):
        for one in ids.unique():
            inside = ids == one
            mean = features[image][:, inside].mean(1, keepdim=True)
            averaged[image, :, inside] = mean.expand(-1, int(inside.sum()))
    return averaged


def test_the_encoder_has_the_papers_parameters() -> None:
    limits = limits_of(Library().benchmark("cityscapes"))
    encoder = build_encoder(styled(), limits)
    assert encoder is not None
    assert sum(part.numel() for part in encoder.parameters()) == 788_803


def test_the_generator_gets_the_styles_as_further_channels() -> None:
    limits = limits_of(Library().benchmark("streets"))
    generator = build_generator(styled(), 36, limits)
    first = next(generator.parameters())
    assert first.shape[1] == 36 + 3


def test_the_mean_over_an_instance_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]]])
    regions = torch.tensor([[[7, 7, 9], [9, 7, 9]]])
    expected = [[7 / 3, 7 / 3, 17 / 3], [17 / 3, 7 / 3, 17 / 3]]
    found = instance_average(features, regions)
    torch.testing.assert_close(found, torch.tensor([[expected]]))


@pytest.fixture(params=["for a CPU", "for a GPU"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both forms of the mean over instances; that for a GPU is right on a CPU too."""
    if request.param == "for a GPU":
        monkeypatch.setattr("hdbench.networks.encoder.in_memory", lambda _: False)
    return request.param


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0], id="one instance"),
        pytest.param(list(range(25)), id="scattered"),
        pytest.param([2**31 - 1, -(2**31), 0, 26001], id="32 bits"),
    ],
)
@pytest.mark.parametrize("shape", [(1, 3, 16, 24), (3, 2, 5, 7), (2, 1, 1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_means_and_their_gradients_are_those_of_loops(
    values: list[int], shape: tuple, layout: torch.memory_format
) -> None:
    """The same ids in every image of the batch, which must stay apart."""
    random = torch.Generator().manual_seed(len(values))
    batch, _, height, width = shape
    ids = torch.tensor(values, dtype=torch.int32)
    regions = ids[torch.randint(0, len(values), (batch, height, width), generator=random)]
    features = torch.randn(shape, generator=random, dtype=torch.float64)
    features = features.to(memory_format=layout).requires_grad_()
    weights = torch.randn(shape, generator=random, dtype=torch.float64)
    found, expected = (average(features, regions) for average in (instance_average, looped))
    torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad((one * weights).sum(), features)[0] for one in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_style_is_the_same_all_over_an_instance(precision: torch.dtype) -> None:
    random = torch.Generator().manual_seed(1)
    regions = torch.randint(0, 6, (2, 12, 20), generator=random)
    averaged = instance_average(
        torch.randn((2, 3, 12, 20), generator=random).to(precision), regions
    )
    assert averaged.dtype == precision
    for image, ids in enumerate(regions):
        for one in ids.unique():
            assert (averaged[image][:, ids == one].diff(dim=1) == 0).all()
    torch.testing.assert_close(instance_average(averaged, regions), averaged)


def test_styles_are_between_minus_one_and_one() -> None:
    encoder = FeatureEncoder(4, 2, 3)
    images = torch.rand(2, 3, 16, 24) * 2 - 1
    styles = encoder(images, torch.randint(0, 4, (2, 16, 24)))
    assert styles.shape == (2, 3, 16, 24)
    assert styles.abs().max() <= 1


def test_sides_that_the_encoder_cannot_halve_are_named() -> None:
    encoder = FeatureEncoder(4, 4, 3)
    with pytest.raises(ValueError, match=r"40x24.*16.*32x32"):
        encoder(torch.zeros(1, 3, 24, 40), torch.zeros(1, 24, 40, dtype=torch.int32))


def test_sides_must_suit_the_encoder_too() -> None:
    method, limits = styled(), limits_of(Library().benchmark("cityscapes"))
    shallow = method.generator.model_copy(update={"downsamplings": 2})
    assert side_divisor(method.model_copy(update={"generator": shallow}), limits) == 16
