"""The sentences below a table: the oracle at native size, training, imported images."""

from __future__ import annotations

from collections.abc import Iterable

from hdbench.evaluation.explain import explain
from hdbench.evaluation.uncertainty import intervals_of
from hdbench.reporting.tables import COLUMNS, score_cell
from hdbench.schema.benchmark import Size
from hdbench.schema.result import Result
from hdbench.text import joined

#: The printed name of ``oracle-native``.
NATIVE_TITLE = "oracle at native size"


#: With fewer images, or where a class is in fewer, coverage left 93 to 97 % in some simulations, to
#: about 98 % (``tests/performance/coverage.py``).
FEW_IMAGES = 20
FEW_HOLDERS = 3


def native_line(native: Result, size: Size) -> str:
    """Return the line about the oracle at native size: its scores with intervals, in words."""
    by_method, intervals = {native.method: native}, intervals_of([native])
    scores = ", ".join(
        f"{title} {score_cell(native.method, score, style, by_method, intervals)}"
        for score, (title, style) in COLUMNS.items()
    )
    return f"{NATIVE_TITLE}: {scores}. {native_words(native, size)}."


def native_words(native: Result, size: Size) -> str:
    """Return a sentence that says what the oracle at native size is and why it is not ranked."""
    own = next(one.words for one in explain(native.choices) if one.field == "image_size")
    return (
        f"Photographs of {own}, not resized to the generator's {size.width}x{size.height}; its "
        f"fingerprint {native.fingerprint[:16]} differs from the table's, so it is not ranked "
        "against the rows above"
    )


def footnotes(results: Iterable[Result]) -> list[str]:
    """Return a sentence for each fact about the images that a reader of the table needs.

    These are the training steps and the perceptual network of each trained method, imported
    weights, imported JPEGs, scenes without an image, and classes in too few images for an interval
    that can be relied on.
    """
    notes: list[str] = []
    for result in results:
        notes += [note for note in _of_few_images(result) if note not in notes]
        notes += _of_training(result) + _of_weights(result) + _of_imports(result)
    return notes


def _of_few_images(result: Result) -> list[str]:
    images = len(result.matrices)
    if images < 2:
        return []
    held = (result.matrices[:, :-1].sum(axis=2) > 0).sum(axis=0)
    rare = [name for name, n in zip(result.classes, held, strict=True) if 0 < n < FEW_HOLDERS]
    reasons = [f"{joined(rare)} in fewer than {FEW_HOLDERS} images"] * bool(rare)
    reasons += [f"only {images} images"] * (images < FEW_IMAGES)
    if not reasons:
        return []
    return [f"{' and '.join(reasons)}: intervals may hold the truth more or less often than 95 %."]


def _of_training(result: Result) -> list[str]:
    facts = result.provenance.training
    if facts is None:
        return []
    learnt = "no perceptual loss"
    if facts.perceptual is not None:
        learnt = f"perceptual network {facts.perceptual.name} ({facts.perceptual.weights[:8]})"
    origin = f"; the generator ships as {facts.ships}" if facts.ships else ""
    styles = f"; styles: {facts.styles}" if facts.styles else ""
    return [f"{result.method}: {facts.steps:,} steps, {learnt}{origin}{styles}."]


def _of_weights(result: Result) -> list[str]:
    facts = result.provenance.weights
    if facts is None:
        return []
    return [
        f"{result.method}: imported weights ({facts.weights[:8]}) from {facts.source}; hdbench did "
        "not train them."
    ]


def _of_imports(result: Result) -> list[str]:
    facts = result.provenance.imported
    if facts is None:
        return []
    notes = []
    if facts.lossy:
        notes.append(
            f"{result.method}: {facts.lossy} of {facts.scenes} images were imported as JPEG, whose "
            "artefacts can change the segmenter's predictions; all other images are lossless."
        )
    if facts.scenes < facts.scenes_of_split:
        notes.append(
            f"{result.method}: images of {facts.scenes} of {facts.scenes_of_split} "
            "scenes; all rows are scored on these scenes only, so the numbers cannot be compared "
            "with those of the whole split."
        )
    return notes
