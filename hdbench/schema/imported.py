"""``import.json``: the images that another program made, as they were imported."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field

from hdbench.provenance import digest
from hdbench.schema.record import Record
from hdbench.schema.result import ImportFacts

#: The version of the format, whose key is ``schema``.
IMPORT_SCHEMA: Literal[1] = 1


class ImportedImage(Record):
    """One image and where it comes from."""

    scene: str
    #: The file's path below the folder that it was imported from.
    source: str
    #: SHA-256 of that file's bytes.
    file: str
    #: SHA-256 of the decoded pixels (``photograph_digest``).
    pixels: str
    format: str
    #: Whether the format loses something.
    lossy: bool


class Import(Record):
    """The images of one method for one benchmark."""

    version: Annotated[Literal[1], Field(validation_alias="schema", serialization_alias="schema")]
    method: str
    benchmark: str
    split: str
    #: Width and height in pixels.
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    #: The folder and template that were given.
    source: str
    template: str | None
    #: How many scenes the split has; with fewer images, only their scenes are scored.
    scenes_of_split: int
    images: list[ImportedImage]
    #: What was noticed and not refused.
    warnings: list[str]

    @property
    def subset(self) -> bool:
        """Whether some scenes of the split have no image."""
        return len(self.images) < self.scenes_of_split

    @property
    def identity(self) -> dict[str, Any]:
        """What the scores depend on: each scene's pixels."""
        pixels = [[image.scene, image.pixels] for image in self.images]
        return {"kind": "images", "version": 1, "images": digest(pixels)}

    @property
    def facts(self) -> ImportFacts:
        """What a result records beside its fingerprint."""
        return ImportFacts(
            formats=dict(Counter(image.format for image in self.images)),
            lossy=sum(image.lossy for image in self.images),
            scenes=len(self.images),
            scenes_of_split=self.scenes_of_split,
            warnings=self.warnings,
        )
