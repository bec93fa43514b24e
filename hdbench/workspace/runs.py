"""A method's run on a benchmark: what its images depend on, whether it is trained, its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hdbench.data.loading import photograph_digest
from hdbench.errors import CheckpointError, DataError, counted, listing
from hdbench.library import GENERATORS, Library
from hdbench.provenance import digest, file_digest
from hdbench.runtime.claims import IDENTITY_FILE, require_identity
from hdbench.runtime.weights import require_digest, require_weights, stored_digest
from hdbench.schema.base import identity_of
from hdbench.schema.generator import BEST, GENERATOR_CARD, GENERATOR_WEIGHTS
from hdbench.schema.method import (
    BEST_SUFFIX,
    Floor,
    GeneratorMethod,
    Images,
    Method,
    TrainedMethod,
)
from hdbench.schema.result import PerceptualFacts, TrainingFacts
from hdbench.synthesis import image_paths, made_images
from hdbench.training.config import RunConfig, run_identity
from hdbench.training.keeping import best_identity, read_generator_card
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import load_import
from hdbench.workspace.perceptual import perceptual_of
from hdbench.workspace.weights import imported_networks, weights_identity


def seed_of(method: Method, seed: int) -> int:
    """Return the seed of a method's run: only what is trained has another than 0."""
    return seed if method.is_trained else 0


def image_files(bench: Bench, method: Method, seed: int) -> list[Path]:
    """Return where the test images of a method lie, made or not."""
    if method.images_from == "dataset":
        return bench.dataset.photographs
    return image_paths(bench.image_folder(method.name, seed), bench.dataset.test_scenes)


def foreign_images(
    bench: Bench, method: Method, seed: int, training: bool = False, suffix: str = ""
) -> list[Path]:
    """Return the image files that are not those that the run made or the import took.

    ``training`` and ``suffix`` are those of ``Bench.image_folder``.

    Raises:
        CheckpointError: imported images have no readable record.
    """
    folder = bench.image_folder(method.name, seed, training, suffix)
    if method.images_from == "dataset":
        return []
    if method.images_from == "import":
        expected = {
            f"{image.scene}.png": image.pixels for image in load_import(bench, method).images
        }
        compute = photograph_digest
    else:
        expected = {name: made.sha256 for name, made in made_images(folder).items()}
        compute = file_digest
    present = [folder / name for name in expected if (folder / name).is_file()]
    found = bench.file_digests.of(present, compute)
    return [path for path, its in zip(present, found, strict=True) if expected[path.name] != its]


def require_own_images(
    bench: Bench, method: Method, seed: int, training: bool = False, suffix: str = ""
) -> None:
    """Raise DataError, with the first of them, if images of a run were replaced."""
    foreign = foreign_images(bench, method, seed, training, suffix)
    if foreign:
        again = "delete these files; 'hdbench evaluate' synthesizes them again"
        if method.images_from == "import":
            again = f"'hdbench import-images {method.name} PATH --restart'"
        raise DataError(
            f"{counted(len(foreign), 'image')} of '{method.name}' changed after the run made or "
            f"took them:\n{listing(str(path) for path in foreign)}\nNext: {again}"
        )


def generator_file(bench: Bench, method: GeneratorMethod, seed: int) -> Path:
    """Return the weights with which a method makes images on a benchmark, checked.

    Raises:
        CheckpointError: what ``trained_generator`` or ``imported_networks`` raises.
        UsageError: imported weights read other labels, or images of other sizes.
    """
    if method.images_from == "weights":
        return imported_networks(bench, method).generator
    return trained_generator(bench, method, seed)


def trained_generator(bench: Bench, method: TrainedMethod, seed: int) -> Path:
    """Return the weights of a method that is trained to its end, as it is configured now.

    The workspace's own run comes first; where it has none that is finished, a generator that ships
    serves, if the identity on its card is that of this run.

    Raises:
        CheckpointError: there is neither; the message names the command.
    """
    if method.is_best:
        return _best_generator(bench, method, seed)
    folder = bench.run_folder(method.name, seed)
    identity = images_identity(bench, method, seed)
    begun = (folder / IDENTITY_FILE).is_file()
    if begun:
        require_identity(folder, identity)
        if (folder / GENERATOR_WEIGHTS).is_file():
            _require_own_weights(bench, folder, identity)
            return folder / GENERATOR_WEIGHTS
    shipped = shipped_generator(bench.library, identity)
    if shipped is not None:
        return shipped / GENERATOR_WEIGHTS
    command = f"'hdbench train {method.name}" + (f" --seed {seed}'" if seed else "'")
    if begun:
        raise CheckpointError(
            f"{folder}: training of '{method.name}' has not reached its end.\n"
            f"Next: {command} goes on where it stopped"
        )
    raise CheckpointError(
        f"{folder}: '{method.name}' is not trained on '{bench.benchmark.name}' yet.\n"
        f"Next: {command}"
    )


