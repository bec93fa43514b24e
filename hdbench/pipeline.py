"""The whole way from data to report: the only place that knows all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hdbench.bench import Bench
from hdbench.errors import CheckpointError, HdbenchError, UsageError, listing
from hdbench.evaluation.scoring import choices_of, oracle_gate, score
from hdbench.provenance import digest
from hdbench.reporting.build import Gallery, write_report
from hdbench.reporting.tables import differing_fingerprints
from hdbench.results import Result, load_result, save_result
from hdbench.runtime.devices import Machine
from hdbench.runtime.job import IDENTITY_FILE, claim_folder
from hdbench.schema.method import Floor, Method, Oracle, Pix2PixHD
from hdbench.segmentation.segmenter import CARD_FILE, Segmenter, load_segmenter, write_card
from hdbench.segmentation.training import train_segmenter
from hdbench.synthesis import floor_synthesizer, generator_synthesizer, image_paths, write_images
from hdbench.training.loop import GENERATOR_FILE, run_identity, train

ORACLE = "oracle"
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


def train_judge(bench: Bench, machine: Machine, restart: bool = False) -> Segmenter:
    """Train a benchmark's segmenter, or go on; measure the oracle and write it on its card.

    Raises what ``hdbench.segmentation.training.train_segmenter`` raises.
    """
    folder = train_segmenter(
        bench.benchmark,
        0,
        bench.train_scenes,
        bench.train_data,
        bench.segmenter_folder(),
        machine,
        restart,
    )
    segmenter = load_segmenter(folder, machine.device)
    if segmenter.card.oracle is None:
        result = _scored(bench, segmenter, ORACLE, 0, None, _photographs(bench))
        oracle = {
            "benchmark": bench.benchmark.name,
            "scoring": bench.scoring.name,
            "fingerprint": result.fingerprint,
            "pixel_accuracy": result.scores["pixel_accuracy"],
            "mean_iou": result.scores["mean_iou"],
        }
        segmenter.card = replace(segmenter.card, oracle=oracle)
        write_card(folder, segmenter.card)
    return segmenter


def open_segmenter(bench: Bench, folder: Path | None, device: torch.device) -> Segmenter:
    """Return the segmenter that judges a benchmark.

    Args:
        bench: the benchmark.
        folder: another segmenter's folder, or None for the benchmark's own.
        device: where it computes.

    Raises:
        CheckpointError: it does not exist yet, or is damaged.
        UsageError: it judges another label space.
    """
    chosen = folder or bench.segmenter_folder()
    if folder is None and not (chosen / CARD_FILE).is_file():
        raise CheckpointError(
            f"{chosen}: benchmark '{bench.benchmark.name}' has no trained segmenter yet.\n"
            "Next: 'hdbench segmenter train' (the same command goes on where it stopped)"
        )
    segmenter = load_segmenter(chosen, device)
    segmenter.accepts(bench.space.name)
    return segmenter


def synthesize_method(bench: Bench, method: Method, seed: int, device: torch.device) -> list[Path]:
    """Make the test images of a method that are missing and return the paths of all.

    The oracle's are the dataset's own photographs.

    Raises:
        CheckpointError: the run is not trained to its end, or is of another configuration.
    """
    if isinstance(method, Oracle):
        return _photographs(bench)
    folder = bench.run_folder(method.name, seed)
    weights = folder / GENERATOR_FILE
    made_by = [digest(_identity(bench, method, seed))]
    if isinstance(method, Pix2PixHD):
        _require_trained(bench, method, seed)
        made_by += bench.file_digests.of([weights])

    def make():
        if isinstance(method, Floor):
            return floor_synthesizer(method, bench.training_set)
        return generator_synthesizer(method, bench.benchmark, bench.space, weights, device)

    return write_images(
        make,
        bench.test_scenes,
        bench.space,
        bench.benchmark,
        bench.image_folder(method.name, seed),
        sources=[digest([*made_by, label]) for label in bench.test_label_digests],
        title=f"synthesizing {method.name}",
    )


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
        result = _scored(bench, segmenter, method.name, its_seed, run, images)
        results[method.name] = result
        if isinstance(method, Oracle):
            oracle_gate(result, segmenter)
    return [results[method.name] for method in chosen]


def stored_results(bench: Bench, methods: Sequence[str], seed: int) -> dict[str, Result]:
    """Return the results of a benchmark that exist, by method.

    Raises:
        HdbenchError: a result cannot be read.
    """
    found: dict[str, Result] = {}
    for name in methods:
        its_seed = seed if isinstance(bench.library.method(name), Pix2PixHD) else 0
        path = bench.result_path(name, its_seed)
        if path.is_file():
            found[name] = load_result(path)
    return found


def _scored(
    bench: Bench,
    segmenter: Segmenter,
    method: str,
    seed: int,
    run: str | None,
    images: list[Path],
) -> Result:
    """Return the stored result if it is still true, else score and store."""
    path = bench.result_path(method, seed)
    labels = list(
        zip((entry.name for entry in bench.test_scenes), bench.test_label_digests, strict=True)
    )
    choices = choices_of(bench.benchmark, bench.scoring, bench.space, segmenter, labels)
    if path.is_file():
        try:
            known = load_result(path)
        except HdbenchError:  # damaged: computed again below
            known = None
        if (
            known is not None
            and known.choices == choices
            and known.run == run
            and known.images == bench.file_digests.of(images)
        ):
            return known
    result = score(
        method,
        seed,
        run,
        segmenter,
        bench.test_scenes,
        images,
        bench.test_label_digests,
        bench.space,
        bench.benchmark,
        bench.scoring,
    )
    save_result(path, result)
    return result


def _photographs(bench: Bench) -> list[Path]:
    return [entry.image for entry in bench.test_scenes]


def _require_trained(bench: Bench, method: Pix2PixHD, seed: int) -> None:
    folder = bench.run_folder(method.name, seed)
    command = f"'hdbench train {method.name}" + (f" --seed {seed}'" if seed else "'")
    if not (folder / IDENTITY_FILE).is_file():
        raise CheckpointError(
            f"{folder}: '{method.name}' is not trained on '{bench.benchmark.name}' yet.\n"
            f"Next: {command}"
        )
    claim_folder(folder, _identity(bench, method, seed), restart=False)
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
        "version": 1,
        "floor": method.floor,
        "data": bench.benchmark.data.model_dump(),
        "size": bench.benchmark.size.model_dump(),
        "scenes_digest": digest(bench.train_data),
    }


def write_named_report(
    bench: Bench, name: str, seed: int, device: torch.device, scenes: int
) -> dict[str, Path]:
    """Write a report of the library from stored results and return its files by format.

    Args:
        bench: the benchmark.
        name: the report.
        seed: the runs' seed.
        device: where the segmenter computes the pictures.
        scenes: how many scenes the page shows.

    Raises:
        HdbenchError: nothing is measured yet, or results of different fingerprints would be
            ranked in one table.
    """
    report = bench.library.report(name)
    methods = [row.method for row in report.rows if row.method is not None]
    results = stored_results(bench, methods, seed)
    if not results:
        raise HdbenchError(
            f"report '{name}': nothing is measured on '{bench.benchmark.name}' yet.\n"
            f"Next: 'hdbench evaluate --method {methods[0]}'"
        )
    differences = differing_fingerprints(results)
    if differences:
        raise HdbenchError(
            f"report '{name}': results of different fingerprints are not ranked in one table\n"
            f"{listing(differences)}\n"
            "Next: 'hdbench evaluate' with all of the methods scores them alike."
        )
    runs = {
        method: bench.run_folder(method, seed)
        for method in results
        if isinstance(bench.library.method(method), Pix2PixHD)
    }
    gallery = None
    if runs:
        shown = next(iter(runs))
        segmenter = open_segmenter(bench, None, device)
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
        bench.workspace.reports(), report, bench.benchmark, bench.space, results, runs, gallery
    )


def quickstart(
    bench: Bench, method_name: str, machine: Machine
) -> tuple[list[Result], dict[str, Path]]:
    """Go the whole way: judge, method, scores, report; every step goes on where it stopped.

    Returns:
        The results, and the files of report ``table1`` by format.
    """
    method = bench.library.method(method_name)
    if not isinstance(method, Pix2PixHD):
        raise UsageError(f"'{method_name}' is of kind '{method.kind}' and learns nothing")
    segmenter = train_judge(bench, machine)
    train_method(bench, method, 0, machine)
    results = evaluate(bench, [method_name], 0, segmenter, machine.device)
    paths = write_named_report(bench, "table1", 0, machine.device, scenes=8)
    return results, paths
