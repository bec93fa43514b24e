"""The whole way from data to report in one call: the only place that knows all of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from hdbench.bench import Bench
from hdbench.errors import UsageError
from hdbench.evaluation.gate import gate_notes
from hdbench.judging import score_native
from hdbench.perceptual.choice import perceptual_of
from hdbench.pipeline import (
    evaluate,
    open_segmenter,
    report_on,
    train_judge,
    train_method,
)
from hdbench.results import ORACLE, Result
from hdbench.runs import synthesize_method
from hdbench.runtime.devices import Machine
from hdbench.schema.benchmark import OWN
from hdbench.schema.method import Pix2PixHD
from hdbench.training.loop import require_fitting_size


def quickstart(
    bench: Bench,
    method_name: str,
    machine: Machine,
    vgg_weights: Path | None,
    announce: Callable[[str], None],
) -> tuple[list[Result], dict[str, Path]]:
    """Go the whole way: scenes, judge, method, images, scores, report.

    Every stage goes on where it stopped, and one that has been finished computes nothing. What
    can be known to be wrong before the first of them is an error then.

    Args:
        bench: the benchmark.
        method_name: name or path of a method that learns.
        machine: device, decoding workers, time between checkpoints.
        vgg_weights: torchvision's VGG-19 weights, where the method needs them.
        announce: told each stage as it begins: ``2 of 5: train ours-no-vgg``.

    Returns:
        The results, and the files of report ``table1`` by format.

    Raises:
        UsageError: the method learns nothing, or does not fit the benchmark's size; the scoring
            convention, or a judge that should ship, does not exist or does not fit.
        CheckpointError: such a judge's files are damaged.
        HdbenchError: what the stages raise.
    """
    method = bench.library.method(method_name)
    if not isinstance(method, Pix2PixHD):
        raise UsageError(f"'{method_name}' is of kind '{method.kind}' and learns nothing")
    require_fitting_size(method, bench.benchmark)
    perceptual = perceptual_of(bench, method, vgg_weights)
    if perceptual is not None:
        perceptual.load()  # found missing now, not after the judge's training
    bench.require_scoring()
    ships = bench.benchmark.judge != OWN
    segmenter = open_segmenter(bench, None, machine.device) if ships else None
    stage, stages = itertools.count(1), 5 if ships else 6

    def begin(what: str) -> None:
        announce(f"{next(stage)} of {stages}: {what}")

    begin(
        "find the scenes" + (", drawing what is missing" if bench.benchmark.data.built_in else "")
    )
    scenes = f"{len(bench.train_scenes)} scenes to learn from, {len(bench.test_scenes)} to score"
    announce(f"  {bench.benchmark.title}: {scenes}")
    if segmenter is None:
        begin("train the segmenter that judges")
        segmenter = train_judge(bench, machine)
    begin(f"train {method.name}")
    train_method(bench, method, 0, machine, vgg_weights)
    begin("synthesize the test images")
    synthesize_method(bench, method, 0, machine.device)
    begin("score them beside the oracle and the floors")
    results = evaluate(bench, [method_name], 0, segmenter, machine.device)
    score_native(bench, [bench.scoring], segmenter)
    oracles = [result for result in results if result.method == ORACLE]
    for note in gate_notes(bench, oracles, segmenter):
        announce(note)
    begin("write tables and page")
    report = bench.library.report("table1")
    paths = report_on(bench, report, [method_name], 0, segmenter, scenes=8)
    return results, paths
