"""What the participant's page hands in: answers, one row for each attempt at a trial."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class _Record(BaseModel):
    """A record of a page; pages of later versions may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


def _blank_is_missing(value: Any) -> Any:
    return None if value == "" else value


def _moment(value: str) -> str:
    datetime.fromisoformat(value)  # a ValueError is the field's problem
    return value


#: Bounded, so that no edited number overflows what is computed from it; 1e10 ms are four months.
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Span = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]


class PageRow(_Record):
    """One attempt at one trial."""

    #: The trial's 16 hexadecimal digits.
    trial: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    #: 2 if attempt 1 was void.
    attempt: Literal[1, 2]
    #: The side that was chosen; blank is missing.
    choice: Annotated[Literal["left", "right"] | None, BeforeValidator(_blank_is_missing)]
    #: From the moment both images are shown, in timed trials from the mask; milliseconds.
    response_ms: Span | None
    input: Literal["key", "mouse", "touch"] | None
    #: Why this attempt does not count, or null.
    void: Literal["hidden", "blur", "resize", "load", "frames"] | None
    planned_ms: Count | None
    frames_planned: Count | None
    frames_shown: Count | None
    dropped: Count | None
    #: Measured time on screen, milliseconds.
    shown_ms: Span | None
    refresh_hz: Span | None
    #: ISO 8601, UTC.
    at: Annotated[
        str,
        Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}([.][0-9]{1,6})?(Z|[+]00:00)$"),
        AfterValidator(_moment),
    ]
    #: Written by ``hdbench study simulate``, not by a person.
    simulated: bool = False


class Submission(_Record):
    """What one session hands in."""

    #: The format's version; this package reads and writes 1.
    version: Annotated[Literal[1], Field(alias="schema")]
    #: The study's public id.
    study: str
    #: The packet's public id.
    packet: str
    #: Random, made by the page.
    session: Annotated[str, Field(pattern=r"^[0-9a-zA-Z-]{8,64}$")]
    rows: list[PageRow]
    #: Keyed hash of the participant; only in own files, other venues name the participant beside.
    participant: Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")] | None = None
    simulated: bool = False
