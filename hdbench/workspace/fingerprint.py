"""Every choice behind a score of a benchmark; the digest of all of them is the fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hdbench.data.labels import LabelSpace
from hdbench.provenance import digest
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.result import SCHEMA
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.segmenter import SegmenterCard
from hdbench.workspace.bench import Bench

_PHOTOGRAPHS = {
    "generator": "resized to image_size first, as a generator's images are",
    "native": "at their own size, never resized to the generator's",
}


def choices_under(bench: Bench, scoring: Scoring, card: SegmenterCard) -> dict[str, Any]:
    """Return every choice that changes a score, as JSON values; not device and time.

    Raises:
        DataError: a label map or photograph is damaged.
    """
    data = bench.dataset
    if scoring.labels.edge_band:  # instance maps change the number only where edges do
        maps = data.test_map_digests
    else:
        maps = [[label] for label in data.test_label_digests]
    labels = [[entry.name, *its] for entry, its in zip(data.test_scenes, maps, strict=True)]
    own_sizes = data.photograph_sizes if scoring.photographs == "native" else []
    return choices_of(bench.benchmark, scoring, bench.space, card, labels, own_sizes)


def choices_of(
    benchmark: Benchmark,
    scoring: Scoring,
    space: LabelSpace,
    card: SegmenterCard,
    labels: Sequence[Sequence[str]],
    own_sizes: Sequence[tuple[int, int]] = (),
) -> dict[str, Any]:
    """Return the like of ``choices_under``, of labels that need not be on this disk.

    ``labels`` have, for every scene, in order, its name and the digests of the maps that are
    counted; ``own_sizes`` the width and height that photographs have, each once, where they keep
    them.
    """
    image_size: list[Any] = [benchmark.size.width, benchmark.size.height]
    if scoring.photographs == "native":
        image_size = [list(size) for size in own_sizes]
        image_size = image_size[0] if len(image_size) == 1 else image_size
    return {
        "schema": SCHEMA,
        "dataset": benchmark.data.layout,
        "split": benchmark.data.test,
        "scenes": len(labels),
        "labels": digest([list(entry) for entry in labels]),
        "classes": [[entry.id, entry.name, entry.train_id] for entry in space.classes],
        "scoring": scoring.choices,
        "image_size": image_size,
        "decode": "Pillow, 8-bit RGB",
        "photographs": _PHOTOGRAPHS[scoring.photographs],
        "segmenter": {**card.choices, "batch": 1},
    }


def native_scoring(bench: Bench, scoring: Scoring, card: SegmenterCard) -> Scoring | str:
    """Return the convention under which photographs keep their own size, or why there is none.

    Raises:
        DataError: a photograph is damaged.
    """
    size = bench.benchmark.size
    sizes = bench.dataset.photograph_sizes
    if not any(width > size.width or height > size.height for width, height in sizes):
        return f"no photograph is larger than the generator's images, {size.width}x{size.height}"
    if card.architecture == "predictions":
        return "predictions made elsewhere answer for images at the generator's size alone"
    native = scoring.with_native_photographs()
    if native is None:
        return (
            f"scoring '{scoring.name}' shows the segmenter everything at "
            f"{scoring.segmenter.image_size}"
        )
    return native
