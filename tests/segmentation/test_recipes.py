"""Optimisers, schedules and first weights of a segmenter's training."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from hdbench.errors import CheckpointError, LibraryError, UsageError
from hdbench.library import Library
from hdbench.runtime.devices import Machine
from hdbench.schema.benchmark import Benchmark
from hdbench.segmentation.encoder_weights import imagenet_weights, torchvision_address
from hdbench.segmentation.segmenter import load_segmenter
from hdbench.segmentation.training import (
    require_trained_for,
    segmenter_identity,
    segmenter_trainer,
    train_segmenter,
)
from hdbench.training.data import TrainingData
from hdbench.training.segmentation import SegmentationTrainer
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import training_data

CPU = torch.device("cpu")
MACHINE = Machine(CPU, workers=0, checkpoint_minutes=0)
IMAGENET = {"encoder": "resnet18", "depth": 5, "encoder_weights": "imagenet"}
SGD = {"optimizer": "sgd", "schedule": "poly", "momentum": 0.9, "poly_power": 0.9}


def with_recipe(benchmark: Benchmark, **changes: Any) -> Benchmark:
    spec = benchmark.required_segmenter.training
    return benchmark.with_recipe(type(spec)(**{**spec.model_dump(), **changes}))


def data_of(bench: Bench) -> TrainingData:
    return training_data(bench)


@pytest.fixture
def resnet18(tmp_path: Path) -> Path:
    """A file like torchvision's, of the time before batch norm counted its batches."""
    torch.manual_seed(3)
    state = torchvision.models.resnet18(weights=None).state_dict()
    kept = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save(OrderedDict(kept), tmp_path / "resnet18-x.pth")
    return tmp_path / "resnet18-x.pth"


# -- identities ------------------------------------------------------------------------------------


def test_the_identity_of_what_was_trained_before_there_was_a_choice_is_the_same() -> None:
    """What a workspace holds from then must still be the benchmark's own."""
    spec = Library().benchmark("camvid").required_segmenter.training
    identity = segmenter_identity(Library().benchmark("camvid"), 0, [["a", "b"]])
    assert identity["version"] == 4
    assert identity.keys() == {
        "kind",
        "version",
        "data",
        "size",
        "segmenter",
        "scenes",
        "scenes_digest",
        "seed",
    }
    assert identity["segmenter"] == {
        "split": "train",
        "encoder": "resnet18",
        "depth": 5,
        "enlarge": 1,
        "epochs": 20,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "weight_decay": 1e-2,
        "auxiliary_weight": 0.4,
        "scale_min": 0.75,
        "scale_max": 1.75,
        "flip": True,
        "jitter": 0.0,
        "noise": 0.0,
        "precision": "bf16",
        "storage": "fp32",
    }
    assert (spec.optimizer, spec.schedule, spec.encoder_weights) == ("adamw", "one-cycle", "none")


def test_every_choice_of_a_recipe_is_another_identity() -> None:
    benchmark = Library().benchmark("camvid")
    others = [
        SGD,
        {**SGD, "momentum": 0.8},
        {**SGD, "poly_power": 1.0},
        {"schedule": "poly", "poly_power": 0.9},
        {"encoder_weights": "imagenet"},
    ]
    benchmarks = [benchmark, *(with_recipe(benchmark, **other) for other in others)]
    identities = [segmenter_identity(one, 0, []) for one in benchmarks]
    identities += [
        segmenter_identity(benchmarks[-1], 0, [], encoder_weights="1" * 64),
        segmenter_identity(benchmark, 0, [], images={"method": "ours"}),
    ]
    assert len({json.dumps(identity, sort_keys=True) for identity in identities}) == 8
    unread = with_recipe(benchmark, momentum=0.9, poly_power=0.5)  # adamw, one-cycle
    assert segmenter_identity(unread, 0, []) == identities[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('optimizer = "sgd"', "optimizer = 'sgd' .*'momentum'"),
        ('schedule = "poly"', "schedule = 'poly' .*'poly_power'"),
        ('optimizer = "adam"', "optimizer = 'adam' "),
        ('encoder_weights = "imagenet21k"', "encoder_weights = .*'imagenet'"),
    ],
)
def test_a_recipe_that_lacks_something_says_what(text: str, message: str, tmp_path: Path) -> None:
    head = 'extends = "camvid"\nname = "x"\ntitle = "X"\n[segmenter.training]\n'
    (tmp_path / "x.toml").write_text(head + text)
    with pytest.raises(LibraryError, match=rf"\[segmenter\.training\] {message}"):
        Library().benchmark(str(tmp_path / "x.toml"))


# -- the published schedule ------------------------------------------------------------------------


