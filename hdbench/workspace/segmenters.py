"""Which segmenter scores a benchmark, where it lies, and opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from hdbench.errors import CheckpointError, LibraryError, UsageError
from hdbench.library import CARD_FILE
from hdbench.schema.benchmark import OWN, SECOND, SegmenterChoice
from hdbench.segmentation.prediction import require_fitting
from hdbench.segmentation.segmenter import Segmenter, SegmenterCard, load_segmenter, read_card
from hdbench.segmentation.training import require_trained_for
from hdbench.training.data import TrainingData
from hdbench.workspace.bench import Bench


def require_second(bench: Bench) -> SegmenterChoice:
    """Return what the benchmark says of its second segmenter; raises UsageError if it has none."""
    found = bench.benchmark.second_segmenter
    if found is None:
        raise UsageError(
            f"benchmark '{bench.benchmark.name}' has no second segmenter; its file has no table "
            "[second_segmenter].\nNext: name the folder of another one with --segmenter, or "
            "write the table as 'hdbench show streets' has it"
        )
    return found


def segmenter_name(bench: Bench, second: bool = False) -> str:
    """Return the name of the segmenter that scores a benchmark, or of its second one.

    Raises:
        UsageError: it has no second one.
    """
    return require_second(bench).name if second else bench.benchmark.required_segmenter.name


def segmenter_folder(bench: Bench, second: bool = False) -> Path:
    """Return where that segmenter lies: in the workspace, or in the library.

    Raises:
        LibraryError: the benchmark names one that the library lacks.
        UsageError: it has no second one.
    """
    name = segmenter_name(bench, second)
    return bench.segmenter_folder(second) if name == OWN else bench.library.segmenter(name)


def foreign_segmenter(bench: Bench, card: SegmenterCard) -> str | None:
    """Return a short name of a segmenter that is not the benchmark's own, or None if it is.

    Two segmenters are the same if all agrees that changes a score (``SegmenterCard.choices``).
    """
    try:
        own = read_card(segmenter_folder(bench)).choices
    except (CheckpointError, LibraryError):  # not trained yet
        own = None
    return None if own == card.choices else card.short_name


def segmenter_card(bench: Bench) -> SegmenterCard:
    """Return the card of the segmenter that scores a benchmark, if it is trained as stated.

    Raises:
        CheckpointError: it is not trained yet, was trained by another recipe, or is damaged.
        LibraryError: it should ship and does not.
    """
    if bench.benchmark.required_segmenter.name == OWN:
        _require_trained(bench, second=False)
    return read_card(segmenter_folder(bench))


def second_segmenter_card(bench: Bench) -> SegmenterCard | None:
    """Return the card of a benchmark's second segmenter; None if it has none that is trained.

    Raises:
        CheckpointError: it was trained by another recipe, or is damaged.
        LibraryError: it should ship and does not.
    """
    if not _has_second(bench):
        return None
    if segmenter_name(bench, second=True) == OWN:
        _require_trained(bench, second=True)
    return read_card(segmenter_folder(bench, second=True))


def is_trained_here(bench: Bench, card: SegmenterCard) -> bool:
    """Return whether a segmenter is the one that this workspace trains for the benchmark."""
    return bench.benchmark.required_segmenter.name == OWN and foreign_segmenter(bench, card) is None


def recipe_of(bench: Bench, second: bool = False) -> Bench:
    """Return the benchmark with the recipe of its second segmenter, if that is asked for."""
    if not second:
        return bench
    recipe = require_second(bench).training
    return bench.with_benchmark(bench.benchmark.with_recipe(recipe))


def training_data(bench: Bench) -> TrainingData:
    """Return what a benchmark's own segmenter learns from."""
    split = bench.benchmark.required_segmenter.training.split
    scenes = bench.dataset.scenes(split)
    return TrainingData(scenes, bench.dataset.digests(scenes), f"{bench.benchmark.name}/{split}")


def open_segmenter(
    bench: Bench,
    which: Path | Literal["second"] | None,
    device: torch.device,
    trust: bool = False,
) -> Segmenter:
    """Return the segmenter that scores a benchmark (None), its second one, or that of a folder.

    ``trust`` lets a segmenter that is a program of its makers run.

    Raises:
        CheckpointError: it does not exist yet, is damaged, or was trained by another recipe.
        UsageError: it predicts another label space or size, or there is no second one.
        LibraryError: it should ship and does not.
    """
    second = which == SECOND
    verb = "hdbench segmenter train" + (" --second" if second else "")
    if isinstance(which, Path):
        other = "name another folder with --segmenter, or leave the option out"
    elif segmenter_name(bench, second) == OWN:
        other = f"'{verb} --restart'"
        _require_trained(bench, second)
    else:
        table = "[second_segmenter]" if second else "[segmenter]"
        other = f"set name = \"{OWN}\" in {table} of the benchmark, then '{verb}'"
    try:
        folder = which if isinstance(which, Path) else segmenter_folder(bench, second)
        segmenter = load_segmenter(folder, device, trust)
        require_fitting(segmenter, bench.space, bench.benchmark.size, bench.scoring)
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{error}\nNext: {other}") from None
    return segmenter


def open_second(bench: Bench, device: torch.device) -> Segmenter | None:
    """Return a benchmark's second segmenter, or None if it has none that is trained."""
    return open_segmenter(bench, SECOND, device) if _has_second(bench) else None


def _has_second(bench: Bench) -> bool:
    """Return whether a benchmark has a second segmenter that ships or is trained."""
    second = bench.benchmark.second_segmenter
    if second is None:
        return False
    return second.name != OWN or (bench.segmenter_folder(second=True) / CARD_FILE).is_file()


def _require_trained(bench: Bench, second: bool) -> None:
    """Check that the segmenter that a workspace trains is there, and trained by this recipe."""
    folder = bench.segmenter_folder(second)
    if not (folder / CARD_FILE).is_file():
        which, option = ("second segmenter", " --second") if second else ("segmenter", "")
        raise CheckpointError(
            f"{folder}: benchmark '{bench.benchmark.name}' has no trained {which} yet.\n"
            f"Next: 'hdbench segmenter train{option}' (the same command goes on where it stopped)"
        )
    bench = recipe_of(bench, second)
    require_trained_for(bench.benchmark, 0, training_data(bench), folder)
