"""The sentences below a table: the oracle at native size, training, imported images."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from hdbench.evaluation.explain import explain
from hdbench.evaluation.seeds import DEVIATION_FROM, Estimates
from hdbench.evaluation.uncertainty import NOTE, intervals_of
from hdbench.reporting.measured import Measured
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


def footnotes(methods: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return a sentence for each fact about the images that a reader of the table needs.

    These are the training steps and the perceptual network of each trained method, imported
    weights, imported JPEGs, scenes without an image, and classes in too few images for an interval
    that can be relied on. Results are by method, one for each seed.
    """
    notes = _of_training(methods)
    for name, results in methods.items():
        found = _of_few_images(results[0])
        for result in results:
            found += _of_weights(name, result) + _of_imports(name, result)
        notes += [note for note in dict.fromkeys(found) if note not in notes]
    return notes


def bracket_notes(estimates: Iterable[Estimates]) -> list[str]:
    """Return a sentence for each kind of uncertainty that a table of scores prints."""
    found = list(estimates)
    several = [len(one.seeds) for one in found if len(one.seeds) > 1]
    notes = [NOTE] * any(one.mean_iou.interval and len(one.seeds) == 1 for one in found)
    if any(count < DEVIATION_FROM for count in several):
        notes.append(
            "a (b to c): the mean over two training seeds, and the lower and the higher of the two."
        )
    if any(count >= DEVIATION_FROM for count in several):
        notes.append(
            "a ± b: the mean over three or more training seeds, and the standard deviation over "
            "these seeds (with n - 1)."
        )
    if several:
        notes.append(
            "In the CSV, 'low' and 'high' are always the interval over the images, of the mean "
            "over the seeds; 'spread' is between seeds: with two their distance, with more the "
            "standard deviation."
        )
    return notes


def budget_notes(
    shown: Mapping[str, Measured], other_budget: Container[str], mark: str
) -> list[str]:
    """Return sentences on how many images the trained methods of a table saw.

    ``other_budget`` are those whose number is not the usual one; their rows bear a ``mark``.
    """
    usual: dict[int, list[str]] = {}
    for name, one in shown.items():
        if one.images_seen is not None:
            usual.setdefault(one.images_seen, []).append(name)
    if not usual:
        return []
    notes = []
    for images, names in usual.items():
        other = f"{mark} " if names[0] in other_budget else ""
        notes.append(f"{other}{images:,} images: {', '.join(names)}")
    equal = "Equal budget means equally many images seen in training. "
    unknown = [name for name, one in shown.items() if one.origin]
    more = f"; not known: {', '.join(unknown)}" if unknown else ""
    return [f"{equal}{'; '.join(notes)}{more}."]


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


def _of_training(methods: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return a sentence for all methods that were trained alike, and one for each that ships."""
    alike: dict[str, list[str]] = {}
    ships: list[str] = []
    for name, results in methods.items():
        for result in results:
            facts = result.provenance.training
            if facts is None:
                continue
            words = f"{facts.steps:,} steps, no perceptual loss"
            if facts.perceptual is not None:
                network = f"{facts.perceptual.name} ({facts.perceptual.weights[:8]})"
                words = f"{facts.steps:,} steps, perceptual network {network}"
            words += f"; styles: {facts.styles}" if facts.styles else ""
            whose = alike.setdefault(words, [])
            whose += [name] if name not in whose else []
            if facts.ships:
                seed = f", seed {result.seed}" if len(results) > 1 else ""
                ships.append(f"The generator of {name}{seed} ships as {facts.ships}.")
    return [f"{', '.join(names)}: {words}." for words, names in alike.items()] + ships


def _of_weights(name: str, result: Result) -> list[str]:
    facts = result.provenance.weights
    if facts is None:
        return []
    return [
        f"{name}: imported weights ({facts.weights[:8]}) from {facts.source}; hdbench did "
        "not train them."
    ]


def _of_imports(name: str, result: Result) -> list[str]:
    facts = result.provenance.imported
    if facts is None:
        return []
    notes = []
    if facts.lossy:
        notes.append(
            f"{name}: {facts.lossy} of {facts.scenes} images were imported as JPEG, whose "
            "artefacts can change the segmenter's predictions; all other images are lossless."
        )
    if facts.scenes < facts.scenes_of_split:
        notes.append(
            f"{name}: images of {facts.scenes} of {facts.scenes_of_split} "
            "scenes; all rows are scored on these scenes only, so the numbers cannot be compared "
            "with those of the whole split."
        )
    return notes
