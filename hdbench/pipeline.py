"""The steps from data to report, each of which goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hdbench.bench import Bench
from hdbench.errors import CheckpointError, HdbenchError, UsageError, listing
from hdbench.judging import choices_under, foreign_judge, photographs, score_photographs, scored
from hdbench.library import CARD_FILE, METHODS
from hdbench.provenance import differing_fields, digest
from hdbench.reporting.build import Gallery, write_report
from hdbench.reporting.tables import with_rows_of
from hdbench.results import ORACLE, Result, load_result
from hdbench.runtime.devices import Machine
from hdbench.runtime.job import IDENTITY_FILE, require_identity
from hdbench.schema.benchmark import OWN
from hdbench.schema.method import Floor, Method, Oracle, Pix2PixHD
from hdbench.schema.report import Report
from hdbench.segmentation.segmenter import Segmenter, load_segmenter, write_card
from hdbench.segmentation.training import Lessons, require_trained, train_segmenter
from hdbench.synthesis import (
    Synthesizer,
    floor_synthesizer,
    generator_synthesizer,
    image_paths,
    write_images,
)
from hdbench.training.loop import GENERATOR_FILE, run_identity, train

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
        vgg_weights,
        restart,
    )


def train_judge(
    bench: Bench, machine: Machine, restart: bool = False, encoder_weights: Path | None = None
) -> Segmenter:
    """Train a benchmark's segmenter, or go on; measure the oracle and write it on its card.

    Where the benchmark's judge ships, this repeats its recipe in the workspace, and the one that
    ships goes on judging.

    Args:
        bench: the benchmark.
        machine: device, decoding workers, time between checkpoints.
        restart: move what is there aside first.
        encoder_weights: torchvision's file, where the benchmark starts from ImageNet weights.

    Raises what ``hdbench.segmentation.training.train_segmenter`` raises.
    """
    bench.require_scoring()  # what is wrong is found before minutes are spent
    photographs(bench)  # so are missing test scenes
    lessons = _lessons(bench)
    folder = train_segmenter(
        bench.benchmark, 0, lessons, bench.segmenter_folder(), machine, restart, encoder_weights
    )
    segmenter = load_segmenter(folder, machine.device)
    if segmenter.card.oracle is None:
        declare_oracle(folder, segmenter, score_photographs(bench, segmenter))
    return segmenter


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
        **{name: oracle.scores[name] for name in ("pixel_accuracy", "mean_iou", "class_iou")},
    }
    segmenter.card = replace(segmenter.card, oracle=declared)
    write_card(folder, segmenter.card)


def open_segmenter(
    bench: Bench, folder: Path | None, device: torch.device, trust: bool = False
) -> Segmenter:
    """Return the segmenter that judges a benchmark.

    Args:
        bench: the benchmark.
        folder: another segmenter's folder, or None for the benchmark's judge.
        device: where it computes.
        trust: let a segmenter that is a program of its makers run.

    Raises:
        CheckpointError: it does not exist yet, is damaged, or the benchmark's own was trained
            with another configuration.
        UsageError: it judges another label space or size, or should ship and does not.
    """
    benchmark = bench.benchmark
    if folder is not None:
        other = "name another folder with --segmenter, or leave the option out"
    elif benchmark.judge == OWN:
        other = "'hdbench segmenter train --restart'"
        _require_trained_judge(bench)
    else:
        other = f"set judge = \"{OWN}\" in the benchmark, then 'hdbench segmenter train'"
    try:
        segmenter = load_segmenter(folder or bench.judge_folder(), device, trust)
        segmenter.accepts(bench.space, benchmark.size.width, benchmark.size.height)
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{error}\nNext: {other}") from None
    return segmenter


def _require_trained_judge(bench: Bench) -> None:
    folder = bench.segmenter_folder()
    if not (folder / CARD_FILE).is_file():
        raise CheckpointError(
            f"{folder}: benchmark '{bench.benchmark.name}' has no trained segmenter yet.\n"
            "Next: 'hdbench segmenter train' (the same command goes on where it stopped)"
        )
    require_trained(bench.benchmark, 0, _lessons(bench), folder)


def synthesize_method(
    bench: Bench, method: Method, seed: int, device: torch.device, training: bool = False
) -> list[Path]:
    """Make the images of a method that are missing and return the paths of all.

    The oracle's are the dataset's own photographs.

    Args:
        bench: the benchmark.
        method: the resolved method.
        seed: of its run.
        device: where its generator computes.
        training: of the training split, instead of the test split.

    Raises:
        CheckpointError: the run is not trained to its end, or is of another configuration.
    """
    scenes = bench.train_scenes if training else bench.test_scenes
    if isinstance(method, Oracle):
        return [entry.image for entry in scenes]
    folder = bench.run_folder(method.name, seed)
    weights = folder / GENERATOR_FILE
    made_by = [digest(_identity(bench, method, seed))]
    if isinstance(method, Pix2PixHD):
        _require_trained(bench, method, seed)
        made_by += bench.file_digests.of([weights])

    def make() -> Synthesizer:
        if isinstance(method, Floor):
            return floor_synthesizer(method, bench.training_set)
        return generator_synthesizer(method, bench.benchmark, bench.space, weights, device)

    maps = bench.train_map_digests if training else bench.test_map_digests
    return write_images(
        make,
        scenes,
        bench.space,
        bench.benchmark,
        bench.image_folder(method.name, seed, training),
        sources=[digest([*made_by, *row]) for row in maps],
        title=f"synthesizing {method.name}",
    )


def image_files(bench: Bench, name: str, seed: int) -> list[Path]:
    """Return where the test images of a method lie, made or not."""
    method = bench.library.method(name)
    if isinstance(method, Oracle):
        return photographs(bench)
    its_seed = seed if isinstance(method, Pix2PixHD) else 0
    return image_paths(bench.image_folder(method.name, its_seed), bench.test_scenes)


def evaluate(
    bench: Bench, methods: Sequence[str], seed: int, segmenter: Segmenter, device: torch.device
) -> list[Result]:
    """Score methods, the oracle and the floors on the identical path, and store the results.

    Images that are missing are synthesized; a result whose choices and images have not changed
    is not computed again.

    Args:
        bench: the benchmark.
        methods: names or paths of methods.
        seed: the runs' seed; oracle and floors always have seed 0.
        segmenter: the judge.
        device: where generators compute.

    Returns:
        The methods' results, the oracle's, and the floors', in this order.
    """
    chosen = [bench.library.method(name) for name in methods]
    for method in chosen:  # before minutes are spent on the others
        if isinstance(method, Pix2PixHD):
            _require_trained(bench, method, seed)
    known = {method.name for method in chosen}
    chosen += [bench.library.method(name) for name in (ORACLE, *FLOOR_METHODS) if name not in known]
    results: dict[str, Result] = {}
    for method in sorted(chosen, key=lambda method: not isinstance(method, Oracle)):
        its_seed = seed if isinstance(method, Pix2PixHD) else 0
        images = synthesize_method(bench, method, its_seed, device)
        run = None if isinstance(method, Oracle) else digest(_identity(bench, method, its_seed))
        result = scored(bench, segmenter, method.name, its_seed, run, images)
        results[method.name] = result
    return [results[method.name] for method in chosen]


def stored_results(
    bench: Bench, methods: Sequence[str], seed: int, segmenter: Segmenter
) -> dict[str, Result]:
    """Return the results under a judge that exist, by method, if all of them are still true.

    Results of one table so share every choice, and with it their fingerprint.

    Raises:
        HdbenchError: a result cannot be read, was scored under other choices than the
            benchmark's now, or is of a run or images that have changed since.
    """
    found: dict[str, Result] = {}
    choices = choices_under(bench, segmenter)
    for name in methods:
        method = bench.library.method(name)
        its_seed = seed if isinstance(method, Pix2PixHD) else 0
        path = bench.result_path(method.name, its_seed, foreign_judge(bench, segmenter))
        if not path.is_file():
            continue
        result = load_result(path)
        changed = differing_fields(result.choices, choices)
        if not _has_these_images(bench, method, its_seed, result):
            changed.append("the run, or the images that it made")
        if changed:
            raise HdbenchError(
                f"{path}: not ranked, because of what has changed since (there -> here):\n"
                f"{listing(changed)}\nNext: 'hdbench evaluate --method {name}'"
            )
        found[method.name] = result
    return found


def _has_these_images(bench: Bench, method: Method, seed: int, result: Result) -> bool:
    if isinstance(method, Oracle):
        images = photographs(bench)
    else:
        images = image_paths(bench.image_folder(method.name, seed), bench.test_scenes)
        if result.run != digest(_identity(bench, method, seed)):
            return False
    present = all(path.is_file() for path in images)
    return present and bench.file_digests.of(images) == result.images


def _require_trained(bench: Bench, method: Pix2PixHD, seed: int) -> None:
    folder = bench.run_folder(method.name, seed)
    command = f"'hdbench train {method.name}" + (f" --seed {seed}'" if seed else "'")
    if not (folder / IDENTITY_FILE).is_file():
        raise CheckpointError(
            f"{folder}: '{method.name}' is not trained on '{bench.benchmark.name}' yet.\n"
            f"Next: {command}"
        )
    require_identity(folder, _identity(bench, method, seed))
    if not (folder / GENERATOR_FILE).is_file():
        raise CheckpointError(
            f"{folder}: training of '{method.name}' has not reached its end.\n"
            f"Next: {command} goes on where it stopped"
        )


def _identity(bench: Bench, method: Pix2PixHD | Floor, seed: int) -> dict[str, Any]:
    """Return everything that a method's images depend on but weights and labels."""
    if isinstance(method, Pix2PixHD):
        return run_identity(method, bench.benchmark, seed, bench.train_data)
    return {
        "kind": "floor",
        "version": 2,
        "floor": method.floor,
        "data": bench.benchmark.data.model_dump(),
        "size": bench.benchmark.size.model_dump(),
        "scenes_digest": digest(bench.train_data),
    }


