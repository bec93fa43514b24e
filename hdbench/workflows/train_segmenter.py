"""``hdbench segmenter train``: from a benchmark's photographs, or from a method's images.

The paper's introduction names synthesized images as training data. There, a segmenter learns from a
method's images and is scored on real photographs; the same recipe also learns from the photographs,
at the same size, so that the two numbers differ by the images alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hdbench.data.loading import photograph_digest
from hdbench.errors import UsageError
from hdbench.runtime.devices import Machine
from hdbench.runtime.shortage import lower, shortage_explained
from hdbench.schema.method import Method
from hdbench.schema.result import ORACLE, OVERALL, Result
from hdbench.segmentation.segmenter import Segmenter, load_segmenter, write_card
from hdbench.segmentation.training import train_segmenter
from hdbench.training.data import TrainingData
from hdbench.workflows.evaluate import score_photographs
from hdbench.workflows.oracle_gate import measured_on
from hdbench.workflows.scoring import require_images
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import recipe_of, training_data


def train_own_segmenter(
    bench: Bench,
    machine: Machine,
    restart: bool = False,
    encoder_weights: Path | None = None,
    second: bool = False,
) -> Segmenter:
    """Train a benchmark's segmenter, or go on; measure the oracle and write it on its card.

    Where the benchmark's segmenter ships, this repeats its recipe in the workspace, and the one
    that ships goes on scoring. ``encoder_weights`` is torchvision's file, where the benchmark
    starts from ImageNet weights.

    Raises what ``hdbench.segmentation.training.train_segmenter`` raises, and UsageError where a
    benchmark without a second segmenter is asked for it.
    """
    learner = recipe_of(bench, second)
    bench.require_scoring()  # what is wrong is found before minutes are spent
    with machine.ranks.first_alone():  # built-in scenes are drawn once
        require_images(bench.dataset.photographs, ORACLE)
        data, folder = training_data(learner), bench.segmenter_folder(second)
    what = f"training the segmenter of {bench.benchmark.name} on {machine.device}"
    steps = lower("[segmenter.training] batch_size", 'precision = "bf16"', "enlarge", "[size]")
    with shortage_explained(what, steps, folder):
        train_segmenter(learner.benchmark, 0, data, folder, machine, restart, encoder_weights)

    def require_oracle() -> None:
        segmenter = load_segmenter(folder, machine.device)
        if segmenter.card.oracle is None:
            declare_oracle(folder, segmenter, score_photographs(bench, segmenter))

    machine.ranks.from_first(require_oracle)
    return load_segmenter(folder, machine.device)


def declare_oracle(folder: Path, segmenter: Segmenter, oracle: Result) -> None:
    """Write the oracle's scores on a segmenter's card; the oracle gate holds later ones to them."""
    declared = {
        "benchmark": oracle.benchmark,
        "scoring": oracle.scoring,
        "fingerprint": oracle.fingerprint,
        "measured_on": measured_on(oracle),
        **{score: oracle.scores.overall(score) for score in OVERALL},
        "class_iou": oracle.scores.class_iou,
    }
    segmenter.card = replace(segmenter.card, oracle=declared)
    write_card(folder, segmenter.card)


@dataclass(frozen=True)
class TrainedSegmenter:
    """A segmenter that learnt from a method's images."""

    #: The method; ``oracle`` for the photographs.
    method: str
    folder: Path
    #: Its score on the real photographs of the test split.
    result: Result


def train_on(
    bench: Bench,
    method: Method,
    seed: int,
    machine: Machine,
    restart: bool = False,
    encoder_weights: Path | None = None,
) -> list[TrainedSegmenter]:
    """Train the benchmark's segmenter on the photographs and on a method's images, and score both.

    Both learn from the training split of methods with its real label maps, at the benchmark's size,
    by ``[segmenter.training]`` with seed 0; ``seed`` is that of the method's run, whose training
    images are synthesized where they are missing. What is trained already is not trained again;
    ``restart`` moves the method's segmenter aside first. Returned is the segmenter of the
    photographs, then the method's unless it is the oracle itself.

    Raises UsageError if the method cannot make images of the training split.
    """
    _require_images_of_its_own(method)
    if method.is_trained:  # before minutes are spent on the photographs
        synthesize_method(bench, method, seed, machine.device, training=True)
    oracle = bench.library.method(ORACLE)
    chosen = [(oracle, 0), (method, seed)] if method.name != ORACLE else [(method, 0)]
    taught = []
    for one, its_seed in chosen:
        data = images_as_training_data(bench, one, its_seed, machine)
        folder = bench.segmenter_folder().parent / f"on-{one.name}" / f"seed{its_seed}"
        anew = restart and one.name == method.name
        recipe = bench.benchmark.required_segmenter.training
        recipe = recipe.model_copy(update={"split": bench.benchmark.data.train})
        benchmark = bench.benchmark.with_recipe(recipe)
        train_segmenter(benchmark, 0, data, folder, machine, anew, encoder_weights)
        segmenter = load_segmenter(folder, machine.device)
        taught.append(TrainedSegmenter(one.name, folder, score_photographs(bench, segmenter)))
    return taught


def images_as_training_data(
    bench: Bench, method: Method, seed: int, machine: Machine
) -> TrainingData:
    """Return a method's images of the training split with the real label maps."""
    paths = synthesize_method(bench, method, seed, machine.device, training=True)
    files = [
        replace(entry, image=path, instance=None)
        for entry, path in zip(bench.dataset.train_scenes, paths, strict=True)
    ]
    images = bench.file_digests.of(paths, photograph_digest)
    labels = bench.dataset.label_digests(files)
    names = [entry.name for entry in files]
    digests = [list(row) for row in zip(names, images, labels, strict=True)]
    split = f"{bench.benchmark.name}/{bench.benchmark.data.train}"
    title = f"{split} as '{method.name}' shows it"
    return TrainingData(files, digests, title, {"method": method.name})


def _require_images_of_its_own(method: Method) -> None:
    """Check that a method makes images of the training split that are not copies of it."""
    if method.images_from == "floor" and method.copies_photographs:
        raise UsageError(
            f"--on {method.name}: this floor puts the training split's own photographs together, "
            "so on that split it returns them unchanged; use --on oracle"
        )
    if method.images_from == "import":
        raise UsageError(
            f"--on {method.name}: only its images of the test split are here, and no segmenter "
            "learns from those; use a method that hdbench trains, or oracle"
        )
