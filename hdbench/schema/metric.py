"""Records of metrics that need no confusion matrix: FID, KID, LPIPS and the boundary F-score."""

from __future__ import annotations

from typing import Any, Literal

from hdbench.provenance import digest
from hdbench.schema.record import Record
from hdbench.schema.result import Computed

Kind = Literal["realism", "boundaries"]
KINDS: tuple[Kind, ...] = ("realism", "boundaries")


class Metric(Record):
    """One kind of metric of one method's images, with everything that it depends on."""

    kind: Kind
    method: str
    benchmark: str
    seed: int
    #: Every choice that changes the numbers; only metrics with equal choices share a table.
    choices: dict[str, Any]
    #: Digest of the list of image digests, in the order of the scenes (``images_digest``).
    images: str
    #: The numbers by name; undefined ones are None.
    scores: dict[str, Any]
    #: The values that the scores are computed from, one entry for each image.
    per_image: list[Any]
    provenance: Computed

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the choices."""
        return digest(self.choices)


def images_digest(images: list[str]) -> str:
    """Return one digest for the SHA-256 of each image file."""
    return digest(images)
