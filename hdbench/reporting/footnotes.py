"""What stands below a table: the oracle at native size, and what to know of images."""

from __future__ import annotations

from collections.abc import Iterable

from hdbench.evaluation.explain import explain
from hdbench.evaluation.uncertainty import intervals_of
from hdbench.reporting.tables import COLUMNS, score_cell
from hdbench.schema.benchmark import Size
from hdbench.schema.result import Result

#: What people read where ``oracle-native`` is meant.
NATIVE_TITLE = "oracle at native size"


def native_line(native: Result, size: Size) -> str:
    """Return the line of the oracle at native size: its scores with intervals, and what it is.

    Args:
        native: its result.
        size: the benchmark's, which the table's images have.
    """
    by_method, intervals = {native.method: native}, intervals_of([native])
    scores = ", ".join(
        f"{title} {score_cell(native.method, score, style, by_method, intervals)}"
        for score, (title, style) in COLUMNS.items()
    )
    return f"{NATIVE_TITLE}: {scores}. {native_words(native, size)}."


def native_words(native: Result, size: Size) -> str:
    """Return what the oracle at native size is and why it is in no ranking, in a sentence."""
    own = next(one.words for one in explain(native.choices) if one.field == "image_size")
    return (
        f"Photographs of {own}, never resized to the generator's {size.width}x{size.height}; its "
        f"fingerprint {native.fingerprint[:16]} is another than the table's, so it stands beside "
        "it and is ranked with no row"
    )


def footnotes(results: Iterable[Result]) -> list[str]:
    """Return a sentence for each thing that a reader must know of how images were made.

    How long a method was trained and which perceptual network it learnt with; images that came in
    a format that loses something, and scenes that have none.
    """
    notes: list[str] = []
    for result in results:
        notes += _of_training(result) + _of_imports(result)
    return notes


def _of_training(result: Result) -> list[str]:
    facts = result.provenance.training
    if facts is None:
        return []
    learnt = "no perceptual loss"
    if facts.perceptual is not None:
        learnt = f"perceptual network {facts.perceptual.name} ({facts.perceptual.weights[:8]})"
    origin = f"; the generator ships as {facts.ships}" if facts.ships else ""
    return [f"{result.method}: {facts.steps:,} steps, {learnt}{origin}."]


def _of_imports(result: Result) -> list[str]:
    facts = result.provenance.imported
    if facts is None:
        return []
    notes = []
    if facts.lossy:
        notes.append(
            f"{result.method}: {facts.lossy} of {facts.scenes} images came as JPEG, "
            "which changes what the segmenter sees; all others here are of lossless files."
        )
    if facts.scenes < facts.scenes_of_split:
        notes.append(
            f"{result.method}: images of {facts.scenes} of {facts.scenes_of_split} "
            "scenes; all rows are scored on these alone, so no number here compares with one "
            "of the whole split."
        )
    return notes
