"""Records of measures other than segmentation scores, beside the results that they belong to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hdbench.errors import HdbenchError
from hdbench.provenance import digest
from hdbench.storage import write_atomically
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import Result

Kind = Literal["realism", "boundaries"]
_SCHEMA = 1


@dataclass(frozen=True)
class Measure:
    """One measure of one method's images, with everything that it depends on."""

    kind: Kind
    method: str
    benchmark: str
    seed: int
    #: Every choice that changes the numbers; only measures that share them stand in one table.
    choices: dict[str, Any]
    #: Digest of the list of image digests, in the order of the scenes (``images_digest``).
    images: str
    #: The numbers; undefined ones are None.
    scores: dict[str, Any]
    #: What the numbers follow from, one entry for each image.
    per_image: list[Any]
    provenance: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the choices."""
        return digest(self.choices)


def images_digest(images: list[str]) -> str:
    """Return one digest for the SHA-256 of each image file."""
    return digest(images)


def measure_path(
    bench: Bench, kind: Kind, method: str, seed: int, judge: str | None = None
) -> Path:
    """Return where a measure lies; ``judge`` names another segmenter than the benchmark's."""
    if kind == "realism":  # asks no segmenter and no scoring convention
        return bench.record_path(method, seed, kind)
    return bench.result_path(method, seed, judge).with_suffix(f".{kind}.json")


def save_measure(path: Path, measure: Measure) -> None:
    """Write a measure, whole or not at all."""
    record = {"schema": _SCHEMA, "fingerprint": measure.fingerprint, **asdict(measure)}
    write_atomically(path, (json.dumps(record) + "\n").encode())


def load_measure(path: Path) -> Measure | None:
    """Return a stored measure, or None where there is none.

    Raises:
        HdbenchError: the file is damaged, or was edited by hand.
    """
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        schema, fingerprint = record.pop("schema"), record.pop("fingerprint")
        measure = Measure(**record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HdbenchError(f"{path}: not a readable measure ({error}); {_AGAIN}") from None
    if schema != _SCHEMA or fingerprint != measure.fingerprint:
        raise HdbenchError(f"{path}: its choices are not those that it was written with; {_AGAIN}")
    return measure


_AGAIN = "delete it and run 'hdbench measure' again"


def measures_of(bench: Bench, results: Iterable[Result], judge: str | None = None) -> list[Measure]:
    """Return the stored measures of the very images that some results are of."""
    found: list[Measure] = []
    kinds: tuple[Kind, ...] = ("realism", "boundaries")
    for result in results:
        for kind in kinds:
            measure = load_measure(measure_path(bench, kind, result.method, result.seed, judge))
            if measure is not None and measure.images == images_digest(result.images):
                found.append(measure)
    return found
