"""Study files (``protocols/studies/*.toml``): the question, the design, and the exclusion rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hdbench.schema.base import LibraryFile, Positive, Rate, Table, Weight

#: The largest size at which two images fit side by side, with the texts, into 1366x768 pixels.
MOST_WIDTH, MOST_HEIGHT = 660, 500

Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


class Question(Table):
    """The texts that participants read."""

    #: The one question of every trial.
    text: Text
    #: The text of the left button.
    left_label: Text
    #: The text of the right button.
    right_label: Text
    #: Shown before the practice, one short paragraph each.
    instructions: Annotated[list[Text], Field(min_length=1)]


class Design(Table):
    """The assignment of trials to participants, and the time shown."""

    #: R: judgments of each pair on each scene. Timed studies divide them among the durations:
    #: R = 2 x durations shows every scene at every duration with both sides.
    judgments_per_pair: Positive
    #: The number of passes that one participant may take part in. A pass shows no scene twice, so
    #: with 1 nobody sees a scene twice.
    passes: Positive
    #: The most judgments in a packet, without practice and checks.
    packet_length: Positive
    #: ``unlimited``: images stay until an answer. ``timed``: they are shown for a duration.
    mode: Literal["unlimited", "timed"]
    #: How long both images are shown, in milliseconds, rising; none in unlimited studies.
    durations_ms: list[Positive]
    #: Cover the images with a pattern when their time is over.
    mask: bool

    @model_validator(mode="after")
    def _fits_together(self) -> Design:
        if self.mode == "unlimited":
            if self.durations_ms or self.mask:
                raise ValueError('mode = "unlimited" takes durations_ms = [] and mask = false')
            if self.judgments_per_pair % 2:
                raise ValueError(
                    f"judgments_per_pair = {self.judgments_per_pair} is odd; half of them show "
                    "each method on the left, so use an even number"
                )
        elif not self.durations_ms:
            raise ValueError('mode = "timed" needs durations_ms, in milliseconds')
        elif self.durations_ms != sorted(set(self.durations_ms)):
            raise ValueError(f"durations_ms = {self.durations_ms}; state each once, rising")
        return self


class Checks(Table):
    """Attention checks: a training photograph beside an image that is clearly not one."""

    #: Checks of each packet.
    count: Annotated[int, Field(ge=0)]
    #: The image beside the photograph: its painted label map, or a strong blur of it.
    kind: Literal["label", "blur"]


class Anchor(Table):
    """Trials that show a compared method beside a method that is known to be worse.

    They look like judgments, their scenes are in no comparison, and no session is excluded for
    them: they show how far down the scale of the study reaches, and whether people used it. Raters
    of sound know them as hidden low anchors (ITU-R BS.1534).
    """

    #: The method that is known to be worse, usually a floor; its name, not a path.
    method: Annotated[str, Field(pattern="^[^/]+$")]
    #: Anchor trials of each packet, and test scenes that are set aside for them.
    count: Positive


class Practice(Table):
    """Trials with feedback at the beginning of a packet, of training scenes like checks."""

    #: Practice trials of each packet.
    count: Annotated[int, Field(ge=0)]


class Quality(Table):
    """Rules that exclude sessions; fixed at build time, applied by the tally."""

    #: Checks that must be passed.
    checks_passed: Annotated[int, Field(ge=0)]
    #: The least median response time, in milliseconds.
    median_response_ms: Weight
    #: The largest share of answers on one side.
    one_side_share: Annotated[float, Field(ge=0.5, le=1)]
    #: The least share of timed trials shown within one frame of what was planned.
    timed_within_one_frame: Share


class Region(Table):
    """Ask about one object instead of the whole image: its box is outlined on both images."""

    #: Whether regions are shown at all; without, ``label = ""`` and ``minimum_area = 0.0``.
    enabled: bool
    #: The class whose largest object of each scene is outlined, by its name in the label space.
    label: str
    #: Objects that cover less than this share of the image are skipped and listed.
    minimum_area: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> Region:
        if self.enabled and not self.label:
            raise ValueError('enabled = true needs a label, such as "car"')
        if not self.enabled and (self.label or self.minimum_area):
            raise ValueError('enabled = false takes label = "" and minimum_area = 0.0')
        return self


class Display(Table):
    """The box, in CSS pixels, that one displayed image fills as far as its shape allows."""

    width: Annotated[int, Field(ge=64, le=MOST_WIDTH)]
    height: Annotated[int, Field(ge=64, le=MOST_HEIGHT)]

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """Return the displayed width and height, in CSS pixels, of an image of another size."""
        scale = min(self.width / width, self.height / height)
        return max(1, round(width * scale)), max(1, round(height * scale))


class Venue(Table):
    """Wage and time, from which ``study plan`` computes cost and hours."""

    #: US dollars for an hour of a participant's time.
    hourly_wage: Rate
    #: Seconds that a trial takes, instructions and pauses left out.
    seconds_per_trial: Rate


class StudyProtocol(LibraryFile):
    """One protocol; a packet carries its version and hash."""

    #: Increases with every change once people have taken part.
    version: Positive
    question: Question
    design: Design
    checks: Checks
    practice: Practice
    quality: Quality
    region: Region
    display: Display
    venue: Venue
    #: Optional; without this table, packets have no anchor trials.
    anchor: Anchor | None = None

    @model_serializer(mode="wrap")
    def _leave_out_no_anchor(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the table out where there is none, so that hashes of such protocols stay."""
        content = handler(self)
        if self.anchor is None:
            content.pop("anchor", None)
        return content

    @model_validator(mode="after")
    def _checks_can_be_passed(self) -> StudyProtocol:
        if self.quality.checks_passed > self.checks.count:
            raise ValueError(
                f"[quality] checks_passed = {self.quality.checks_passed}, but [checks] count = "
                f"{self.checks.count}; nobody could pass"
            )
        return self
