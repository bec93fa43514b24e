"""Generators that ship: they serve a workspace that trained nothing, and nothing but their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import Result
from conftest import constant_segmenter, evaluated, ship, trainable
from safetensors.torch import load_file, save_file

from hdbench.errors import CheckpointError
from hdbench.provenance import tensors_digest
from hdbench.runtime.devices import Machine
from hdbench.schema.generator import GENERATOR_CARD, GENERATOR_WEIGHTS
from hdbench.schema.result import Result as Scored
from hdbench.schema.result import TrainingFacts
from hdbench.segmentation.segmenter import Segmenter
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.results import current_results, load_result, result_path
from hdbench.workspace.runs import (
    images_identity,
    read_generator_card,
    shipped_generator,
    trained_generator,
    training_facts,
)

Cli = Callable[..., Result]
CPU = torch.device("cpu")
METHOD = "ours-no-vgg"
NAME = "tiny-ours-v1"


@dataclass
class Shop:
    """A workspace without a run, a library with a generator for it, and where that came from."""

    bench: Bench
    #: The folder in the library.
    shipped: Path
    #: The finished run that it is a copy of.
    run: Path

    @property
    def weights(self) -> Path:
        return self.shipped / GENERATOR_WEIGHTS

    @property
    def card(self) -> Path:
        return self.shipped / GENERATOR_CARD

    @property
    def segmenter(self) -> Segmenter:
        return constant_segmenter(3, self.bench.space, 64, 48)

    def evaluated(self) -> Scored:
        return evaluated(self.bench, [METHOD], 0, self.segmenter, CPU)[0]

    def trained_facts(self) -> TrainingFacts:
        facts = self.evaluated().provenance.training
        assert facts is not None
        return facts

    def generator(self) -> Path:
        return trained_generator(self.bench, trainable(self.bench), 0)

    def edit(self, **values: object) -> None:
        """Change keys of the card; None takes one away."""
        card = json.loads(self.card.read_text()) | values
        self.card.write_text(json.dumps({k: v for k, v in card.items() if v is not None}))

    def changed(self, **budget: object) -> Bench:
        """The same benchmark with another budget."""
        changed = self.bench.benchmark.budget.model_copy(update=budget)
        benchmark = self.bench.benchmark.model_copy(update={"budget": changed})
        return Bench(self.bench.library, self.bench.workspace, benchmark)


@pytest.fixture
def shop(bench: Bench, trained_once: Path, own_library: Path) -> Shop:
    run = trained_once / "runs" / "tiny" / METHOD / "seed0"
    shipped = ship(run, own_library, NAME)
    return Shop(open_bench(bench.workspace), shipped, run)  # whose library has looked at nothing


# -- it serves ------------------------------------------------------------------------------------


def test_an_empty_workspace_is_scored_without_training(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Pix2PixHDTrainer, "step")
    assert shop.generator() == shop.weights
    result = shop.evaluated()
    stored = load_file(shop.weights)
    weights = tensors_digest({name: value.float() for name, value in stored.items()})
    expected = TrainingFacts(steps=16, perceptual=None, weights=weights, ships=NAME)
    assert result.provenance.training == expected
    assert load_result(result_path(shop.bench, METHOD, 0, foreign="constant")).provenance == (
        result.provenance
    )
    floor = evaluated(shop.bench, [], 0, shop.segmenter, CPU)[1]
    assert floor.provenance.training is None
    run = shop.bench.run_folder(METHOD, 0)
    assert sorted(path.name for path in run.iterdir()) == ["images"]
    assert (
        current_results(shop.bench, [METHOD], 0, shop.segmenter.card)[METHOD].scores
        == result.scores
    )


def test_its_images_are_those_of_the_run_that_it_came_from(shop: Shop, trained_once: Path) -> None:
    paths = synthesize_method(shop.bench, trainable(shop.bench), 0, CPU)
    images = [path.read_bytes() for path in paths]
    own = shop.bench.run_folder(METHOD, 0)
    shutil.rmtree(own)
    shutil.copytree(shop.run, own)
    assert shop.generator() == own / GENERATOR_WEIGHTS
    paths = synthesize_method(shop.bench, trainable(shop.bench), 0, CPU)
    assert [path.read_bytes() for path in paths] == images


def test_it_is_listed_and_shown(cli: Cli, shop: Shop) -> None:
    title = f"{METHOD} of benchmark tiny, seed 0, 16 steps"
    entry = {"kind": "generator", "name": NAME, "title": title}
    assert entry in json.loads(cli("list", "--json").stdout)
    assert json.loads(cli("show", NAME, "--resolved").stdout) == json.loads(shop.card.read_text())
    assert cli("check").exit_code == 0


def test_a_run_that_has_not_ended_leaves_it_in_office(shop: Shop) -> None:
    own = shop.bench.run_folder(METHOD, 0)
    shutil.copytree(shop.run, own)
    (own / GENERATOR_WEIGHTS).unlink()  # the card is written before it
    assert shop.generator() == shop.weights
    assert shop.trained_facts().ships == NAME


# -- the workspace's own --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_workspaces_own_finished_run_goes_before_it(shop: Shop) -> None:
    first = shop.evaluated()
    own = shop.bench.run_folder(METHOD, 0)
    for path in shop.run.iterdir():
        if path.is_file():
            shutil.copy(path, own / path.name)
    other = {name: value + 0.01 for name, value in load_file(own / GENERATOR_WEIGHTS).items()}
    save_file(other, own / GENERATOR_WEIGHTS)
    card = json.loads((own / GENERATOR_CARD).read_text())
    card["weights"] = tensors_digest({name: value.float() for name, value in other.items()})
    (own / GENERATOR_CARD).write_text(json.dumps(card))
    assert shop.generator() == own / GENERATOR_WEIGHTS
    result = shop.evaluated()
    assert result.images != first.images
    assert result.run == first.run
    assert shop.trained_facts().ships is None


def test_a_run_of_another_budget_is_no_less_in_the_way(shop: Shop) -> None:
    shutil.copytree(shop.run, shop.bench.run_folder(METHOD, 0))
    with pytest.raises(CheckpointError, match=r"budget\.epochs: 1 -> 3"):
        trained_generator(shop.changed(epochs=3), trainable(shop.bench), 0)


@pytest.mark.slow
def test_training_here_takes_nothing_from_it(shop: Shop) -> None:
    """What ships serves; who trains gets a run of his own, with a card of his own."""
    short = shop.changed(decay_epochs=0)
    machine = Machine(CPU, workers=0, checkpoint_minutes=60)
    output = train_method(short, trainable(short), 0, machine)
    assert output.parent == short.run_folder(METHOD, 0)
    card = read_generator_card(output.parent)
    assert card.steps == 8
    assert card.identity == images_identity(short, trainable(short), 0)
    assert shipped_generator(short.library, card.identity) is None


# -- another identity -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "seed", "command"),
    [
        ({"epochs": 2}, 0, f"'hdbench train {METHOD}'"),
        ({"ema": 0.5}, 0, f"'hdbench train {METHOD}'"),
        ({}, 1, f"'hdbench train {METHOD} --seed 1'"),
    ],
)
def test_another_training_is_not_what_ships(
    shop: Shop, budget: dict[str, object], seed: int, command: str
) -> None:
    bench = shop.changed(**budget)
    with pytest.raises(CheckpointError) as error:
        evaluated(bench, [METHOD], seed, shop.segmenter, CPU)
    assert str(bench.run_folder(METHOD, seed)) in str(error.value)
    assert command in str(error.value)
    assert not (bench.workspace.root / "results").exists()
    assert training_facts(bench, METHOD, seed, None) is None


def test_one_changed_photograph_is_another_training(shop: Shop) -> None:
    first, second = (scene.image for scene in shop.bench.dataset.train_scenes[:2])
    first.write_bytes(second.read_bytes())
    with pytest.raises(CheckpointError, match=f"hdbench train {METHOD}"):
        trained_generator(open_bench(shop.bench.workspace), trainable(shop.bench), 0)


def test_a_card_whose_identity_was_edited_ships_for_something_else(shop: Shop) -> None:
    identity = json.loads(shop.card.read_text())["identity"]
    shop.edit(identity={**identity, "seed": 7})
    with pytest.raises(CheckpointError, match=f"hdbench train {METHOD}"):
        shop.generator()


# -- damage ---------------------------------------------------------------------------------------


def refused(shop: Shop, path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        shop.evaluated()
    assert str(path) in str(error.value)
    assert not (shop.bench.workspace.root / "results").exists()
    return str(error.value)


@pytest.mark.parametrize("position", [3, 40, -1, -1000])
def test_a_flipped_byte_of_the_weights_is_refused(shop: Shop, position: int) -> None:
    content = bytearray(shop.weights.read_bytes())
    if position == 40:  # a letter of a tensor's name
        position = content.index(b"body.1")
    content[position] ^= 1
    shop.weights.write_bytes(bytes(content))
    refused(shop, shop.weights)


def test_missing_and_truncated_weights_are_refused(shop: Shop) -> None:
    content = shop.weights.read_bytes()
    shop.weights.write_bytes(content[: len(content) // 2])
    refused(shop, shop.weights)
    shop.weights.unlink()
    refused(shop, shop.weights)


def test_weights_of_another_run_are_refused(shop: Shop) -> None:
    other = {name: value * 1.001 for name, value in load_file(shop.weights).items()}
    save_file(other, shop.weights)
    message = refused(shop, shop.weights)
    assert tensors_digest(other)[:12] in message
    assert json.loads(shop.card.read_text())["weights"][:12] in message


def test_a_card_of_other_weights_is_refused(shop: Shop) -> None:
    shop.edit(weights="0" * 64)
    assert "0" * 12 in refused(shop, shop.weights)


@pytest.mark.parametrize("key", ["identity", "weights", "steps", "method", "command"])
def test_a_card_without_a_key_is_refused(shop: Shop, key: str) -> None:
    shop.edit(**{key: None})
    refused(shop, shop.card)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_card_is_refused(shop: Shop, content: bytes) -> None:
    shop.card.write_bytes(content)
    refused(shop, shop.card)