def generator_folder(bench: Bench, method: str, seed: int) -> Path:
    """Return where a run, or its best generator (``ours@best``), keeps generator and card."""
    if method.endswith(BEST_SUFFIX):
        return bench.run_folder(method.removesuffix(BEST_SUFFIX), seed) / BEST
    return bench.run_folder(method, seed)


def _best_generator(bench: Bench, method: TrainedMethod, seed: int) -> Path:
    """Return the weights of the best generator of a run that is trained to its end.

    Raises:
        CheckpointError: it is not, or no generator was validated.
    """
    trained_generator(bench, method.at_last(), seed)
    folder = generator_folder(bench, method.name, seed)
    if not (folder / GENERATOR_CARD).is_file():
        raise CheckpointError(
            f"{folder}: the run of '{method.at_last().name}', seed {seed}, has no best generator; "
            "it was trained without validation.\n"
            f"Next: use '{method.at_last().name}', its last generator, or train it with validation "
            "under another --seed"
        )
    _require_own_weights(bench, folder, images_identity(bench, method, seed))
    return folder / GENERATOR_WEIGHTS


def _require_own_weights(bench: Bench, folder: Path, identity: dict[str, Any]) -> None:
    """Check that a run's generator is the one that its training stored.

    Raises:
        CheckpointError: its card is of another run, or its weights are not those on the card.
    """
    card, path = read_generator_card(folder), folder / GENERATOR_WEIGHTS
    if card.identity != identity:
        raise CheckpointError(
            f"{folder / GENERATOR_CARD}: the card of another run than {IDENTITY_FILE} describes.\n"
            f"Next: 'hdbench train {card.method} --seed {card.seed} --restart'"
        )
    [found] = bench.file_digests.of([path], stored_digest)
    require_digest(path, found, card.weights)


def shipped_generator(library: Library, identity: dict[str, Any]) -> Path | None:
    """Return the folder of the generator that ships for a run's identity, or None.

    Raises:
        CheckpointError: a card is damaged, or the weights are not those that it names.
    """
    for folder in library.entries(GENERATORS).values():
        card = read_generator_card(folder)
        if card.identity == identity:
            require_weights(folder / GENERATOR_WEIGHTS, card.weights)
            return folder
    return None


def training_facts(bench: Bench, method: str, seed: int, run: str | None) -> TrainingFacts | None:
    """Return what a result records about the training of ``run``, an identity's digest, or None.

    Raises:
        CheckpointError: a card is damaged.
    """
    folder = folder_of_run(bench, method, seed, run)
    if folder is None:
        return None
    card = read_generator_card(folder)
    perceptual = card.identity["perceptual"]
    here = generator_folder(bench, method, seed)
    return TrainingFacts(
        steps=card.steps,
        perceptual=None if perceptual is None else PerceptualFacts(**perceptual),
        weights=card.weights,
        ships=None if folder == here else folder.name,
    )


def folder_of_run(bench: Bench, method: str, seed: int, run: str | None) -> Path | None:
    """Return where the generator of ``run``, an identity's digest, and its card lie, or None.

    Raises:
        CheckpointError: a card is damaged.
    """
    here = generator_folder(bench, method, seed)
    for folder in (here, *bench.library.entries(GENERATORS).values()):
        whole = (folder / GENERATOR_WEIGHTS).is_file()
        if whole and digest(read_generator_card(folder).identity) == run:
            return folder
    return None


def images_identity(
    bench: Bench, method: GeneratorMethod | Floor | Images, seed: int
) -> dict[str, Any]:
    """Return everything that a method's images depend on but weights and labels."""
    if method.images_from == "import":
        return load_import(bench, method).identity
    if method.images_from == "weights":
        return weights_identity(bench.benchmark.size, method)
    if method.images_from == "generator":
        run = method.at_last()
        config = RunConfig(run, bench.benchmark, seed, perceptual_of(bench, run))
        identity = run_identity(config, bench.dataset.train_digests)
        return best_identity(identity) if method.is_best else identity
    return {
        "kind": "floor",
        "version": 2,
        "floor": method.floor,
        "data": identity_of(bench.benchmark.data),
        "size": identity_of(bench.benchmark.size),
        "scenes_digest": digest(bench.dataset.train_digests),
    }


def run_digest(bench: Bench, method: Method, seed: int) -> str | None:
    """Return the digest of ``images_identity``; None for the oracle, whose images nobody made."""
    if method.images_from == "dataset":
        return None
    return digest(images_identity(bench, method, seed))
