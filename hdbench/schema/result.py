"""The record of one result: a run's images scored under one convention, and its fingerprint."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from hdbench.provenance import digest
from hdbench.schema.record import Record

SCHEMA = 1
#: The method whose images are the dataset's own photographs.
ORACLE = "oracle"
#: The oracle's name under a convention whose photographs keep their own size.
NATIVE_ORACLE = "oracle-native"

#: The scores over all classes, in the order in which they are shown.
Overall = Literal["pixel_accuracy", "mean_iou"]
OVERALL: tuple[Overall, ...] = ("pixel_accuracy", "mean_iou")


class ScoreRecord(Record):
    """Scores in [0, 1]; None where undefined."""

    #: Share of the counted pixels whose class is right.
    pixel_accuracy: float | None
    #: Mean of ``class_iou`` as the convention's counting policies say.
    mean_iou: float | None
    #: Intersection over union of each class, by name.
    class_iou: dict[str, float | None]
    #: The same matrices under the convention's further counting policies, by name.
    readings: dict[str, ScoreRecord] = Field(default_factory=dict)

    def overall(self, score: Overall) -> float | None:
        """Return the score of this name."""
        return getattr(self, score)

    @model_serializer(mode="wrap")
    def _without_empty_readings(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        record = serialize(self)
        if not self.readings:
            record.pop("readings", None)
        return record


class PerceptualFacts(Record):
    """The perceptual network that a generator was trained with."""

    #: Its name in the benchmark's ``[perceptual]``.
    name: str
    #: SHA-256 of its weights.
    weights: str


class TrainingFacts(Record):
    """How the generator of a result was trained."""

    steps: int
    #: None where the method has no perceptual loss.
    perceptual: PerceptualFacts | None
    #: SHA-256 of the generator's weights.
    weights: str
    #: The name under which the generator ships; None where the workspace trained it.
    ships: str | None = None
    #: The style of the images and the digest of its centres; None where the method has no styles.
    styles: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        record = serialize(self)
        for key in ("ships", "styles"):
            if record.get(key) is None:
                record.pop(key, None)
        return record


class ImportFacts(Record):
    """Facts about images that another program made."""

    #: How many images came in each file format.
    formats: dict[str, int]
    #: How many came in a lossy format.
    lossy: int
    scenes: int
    scenes_of_split: int
    warnings: list[str]


class WeightsFacts(Record):
    """A generator that was trained elsewhere."""

    #: SHA-256 of its weights.
    weights: str
    #: Where they came from, in words.
    source: str


class Computed(Record):
    """Where numbers were computed; not part of their fingerprint."""

    #: Versions of hdbench, Python, the platform and the packages that compute.
    versions: dict[str, str]
    device: str


class Provenance(Computed):
    """Where a result was computed."""

    #: How many processes shared the images.
    ranks: int
    imported: ImportFacts | None = None
    training: TrainingFacts | None = None
    weights: WeightsFacts | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialize(self).items() if value is not None}


class Result(Record):
    """Scores with everything that is needed to recompute and compare them."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    method: str
    benchmark: str
    #: The run's; 0 where nothing was trained.
    seed: int
    #: Name of the scoring convention.
    scoring: str
    #: Every choice that changes the number; its digest is the fingerprint.
    choices: dict[str, Any]
    #: Digest of the identity of the run that made the images; None for photographs.
    run: str | None
    scenes: list[str]
    #: SHA-256 of each image file, in the order of ``scenes``.
    images: list[str]
    classes: list[str]
    scores: ScoreRecord
    provenance: Provenance
    #: int64 N x (K+1) x K, one confusion matrix per image: truth in rows, the last of them void;
    #: prediction in columns. Stored in a file of its own.
    matrices: NDArray[np.int64] = Field(exclude=True, repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the choices; only results that share it may be ranked."""
        return digest(self.choices)


def oracle_ratio(result: Result, oracle: Result) -> float | None:
    """Return a result's mean IoU over the oracle's, or None if they may not be compared."""
    if result.fingerprint != oracle.fingerprint or not oracle.scores.mean_iou:
        return None
    value = result.scores.mean_iou
    return None if value is None else value / oracle.scores.mean_iou
