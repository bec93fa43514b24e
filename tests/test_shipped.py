"""What ships trained fits the library beside it: a changed field would leave it unused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdbench.library import BENCHMARKS, GENERATORS, PERCEPTUALS, WEIGHTS, Library
from hdbench.library.kinds import WeightsKind
from hdbench.perceptual.files import load_perceptual, read_perceptual_card
from hdbench.runtime.weights import require_weights
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.schema.method import TrainedMethod, require_trained
from hdbench.training.config import RunConfig, run_identity
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace
from hdbench.workspace.perceptual import perceptual_of
from hdbench.workspace.runs import read_generator_card, trained_generator

#: Megabytes that a folder may take.
LIMITS = {"segmenter": 8, "perceptual network": 2, "generator": 12}
LIBRARY = Library()


def bench_of(name: str, root: Path) -> Bench:
    return open_bench(Workspace(root, None, name))


def method_of(name: str) -> TrainedMethod:
    return require_trained(LIBRARY.method(name))


@pytest.mark.parametrize("kind", WEIGHTS, ids=lambda kind: kind.name)
def test_what_ships_is_small(kind: WeightsKind) -> None:
    for folder in LIBRARY.entries(kind).values():
        size = sum(path.stat().st_size for path in folder.iterdir())
        assert size <= LIMITS[kind.name] * 2**20, folder


@pytest.mark.parametrize(
    "folder", LIBRARY.entries(PERCEPTUALS).values(), ids=lambda path: path.name
)
def test_a_perceptual_network_is_what_its_benchmark_would_train(folder: Path) -> None:
    load_perceptual(folder)
    card = read_perceptual_card(folder)
    users = [LIBRARY.benchmark(name) for name in LIBRARY.entries(BENCHMARKS)]
    recipes = [one.perceptual.training for one in users if one.perceptual.name == folder.name]
    assert recipes
    for recipe in recipes:
        assert recipe is not None
        assert card.training == {**recipe.model_dump(), "seed": 0, "steps": card.training["steps"]}


@pytest.mark.parametrize("folder", LIBRARY.entries(GENERATORS).values(), ids=lambda path: path.name)
def test_a_generator_is_of_a_run_as_it_is_configured_now(folder: Path, tmp_path: Path) -> None:
    card = read_generator_card(folder)
    require_weights(folder / GENERATOR_WEIGHTS, card.weights)
    bench, method = bench_of(card.benchmark, tmp_path), method_of(card.method)
    config = RunConfig(method, bench.benchmark, card.seed, perceptual_of(bench, method))
    expected = run_identity(config, [])
    drawn = {"scenes", "scenes_digest"}  # the scenes are drawn in the test below
    assert {key: value for key, value in card.identity.items() if key not in drawn} == {
        key: value for key, value in expected.items() if key not in drawn
    }


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace without runs; the scenes of a benchmark are drawn once."""
    return tmp_path_factory.mktemp("fresh")


@pytest.mark.slow
@pytest.mark.parametrize("folder", LIBRARY.entries(GENERATORS).values(), ids=lambda path: path.name)
def test_a_generator_serves_a_fresh_workspace(folder: Path, fresh: Path) -> None:
    card = read_generator_card(folder)
    bench = bench_of(card.benchmark, fresh)
    found = trained_generator(bench, method_of(card.method), card.seed)
    assert found == folder / GENERATOR_WEIGHTS
