"""Which perceptual network a method learns with, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from conftest import MACHINE, trainable, write_perceptual
from safetensors.torch import load_file

from hdbench.errors import CheckpointError, LibraryError, UsageError
from hdbench.library import Library
from hdbench.perceptual.files import VGG19_DIGEST
from hdbench.provenance import digest
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.perceptual import PERCEPTUAL_CARD, PERCEPTUAL_WEIGHTS
from hdbench.workflows.train import train_method, train_own_perceptual
from hdbench.workspace import perceptual as chooser
from hdbench.workspace.bench import Bench
from hdbench.workspace.perceptual import perceptual_of
from hdbench.workspace.runs import images_identity, run_digest, trained_generator

Cli = Callable[..., Result]


def with_network(bench: Bench, name: object) -> Bench:
    """The same benchmark, whose methods learn with another perceptual network."""
    perceptual = bench.benchmark.perceptual.model_copy(update={"name": str(name)})
    return changed(bench, perceptual=perceptual)


def with_recipe(bench: Bench, **recipe: object) -> Bench:
    """The same benchmark, whose own perceptual network is trained otherwise."""
    perceptual = bench.benchmark.perceptual
    assert perceptual.training is not None
    training = perceptual.training.model_copy(update=recipe)
    return changed(bench, perceptual=perceptual.model_copy(update={"training": training}))


def changed(bench: Bench, **update: Any) -> Bench:
    return Bench(bench.library, bench.workspace, bench.benchmark.model_copy(update=update))


def refused(bench: Bench, kind: type[Exception], vgg_weights: Path | None = None) -> str:
    """What is said to a training of ``ours``; nothing has been written then."""
    with pytest.raises(kind) as error:
        perceptual_of(bench, trainable(bench, "ours"), vgg_weights)
    assert type(error.value) is kind
    assert not bench.run_folder("ours", 0).exists()
    return str(error.value)


# -- what is chosen -------------------------------------------------------------------------------


def test_a_method_without_the_loss_needs_none_and_no_file_is_read(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("read_perceptual_card", "load_perceptual", "load_vgg19", "require_identity"):
        monkeypatch.delattr(chooser, name)
    for name in ("own", "vgg19-imagenet", tmp_path / "nowhere", "never-shipped-v1"):
        assert perceptual_of(with_network(bench, name), trainable(bench)) is None
    assert perceptual_of(bench, trainable(bench), tmp_path / "nowhere.pth") is None


def test_the_benchmarks_own_network_is_the_one_that_it_trained(perceptive: Bench) -> None:
    found = perceptual_of(perceptive, trainable(perceptive, "ours"))
    assert found is not None
    card = json.loads((perceptive.perceptual_folder() / PERCEPTUAL_CARD).read_text())
    assert found.identity == {"name": "own", "weights": card["weights"]}
    stored = load_file(perceptive.perceptual_folder() / PERCEPTUAL_WEIGHTS)
    loaded = found.load().state_dict()
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[name], value.float()) for name, value in stored.items())


def test_vgg19_is_known_by_its_digest_and_read_when_it_is_needed(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "x.pth"
    found = perceptual_of(with_network(bench, "vgg19-imagenet"), trainable(bench, "ours"), path)
    assert found is not None
    assert found.identity == {"name": "vgg19-imagenet", "weights": VGG19_DIGEST}
    with pytest.raises(CheckpointError) as error:
        found.load()
    assert str(path) in str(error.value)


# -- what is refused ------------------------------------------------------------------------------


def test_a_segmenter_is_no_perceptual_network_by_name_or_path(bench: Bench, tmp_path: Path) -> None:
    shipped = Library().segmenter("streets-pspnet-v1")
    message = refused(with_network(bench, "streets-pspnet-v1"), UsageError)
    assert str(shipped) in message
    copied = tmp_path / "innocent" / "name"
    shutil.copytree(shipped, copied)
    message = refused(with_network(bench, copied), UsageError)
    assert str(copied) in message
    assert "segmenter.json" in message


def test_the_segmenter_that_scores_teaches_nobody(bench: Bench) -> None:
    """Nor does the one that the workspace itself trained, whatever its card says."""
    folder = bench.segmenter_folder()
    folder.mkdir(parents=True)
    (folder / "segmenter.json").write_text("{}")
    assert str(folder) in refused(with_network(bench, folder), UsageError)


@pytest.mark.parametrize(
    ("card", "names"),
    [
        ({"label_space": "cityscapes"}, ("label_space = 'cityscapes'", "'camvid'")),
        ({"window": [256, 128]}, ("window = [256, 128]", "64x48")),
        ({"window": [48, 64]}, ("window = [48, 64]", "64x48")),
    ],
)
def test_a_network_of_other_photographs_is_refused(
    bench: Bench, tmp_path: Path, card: dict[str, object], names: tuple[str, str]
) -> None:
    folder = write_perceptual(tmp_path / "net", 0, **card)
    message = refused(with_network(bench, folder), UsageError)
    assert str(folder / PERCEPTUAL_CARD) in message
    assert all(name in message for name in names)


def test_an_own_network_that_is_not_trained_yet_names_the_command(bench: Bench) -> None:
    message = refused(bench, CheckpointError)
    assert str(bench.perceptual_folder()) in message
    assert "hdbench perceptual train" in message


def test_an_own_network_of_another_recipe_names_what_differs(perceptive: Bench) -> None:
    message = refused(with_recipe(perceptive, epochs=7), CheckpointError)
    assert str(perceptive.perceptual_folder()) in message
    assert "perceptual.epochs: 1 -> 7" in message


def test_an_own_network_of_another_photograph_names_the_scenes(perceptive: Bench) -> None:
    assert perceptive.benchmark.perceptual.training is not None
    split = perceptive.benchmark.perceptual.training.split
    first, second = (scene.image for scene in perceptive.dataset.scenes(split)[:2])
    first.write_bytes(second.read_bytes())
    message = refused(changed(perceptive), CheckpointError)
    assert "scenes_digest" in message


def test_vgg_weights_go_with_vgg19_alone(cli: Cli, perceptive: Bench, tmp_path: Path) -> None:
    result = cli("train", "ours", "--vgg-weights", tmp_path / "x.pth")
    assert result.exit_code == 2
    for name in ("--vgg-weights", str(tmp_path / "x.pth"), "'tiny'", "'own'"):
        assert name in result.stderr
    assert not perceptive.run_folder("ours", 0).exists()


def test_a_name_that_ships_nowhere_suggests_the_nearest(bench: Bench, tmp_path: Path) -> None:
    message = refused(with_network(bench, "streets-perceptual-v2"), LibraryError)
    assert "'streets-perceptual-v1'" in message
    message = refused(with_network(bench, tmp_path / "nowhere"), LibraryError)
    assert str(tmp_path / "nowhere") in message
    assert PERCEPTUAL_CARD in message


def test_check_names_a_network_that_does_not_ship(cli: Cli, tmp_path: Path) -> None:
    for name, hint in (
        ("streets-perceptual-v2", "did you mean 'streets-perceptual-v1'?"),
        ("streets-pspnet-v1", "no such perceptual network"),
    ):
        text = f'name = "x"\nextends = "camvid"\n[perceptual]\nname = "{name}"\n'
        (tmp_path / "x.toml").write_text(text)
        result = cli("check", "x.toml")
        assert result.exit_code == 2
        assert f"[perceptual] name = '{name}'" in result.stderr
        assert hint in result.stderr


# -- what it means for a run ----------------------------------------------------------------------


def test_a_runs_identity_has_the_networks_weights_in_it(bench: Bench, tmp_path: Path) -> None:
    folder, method = tmp_path / "net", trainable(bench, "ours")
    used, identities = with_network(bench, folder), []
    for seed in range(2):
        write_perceptual(folder, seed)
        identities.append(images_identity(used, method, 0))
    differing = {key for key in identities[0] if identities[0][key] != identities[1][key]}
    assert differing == {"perceptual"}
    assert [identity["perceptual"]["name"] for identity in identities] == [str(folder)] * 2
    assert run_digest(used, method, 0) == digest(identities[1]) != digest(identities[0])
    assert images_identity(used, trainable(bench), 0)["perceptual"] is None


@pytest.mark.slow
def test_a_run_is_not_that_of_a_network_trained_anew(perceptive: Bench) -> None:
    method = trainable(perceptive, "ours")
    output = train_method(perceptive, method, 0, MACHINE)
    assert read_metrics(output.parent / "metrics.jsonl")[-1]["g_perceptual"] > 0
    assert trained_generator(perceptive, method, 0) == output
    before = json.loads((perceptive.perceptual_folder() / PERCEPTUAL_CARD).read_text())["weights"]
    other = with_recipe(perceptive, epochs=2)
    train_own_perceptual(other, MACHINE, restart=True)
    after = json.loads((other.perceptual_folder() / PERCEPTUAL_CARD).read_text())["weights"]
    for use in (
        lambda: trained_generator(other, method, 0),
        lambda: train_method(other, method, 0, MACHINE),
    ):
        with pytest.raises(CheckpointError, match=r"perceptual\.weights") as error:
            use()
        assert before[:8] in str(error.value)
        assert after[:8] in str(error.value)
    # Named in its own right, the first network is another name with the same weights.
    (aside,) = other.perceptual_folder().parent.glob("seed0.before-*")
    with pytest.raises(CheckpointError, match=r"perceptual\.name"):
        trained_generator(with_network(perceptive, aside), method, 0)
