"""The steps from data to report, each of which goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from hdbench.errors import CheckpointError, HdbenchError, UsageError, listing
from hdbench.evaluation.scoring import require_images
from hdbench.library import CARD_FILE
from hdbench.perceptual.choice import perceptual_of
from hdbench.provenance import differing_fields
from hdbench.runtime.devices import Machine
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.schema.benchmark import OWN, SECOND
from hdbench.schema.method import Method, Oracle, Pix2PixHD
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.prediction import require_fitting
from hdbench.segmentation.segmenter import Segmenter, load_segmenter, write_card
from hdbench.segmentation.training import Lessons, require_learnt, train_segmenter
from hdbench.training.loop import train
from hdbench.workflows.oracle_gate import measured_on
from hdbench.workflows.scoring import (
    choices_under,
    native_scoring,
    score_photographs,
    scored,
    why_no_native,
)
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.results import NATIVE_ORACLE, ORACLE, Result, load_result
from hdbench.workspace.runs import (
    image_files,
    run_digest,
    seed_of,
    synthesize_method,
    trained_generator,
)

FLOOR_METHODS = ("floor-patchwork", "floor-nearest", "floor-mean-colour")


def train_method(
    bench: Bench,
    method: Pix2PixHD,
    seed: int,
    machine: Machine,
    vgg_weights: Path | None = None,
    restart: bool = False,
) -> Path:
    """Train a method on a benchmark, or go on, and return the generator's file.

    Raises what ``hdbench.training.loop.train`` raises.
    """
    return train(
        method,
        bench.benchmark,
        seed,
        bench.train_scenes,
        bench.train_data,
        bench.run_folder(method.name, seed),
        machine,
        perceptual_of(bench, method, vgg_weights),
        restart,
    )


def train_judge(
    bench: Bench,
    machine: Machine,
    restart: bool = False,
    encoder_weights: Path | None = None,
    second: bool = False,
) -> Segmenter:
    """Train a benchmark's segmenter, or go on; measure the oracle and write it on its card.

    Where the benchmark's judge ships, this repeats its recipe in the workspace, and the one that
    ships goes on judging.

    Args:
        bench: the benchmark.
        machine: device, decoding workers, time between checkpoints.
        restart: move what is there aside first.
        encoder_weights: torchvision's file, where the benchmark starts from ImageNet weights.
        second: the second segmenter, not the judge.

    Raises what ``hdbench.segmentation.training.train_segmenter`` raises, and UsageError where a
    benchmark without a second segmenter is asked for it.
    """
    learner = _learner(bench, second)
    bench.require_scoring()  # what is wrong is found before minutes are spent
    require_images(bench.photographs, ORACLE)
    lessons, folder = _lessons(learner), bench.segmenter_folder(second)
    train_segmenter(learner.benchmark, 0, lessons, folder, machine, restart, encoder_weights)
    segmenter = load_segmenter(folder, machine.device)
    if segmenter.card.oracle is None:
        declare_oracle(folder, segmenter, score_photographs(bench, segmenter))
    return segmenter


def _learner(bench: Bench, second: bool) -> Bench:
    """Return the benchmark as a training sees it, the segmenter's recipe in ``[segmenter]``."""
    if not second:
        return bench
    return replace(bench, benchmark=bench.benchmark.with_recipe(bench.require_second().training))


def _lessons(bench: Bench) -> Lessons:
    """Return what a benchmark's own segmenter learns from."""
    title = f"{bench.benchmark.name}/{bench.benchmark.segmenter.split}"
    return Lessons(bench.judge_scenes, bench.judge_data, title)


def declare_oracle(folder: Path, segmenter: Segmenter, oracle: Result) -> None:
    """Write the oracle's scores on a segmenter's card; the oracle gate holds later ones to them."""
    declared = {
        "benchmark": oracle.benchmark,
        "scoring": oracle.scoring,
        "fingerprint": oracle.fingerprint,
        "measured_on": measured_on(oracle),
        **{name: oracle.scores[name] for name in ("pixel_accuracy", "mean_iou", "class_iou")},
    }
    segmenter.card = replace(segmenter.card, oracle=declared)
    write_card(folder, segmenter.card)


