"""The published PSPNets: their state dicts, made up here with exactly their names and shapes.

The reference passes are written with torch's functions over the foreign names alone, from the
publications' descriptions, and share nothing with the network that they check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdbench.data.labels import shipped_space
from hdbench.errors import CheckpointError
from hdbench.networks.pspnet import AuxiliaryHead, PublishedPSPNet
from hdbench.segmentation.adapters.published import PUBLICATIONS, Publication, translated
from hdbench.segmentation.adoption import ImportOptions, adopt
from hdbench.segmentation.segmenter import load_segmenter

CPU = torch.device("cpu")
SPACE = shipped_space("cityscapes")
OPTIONS = ImportOptions(SPACE, (64, 32))
Shapes = dict[str, tuple[int, ...]]

# -- the published names ---------------------------------------------------------------------------


def batch_norm(shapes: Shapes, name: str, channels: int) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{name}.{part}"] = (channels,)
    shapes[f"{name}.num_batches_tracked"] = ()


def residual_stages(
    shapes: Shapes, prefix: str, entering: int, blocks: tuple[int, ...], width: int
) -> int:
    channels = entering
    for stage, count in enumerate(blocks):
        planes = width * 2**stage
        for block in range(count):
            name = f"{prefix}layer{stage + 1}.{block}"
            shapes[f"{name}.conv1.weight"] = (planes, channels, 1, 1)
            batch_norm(shapes, f"{name}.bn1", planes)
            shapes[f"{name}.conv2.weight"] = (planes, planes, 3, 3)
            batch_norm(shapes, f"{name}.bn2", planes)
            shapes[f"{name}.conv3.weight"] = (4 * planes, planes, 1, 1)
            batch_norm(shapes, f"{name}.bn3", 4 * planes)
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * planes, channels, 1, 1)
                batch_norm(shapes, f"{name}.downsample.1", 4 * planes)
            channels = 4 * planes
    return channels


def stem(shapes: Shapes, prefix: str, channels: tuple[int, ...]) -> None:
    entering = 3
    for n, wanted in enumerate(channels):
        shapes[f"{prefix}.{3 * n}.weight"] = (wanted, entering, 3, 3)
        batch_norm(shapes, f"{prefix}.{3 * n + 1}", wanted)
        entering = wanted


def mmseg_shapes(blocks: tuple[int, ...] = (3, 4, 23, 3), width: int = 64) -> Shapes:
    shapes: Shapes = {}
    stem(shapes, "backbone.stem", (width // 2, width // 2, width))
    features = residual_stages(shapes, "backbone.", width, blocks, width)
    head = 8 * width
    shapes["decode_head.conv_seg.weight"] = (19, head, 1, 1)
    shapes["decode_head.conv_seg.bias"] = (19,)
    for level in range(4):
        shapes[f"decode_head.psp_modules.{level}.1.conv.weight"] = (head, features, 1, 1)
        batch_norm(shapes, f"decode_head.psp_modules.{level}.1.bn", head)
    shapes["decode_head.bottleneck.conv.weight"] = (head, features + 4 * head, 3, 3)
    batch_norm(shapes, "decode_head.bottleneck.bn", head)
    shapes["auxiliary_head.conv_seg.weight"] = (19, 4 * width, 1, 1)
    shapes["auxiliary_head.conv_seg.bias"] = (19,)
    shapes["auxiliary_head.convs.0.conv.weight"] = (4 * width, 16 * width, 3, 3)
    batch_norm(shapes, "auxiliary_head.convs.0.bn", 4 * width)
    return shapes


def semseg_shapes(blocks: tuple[int, ...] = (3, 4, 23, 3), width: int = 64) -> Shapes:
    shapes: Shapes = {}
    stem(shapes, "layer0", (width, width, 2 * width))
    features = residual_stages(shapes, "", 2 * width, blocks, width)
    head = 8 * width
    for level in range(4):
        shapes[f"ppm.features.{level}.1.weight"] = (head, features, 1, 1)
        batch_norm(shapes, f"ppm.features.{level}.2", head)
    for name, entering, wanted in (
        ("cls", features + 4 * head, head),
        ("aux", features // 2, 4 * width),
    ):
        shapes[f"{name}.0.weight"] = (wanted, entering, 3, 3)
        batch_norm(shapes, f"{name}.1", wanted)
        shapes[f"{name}.4.weight"] = (19, wanted, 1, 1)
        shapes[f"{name}.4.bias"] = (19,)
    return shapes


def drawn(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Tensors of these shapes that keep a signal alive through a hundred layers."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=random)
        elif len(shape) == 4:
            fan = shape[1] * shape[2] * shape[3]
            state[name] = torch.randn(shape, generator=random) * (2 / fan) ** 0.5
        else:
            state[name] = 0.1 * torch.randn(shape, generator=random)
            if name.endswith(("bn1.weight", "bn2.weight", "bn3.weight", ".1.weight")):
                state[name] += 1
    return state


# -- reference passes ------------------------------------------------------------------------------


def norm(state: dict[str, Tensor], name: str, maps: Tensor) -> Tensor:
    parts = ("running_mean", "running_var", "weight", "bias")
    mean, variance, weight, bias = (state[f"{name}.{part}"] for part in parts)
    return F.batch_norm(maps, mean, variance, weight, bias)


def stem_pass(state: dict[str, Tensor], prefix: str, images: Tensor) -> Tensor:
    for n in range(3):
        weight = state[f"{prefix}.{3 * n}.weight"]
        images = F.conv2d(images, weight, stride=2 if n == 0 else 1, padding=1)
        images = norm(state, f"{prefix}.{3 * n + 1}", images).relu()
    return F.max_pool2d(images, 3, stride=2, padding=1)


def block_pass(
    state: dict[str, Tensor], name: str, maps: Tensor, stride: int, dilation: int
) -> Tensor:
    inner = norm(state, f"{name}.bn1", F.conv2d(maps, state[f"{name}.conv1.weight"])).relu()
    weight = state[f"{name}.conv2.weight"]
    inner = F.conv2d(inner, weight, stride=stride, padding=dilation, dilation=dilation)
    inner = norm(state, f"{name}.bn2", inner).relu()
    inner = norm(state, f"{name}.bn3", F.conv2d(inner, state[f"{name}.conv3.weight"]))
    if f"{name}.downsample.0.weight" in state:
        maps = F.conv2d(maps, state[f"{name}.downsample.0.weight"], stride=stride)
        maps = norm(state, f"{name}.downsample.1", maps)
    return (inner + maps).relu()


def stages_pass(
    state: dict[str, Tensor], prefix: str, maps: Tensor, dilations: list[tuple[int, int]]
) -> list[Tensor]:
    """``dilations``: of each stage's first block, and of its others."""
    answers = []
    for stage, (first, others) in enumerate(dilations):
        block = 0
        while f"{prefix}layer{stage + 1}.{block}.conv1.weight" in state:
            stride = 2 if (stage, block) == (1, 0) else 1
            dilation = first if block == 0 else others
            maps = block_pass(state, f"{prefix}layer{stage + 1}.{block}", maps, stride, dilation)
            block += 1
        answers.append(maps)
    return answers


