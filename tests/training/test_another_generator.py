"""A generator network of one's own, trained under the objective: what ``[generator]`` is for."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
import torch
from conftest import trainable
from PIL import Image
from torch import Tensor, nn

from hdbench.errors import UsageError
from hdbench.networks import builder
from hdbench.networks.builder import Architecture, Limits
from hdbench.runtime.devices import Machine
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.base import Positive, Table
from hdbench.schema.method import Pix2PixHD
from hdbench.training.config import RunConfig, require_fitting_size, run_identity
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench

MACHINE = Machine(torch.device("cpu"), workers=0, checkpoint_minutes=0)


class Flat(Table):
    """A generator with other keys than those of coarse to fine, and without enhancers."""

    network: Literal["flat"]
    features: Positive
    enhancers: ClassVar[int] = 0


class FlatGenerator(nn.Module):
    """Two convolutions at the full resolution."""

    def __init__(self, in_channels: int, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, 3, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, condition: Tensor) -> Tensor:
        return self.layers(condition)


def flat(spec: Flat, channels: int, limits: Limits) -> nn.Module:
    return FlatGenerator(channels, spec.features)


@pytest.fixture
def method(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Pix2PixHD:
    """``ours-no-vgg`` with the flat generator."""
    row = Architecture(
        flat, lambda *_: 8, lambda *_: 24, lambda *_: "two layers", lambda spec, _: spec
    )
    monkeypatch.setitem(builder.ARCHITECTURES, "flat", row)
    generator = Flat(network="flat", features=4)
    changed = {"generator": generator, "name": "ours-flat"}
    return trainable(bench).model_copy(update=changed)


@pytest.mark.slow
def test_it_is_trained_stopped_and_synthesizes(
    bench: Bench, method: Pix2PixHD, capsys: pytest.CaptureFixture[str]
) -> None:
    output = train_method(bench, method, 0, MACHINE)
    assert "two layers" in capsys.readouterr().err
    rows = read_metrics(output.parent / "metrics.jsonl")
    assert {"g_gan", "g_features", "d_real", "d_fake"} < rows[-1].keys()
    assert train_method(bench, method, 0, MACHINE) == output  # it is known to be finished
    size = bench.benchmark.size
    for path in synthesize_method(bench, method, 0, torch.device("cpu")):
        with Image.open(path) as image:
            assert image.size == (size.width, size.height)


def test_its_keys_are_part_of_the_identity(bench: Bench, method: Pix2PixHD) -> None:
    identity = run_identity(RunConfig(method, bench.benchmark, 0, None), [])
    assert identity["method"]["generator"] == {"network": "flat", "features": 4}


def test_its_own_sizes_are_asked_for(bench: Bench, method: Pix2PixHD) -> None:
    require_fitting_size(method, bench.benchmark)
    for height, expected in ((20, "at least 24"), (52, "divide by 8")):
        size = bench.benchmark.size.model_copy(update={"height": height})
        sized = bench.benchmark.model_copy(update={"size": size})
        with pytest.raises(UsageError, match=rf"\[size\] height = {height}.* {expected}"):
            require_fitting_size(method, sized)
