"""The styles of a trained method: ``styles.json`` in its run folder (``hdbench styles``)."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import Field

from hdbench.provenance import digest
from hdbench.schema.record import Record

STYLES_FILE = "styles.json"


class EncodedInstance(Record):
    """One instance of a scene, and its style."""

    #: Its id in the instance map, or its label where a dataset has no instances.
    region: int
    #: The label of most of its pixels.
    label: int
    #: At the benchmark's size.
    pixels: int
    #: The encoder's output there, in [-1, 1].
    style: list[float]


class EncodedScene(Record):
    """The instances of one scene; a line of what ``hdbench styles`` goes on with after a stop."""

    scene: str
    #: Digest of all that the styles were encoded from: encoder, photograph, maps, size.
    source: str
    instances: list[EncodedInstance]


class ClassStyles(Record):
    """The styles of one class: centres of its instances' styles."""

    #: The value in label maps.
    id: int
    name: str
    #: Instances in the training set.
    instances: int
    #: Of them, those larger than the threshold; where there are none, all instances are clustered.
    large: int
    #: The most frequent one first; zeros for a class that the training set does not have.
    centres: Annotated[list[list[float]], Field(min_length=1)]
    #: Instances that are nearest to each centre.
    counts: list[int]


class Clustering(Record):
    """How styles are clustered."""

    #: Clusters of a class; fewer where it has fewer different styles.
    clusters: int
    #: Instances larger than the image's area divided by this number are clustered.
    area_divisor: int
    #: Initialisations of k-means, of which the best is kept, and the seed of them.
    initialisations: int
    seed: int


class Styles(Record):
    """The centres of every class, and what they were made from."""

    #: For people; ``run`` is what hdbench compares.
    method: str
    benchmark: str
    seed: int
    #: Digest of the identity of the run whose encoder it was.
    run: str
    #: Digest of the encoder's weights.
    encoder: str
    #: The benchmark whose training photographs were encoded, their number, size and digest.
    photographs: str
    scenes: int
    size: tuple[int, int] = Field(strict=False)
    scenes_digest: str
    clustering: Clustering
    classes: list[ClassStyles]
    #: The command that makes them again, and versions of what computed them.
    command: str
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the centres, which are all that images depend on."""
        return digest([[entry.id, entry.centres] for entry in self.classes])

    @property
    def most(self) -> int:
        """The largest number of centres that a class has."""
        return max(len(entry.centres) for entry in self.classes)

    @cached_property
    def by_id(self) -> dict[int, ClassStyles]:
        """The classes by their ids."""
        return {entry.id: entry for entry in self.classes}
