"""Records of participants' answers: a session's submission, and the table of all judgments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from hdbench.schema.packet import HexName, Kind, PassNumber, Side, Version
from hdbench.schema.record import Record

#: The origin of answers: the packet's own files, a venue's results CSV, or a simulation.
Source = Literal["own", "mturk", "turkle", "simulated"]


def _blank_is_missing(value: Any) -> Any:
    return None if value == "" else value


def _moment(value: str) -> str:
    datetime.fromisoformat(value)  # raises ValueError, which pydantic reports
    return value


#: Bounded, so that edited numbers cause no overflow; 1e10 ms are four months.
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Span = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
Void = Literal["hidden", "blur", "resize", "load", "frames"]
Moment = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}([.][0-9]{1,6})?(Z|[+]00:00)$"),
    AfterValidator(_moment),
]


class Attempt(Record):
    """One attempt at one trial, as the participant's page records it."""

    #: The trial's public name.
    trial: HexName
    #: 2 if attempt 1 was void.
    attempt: Literal[1, 2]
    #: The side that was chosen; null or blank is a missing answer.
    choice: Annotated[Side | None, BeforeValidator(_blank_is_missing)]
    #: From the moment both images are shown, in timed trials from the mask; milliseconds.
    response_ms: Span | None
    input: Literal["key", "mouse", "touch"] | None
    #: Why this attempt does not count, or null.
    void: Void | None
    #: The planned time on screen; milliseconds and frames.
    planned_ms: Count | None
    frames_planned: Count | None
    #: Frames during which both images were on screen.
    frames_shown: Count | None
    #: Frames that the screen dropped meanwhile.
    dropped: Count | None
    #: Measured time on screen, milliseconds.
    shown_ms: Span | None
    #: Frames of the screen in a second.
    refresh_hz: Span | None
    #: ISO 8601, UTC.
    at: Moment
    #: Written by ``hdbench study simulate``, not by a person.
    simulated: bool = False


class Submission(Record):
    """The answers of one session; ``judgments.jsonl`` holds one per line."""

    #: The format's version.
    version: Version
    #: The study's public id.
    study: str
    #: The packet's public id.
    packet: str
    #: Random, made by the page.
    session: Annotated[str, Field(pattern=r"^[0-9a-zA-Z-]{8,64}$")]
    #: The browser's user agent, and its window's width and height in CSS pixels.
    user_agent: str | None = None
    viewport: list[float] | None = None
    rows: list[Attempt]
    #: Keyed hash of the participant; only in own files, venues name the participant elsewhere.
    participant: Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")] | None = None
    #: False: nobody said who the participant is, so ``participant`` stands for the session.
    named: bool = True
    simulated: bool = False


class Judgment(Record):
    """A row of the judgments table (``judgments.csv``): an attempt and its trial."""

    #: The study's name.
    study: str
    source: Source
    simulated: bool
    #: Keyed hash of the person.
    participant: str
    session: str
    #: Number of the packet.
    packet: int
    trial: HexName
    attempt: int
    kind: Kind
    #: Number of the pass.
    pass_number: PassNumber
    #: First and second method of the pair; null for practice and checks.
    a: str | None
    b: str | None
    scene: str | None
    #: The methods whose images stood left and right.
    left: str | None
    right: str | None
    choice: Side | None
    #: The method that was chosen.
    chosen: str | None
    #: The right answer of practice and checks.
    expected: Side | None
    #: The planned time; null: until an answer.
    duration_ms: int | None
    #: As in ``Attempt``.
    shown_ms: float | None
    frames_planned: int | None
    frames_shown: int | None
    response_ms: float | None
    void: Void | None
    at: str


#: The columns of the judgments table.
COLUMNS = tuple(
    str(field.serialization_alias or name) for name, field in Judgment.model_fields.items()
)
