"""What the segmenter is given, and how its answers become one map."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from conftest import constant_segmenter
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.data.labels import shipped_space
from hdbench.data.scene import resize_photograph
from hdbench.errors import HdbenchError, UsageError
from hdbench.library import Library
from hdbench.schema.scoring import SegmenterInput
from hdbench.segmentation.prediction import predict, require_fitting, window_sizes, window_starts
from hdbench.segmentation.segmenter import Segmenter

SPACE = shipped_space("camvid")
STANDARD = Library().scoring("camvid-std-v1")
CLASSES = 11


class _Colours(nn.Module):
    """Looks at colours and at where in the window they stand, so that windows can be told apart."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.mix = nn.Parameter(torch.randn(CLASSES, 3, 3, 3, generator=random))
        self.given: list[tuple[int, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.given.append((images.shape[-2], images.shape[-1]))
        ramp = torch.linspace(0, 1, images.shape[-1]).view(1, 1, 1, -1)
        return F.conv2d(images + ramp, self.mix, padding=1)


def small_segmenter(
    width: int = 16, height: int = 8, network: nn.Module | None = None
) -> Segmenter:
    card = replace(constant_segmenter(0, SPACE, width, height).card, mean=[0.4, 0.5, 0.6])
    return Segmenter(network or _Colours(), card, torch.device("cpu"))


def policy(**changes: object) -> SegmenterInput:
    return SegmenterInput.model_validate({**STANDARD.segmenter.model_dump(), **changes})


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=random)


def answer(segmenter: Segmenter, image: Tensor, probabilities: bool = False) -> Tensor:
    logits = segmenter.logits(image[None])[0]
    return logits.softmax(dim=0) if probabilities else logits


# -- whole images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize("operator", ["bilinear", "bilinear-aligned", "nearest"])
def test_a_whole_image_is_resized_and_maximised_as_pytorch_would(
    flip: bool, average: str, operator: str
) -> None:
    segmenter, image = small_segmenter(), noise(8, 16)
    probabilities = average == "probabilities"
    expected = answer(segmenter, image, probabilities)
    if flip:
        expected = (expected + answer(segmenter, image.flip(-1), probabilities).flip(-1)) / 2
    if operator == "nearest":
        expected = F.interpolate(expected[None], (20, 33), mode="nearest-exact")
    else:
        aligned = operator == "bilinear-aligned"
        expected = F.interpolate(expected[None], (20, 33), mode="bilinear", align_corners=aligned)
    found = predict(segmenter, image, 20, 33, policy(flip=flip, average=average, logits=operator))
    assert found.dtype == torch.uint8
    assert torch.equal(found.long(), expected[0].argmax(dim=0))


def test_where_classes_are_equal_the_lowest_wins() -> None:
    class Equal(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.zeros(len(images), CLASSES, *images.shape[-2:])

    assert not predict(small_segmenter(network=Equal()), noise(8, 16), 12, 24, policy()).any()


def test_answers_smaller_than_the_image_are_resized_once() -> None:
    """As those of a SegFormer, a quarter of the image's size."""

    class Quarter(_Colours):
        def forward(self, images: Tensor) -> Tensor:
            return F.avg_pool2d(super().forward(images), 4)

    segmenter, image = small_segmenter(network=Quarter()), noise(8, 16)
    small = answer(segmenter, image)
    assert small.shape[-2:] == (2, 4)
    expected = F.interpolate(small[None], (10, 21), mode="bilinear", align_corners=False)
    assert torch.equal(predict(segmenter, image, 10, 21, policy()).long(), expected[0].argmax(0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_answers_that_are_no_numbers_are_an_error(bad: float) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), CLASSES, *images.shape[-2:]), bad)

    with pytest.raises(HdbenchError, match="finite"):
        predict(small_segmenter(network=Broken()), noise(8, 16), 8, 16, policy())


# -- windows --------------------------------------------------------------------------------------


def naive_windows(
    segmenter: Segmenter, image: Tensor, window: tuple[int, int], stride: Fraction
) -> Tensor:
    """The mean probabilities of all windows, pixel by pixel, in float64."""
    height, width = image.shape[-2:]
    starts = []
    for side, length in ((height, window[0]), (width, window[1])):
        step, places = math.ceil(length * stride), [0]
        while places[-1] + length < side:
            places.append(min(places[-1] + step, side - length))
        starts.append(places)
    total = torch.zeros(CLASSES, height, width, dtype=torch.float64)
    count = torch.zeros(height, width, dtype=torch.float64)
    for top in starts[0]:
        for left in starts[1]:
            place = (slice(top, top + window[0]), slice(left, left + window[1]))
            total[:, *place] += answer(segmenter, image[:, *place], True).double()
            count[place] += 1
    return total / count


@settings(deadline=None, max_examples=25)
@given(
    st.integers(8, 30),
    st.integers(16, 50),
    st.sampled_from(["1/1", "2/3", "1/2", "1/3"]),
    st.integers(0, 1000),
)
def test_windows_cover_every_pixel_and_are_averaged(
    height: int, width: int, stride: str, seed: int
) -> None:
    segmenter, image = small_segmenter(), noise(height, width, seed)
    chosen = policy(window="training", stride=stride, average="probabilities")
    expected = naive_windows(segmenter, image, (8, 16), Fraction(stride))
    found = predict(segmenter, image, height, width, chosen).long()
    likeliest = expected.gather(0, found[None])[0]
    assert torch.allclose(likeliest, expected.amax(dim=0), atol=1e-6)
    assert isinstance(segmenter.network, _Colours)
    assert set(segmenter.network.given) == {(8, 16)}


def test_pspnets_windows_on_cityscapes_by_hand() -> None:
    """713 at a stride of 2/3 is 476 pixels: 4 columns and 2 rows over 2048x1024."""
    assert window_starts(2048, 713, "2/3") == [0, 476, 952, 1335]
    assert window_starts(1024, 713, "2/3") == [0, 311]
    assert window_starts(713, 713, "2/3") == [0]
    assert window_starts(714, 713, "1/1") == [0, 1]


def test_an_image_smaller_than_the_window_stands_in_the_middle_of_the_mean_colour() -> None:
    segmenter, image = small_segmenter(), noise(5, 11)
    canvas = torch.tensor([102, 128, 153], dtype=torch.uint8).view(3, 1, 1).repeat(1, 8, 16)
    canvas[:, 1:6, 2:13] = image
    expected = answer(segmenter, canvas)[:, 1:6, 2:13].argmax(dim=0)
    found = predict(segmenter, image, 5, 11, policy(window="training"))
    assert torch.equal(found.long(), expected)


def test_the_mean_colour_is_rgb_whatever_the_segmenter_reads() -> None:
    card = small_segmenter().card
    theirs = replace(card, mean=[10.0, 20.0, 30.0], std=[1.0] * 3, order="BGR", peak=255.0)
    assert theirs.mean_pixel.tolist() == [30, 20, 10]


# -- scales ---------------------------------------------------------------------------------------


def test_scales_are_resized_to_the_labels_and_averaged() -> None:
    segmenter, image = small_segmenter(), noise(16, 32)
    total = torch.zeros(CLASSES, 12, 24)
    for size in ((8, 16), (16, 32), (24, 48)):
        seen = answer(segmenter, resize_photograph(image, *size, "bilinear"), True)
        total += F.interpolate(seen[None], (12, 24), mode="bilinear", align_corners=False)[0]
    chosen = policy(scales=[0.5, 1.0, 1.5], average="probabilities", image_resize="bilinear")
    found = predict(segmenter, image, 12, 24, chosen).long()
    assert torch.allclose(total.gather(0, found[None])[0], total.amax(dim=0), atol=1e-6)


def test_one_scale_many_times_is_that_scale() -> None:
    segmenter, image = small_segmenter(), noise(8, 16)
    once = predict(segmenter, image, 16, 32, policy())
    assert torch.equal(predict(segmenter, image, 16, 32, policy(scales=[1.0, 1.0])), once)


# -- what fits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"image_size": "16x8"}, True),
        ({"image_size": "32x16"}, False),
        ({"image_size": "32x16", "window": "training"}, True),
        ({"image_size": "32x16", "window": "16x8"}, True),
        ({"window": "24x8"}, False),
        ({"scales": [1.0, 0.5]}, False),
        ({"scales": [1.0, 0.5], "window": "training"}, True),
        ({"image_size": "native"}, True),  # known only with the label map
    ],
)
def test_only_the_size_of_the_training_is_given(changes: dict[str, object], fits: bool) -> None:
    scoring = STANDARD.model_copy(update={"segmenter": policy(**changes)})
    size = Library().benchmark("camvid").size.model_copy(update={"width": 16, "height": 8})

    def check() -> None:
        require_fitting(small_segmenter(), SPACE, size, scoring)

    if fits:
        check()
    else:
        with pytest.raises(UsageError, match=r"'camvid-std-v1': .*16x8"):
            check()


