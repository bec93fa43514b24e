from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import vgg19

from hdbench.errors import CheckpointError
from hdbench.networks.perceptual import RELU_LAYERS, load_vgg19


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like torchvision's, without its classifier's half gigabyte."""
    torch.manual_seed(0)
    state = {
        name: value
        for name, value in vgg19(weights=None).state_dict().items()
        if "features" in name
    }
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path


def test_the_five_maps_are_those_of_torchvisions_layers(weights: Path) -> None:
    network = load_vgg19(weights)
    reference = nn.Sequential(*vgg19(weights=None).features.children())
    state = torch.load(weights, weights_only=True)
    reference.load_state_dict(
        {name.removeprefix("features."): value for name, value in state.items()}
    )
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    maps = network(images)
    assert [value.shape[1] for value in maps] == [64, 128, 256, 512, 512]
    for index, found in zip(RELU_LAYERS, maps, strict=True):
        torch.testing.assert_close(found, reference[: index + 1](images))


def test_it_is_frozen_but_lets_gradients_through(weights: Path) -> None:
    network = load_vgg19(weights)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    network(images)[-1].sum().backward()
    assert images.grad is not None
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_missing_weights_name_file_flag_and_the_method_without(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        load_vgg19(tmp_path / "none.pth")
    text = str(error.value)
    assert "none.pth" in text
    assert "vgg19-dcbb9e9d.pth" in text
    assert "--vgg-weights" in text
    assert "'ours-no-vgg'" in text


@pytest.mark.parametrize(
    "content", [b"", b"not weights", {"features.0.weight": torch.zeros(1)}, [1, 2]]
)
def test_other_files_are_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "x.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        load_vgg19(path)