def open_segmenter(
    bench: Bench,
    which: Path | Literal["second"] | None,
    device: torch.device,
    trust: bool = False,
) -> Segmenter:
    """Return the segmenter that judges a benchmark, its second one, or another.

    Args:
        bench: the benchmark.
        which: None for the benchmark's judge, ``SECOND`` for its second segmenter, or a folder.
        device: where it computes.
        trust: let a segmenter that is a program of its makers run.

    Raises:
        CheckpointError: it does not exist yet, is damaged, or the benchmark's own was trained
            with another configuration.
        UsageError: it judges another label space or size, or there is no second one.
        LibraryError: it should ship and does not.
    """
    second = which == SECOND
    verb = "hdbench segmenter train" + (" --second" if second else "")
    if isinstance(which, Path):
        other = "name another folder with --segmenter, or leave the option out"
    elif bench.judge_name(second) == OWN:
        other = f"'{verb} --restart'"
        _require_trained(bench, second)
    else:
        key = "[second_segmenter] name" if second else "judge"
        other = f"set {key} = \"{OWN}\" in the benchmark, then '{verb}'"
    try:
        folder = which if isinstance(which, Path) else bench.judge_folder(second)
        segmenter = load_segmenter(folder, device, trust)
        require_fitting(segmenter, bench.space, bench.benchmark.size, bench.scoring)
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{error}\nNext: {other}") from None
    return segmenter


def open_second(bench: Bench, device: torch.device) -> Segmenter | None:
    """Return a benchmark's second segmenter, or None if it has none that is trained.

    Raises what ``open_segmenter`` raises of one that ships.
    """
    second = bench.benchmark.second_segmenter
    if second is None:
        return None
    if second.name == OWN and not (bench.segmenter_folder(second=True) / CARD_FILE).is_file():
        return None
    return open_segmenter(bench, SECOND, device)


def _require_trained(bench: Bench, second: bool) -> None:
    """Check that the segmenter that a workspace trains is there, and the benchmark's own."""
    folder = bench.segmenter_folder(second)
    if not (folder / CARD_FILE).is_file():
        which, option = ("second segmenter", " --second") if second else ("segmenter", "")
        raise CheckpointError(
            f"{folder}: benchmark '{bench.benchmark.name}' has no trained {which} yet.\n"
            f"Next: 'hdbench segmenter train{option}' (the same command goes on where it stopped)"
        )
    learner = _learner(bench, second)
    require_learnt(learner.benchmark, 0, _lessons(learner), folder)


def evaluate(
    bench: Bench, methods: Sequence[str], seed: int, segmenter: Segmenter, device: torch.device
) -> list[Result]:
    """Return ``evaluate_under`` the benchmark's own convention."""
    return evaluate_under(bench, [bench.scoring], methods, seed, segmenter, device)[0]


