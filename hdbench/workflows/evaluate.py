"""``hdbench evaluate``: methods, the oracle and the floors, scored on the same path and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hdbench.errors import HdbenchError
from hdbench.provenance import digest
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.schema.method import Method
from hdbench.schema.result import ORACLE, Result, TrainingFacts
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.prediction import require_fitting
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.oracle_gate import oracle_gate
from hdbench.workflows.scoring import Candidate, Convention, require_images, score
from hdbench.workflows.styles import refuse_foreign_styles, style_words
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.fingerprint import choices_under, native_scoring
from hdbench.workspace.imports import import_facts, scenes_of
from hdbench.workspace.parts import Parts
from hdbench.workspace.results import load_if_current, path_under, recorded_name, save_result
from hdbench.workspace.runs import generator_file, run_digest, seed_of, training_facts
from hdbench.workspace.weights import weights_facts

#: Trivial baselines that learn nothing, in the order of their rows.
FLOOR_METHODS = ("floor-patchwork", "floor-nearest", "floor-mean-colour")


@dataclass(frozen=True)
class Evaluation:
    """What was scored under one convention and one segmenter."""

    scoring: Scoring
    #: The methods' results, the oracle's, and the floors', in this order.
    results: list[Result]
    #: The oracle of photographs at their own size, which is never ranked; None where
    #: ``native_scoring`` says why there is none.
    native: Result | None


def evaluate(
    bench: Bench,
    methods: Sequence[str],
    seed: int,
    segmenter: Segmenter,
    device: torch.device,
    scorings: Sequence[Scoring] | None = None,
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[Evaluation]:
    """Score methods, the oracle and the floors, and store the results.

    Images that are missing are synthesized; a result that is current is not computed again.
    ``methods`` are names or paths; oracle and floors always have seed 0. The ``scorings`` share the
    segmenter's passes where they give it the same; None means the benchmark's own. The first of the
    ``ranks``, which share the images, synthesizes on ``device``. ``workers`` are threads that
    decode ahead of the segmenter and count behind it.

    Raises:
        HdbenchError: the oracle fell below what the segmenter's card declares; nothing is stored.
        CheckpointError: a method is not trained to its end, or is of another configuration.
        DataError: images are missing, damaged or of another size.
        UsageError: the segmenter predicts another label space or size.
    """
    chosen = list(with_floors(bench, methods, ORACLE).values())
    return score_methods(bench, chosen, seed, segmenter, device, scorings, ranks, workers)


def with_floors(bench: Bench, methods: Sequence[str], *others: str) -> dict[str, Method]:
    """Return methods by what they are asked for by, those of ``others`` and the floors behind."""
    chosen = {name: bench.library.method(name) for name in methods}
    known = {method.name for method in chosen.values()}
    for name in (*others, *FLOOR_METHODS):
        if name not in known:
            chosen[name] = bench.library.method(name)
    return chosen


def score_methods(
    bench: Bench,
    chosen: Sequence[Method],
    seed: int,
    segmenter: Segmenter,
    device: torch.device,
    scorings: Sequence[Scoring] | None = None,
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[Evaluation]:
    """Score some methods alone; arguments and errors as those of ``evaluate``."""
    bench = scenes_of(bench, chosen)
    scorings = [bench.scoring] if scorings is None else scorings
    for method in chosen:  # before minutes are spent on the others
        if method.images_from == "generator" or method.images_from == "weights":
            generator_file(bench, method, seed)
            if method.encoder is not None:
                refuse_foreign_styles(bench, method, seed)
    for scoring in scorings:
        require_fitting(segmenter, bench.space, bench.benchmark.size, scoring)
    results: dict[str, list[Result]] = {}
    natives: dict[str, Result] = {}
    for method in sorted(chosen, key=lambda method: not method.shows_photographs):
        images = synthesize_method(bench, method, seed_of(method, seed), device, ranks=ranks)
        results[method.name] = score_images(
            bench, method, seed, segmenter, scorings, images, ranks, workers
        )
        if method.shows_photographs:
            adapted = [native_scoring(bench, scoring, segmenter.card) for scoring in scorings]
            native = [scoring for scoring in adapted if isinstance(scoring, Scoring)]
            made = score_images(bench, method, seed, segmenter, native, images, ranks, workers)
            natives = {result.scoring: result for result in made}
    return [
        Evaluation(
            scoring,
            [results[method.name][n] for method in chosen],
            natives.get(scoring.name),
        )
        for n, scoring in enumerate(scorings)
    ]


def score_images(
    bench: Bench,
    method: Method,
    seed: int,
    segmenter: Segmenter,
    scorings: Sequence[Scoring],
    images: Sequence[Path],
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[Result]:
    """Return a method's result under each convention: the stored one if current, else a new one.

    All conventions let photographs enter at the same size. Arguments and errors are otherwise those
    of ``evaluate``.
    """
    if not scorings:
        return []
    require_images(images, method.name)
    paths = [path_under(bench, method, seed, scoring, segmenter.card) for scoring in scorings]
    card, run = segmenter.card, run_digest(bench, method, seed_of(method, seed))
    known = ranks.from_first(
        lambda: [load_if_current(bench, method, seed, scoring, card) for scoring in scorings]
    )
    results = [one if isinstance(one, Result) else None for one in known]
    missing = [n for n, result in enumerate(results) if result is None]
    seed = seed_of(method, seed)
    conventions = []
    if missing:  # what is counted is read again, whatever its time and size say
        bench.dataset.forget_test_labels()
    for n in missing:
        choices = choices_under(bench, scorings[n], card)
        parts = Parts(paths[n].with_suffix(".parts"), digest(choices))
        conventions.append(Convention(scorings[n], choices, parts))
    if missing:
        name = recorded_name(method, scorings[0])
        digests = ranks.from_first(lambda: bench.file_digests.of(images))
        candidate = Candidate(name, seed, run, bench.dataset.test_scenes, images, digests)
        facts = {
            "imported": import_facts(bench, method.name, seed),
            "training": _training_facts(bench, method, seed, run),
            "weights": weights_facts(method),
        }
        made = score(bench, candidate, segmenter, conventions, ranks, workers)
        for n, result in zip(missing, made, strict=True):
            provenance = result.provenance.model_copy(update=facts)
            results[n] = result.model_copy(update={"provenance": provenance})
    whole = [result for result in results if result is not None]
    try:
        if whole and whole[0].method == ORACLE:
            for result in whole:
                oracle_gate(bench, result, segmenter)
    except HdbenchError:
        _forget(conventions, ranks)
        raise
    if ranks.rank == 0:
        for n in missing:
            save_result(paths[n], whole[n])
    _forget(conventions, ranks)
    ranks.from_first(lambda: None)  # no rank goes on before the results are on disk
    return whole


def _training_facts(
    bench: Bench, method: Method, seed: int, run: str | None
) -> TrainingFacts | None:
    facts = training_facts(bench, method.name, seed, run)
    if facts is None or method.images_from != "generator":
        return facts
    return facts.model_copy(update={"styles": style_words(bench, method, seed)})


def _forget(conventions: Sequence[Convention], ranks: Ranks) -> None:
    if ranks.rank == 0:
        for convention in conventions:
            convention.parts.delete()


def score_photographs(bench: Bench, segmenter: Segmenter) -> Result:
    """Return the oracle's result under the benchmark's own convention (``score_images``)."""
    oracle = bench.library.method(ORACLE)
    photographs = bench.dataset.photographs
    [result] = score_images(bench, oracle, 0, segmenter, [bench.scoring], photographs)
    return result
