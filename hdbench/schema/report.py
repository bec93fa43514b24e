"""Report files (``reports/*.toml``): rows, columns and published numbers with their source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hdbench.schema.base import LibraryFile, Table

#: What a column shows: a score over all classes, or the mean IoU over the oracle's.
Score = Literal["pixel_accuracy", "mean_iou", "oracle_ratio"]


class Column(Table):
    """One score: a column of measured and a column of published values."""

    #: Which score of a result.
    score: Score
    #: The column's heading.
    title: str
    #: Multiplies the score in print: 100 for per cent.
    factor: float
    #: Digits after the point.
    digits: Annotated[int, Field(ge=0, le=6)]


class Row(Table):
    """One line: a method of the library, a published row, or both."""

    #: The line's heading.
    title: str
    #: A method whose results are shown; left out where hdbench has no such method.
    method: str | None = None
    #: Published scores in the columns' printed units; left out if there are none.
    published: dict[Score, float] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Row:
        if self.method is None and self.published is None:
            raise ValueError("a row needs a method, published scores, or both")
        return self


class Report(LibraryFile):
    """One table: measured scores beside published ones, never mixed."""

    #: What the published numbers were measured on.
    published_on: str
    columns: list[Column]
    rows: list[Row]
