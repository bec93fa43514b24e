"""Which perceptual network a benchmark's methods are trained with."""

from __future__ import annotations

from pathlib import Path

from hdbench.errors import CheckpointError, UsageError
from hdbench.networks.perceptual import PerceptualChoice
from hdbench.perceptual.files import (
    VGG19_DIGEST,
    load_perceptual,
    load_vgg19,
    read_perceptual_card,
)
from hdbench.perceptual.training import perceptual_identity, recipe_of
from hdbench.runtime.claims import require_identity
from hdbench.schema.benchmark import OWN, VGG19_IMAGENET
from hdbench.schema.method import TrainedMethod
from hdbench.schema.perceptual import PERCEPTUAL_CARD
from hdbench.workspace.bench import Bench


def perceptual_of(
    bench: Bench, method: TrainedMethod, vgg_weights: Path | None = None
) -> PerceptualChoice | None:
    """Return the perceptual network that a method is trained with on a benchmark.

    None where the method gives the perceptual loss no weight. Without ``vgg_weights``,
    torchvision's VGG-19 file, its own cache is read.

    Raises:
        UsageError: the name is that of a segmenter, the network was trained on another label space
            or image size, or ``vgg_weights`` is given and the benchmark names another network.
        CheckpointError: ``own`` is not trained yet, or a card is damaged.
        LibraryError: no network of that name ships.
    """
    name = bench.benchmark.perceptual.name
    if method.loss.perceptual == 0:
        return None
    if name == VGG19_IMAGENET:
        return PerceptualChoice(name, VGG19_DIGEST, lambda: load_vgg19(vgg_weights))
    if vgg_weights is not None:
        raise UsageError(
            f"--vgg-weights {vgg_weights}: the perceptual network of benchmark "
            f"'{bench.benchmark.name}' is '{name}'; leave the option out, or set "
            f'name = "{VGG19_IMAGENET}" in its [perceptual]'
        )
    folder = bench.perceptual_folder() if name == OWN else bench.library.perceptual(name)
    if name == OWN:
        _require_trained(bench, folder)
    card = read_perceptual_card(folder)
    _require_fitting(bench, folder, card.label_space, card.window)
    return PerceptualChoice(name, card.weights, lambda: load_perceptual(folder))


def _require_trained(bench: Bench, folder: Path) -> None:
    if not (folder / PERCEPTUAL_CARD).is_file():
        raise CheckpointError(
            f"{folder}: benchmark '{bench.benchmark.name}' has no trained perceptual network yet.\n"
            "Next: 'hdbench perceptual train' (the same command resumes it)"
        )
    scenes = bench.dataset.scenes(recipe_of(bench.benchmark).split)
    require_identity(folder, perceptual_identity(bench.benchmark, 0, bench.dataset.digests(scenes)))


def _require_fitting(bench: Bench, folder: Path, label_space: str, window: list[int]) -> None:
    if not bench.benchmark.data.labelled:  # no network is trained on these photographs
        return
    size = bench.benchmark.size
    if label_space != bench.space.name:
        raise UsageError(
            f"{folder / PERCEPTUAL_CARD}: label_space = '{label_space}'; benchmark "
            f"'{bench.benchmark.name}' has labels of '{bench.space.name}', so this network was "
            "trained on other photographs.\n"
            "Next: set [perceptual] name = \"own\", then 'hdbench perceptual train'"
        )
    if window != [size.width, size.height]:
        raise UsageError(
            f"{folder / PERCEPTUAL_CARD}: window = {window}; the images of benchmark "
            f"'{bench.benchmark.name}' are {size.width}x{size.height}, and features "
            "depend on the size of objects.\n"
            "Next: set [perceptual] name = \"own\", then 'hdbench perceptual train'"
        )