def mmseg_pass(state: dict[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """ResNetV1c with contracted dilations, PSPHead and FCNHead, corners not aligned."""
    maps = stem_pass(state, "backbone.stem", images)
    stages = stages_pass(state, "backbone.", maps, [(1, 1), (1, 1), (1, 2), (2, 4)])
    features = stages[3]
    levels = [features]
    for n, bins in enumerate((1, 2, 3, 6)):
        name = f"decode_head.psp_modules.{n}.1"
        level = F.conv2d(F.adaptive_avg_pool2d(features, bins), state[f"{name}.conv.weight"])
        level = norm(state, f"{name}.bn", level).relu()
        levels.append(F.interpolate(level, features.shape[2:], mode="bilinear"))
    name = "decode_head.bottleneck"
    head = F.conv2d(torch.cat(levels, 1), state[f"{name}.conv.weight"], padding=1)
    head = norm(state, f"{name}.bn", head).relu()
    name = "decode_head.conv_seg"
    main = F.conv2d(head, state[f"{name}.weight"], state[f"{name}.bias"])
    name = "auxiliary_head.convs.0"
    head = F.conv2d(stages[2], state[f"{name}.conv.weight"], padding=1)
    head = norm(state, f"{name}.bn", head).relu()
    name = "auxiliary_head.conv_seg"
    auxiliary = F.conv2d(head, state[f"{name}.weight"], state[f"{name}.bias"])
    return F.interpolate(main, images.shape[2:], mode="bilinear"), auxiliary


def semseg_pass(state: dict[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """A wider stem, whole stages dilated, corners aligned."""
    maps = stem_pass(state, "layer0", images)
    stages = stages_pass(state, "", maps, [(1, 1), (1, 1), (2, 2), (4, 4)])
    features = stages[3]
    levels = [features]
    for n, bins in enumerate((1, 2, 3, 6)):
        name = f"ppm.features.{n}"
        level = F.conv2d(F.adaptive_avg_pool2d(features, bins), state[f"{name}.1.weight"])
        level = norm(state, f"{name}.2", level).relu()
        levels.append(F.interpolate(level, features.shape[2:], mode="bilinear", align_corners=True))

    def head(name: str, maps: Tensor) -> Tensor:
        maps = F.conv2d(maps, state[f"{name}.0.weight"], padding=1)
        maps = norm(state, f"{name}.1", maps).relu()
        return F.conv2d(maps, state[f"{name}.4.weight"], state[f"{name}.4.bias"])

    main = head("cls", torch.cat(levels, 1))
    size = images.shape[2:]
    return F.interpolate(main, size, mode="bilinear", align_corners=True), head("aux", stages[2])


Pass = Callable[[dict[str, Tensor], Tensor], tuple[Tensor, Tensor]]
CASES: dict[str, tuple[Callable[..., Shapes], Pass, int]] = {
    "pspnet-mmseg": (mmseg_shapes, mmseg_pass, 0),
    "pspnet-semseg": (semseg_shapes, semseg_pass, 1),
}
kinds = pytest.mark.parametrize("kind", CASES)
#: Small enough for any machine; two blocks in the dilated stages, so that both dilations occur.
BLOCKS, WIDTH = (2, 1, 2, 2), 8


def shrunk(kind: str) -> Publication:
    """A publication of few blocks and channels, with the names and the rest of the real one."""
    real = PUBLICATIONS[kind]
    first, second, third = (value * WIDTH // 64 for value in real.stem)
    return replace(real, stem=(first, second, third), blocks=BLOCKS, width=WIDTH)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in CASES:
        monkeypatch.setitem(PUBLICATIONS, kind, shrunk(kind))


# -- tests -----------------------------------------------------------------------------------------


@kinds
def test_every_published_tensor_has_its_place_at_full_size(kind: str) -> None:
    """ResNet-101 and its heads, on no memory: names and shapes, the auxiliary head's too."""
    shapes, _, _ = CASES[kind]
    publication = PUBLICATIONS[kind]
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes().items()}
        network = PublishedPSPNet(publication.design(19))
        auxiliary = nn.ModuleDict({"auxiliary": AuxiliaryHead(1024, 19)})
    found = translated(kind, state, publication)
    assert len(found) == len(state)
    expected = {**network.state_dict(), **auxiliary.state_dict()}
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in expected.items()
    }


@kinds
def test_the_number_of_published_tensors_is_that_counted_by_hand(kind: str) -> None:
    """A batch norm has five tensors, the convolution before it one.

    33 blocks of three such pairs, 4 shortcuts, 3 pairs in the stem, 4 levels, 1 after them and 1 in
    the auxiliary head; two classifiers with weight and bias.
    """
    assert len(CASES[kind][0]()) == 6 * (33 * 3 + 4 + 3 + 4 + 1 + 1) + 2 * 2


@pytest.mark.usefixtures("small")
@kinds
def test_the_mapped_network_computes_what_the_published_one_does(kind: str, tmp_path: Path) -> None:
    shapes, reference, rest = CASES[kind]
    state = drawn(shapes(BLOCKS, WIDTH))
    torch.save({"meta": {"epoch": 1}, "state_dict": state}, tmp_path / "theirs.pth")
    folder = tmp_path / "ours"
    segmenter = adopt(kind, str(tmp_path / "theirs.pth"), folder, OPTIONS)
    size = (64 + rest, 104 + rest)
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=random)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    )
    expected, _ = reference(state, (images - mean) / std)
    found = segmenter.logits(images)
    assert found.shape == (2, 19, *size)
    assert expected.std() > 0.1  # nothing died on the way
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert torch.equal(load_segmenter(folder, CPU).logits(images), found)


@kinds
def test_the_auxiliary_head_is_the_published_one(kind: str) -> None:
    shapes, reference, rest = CASES[kind]
    state = drawn(shapes(BLOCKS, WIDTH))
    images = torch.randn(1, 3, 48 + rest, 48 + rest)
    _, expected = reference(state, images)
    ours = translated(kind, state, PUBLICATIONS[kind])
    head = AuxiliaryHead(16 * WIDTH, 19).eval()
    prefix = "auxiliary."
    head.load_state_dict(
        {n.removeprefix(prefix): v for n, v in ours.items() if n.startswith(prefix)}
    )
    renamed = {n: v for n, v in ours.items() if not n.startswith(prefix)}
    network = PublishedPSPNet(shrunk(kind).design(19)).eval()
    network.load_state_dict(renamed)
    with torch.no_grad():
        features = network.stem(images)
        for stage in list(network.stages)[:3]:
            features = stage(features)
        assert torch.allclose(head.layers(features), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@kinds
def test_what_wraps_the_weights_and_what_old_files_lack_does_not_matter(
    kind: str, tmp_path: Path
) -> None:
    """Data-parallel prefixes, and batch norms that count no batches, as in files before 2018."""
    shapes, _, _ = CASES[kind]
    state = drawn(shapes(BLOCKS, WIDTH))
    old = {f"module.{n}": v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    torch.save({"epoch": 200, "state_dict": old}, tmp_path / "old.pth")
    torch.save(state, tmp_path / "bare.pth")
    weights = [
        adopt(kind, str(tmp_path / f"{name}.pth"), tmp_path / name, OPTIONS)
        for name in ("old", "bare")
    ]
    images = torch.randint(0, 256, (1, 3, 97, 97) if "semseg" in kind else (1, 3, 96, 96))
    images = images.to(torch.uint8)
    assert torch.equal(weights[0].logits(images), weights[1].logits(images))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("cls.4.bias"), r"classifier\.bias: "),
        (lambda state: state.update(extra=torch.zeros(1)), "1 of .*\n  extra"),
        (
            lambda state: state.update({"cls.4.weight": torch.zeros(150, 64, 1, 1)}),
            "classifier.weight: .*150x64x1x1.*19x64x1x1",
        ),
        (lambda state: state.pop("aux.0.weight"), r"auxiliary\.layers\.0\.weight: "),
    ],
)
def test_another_networks_file_is_refused(change, message: str, tmp_path: Path) -> None:
    state = drawn(semseg_shapes(BLOCKS, WIDTH))
    change(state)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        adopt("pspnet-semseg", str(tmp_path / "x.pth"), tmp_path / "ours", OPTIONS)
    assert not (tmp_path / "ours" / "segmenter.json").exists()


@pytest.mark.usefixtures("small")
def test_the_card_says_what_its_makers_declare_and_expect(tmp_path: Path) -> None:
    torch.save(drawn(semseg_shapes(BLOCKS, WIDTH)), tmp_path / "x.pth")
    card = adopt("pspnet-semseg", str(tmp_path / "x.pth"), tmp_path / "ours", OPTIONS).card
    assert card.published is not None
    assert card.published["mean_iou"] == 0.7863
    assert card.sides == [8, 1]
    assert card.source is not None
    assert card.source["file"] == "x.pth"
    assert card.choices["input"] == "RGB in [0, 1]"
