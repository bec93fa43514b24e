from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import MACHINE, trainable
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from hdbench.networks.builder import build_generator, limits_of
from hdbench.provenance import digest, tensors_digest
from hdbench.runtime.job import Job
from hdbench.runtime.weights import load_weights
from hdbench.training.average import MovingAverage
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench


def weights_after(steps: int) -> list[float]:
    """The weights that a network of one number has before each update."""
    return [(-1) ** n * (n + 1) / 7 for n in range(steps)]


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_recursion_written_out(decay: float) -> None:
    network = nn.Conv2d(1, 1, 1, bias=False)
    average, expected = MovingAverage(network, decay), 0.0
    for n, weight in enumerate(weights_after(40)):
        nn.init.constant_(network.weight, weight)
        average.update()
        share = min(decay, (1 + n) / (10 + n))
        expected = weight if n == 0 else share * expected + (1 - share) * weight
    found = next(average.network.parameters()).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_decay_of_0_keeps_none() -> None:
    network = nn.Conv2d(1, 1, 1)
    average = MovingAverage(network, 0.0)
    average.update()
    assert average.network is network
    assert average.state_dict() == {}


def test_an_average_goes_on_from_its_state() -> None:
    networks = [nn.Conv2d(1, 1, 1, bias=False) for _ in range(2)]
    whole, half = (MovingAverage(network, 0.9) for network in networks)
    for n, weight in enumerate(weights_after(12)):
        if n == 6:
            resumed = MovingAverage(networks[1], 0.9)
            resumed.load_state_dict(half.state_dict())
            half = resumed
        for network, average in zip(networks, (whole, half), strict=True):
            nn.init.constant_(network.weight, weight)
            average.update()
    states = [average.network.state_dict()["weight"] for average in (whole, half)]
    assert torch.equal(*states)


# -- in a training --------------------------------------------------------------------------------


def averaging(bench: Bench, name: str, storage: str = "fp32") -> Bench:
    """The small benchmark with a moving average, in another workspace."""
    update = {"ema": 0.6, "storage": storage, "decay_epochs": 0}
    budget = bench.benchmark.budget.model_copy(update=update)
    return Bench(
        bench.library,
        replace(bench.workspace, root=bench.workspace.root / name),
        bench.benchmark.model_copy(update={"budget": budget}),
    )


def stepwise(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Collect the generator's own weights after each step of the trainings that follow."""
    seen: list[dict[str, Tensor]] = []
    real = Pix2PixHDTrainer.step

    def step(self: Pix2PixHDTrainer, batch: Any, rate: float) -> dict[str, Tensor]:
        losses = real(self, batch, rate)
        seen.append({name: value.clone() for name, value in self.generator.state_dict().items()})
        return losses

    monkeypatch.setattr(Pix2PixHDTrainer, "step", step)
    return seen


@pytest.mark.slow
def test_the_generators_file_holds_the_average_and_its_card_says_what_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = stepwise(monkeypatch)
    full = averaging(bench, "full")
    output = train_method(full, trainable(full), 0, MACHINE)
    assert len(seen) == 8
    expected = {name: value.double() for name, value in seen[0].items()}
    for n, weights in enumerate(seen[1:], start=1):
        share = min(0.6, (1 + n) / (10 + n))
        for name, value in weights.items():
            expected[name] = share * expected[name] + (1 - share) * value.double()
    found = load_file(output)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-8)
    assert any(not torch.allclose(value, seen[-1][name]) for name, value in found.items())

    card = json.loads((output.parent / "generator.json").read_text())
    assert (card["method"], card["benchmark"], card["seed"]) == ("ours-no-vgg", "tiny", 0)
    assert card["steps"] == 8
    assert card["weights"] == tensors_digest(found)
    identity = json.loads((output.parent / "identity.json").read_text())
    assert card["identity"] == identity
    assert identity["budget"]["ema"] == 0.6
    assert card["command"] == "hdbench train ours-no-vgg --benchmark tiny --seed 0"
    with safe_open(output, framework="pt") as file:
        facts = {"identity": digest(identity), "weights": card["weights"], "steps": "8"}
        assert file.metadata() == facts

    half = averaging(bench, "half", "fp16")
    rounded = train_method(half, trainable(half), 0, MACHINE)
    stored = load_file(rounded)
    assert stored.keys() == found.keys()
    for name, value in stored.items():
        assert value.dtype == torch.float16
        assert torch.equal(value, found[name].half())
    assert rounded.stat().st_size < 0.6 * output.stat().st_size
    card = json.loads((rounded.parent / "generator.json").read_text())
    assert card["weights"] == tensors_digest(
        {name: value.float() for name, value in stored.items()}
    )
    # Images are computed with the rounded weights, in fp32.
    loaded = build_generator(trainable(half), 13, limits_of(half.benchmark))
    load_weights(rounded, loaded)
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, found[name].half().float())


class PowerCut(BaseException):
    """Stands for a process that ends without warning."""


@pytest.mark.slow
def test_a_crash_does_not_change_the_average(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = averaging(bench, "whole"), averaging(bench, "cut")
    expected = load_file(train_method(whole, trainable(whole), 0, MACHINE))
    real, real_save = Pix2PixHDTrainer.step, Job.save
    with monkeypatch.context() as patched:
        # Not every step is saved, so that one is averaged in twice unless the state is whole.
        patched.setattr(Job, "save", lambda job: real_save(job) if job.step != 4 else None)
        patched.setattr(Pix2PixHDTrainer, "step", crashing(real, 5))
        with pytest.raises(PowerCut):
            train_method(cut, trainable(cut), 0, replace(MACHINE, checkpoint_minutes=0))
    found = load_file(train_method(cut, trainable(cut), 0, MACHINE))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def crashing(real: Callable[..., Any], call: int) -> Callable[..., Any]:
    """Return a step after which the power goes, at its n-th call: the average is up to date."""
    calls = itertools.count(1)

    def step(*arguments: Any) -> Any:
        losses = real(*arguments)
        if next(calls) == call:
            raise PowerCut
        return losses

    return step
