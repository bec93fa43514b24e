"""Report files (``reports/*.toml``): tables and figures, and published numbers with their source.

A report has one or several parts, in this order: scores (``[[rows]]``), preferences
(``[[comparisons]]``), pictures (``[pictures]``), ranks under several segmenters (``[segmenters]``),
edited scenes (``[edits]``); or it collects other reports (``reports``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hdbench.schema.base import LibraryFile, Positive, Table
from hdbench.schema.result import Overall

#: What a column shows: a score over all classes, or the mean IoU over the oracle's.
Score = Literal["pixel_accuracy", "mean_iou", "oracle_ratio"]
Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]


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


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Comparison(Table):
    """One line: how often a method was preferred over another, measured, published, or both.

    Methods are named as in a packet; the library need not have them.
    """

    #: The line's heading.
    title: str
    #: The method whose preference is shown; left out where hdbench cannot measure it.
    method: str | None = None
    #: The method that it is compared with.
    over: str | None = None
    #: The study whose packets are shown (``protocols/studies/``), or a list of studies that ask the
    #: same; the first is proposed where nothing is measured.
    study: Annotated[list[str], BeforeValidator(_listed)] = Field(default_factory=list[str])
    #: Published preference for ``method``, per cent; left out if there is none.
    published: Percent | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Comparison:
        named = [self.method is not None, self.over is not None, bool(self.study)]
        if any(named) != all(named):
            raise ValueError("a comparison names method, over and study, or none of them")
        if not any(named) and self.published is None:
            raise ValueError("a comparison needs methods, a published preference, or both")
        if self.method is not None and self.method == self.over:
            raise ValueError(f"'{self.method}' is compared with itself")
        return self


class Box(Table):
    """A part of an image, in shares of its width and height."""

    left: Share
    top: Share
    right: Share
    bottom: Share

    @model_validator(mode="after")
    def _is_not_empty(self) -> Box:
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("the box is empty: expected left < right and top < bottom")
        return self


class Pictures(Table):
    """Scenes in rows; label map, methods and photograph in columns."""

    #: The methods whose images are shown, in this order; those without images are left out.
    methods: list[str]
    #: How many scenes, spread evenly over the test split; left out where ``scenes`` names them.
    count: Positive | None = None
    #: Names of scenes; left out where ``count`` says how many.
    scenes: list[str] | None = None
    #: What is enlarged: the surroundings of each scene's largest instance of a class that has
    #: instances, or the same box in all scenes.
    inset: Literal["largest-instance"] | Box

    @model_validator(mode="after")
    def _chooses_scenes_in_one_way(self) -> Pictures:
        if (self.count is None) == (self.scenes is None):
            raise ValueError("expected one of the keys count and scenes")
        return self


class Segmenters(Table):
    """The ranks of all measured methods under each segmenter that has scored them."""

    #: What methods are ranked by.
    scores: Annotated[list[Overall], Field(min_length=1)]


class Edits(Table):
    """Scenes that ``hdbench edit`` exported: labels and image before and after, a row for each."""

    #: Whether the part that the edits changed is enlarged below.
    enlarged: bool


class Report(LibraryFile):
    """Tables and figures: measured numbers beside published ones, never mixed."""

    #: What the published numbers were measured on; stated beside rows and comparisons.
    published_on: str | None = None
    #: The scores of ``rows``, whose oracle and floors are always shown.
    columns: list[Column] = Field(default_factory=list[Column])
    #: Beside ``rows``: whether each measured method without a row gets one at the end.
    every_method: bool | None = None
    rows: list[Row] = Field(default_factory=list[Row])
    #: Beside preferences: ``rates``, a line for each comparison; ``durations``, a line for each
    #: time shown.
    show: Literal["rates", "durations"] | None = None
    comparisons: list[Comparison] = Field(default_factory=list[Comparison])
    #: Instead of ``comparisons``: a comparison for every pair of every tallied study.
    every_pair: bool = False
    pictures: Pictures | None = None
    segmenters: Segmenters | None = None
    edits: Edits | None = None
    #: Names of reports that stand on one page, in this order.
    reports: list[str] = Field(default_factory=list[str])

    @property
    def methods(self) -> list[str]:
        """The methods that the report names, in its order."""
        named = [row.method for row in self.rows]
        for entry in self.comparisons:
            named += [entry.method, entry.over]
        named += self.pictures.methods if self.pictures else []
        return list(dict.fromkeys(name for name in named if name is not None))

    @property
    def shows_scores(self) -> bool:
        """Whether any part of it needs results of a benchmark."""
        return bool(self.rows or self.pictures or self.segmenters)

    @property
    def shows_preferences(self) -> bool:
        """Whether it needs tallied studies."""
        return bool(self.comparisons) or self.every_pair

    @model_validator(mode="after")
    def _has_parts(self) -> Report:
        preferences = self.shows_preferences
        if self.comparisons and self.every_pair:
            raise ValueError("every_pair = true makes the comparisons; leave [[comparisons]] out")
        parts = (self.rows, preferences, self.pictures, self.segmenters, self.edits)
        if self.reports and any(parts):
            raise ValueError("a report that collects reports has no rows, comparisons or pictures")
        if not self.reports and not any(parts):
            raise ValueError(
                "a report needs [[rows]], [[comparisons]], every_pair, [pictures], [segmenters], "
                "[edits] or reports"
            )
        together = {
            "columns": (bool(self.columns), bool(self.rows), "[[rows]]"),
            "every_method": (self.every_method is not None, bool(self.rows), "[[rows]]"),
            "show": (self.show is not None, preferences, "[[comparisons]] or every_pair"),
            "published_on": (
                self.published_on is not None,
                bool(self.rows or self.comparisons),
                "[[rows]] or [[comparisons]]",
            ),
        }
        for key, (stated, needed, beside) in together.items():
            if stated != needed:
                verb = "is missing beside" if needed else "has no meaning without"
                raise ValueError(f"key '{key}' {verb} {beside}")
        return self
