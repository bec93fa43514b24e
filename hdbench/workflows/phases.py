"""Carrying out one piece of a queue's work, phase by phase."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from hdbench.errors import HdbenchError, Interrupted
from hdbench.runtime.devices import Machine
from hdbench.schema.benchmark import OWN, Benchmark
from hdbench.schema.method import TrainedMethod, require_trained
from hdbench.schema.result import ORACLE
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.evaluate import evaluate, score_methods
from hdbench.workflows.oracle_gate import gate_notes
from hdbench.workflows.queue import Phase, Work
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method, train_own_perceptual
from hdbench.workflows.train_segmenter import train_own_segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import open_second, open_segmenter


def open_segmenters(bench: Bench, machine: Machine) -> list[Segmenter]:
    """Return the segmenter that ranks, and the second one where there is one that is trained.

    Raises what ``open_segmenter`` raises.
    """
    first = open_segmenter(bench, None, machine.device)
    second = open_second(bench, machine.device)
    return [first] if second is None else [first, second]


def carry_out(
    bench: Bench,
    work: Work,
    machine: Machine,
    vgg_weights: Path | None,
    begin: Callable[[Phase], None],
) -> None:
    """Carry out a piece of work; what is done already computes nothing.

    ``begin`` is told each phase before it starts.

    Raises:
        HdbenchError: what the verbs of the phases raise.
    """
    for phase in work.phases:
        begin(phase)
        if phase == "draw":
            with machine.ranks.first_alone():
                for split in splits_of(bench.benchmark):
                    bench.dataset.scenes(split)
        elif phase == "train":
            _train(bench, work, machine, vgg_weights)
        elif phase == "synthesize":
            method = bench.library.method(work.method)
            synthesize_method(bench, method, work.seed, machine.device, ranks=machine.ranks)
        else:
            _score(bench, work, machine)


def attempt(
    bench: Bench,
    work: Work,
    machine: Machine,
    vgg_weights: Path | None,
    begin: Callable[[Phase], None],
) -> str | None:
    """Carry out a piece of work, and return why it failed, or None.

    Raises:
        Interrupted: the user stopped it; everything is saved.
    """
    try:
        carry_out(bench, work, machine, vgg_weights, begin)
    except Interrupted:
        raise
    except HdbenchError as error:
        return str(error)
    except Exception as error:  # a fault of one method must not lose the others
        traceback.print_exc(file=sys.stderr)
        return f"{type(error).__name__}: {error}"
    return None


def _train(bench: Bench, work: Work, machine: Machine, vgg_weights: Path | None) -> None:
    if work.kind == "run":
        method = trained_of(bench, work)
        train_method(bench, method, work.seed, machine, vgg_weights)
    elif work.kind == "perceptual":
        train_own_perceptual(bench, machine)
    else:
        train_own_segmenter(bench, machine, second=work.kind == "second-segmenter")


def trained_of(bench: Bench, work: Work) -> TrainedMethod:
    """Return the method whose training a run begins with (``ours`` for ``ours@best``)."""
    return require_trained(bench.library.method(work.method)).at_last()


def _score(bench: Bench, work: Work, machine: Machine) -> None:
    for segmenter in open_segmenters(bench, machine):
        if work.kind == "run":
            method = bench.library.method(work.method)
            score_methods(
                bench, [method], work.seed, segmenter, machine.device, ranks=machine.ranks
            )
            continue
        [found] = evaluate(bench, work.methods, 0, segmenter, machine.device, ranks=machine.ranks)
        if not machine.ranks.first:
            continue
        oracles = [result for result in found.results if result.method == ORACLE]
        for note in gate_notes(bench, oracles, segmenter):
            print(f"hdbench: {note}", file=sys.stderr)


def splits_of(benchmark: Benchmark) -> list[str]:
    """Return the splits that a benchmark reads."""
    splits = [benchmark.data.train, benchmark.data.test]
    if benchmark.validation is not None:
        splits.append(benchmark.validation.split)
    for choice in (benchmark.segmenter, benchmark.second_segmenter):
        if choice is not None and choice.name == OWN:
            splits.append(choice.training.split)
    if benchmark.perceptual.name == OWN and benchmark.perceptual.training is not None:
        splits.append(benchmark.perceptual.training.split)
    return list(dict.fromkeys(splits))
