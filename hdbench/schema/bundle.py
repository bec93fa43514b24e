"""Bundles: the measured results of one lab in one zip archive, and what was read of one.

``manifest.json`` names every other member. What can be worked out from the members, such as scores,
titles and what a method was trained on, is worked out from them and not stated a second time.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from hdbench.schema.packet import Sha256
from hdbench.schema.record import Record
from hdbench.schema.result import Result

#: The version of the format, whose key is ``schema``.
BUNDLE_SCHEMA: Literal[1] = 1
MANIFEST = "manifest.json"

MemberName = Annotated[str, Field(max_length=200)]
Words = Annotated[str, Field(max_length=500)]


class Member(Record):
    """One file of the archive."""

    name: MemberName
    #: Bytes, uncompressed.
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class ResultMembers(Record):
    """The two files of a result, as ``hdbench evaluate`` wrote them."""

    record: MemberName
    matrices: MemberName


class SampledImage(Record):
    """One image that travels with the results."""

    scene: str
    member: MemberName


class BundledRun(Record):
    """A method's run with one seed."""

    method: str
    seed: int
    #: The method's file with all of its keys, as JSON.
    method_file: MemberName
    #: Under the benchmark's segmenter.
    result: ResultMembers
    #: Under its second segmenter; None where that did not score the run.
    second: ResultMembers | None
    #: The card of the generator, or the record of the import; None where there is neither.
    card: MemberName | None
    #: What an imported method was trained on, in the words of who packed the bundle.
    trained_on: Words | None
    #: Those of the sample, in its order; empty if they may not travel.
    images: list[SampledImage]
    #: Why there are no images; None if there are.
    withheld: Words | None


class Manifest(Record):
    """``manifest.json``."""

    version: Annotated[Literal[1], Field(validation_alias="schema", serialization_alias="schema")]
    #: The version of hdbench that packed it.
    hdbench: Words
    #: Who packed it, in their words; may be empty.
    contact: Words
    benchmark: str
    #: The benchmark's file with all of its keys, as JSON.
    benchmark_file: MemberName
    #: The scoring convention, and its file.
    scoring: str
    scoring_file: MemberName
    #: The cards of the segmenters.
    segmenter: MemberName
    second_segmenter: MemberName | None
    #: Scenes whose images travel; they follow from the results (``hdbench.exchange.sample``).
    sample: list[str]
    runs: Annotated[list[BundledRun], Field(min_length=1)]
    #: Every member but the manifest, in the order of names.
    members: list[Member]


class TrainedOn(Record):
    """What a method was trained on."""

    #: Who says so: the ``card`` that the training wrote, whose digest the result has; the ``lab``
    #: that packed the bundle; or ``nobody``.
    said_by: Literal["card", "lab", "nobody"]
    #: All that is known, in words.
    words: str
    #: Layout and split of the dataset, like ``streets/train``; None where only words are known, as
    #: with all keys that follow.
    dataset: str | None = None
    scenes: int | None = None
    steps: int | None = None
    #: Steps times scenes of a step.
    images_seen: int | None = None
    #: None also where no perceptual network gave a loss.
    perceptual: str | None = None
    device: str | None = None
    #: Further data that the weights have learnt from, in words; ``none`` if the card rules them
    #: out, None if nobody says.
    extra: str | None = None


class BundleEntry(Record):
    """One run of a bundle, checked."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    #: What tables call it: ``ours (lab)``, and ``ours, seed 1 (lab)``; unique among bundles.
    name: str
    method: str
    #: The method's own title, as its file states it; anything may stand there.
    title: str
    #: The name of the bundle.
    bundle: str
    #: Whether it is compared, or a reference that every bundle has.
    role: Literal["method", "floor", "oracle"]
    seed: int
    #: Under the benchmark's segmenter, and under the second one.
    result: Result
    second: Result | None
    trained_on: TrainedOn
    #: PNG files by scene.
    images: dict[str, bytes] = Field(repr=False)
    #: Why there are no images; None if there are.
    withheld: str | None

    def named(self) -> tuple[Result, Result | None]:
        """Return both results with ``name`` as their method, for tables with other labs' rows."""
        update = {"method": self.name}
        second = self.second and self.second.model_copy(update=update)
        return self.result.model_copy(update=update), second


class Bundle(Record):
    """What was read of a bundle; whatever one file can say against another was checked."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    #: The archive's file name without ``.zip``.
    name: str
    #: SHA-256 of the archive.
    sha256: str
    contact: str
    hdbench: str
    benchmark: str
    #: Of its file.
    title: str
    scoring: str
    #: Scenes whose images travel.
    sample: list[str]
    results: list[BundleEntry]


class Check(Record):
    """One claim about a bundle."""

    claim: str
    #: What was looked at, like ``52 members``.
    measured: str
    #: Every violation; the member and its field come first.
    wrong: list[str] = Field(default_factory=list)
    #: What could not be looked at, and why.
    unchecked: list[str] = Field(default_factory=list)
    #: Whether anything was looked at.
    checked: bool = True
