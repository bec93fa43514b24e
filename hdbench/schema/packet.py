"""The JSON of a packet: ``study.json``, ``trials.jsonl`` and ``web/packets/<id>.json``.

The first two name methods and scenes and stay with the researcher; participants' browsers receive
only the last.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hdbench.schema.record import Record
from hdbench.schema.study import Quality, StudyProtocol

#: The version of all three formats, whose key is ``schema``.
PACKET_SCHEMA: Literal[1] = 1

#: Keys that are Python keywords or attributes have other names here.
Version = Annotated[Literal[1], Field(validation_alias="schema", serialization_alias="schema")]
PassNumber = Annotated[int, Field(validation_alias="pass", serialization_alias="pass")]
Kind = Literal["practice", "check", "anchor", "judgment"]
Side = Literal["left", "right"]
#: Left, top, right and bottom edge in pixels of the image; right and bottom are the first outside.
Box = tuple[int, int, int, int]
#: A keyed hash (HMAC-SHA-256, shortened), meaningless without the key.
HexName = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
HexImage = Annotated[str, Field(pattern=r"^[0-9a-f]{16}\.png$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DisplayedSize(Record):
    """The size at which one image is shown, in CSS pixels."""

    width: int
    height: int


class SkippedObject(Record):
    """An object, or a scene without any, that a study of regions leaves out."""

    scene: str
    #: The object's id in the instance map, or null for the whole scene.
    instance: int | None
    #: The object's share of the image's area, or null for the whole scene.
    area: float | None
    reason: str


class BuildInputs(Record):
    """The inputs of a packet; the same inputs and the same key give the same bytes."""

    version: Version
    protocol: StudyProtocol
    benchmark: str
    #: Width and height of the images, in pixels.
    size: tuple[int, int]
    methods: list[str]
    #: The value of ``--reference``, or null.
    reference: str | None
    scenes: list[str]
    #: Left out of the file without anchor trials.
    anchors: list[str] = Field(default_factory=list[str])
    regions: dict[str, Box]
    seed: int
    run_seed: int
    intersect: bool
    #: The number of scenes requested, or null for all.
    most_scenes: int | None
    #: Digest of all images of methods.
    images: Sha256
    #: Digest of the files that practice and checks are made from.
    controls: Sha256
    #: SHA-256 of the participant's page.
    page: Sha256


class PacketImage(Record):
    """The content of one image file of a packet."""

    #: ``method``: what is compared. ``control``: practice and checks. ``mask``: covers images.
    role: Literal["method", "control", "mask"]
    #: Null but for ``method``.
    method: str | None
    #: Null for ``mask``.
    scene: str | None
    #: Null but for ``control``.
    shows: Literal["photograph", "label", "blur"] | None
    #: Name of the file that it was made from, or null for ``mask``.
    source: str | None


class StudyRecord(Record):
    """``study.json``: everything that is fixed when the packet is built."""

    version: Version
    #: The protocol's name.
    name: Annotated[str, Field(validation_alias="study", serialization_alias="study")]
    protocol: StudyProtocol
    #: SHA-256 of the protocol's canonical JSON.
    protocol_hash: Sha256
    benchmark: str
    #: Width and height of the images, in pixels.
    size: tuple[int, int]
    display: DisplayedSize
    #: Methods in the order given, the reference last.
    methods: list[str]
    #: The method that all others are compared with, or null.
    reference: str | None
    #: Compared pairs; a rate says how often the first of a pair is preferred.
    pairs: Annotated[list[tuple[str, str]], Field(min_length=1)]
    #: Test scenes that are shown.
    scenes: Annotated[list[str], Field(min_length=1)]
    #: Test scenes of anchor trials, which no comparison shows. Left out of the file without any.
    anchors: list[str] = Field(default_factory=list[str])
    #: Training scenes of practice and checks, those of practice first.
    controls: list[str]
    #: The outlined box of each scene and control scene; empty without regions.
    regions: dict[str, Box]
    #: Objects and scenes that regions leave out.
    skipped: list[SkippedObject]
    #: Whether only a part of the scenes is shown (``--scenes``).
    subset: bool
    #: Whether scenes that a method lacks were left out (``--intersect``).
    intersect: bool
    #: Names of the scenes that ``intersect`` left out.
    left_out: list[str]
    #: Seed of the design.
    seed: int
    #: Seed of the runs whose images are shown.
    run_seed: int
    #: The protocol's quality rules, once more, for readers without hdbench.
    quality: Quality
    #: Key of all hexadecimal names and of the participants' hashes; 64 hexadecimal digits. It is in
    #: ``secret.key``; only packets built earlier have it here.
    key: Sha256 = ""
    inputs: BuildInputs
    #: Versions of hdbench, Python and packages.
    created_with: dict[str, str]
    #: Every image by its hexadecimal name.
    images: dict[HexName, PacketImage]
    #: SHA-256 of the design; names of methods and scenes do not enter.
    design_hash: Sha256
    #: How many participants' packets there are, numbered from 0.
    packets: Annotated[int, Field(ge=1)]
    #: The public id of each, in order of its number.
    packet_ids: list[HexName]
    #: By pair (``a and b``), how many scenes have identical images, where there are any.
    identical: dict[str, int]
    #: SHA-256 of ``manifest.csv``, which has the digest of every image. Packets built earlier have
    #: no such key.
    manifest_sha256: Sha256 | None = None
    #: SHA-256 of the content of ``secret.key``. Packets built earlier have no such key.
    key_sha256: Sha256 | None = None
    #: Size in bytes of every image file but the patterns. Packets built earlier have no such key.
    image_bytes: Annotated[int, Field(ge=1)] | None = None

    @property
    def shown(self) -> list[tuple[str, str]]:
        """Method and scene of every image of a method: compared ones, then those of anchors."""
        compared = [(method, scene) for method in self.methods for scene in self.scenes]
        every = self.every_method
        return compared + [(method, scene) for method in every for scene in self.anchors]

    @property
    def every_method(self) -> list[str]:
        """The compared methods, and last the one of anchor trials if there are any."""
        anchor = self.protocol.anchor
        return self.methods if anchor is None else [*self.methods, anchor.method]

    @model_validator(mode="after")
    def _fits_together(self) -> StudyRecord:
        if len(self.packet_ids) != self.packets:
            raise ValueError(f"packets = {self.packets}, but {len(self.packet_ids)} packet_ids")
        needed = self.protocol.practice.count + self.protocol.checks.count
        if len(self.controls) < needed:
            raise ValueError(
                f"{len(self.controls)} controls; practice and checks of the protocol need {needed}"
            )
        anchor = self.protocol.anchor
        if len(self.anchors) != (anchor.count if anchor else 0):
            raise ValueError(f"{len(self.anchors)} anchors; expected as many as the protocol says")
        if anchor is not None and anchor.method in self.methods:
            raise ValueError(f"methods: {anchor.method} is compared and the anchor of the study")
        return self


class TrialRecord(Record):
    """A line of ``trials.jsonl``: one trial of one packet, with the names of methods and scene.

    Practice and checks show a training photograph beside its label map or its blur: ``a``, ``b``,
    ``scene``, ``left`` and ``right`` are null. Judgments and anchor trials have no right answer.
    """

    #: The trial's public name.
    trial: HexName
    #: Number of the packet, from 0.
    packet: Annotated[int, Field(ge=0)]
    #: Place in the packet, from 0.
    position: Annotated[int, Field(ge=0)]
    #: Number of the pass: within one, every scene is shown once.
    pass_number: PassNumber
    kind: Kind
    #: First and second method of the pair; in anchor trials, a compared method and the anchor.
    a: str | None
    b: str | None
    scene: str | None
    #: The methods whose images stand left and right.
    left: str | None
    right: str | None
    left_image: HexImage
    right_image: HexImage
    #: The pattern that covers the images, or null.
    mask_image: HexImage | None
    #: How long both images are shown, or null: until an answer.
    duration_ms: int | None
    #: The outlined box, or null.
    region: Box | None
    #: The side of the photograph in practice and checks.
    expected: Side | None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> TrialRecord:
        named = {value is not None for value in (self.a, self.b, self.scene, self.left, self.right)}
        compares = self.kind in ("judgment", "anchor")
        if named != {compares} or (self.expected is None) != compares:
            raise ValueError(
                f"a trial of kind {self.kind} has a, b, scene, left and right, and no right answer"
                if compares
                else f"a trial of kind {self.kind} has a right answer, and no methods and scene"
            )
        return self


class PublicTrial(Record):
    """One trial as a participant's browser receives it."""

    trial: HexName
    #: Image files.
    left: HexImage
    right: HexImage
    mask: HexImage | None
    duration_ms: int | None
    region: Box | None
    #: The right answer in practice; null in checks and judgments, which look the same.
    feedback: Side | None


class PublicPacket(Record):
    """``web/packets/<id>.json``: a packet for a browser, without names of methods and scenes."""

    version: Version
    #: Public id of the study.
    study: HexName
    #: Public id of the packet.
    packet: HexName
    question: str
    left_label: str
    right_label: str
    #: Paragraphs before the first trial.
    instructions: list[str]
    mode: Literal["unlimited", "timed"]
    display: DisplayedSize
    #: Prefix of the image files, as the page resolves it.
    images: str
    trials: Annotated[list[PublicTrial], Field(min_length=1)]
