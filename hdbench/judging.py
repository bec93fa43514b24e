"""Images of a benchmark before its judge: results that are stored and still true, or are made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from hdbench.bench import Bench
from hdbench.data.layouts import SceneFiles
from hdbench.errors import HdbenchError, LibraryError
from hdbench.evaluation.scoring import choices_of, oracle_gate, prepared_image, score
from hdbench.library import CARD_FILE
from hdbench.results import ORACLE, Result, load_result, save_result
from hdbench.schema.benchmark import OWN
from hdbench.segmentation.segmenter import Segmenter


def choices_under(bench: Bench, segmenter: Segmenter) -> dict[str, Any]:
    """Return every choice behind a score of a benchmark under its judge (``choices_of``)."""
    if bench.scoring.labels.edge_band:  # instance maps change the number only where edges do
        maps = bench.test_map_digests
    else:
        maps = [[label] for label in bench.test_label_digests]
    labels = [
        [entry.name, *digests] for entry, digests in zip(bench.test_scenes, maps, strict=True)
    ]
    return choices_of(bench.benchmark, bench.scoring, bench.space, segmenter, labels)


def scored(
    bench: Bench,
    segmenter: Segmenter,
    method: str,
    seed: int,
    run: str | None,
    images: list[Path],
) -> Result:
    """Return the stored result if it is still true, else score and store."""
    foreign = foreign_judge(bench, segmenter)
    trainable = foreign is None and bench.benchmark.judge == OWN
    path = bench.result_path(method, seed, foreign)
    choices = choices_under(bench, segmenter)
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
            if method == ORACLE:
                oracle_gate(known, segmenter, trainable)
            return known
    result = score(
        method,
        seed,
        run,
        segmenter,
        bench.test_scenes,
        images,
        choices,
        bench.space,
        bench.benchmark,
        bench.scoring,
    )
    if method == ORACLE:
        oracle_gate(result, segmenter, trainable)
    save_result(path, result)
    return result


def foreign_judge(bench: Bench, segmenter: Segmenter) -> str | None:
    """Return a short name of a segmenter that is not the benchmark's judge, or None if it is."""
    weights = segmenter.card.weights
    try:
        judge = json.loads((bench.judge_folder() / CARD_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, LibraryError):
        judge = {}
    return None if judge.get("weights") == weights else weights[:8]


def photographs(bench: Bench) -> list[Path]:
    """Return the oracle's images: the dataset's own."""
    return [entry.image for entry in bench.test_scenes]


def score_photographs(bench: Bench, segmenter: Segmenter) -> Result:
    """Return the oracle's result under a segmenter, stored if it is still true, else computed.

    Raises what ``hdbench.evaluation.scoring.score`` and ``oracle_gate`` raise.
    """
    return scored(bench, segmenter, ORACLE, 0, None, photographs(bench))


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
    return score(
        title,
        0,
        None,
        segmenter,
        scenes,
        images,
        choices_under(bench, segmenter),
        bench.space,
        bench.benchmark,
        bench.scoring,
    )


def judged_images(bench: Bench, images: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    """Yield each test scene's name and its image as a judge is given it: uint8 3 x H x W.

    Raises:
        DataError: an image is missing, damaged or of another size.
    """
    for scene, path in zip(bench.test_scenes, images, strict=True):
        yield scene.name, prepared_image(path, bench.benchmark, photograph=path == scene.image)
