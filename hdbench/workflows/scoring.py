"""Images of a benchmark before its judge: results that are stored and still true, or are made."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_label
from hdbench.errors import HdbenchError
from hdbench.evaluation.scoring import (
    Candidate,
    Convention,
    choices_of,
    require_images,
    score,
)
from hdbench.provenance import digest, file_digest
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.passes import as_seen, prepared_image
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.oracle_gate import oracle_gate
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import image_facts
from hdbench.workspace.parts import Parts
from hdbench.workspace.results import NATIVE_ORACLE, ORACLE, Result, load_result, save_result
from hdbench.workspace.runs import training_facts


def choices_under(
    bench: Bench, scoring: Scoring, segmenter: Segmenter, native: bool = False
) -> dict[str, Any]:
    """Return every choice behind a score of a benchmark under a convention (``choices_of``).

    Args:
        bench: the benchmark.
        scoring: the convention; for photographs at their own size, ``native_scoring``.
        segmenter: the judge.
        native: of photographs at their own size.
    """
    if scoring.labels.edge_band:  # instance maps change the number only where edges do
        maps = bench.test_map_digests
    else:
        maps = [[label] for label in bench.test_label_digests]
    labels = [
        [entry.name, *digests] for entry, digests in zip(bench.test_scenes, maps, strict=True)
    ]
    own_sizes = bench.photograph_sizes if native else None
    return choices_of(bench.benchmark, scoring, bench.space, segmenter, labels, own_sizes)


def why_no_native(bench: Bench, scoring: Scoring, segmenter: Segmenter) -> str | None:
    """Return in words why photographs are not scored at their own size, or None if they are.

    Args:
        bench: the benchmark.
        scoring: the convention.
        segmenter: the judge.

    Raises:
        DataError: a photograph is damaged.
    """
    size = bench.benchmark.size
    sizes = bench.photograph_sizes
    if not any(width > size.width or height > size.height for width, height in sizes):
        return f"no photograph is larger than the generator's images, {size.width}x{size.height}"
    if scoring.at_native_size() is None:
        return (
            f"scoring '{scoring.name}' shows the segmenter everything at "
            f"{scoring.segmenter.image_size}"
        )
    if segmenter.card.architecture == "predictions":
        return "predictions made elsewhere answer for images at the generator's size alone"
    return None


def native_scoring(bench: Bench, scoring: Scoring, segmenter: Segmenter) -> Scoring | None:
    """Return how photographs are scored at their own size, or None if they are not.

    Arguments and errors as those of ``why_no_native``, which says why.
    """
    if why_no_native(bench, scoring, segmenter) is not None:
        return None
    return scoring.at_native_size()


def scored(
    bench: Bench,
    scorings: Sequence[Scoring],
    segmenter: Segmenter,
    method: str,
    seed: int,
    run: str | None,
    images: list[Path],
    ranks: Ranks = ALONE,
    workers: int = 1,
    native: bool = False,
) -> list[Result]:
    """Return, for each convention, the stored result if it is still true, else score and store.

    Args:
        bench: the benchmark.
        scorings: the conventions.
        segmenter: the judge.
        method: name of the method; ``oracle`` for the dataset's own photographs.
        seed: the run's seed.
        run: digest of the run's identity; None for photographs.
        images: the image of each test scene.
        ranks: the processes that share the images.
        workers: threads that decode ahead of the segmenter and count behind it.
        native: the images are photographs that stay at their own size.

    Raises:
        HdbenchError: the oracle fell below what the segmenter's card declares; nothing is stored.
        DataError: images are missing, damaged or of another size.
    """
    foreign = bench.foreign_judge(segmenter.card.weights)
    paths = [bench.result_path(method, seed, foreign, scoring.name) for scoring in scorings]
    require_images(images, method)
    digests = ranks.from_first(lambda: bench.file_digests.of(images))
    conventions = []
    for scoring, path in zip(scorings, paths, strict=True):
        choices = choices_under(bench, scoring, segmenter, native)
        parts = Parts(path.with_suffix(".parts"), digest(choices))
        conventions.append(Convention(scoring, choices, parts))
    results = ranks.from_first(
        lambda: [
            _still_true(path, convention.choices, run, digests)
            for path, convention in zip(paths, conventions, strict=True)
        ]
    )
    missing = [n for n, result in enumerate(results) if result is None]
    if missing:
        candidate = Candidate(method, seed, run, bench.test_scenes, images, digests, native)
        made = score(
            candidate,
            segmenter,
            bench.space,
            bench.benchmark,
            [conventions[n] for n in missing],
            ranks,
            workers,
        )
        facts = image_facts(bench, method, seed) | training_facts(bench, method, seed, run)
        for n, result in zip(missing, made, strict=True):
            results[n] = replace(result, provenance=result.provenance | facts)
    whole = [result for result in results if result is not None]
    if method == ORACLE:
        try:
            for result in whole:
                oracle_gate(bench, result, segmenter)
        except HdbenchError:
            _finish(conventions, missing, ranks)
            raise
    if ranks.rank == 0:
        for n in missing:
            save_result(paths[n], whole[n])
    _finish(conventions, missing, ranks)
    ranks.from_first(lambda: None)  # no rank goes on before the results are on disk
    return whole


def _finish(conventions: Sequence[Convention], made: Sequence[int], ranks: Ranks) -> None:
    if ranks.rank == 0:
        for n in made:
            conventions[n].parts.delete()


def _still_true(
    path: Path, choices: dict[str, Any], run: str | None, digests: list[str]
) -> Result | None:
    if not path.is_file():
        return None
    try:
        known = load_result(path)
    except HdbenchError:  # damaged: computed again
        return None
    same = known.choices == choices and known.run == run and known.images == digests
    return known if same else None


def score_photographs(bench: Bench, segmenter: Segmenter) -> Result:
    """Return the oracle's result under the benchmark's own convention (``scored``)."""
    [result] = scored(bench, [bench.scoring], segmenter, ORACLE, 0, None, bench.photographs)
    return result


def score_native(
    bench: Bench,
    scorings: Sequence[Scoring],
    segmenter: Segmenter,
    ranks: Ranks = ALONE,
    workers: int = 1,
) -> list[Result | None]:
    """Return the oracle of photographs at their own size under each convention (``scored``).

    None under a convention for which ``why_no_native`` has a reason. Its fingerprint is its own, so
    it stands beside the results of ``scored`` and is never ranked with them.

    Args:
        bench: the benchmark.
        scorings: the conventions.
        segmenter: the judge.
        ranks: the processes that share the photographs.
        workers: threads that decode ahead of the segmenter and count behind it.
    """
    adapted = [native_scoring(bench, scoring, segmenter) for scoring in scorings]
    chosen = [scoring for scoring in adapted if scoring is not None]
    if not chosen:
        return [None] * len(scorings)
    images = bench.photographs
    found = iter(
        scored(
            bench, chosen, segmenter, NATIVE_ORACLE, 0, None, images, ranks, workers, native=True
        )
    )
    return [None if scoring is None else next(found) for scoring in adapted]


def measured(
    bench: Bench,
    segmenter: Segmenter,
    title: str,
    scenes: Sequence[SceneFiles],
    images: Sequence[Path],
) -> Result:
    """Return the result of some images against some labels, computed now and stored nowhere.

    Args:
        bench: the benchmark.
        segmenter: the judge.
        title: what the progress bar calls the images.
        scenes: the labels.
        images: photographs or pictures of any size, resized like the oracle's.

    Raises:
        DataError: a file is missing or damaged.
        UsageError: the segmenter judges another label space or size.
    """
    require_images(images, title)
    choices = choices_under(bench, bench.scoring, segmenter)
    hashes = [file_digest(path) for path in images]
    with tempfile.TemporaryDirectory(prefix="hdbench-") as scratch:
        convention = Convention(bench.scoring, choices, Parts(Path(scratch), digest(choices)))
        candidate = Candidate(title, 0, None, scenes, images, hashes)
        [result] = score(candidate, segmenter, bench.space, bench.benchmark, [convention])
    return result


def judged_images(bench: Bench, images: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    """Yield each test scene's name and its image as a judge is given it: uint8 3 x H x W.

    Raises:
        DataError: an image is missing, damaged or of another size.
    """
    policy = bench.scoring.segmenter
    for scene, path in zip(bench.test_scenes, images, strict=True):
        image = prepared_image(path, bench.benchmark, photograph=path == scene.image)
        height, width = read_label(scene.label, bench.space).shape
        yield scene.name, as_seen(image, policy, bench.benchmark, (height, width))