def test_a_native_label_map_of_another_size_is_refused_when_it_is_read() -> None:
    scoring = STANDARD.model_copy(update={"segmenter": policy(image_size="native")})
    size = Library().benchmark("camvid").size
    require_fitting(small_segmenter(), SPACE, size, scoring, native=(8, 16))
    with pytest.raises(UsageError, match="16x8"):
        require_fitting(small_segmenter(), SPACE, size, scoring, native=(8, 24))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": "512"}, "image_size = '512'; expected generator, native"),
        ({"window": "0x8"}, "window = '0x8'; expected whole, training"),
        ({"window": "training", "stride": "0.5"}, "stride = '0.5'"),
        ({"window": "training", "stride": "3/2"}, "stride = '3/2'"),
        ({"stride": "1/2"}, "stride = '1/2' and window = 'whole'"),
        ({"scales": []}, r"scales\n"),
        ({"scales": [0.0]}, r"scales\.0\n"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy(**changes)


@pytest.mark.parametrize(
    ("window", "expected"),
    [("whole", [(4, 8), (8, 16)]), ("training", [(8, 16)] * 2), ("24x16", [(16, 24)] * 2)],
)
def test_window_sizes(window: str, expected: list[tuple[int, int]]) -> None:
    assert (
        window_sizes(policy(window=window, scales=[0.5, 1.0]), small_segmenter(), 8, 16) == expected
    )