def test_cityscapes_follows_the_published_schedule() -> None:
    benchmark = Library().benchmark("cityscapes")
    spec = benchmark.required_segmenter.training
    assert (spec.encoder, spec.encoder_weights, spec.auxiliary_weight) == (
        "resnet101",
        "imagenet",
        0.4,
    )
    assert spec.epochs * (2975 // spec.batch_size) == pytest.approx(90_000, rel=2e-3)


@pytest.mark.parametrize("steps", [1, 7])
def test_the_poly_rate_is_that_of_the_paper_and_the_steps_are_sgd(bench: Bench, steps: int) -> None:
    """PSPNet, Sec. 5.1, and Sutskever et al. as PyTorch writes momentum, by hand."""
    benchmark = with_recipe(bench.benchmark, **SGD, learning_rate=0.01, weight_decay=1e-4)
    trainer = segmenter_trainer(benchmark, steps, 0, CPU)
    weight = trainer.network.get_parameter("pspnet.segmentation_head.0.bias")
    expected, momentum = weight.detach().clone(), torch.zeros_like(weight)
    for step in range(steps):
        rate = 0.01 * (1 - step / steps) ** 0.9
        assert trainer.rate == pytest.approx(rate, rel=1e-9)
        gradient = torch.full_like(weight, 1.0 + step)
        trainer.optimizer.zero_grad()
        weight.grad = gradient.clone()
        trainer.optimizer.step()
        trainer.schedule.step()
        momentum = 0.9 * momentum + gradient + 1e-4 * expected
        expected = expected - rate * momentum
        assert torch.allclose(weight, expected, rtol=1e-6)
    assert trainer.rate == pytest.approx(0, abs=1e-12)


class PowerCut(BaseException):
    """Stands for a process that ends without warning."""


@pytest.mark.slow
def test_the_published_schedule_goes_on_where_it_stopped(
    bench: Bench, resnet18: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = with_recipe(bench.benchmark, **SGD, **IMAGENET)
    data = data_of(bench)

    def learn(folder: Path, weights: Path | None = resnet18) -> Path:
        return train_segmenter(benchmark, 0, data, folder, MACHINE, False, weights)

    whole = load_segmenter(learn(tmp_path / "whole"), CPU).card
    real, calls = SegmentationTrainer.step, iter(range(10**6))

    def step(self, batch):
        if next(calls) == 2:
            raise PowerCut
        return real(self, batch)

    monkeypatch.setattr(SegmentationTrainer, "step", step)
    with pytest.raises(PowerCut):
        learn(tmp_path / "cut")
    assert load_segmenter(learn(tmp_path / "cut"), CPU).card.weights == whole.weights
    identity = json.loads((tmp_path / "cut" / "identity.json").read_text())
    assert len(identity["encoder_weights"]) == 64
    resnet18.unlink()  # what is trained needs the file no more
    assert learn(tmp_path / "cut", None) == tmp_path / "cut"
    require_trained_for(benchmark, 0, data, tmp_path / "cut")
    with pytest.raises(CheckpointError, match=r"segmenter\.encoder_weights"):
        require_trained_for(
            with_recipe(benchmark, encoder_weights="none"), 0, data, tmp_path / "cut"
        )


# -- ImageNet weights ------------------------------------------------------------------------------


def test_the_encoder_starts_from_the_file_and_the_rest_as_before(
    bench: Bench, resnet18: Path
) -> None:
    benchmark = with_recipe(bench.benchmark, **IMAGENET)
    state = imagenet_weights(benchmark, resnet18)
    assert state is not None
    assert not any(name.startswith("fc.") for name in state)
    fresh = segmenter_trainer(benchmark, 4, 0, CPU).network.state_dict()
    found = segmenter_trainer(benchmark, 4, 0, CPU, state).network.state_dict()
    prefix = "pspnet.encoder."
    for name, value in found.items():
        expected: dict[str, Tensor] = state if name.startswith(prefix) else fresh
        if "num_batches" not in name:
            assert torch.equal(value, expected[name.removeprefix(prefix)]), name


def test_a_missing_file_says_which_and_where_to_get_it(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = with_recipe(bench.benchmark, **IMAGENET)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CheckpointError) as error:
        imagenet_weights(benchmark, None)
    text = str(error.value)
    name = torchvision_address("resnet18").rsplit("/", 1)[1]
    assert f"{tmp_path}/checkpoints/{name}: " in text
    assert torchvision_address("resnet18") in text
    assert "--encoder-weights FILE" in text


def test_a_file_for_random_weights_is_misuse(bench: Bench, resnet18: Path) -> None:
    with pytest.raises(UsageError, match=f'{resnet18}: .*encoder_weights = "none"'):
        imagenet_weights(bench.benchmark, resnet18)


def test_an_encoder_that_torchvision_lacks_is_misuse(bench: Bench) -> None:
    benchmark = with_recipe(bench.benchmark, **{**IMAGENET, "encoder": "tu-regnetx_002"})
    with pytest.raises(UsageError, match=r"encoder = .*resnet18"):
        imagenet_weights(benchmark, None)


def test_weights_of_another_encoder_are_refused(bench: Bench, resnet18: Path) -> None:
    benchmark = with_recipe(bench.benchmark, **{**IMAGENET, "encoder": "resnet34"})
    state = imagenet_weights(benchmark, resnet18)
    with pytest.raises(CheckpointError, match="'resnet34'"):
        segmenter_trainer(benchmark, 4, 0, CPU, state)
