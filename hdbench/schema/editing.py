"""Edits of a scene, the files that keep them, and scripts of edits.

Points are ``[x, y]`` in pixels of the scene, from the upper left corner of its upper left pixel, so
that the centre of that pixel is ``[0.5, 0.5]``. A region is an instance of the instance map, or all
pixels of a class where a scene has no instance map.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hdbench.schema.record import Record

#: What an id of a region must be below, so that a 16-bit PNG holds it.
MOST_REGIONS = 2**16
#: The longest list of edits, and of points of one edit.
MOST_EDITS, MOST_POINTS = 10_000, 4_096

_Coordinate = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
Point = Annotated[tuple[_Coordinate, _Coordinate], Field(strict=False)]
Label = Annotated[int, Field(ge=0, le=255)]
Region = Annotated[int, Field(ge=0, lt=MOST_REGIONS)]
#: A number of a centre, or the style itself, as the encoder returns it.
StyleValue = (
    Annotated[int, Field(ge=0)]
    | Annotated[
        list[Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]],
        Field(min_length=1, max_length=64),
    ]
)


class Paint(Record):
    """Paint a class: with a round brush along points, inside a polygon, or over what is joined."""

    do: Literal["paint"] = "paint"
    label: Label
    #: ``brush``: within ``radius`` of the line through the points. ``polygon``: inside of it.
    #: ``fill``: all pixels of the same region that are joined to the point.
    tool: Literal["brush", "polygon", "fill"]
    points: Annotated[list[Point], Field(min_length=1, max_length=MOST_POINTS)]
    #: Of the brush, in pixels; the other tools have none.
    radius: Annotated[float, Field(gt=0, le=4_096, allow_inf_nan=False)] | None = None
    #: The instance of this class that grows; None: the class's own region, or a new instance of a
    #: class that has instances.
    into: Region | None = None

    @model_validator(mode="after")
    def _fits_its_tool(self) -> Paint:
        if (self.radius is None) == (self.tool == "brush"):
            raise ValueError("radius: the brush needs one, and no other tool has one")
        if self.tool == "polygon" and len(self.points) < 3:
            raise ValueError(f"points: {len(self.points)}; a polygon needs 3 at least")
        if self.tool == "fill" and len(self.points) != 1:
            raise ValueError(f"points: {len(self.points)}; fill starts at 1")
        return self


class Stamp(Record):
    """Put an instance into the scene whose shape is that of an instance of the data."""

    do: Literal["stamp"] = "stamp"
    #: The name of the shape, ``SCENE:REGION``.
    shape: Annotated[str, Field(max_length=300)]
    #: Where the middle of the shape's lower edge comes to lie.
    at: Point
    #: Of its height and width.
    scale: Annotated[float, Field(ge=0.05, le=20, allow_inf_nan=False)] = 1.0
    #: Mirrored left to right.
    flip: bool = False


class Remove(Record):
    """Remove an instance; each of its pixels becomes what the nearest pixel around it is.

    Void and other instances do not grow.
    """

    do: Literal["remove"] = "remove"
    region: Region


class Relabel(Record):
    """Give a region another class."""

    do: Literal["relabel"] = "relabel"
    region: Region
    label: Label


class Move(Record):
    """Move an instance; what it leaves is filled as by ``Remove``."""

    do: Literal["move"] = "move"
    region: Region
    by: Point


class Restyle(Record):
    """Give a region a style; None: the one that it has without any edit."""

    do: Literal["style"] = "style"
    region: Region
    style: StyleValue | None


Edit = Annotated[Paint | Stamp | Remove | Relabel | Move | Restyle, Field(discriminator="do")]


class Operation(Record):
    """One step of a session: an edit, or a step back or forward through them."""

    #: Made by who asks; the same one again changes nothing.
    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    #: How many operations were carried out before it.
    revision: Annotated[int, Field(ge=0)]
    #: ``edit``, or ``undo`` and ``redo`` of one edit, or ``undo-all``.
    kind: Literal["edit", "undo", "redo", "undo-all"] = "edit"
    edit: Edit | None = None

    @model_validator(mode="after")
    def _has_its_edit(self) -> Operation:
        if (self.edit is None) == (self.kind == "edit"):
            raise ValueError("edit: an operation of kind 'edit' has one, and no other has")
        return self


class SessionBase(Record):
    """The first line of a session's file: the scene before all edits."""

    #: Of this record.
    schema_: Literal[1] = Field(1, alias="schema")
    kind: Literal["hdbench-session"] = "hdbench-session"
    #: The scene's name, on which random styles depend.
    scene: Annotated[str, Field(min_length=1, max_length=200)]
    #: The label space of the ids.
    label_space: str
    #: PNG files in base64: label ids (8 bits), instance ids (16 bits), photograph (RGB).
    label: str
    instance: str | None
    photograph: str | None
    #: Styles of regions that were encoded from a photograph, and the digest of the encoder that
    #: these and the styles of edits are of; None: the method had no styles.
    styles: dict[str, StyleValue] = Field(default_factory=dict)
    encoder: str | None = None


class SceneStyles(Record):
    """The styles of an exported scene's regions; those that are not named are random."""

    #: Digest of the encoder that the styles are of, and of the centres that numbers count.
    encoder: str
    centres: str
    #: By the ids of regions.
    styles: dict[str, StyleValue]


class ScriptedScene(Record):
    """One scene of a script."""

    #: The name of a test scene.
    scene: str
    #: What the exported scene is called; default: the scene's name and ``-edited``.
    name: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,120}$")] | None = None
    #: For people: what the edits do.
    title: str = ""
    edits: Annotated[list[Edit], Field(min_length=1, max_length=MOST_EDITS)]


class Script(Record):
    """A file of edits (``hdbench edit --script``)."""

    scenes: Annotated[list[ScriptedScene], Field(min_length=1, max_length=1_000)]