def report_on(
    bench: Bench,
    report: Report,
    methods: Sequence[str],
    seed: int,
    segmenter: Segmenter,
    scenes: int,
) -> dict[str, Path]:
    """Write a report from stored results and return its files by format.

    A method of the library that is measured and has no row in the report gets one, and so does
    each of ``methods``.

    Args:
        bench: the benchmark.
        report: rows and columns.
        methods: names or paths of methods; the page shows the images of the first one.
        seed: the runs' seed.
        segmenter: the judge.
        scenes: how many scenes the page shows.

    Raises:
        HdbenchError: nothing is measured yet, one of ``methods`` is not, or a result is no longer
            true.
    """
    in_rows = [row.method for row in report.rows if row.method is not None]
    named: dict[str, str] = {}  # what a method was asked for by, by its own name
    for name in (*methods, *in_rows, *bench.library.files[METHODS]):
        named.setdefault(bench.library.method(name).name, name)
    results = stored_results(bench, list(named.values()), seed, segmenter)
    for name in methods:
        if bench.library.method(name).name not in results:
            raise HdbenchError(
                f"'{name}' is not measured on '{bench.benchmark.name}' yet.\n"
                f"Next: 'hdbench evaluate --method {name}'"
            )
    if not results:
        raise HdbenchError(
            f"report '{report.name}': nothing is measured on '{bench.benchmark.name}' yet.\n"
            "Next: 'hdbench evaluate --method NAME' with a method of 'hdbench list'"
        )
    measured = [bench.library.method(named[name]) for name in results]
    runs = {
        method.name: bench.run_folder(method.name, seed)
        for method in measured
        if isinstance(method, Pix2PixHD)
    }
    gallery = None
    if runs:
        shown = next(iter(runs))
        images = image_paths(bench.image_folder(shown, seed), bench.test_scenes)
        gallery = Gallery(
            bench.test_scenes,
            bench.space,
            bench.benchmark,
            bench.scoring,
            segmenter,
            shown,
            images,
            scenes,
        )
    return write_report(
        bench.workspace.reports(),
        with_rows_of(report, measured),
        bench.benchmark,
        bench.space,
        results,
        runs,
        gallery,
    )