def evaluate_under(
    bench: Bench,
    scorings: Sequence[Scoring],
    methods: Sequence[str],
    seed: int,
    segmenter: Segmenter,
    device: torch.device,
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[list[Result]]:
    """Score methods, the oracle and the floors on the identical path, and store the results.

    Images that are missing are synthesized; a result whose choices and images have not changed
    is not computed again.

    Args:
        bench: the benchmark.
        scorings: the conventions; those that give the segmenter the same share its passes.
        methods: names or paths of methods.
        seed: the runs' seed; oracle and floors always have seed 0.
        segmenter: the judge.
        device: where generators compute.
        ranks: the processes that share the images; the first of them synthesizes.
        workers: threads that decode ahead of the segmenter and count behind it.

    Returns:
        For each convention the methods' results, the oracle's, and the floors', in this order. The
        oracle at native size is not among them: ``hdbench.workflows.scoring.score_native``.
    """
    chosen = [bench.library.method(name) for name in table_methods(bench, methods)]
    known = {method.name for method in chosen}
    chosen += [bench.library.method(name) for name in (ORACLE, *FLOOR_METHODS) if name not in known]
    return score_methods(bench, scorings, chosen, seed, segmenter, device, ranks, workers)


def score_methods(
    bench: Bench,
    scorings: Sequence[Scoring],
    chosen: Sequence[Method],
    seed: int,
    segmenter: Segmenter,
    device: torch.device,
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[list[Result]]:
    """Score some methods alone; arguments and results as those of ``evaluate_under``."""
    bench = scenes_of(bench, chosen)
    for method in chosen:  # before minutes are spent on the others
        if isinstance(method, Pix2PixHD):
            trained_generator(bench, method, seed)
    for scoring in scorings:
        require_fitting(segmenter, bench.space, bench.benchmark.size, scoring)
    results: dict[str, list[Result]] = {}
    for method in sorted(chosen, key=lambda method: not isinstance(method, Oracle)):
        its_seed = seed_of(method, seed)
        with ranks.first_alone():
            images = synthesize_method(bench, method, its_seed, device)
            run = run_digest(bench, method, its_seed)
        results[method.name] = scored(
            bench, scorings, segmenter, method.name, its_seed, run, images, ranks, workers
        )
    return [[results[method.name][n] for method in chosen] for n in range(len(scorings))]


def table_methods(bench: Bench, names: Sequence[str]) -> list[str]:
    """Return those of some methods' names or paths that may have a row in a table.

    The oracle at native size never has one; it is scored beside every table that has an oracle.
    """
    return [name for name in names if not _is_native(bench.library.method(name))]


def require_native(bench: Bench, scorings: Sequence[Scoring], segmenter: Segmenter) -> None:
    """Check that photographs are scored at their own size under all of the conventions.

    Raises:
        UsageError: they are not; the message says why.
    """
    for scoring in scorings:
        reason = why_no_native(bench, scoring, segmenter)
        if reason is not None:
            raise UsageError(f"'{NATIVE_ORACLE}' has no score here: {reason}")


def _is_native(method: Method) -> bool:
    return isinstance(method, Oracle) and method.size == "native"


def stored_results(
    bench: Bench, methods: Sequence[str], seed: int, segmenter: Segmenter
) -> dict[str, Result]:
    """Return the results under a judge that exist, by method, if all of them are still true.

    Results of one table so share every choice, and with it their fingerprint.

    Raises:
        HdbenchError: a result cannot be read, was scored under other choices than the
            benchmark's now, or is of a run or images that have changed since.
        UsageError: a method is the oracle at native size, which no table ranks.
    """
    found: dict[str, Result] = {}
    choices = choices_under(bench, bench.scoring, segmenter)
    for name in methods:
        method = bench.library.method(name)
        if _is_native(method):
            raise UsageError(
                f"'{name}' has a fingerprint of its own and stands beside tables, not in them.\n"
                f"Next: 'hdbench compare {ORACLE} {name}', or name '{ORACLE}' instead"
            )
        path = _result_path(bench, method, seed, segmenter)
        if path.is_file():
            found[method.name] = _still_true(bench, name, seed, path, choices)
    return found


def stored_native(bench: Bench, segmenter: Segmenter) -> Result | None:
    """Return the stored oracle at native size under a judge, or None if there is none.

    Raises:
        HdbenchError: as ``stored_results``.
    """
    path = _result_path(bench, bench.library.method(NATIVE_ORACLE), 0, segmenter)
    if not path.is_file():
        return None
    scoring = native_scoring(bench, bench.scoring, segmenter)
    if scoring is None:
        return None
    choices = choices_under(bench, scoring, segmenter, native=True)
    return _still_true(bench, NATIVE_ORACLE, 0, path, choices)


def _result_path(bench: Bench, method: Method, seed: int, segmenter: Segmenter) -> Path:
    judge = bench.foreign_judge(segmenter.card.weights)
    return bench.result_path(method.name, seed_of(method, seed), judge)


def _still_true(bench: Bench, name: str, seed: int, path: Path, choices: dict[str, Any]) -> Result:
    method = bench.library.method(name)
    result = load_result(path)
    changed = differing_fields(result.choices, choices)
    if not _has_these_images(bench, method, seed_of(method, seed), result):
        changed.append("the run, or the images that it made")
    if changed:
        here = Path(bench.workspace.benchmark).stem  # the option may name a file
        where = "" if here == bench.benchmark.name else f" --benchmark {bench.benchmark.name}"
        raise HdbenchError(
            f"{path}: not ranked, because of what has changed since (there -> here):\n"
            f"{listing(changed)}\nNext: 'hdbench evaluate{where} --method {name}'"
        )
    return result


def _has_these_images(bench: Bench, method: Method, seed: int, result: Result) -> bool:
    if result.run != run_digest(bench, method, seed):
        return False
    images = image_files(bench, method, seed)
    present = all(path.is_file() for path in images)
    return present and bench.file_digests.of(images) == result.images
