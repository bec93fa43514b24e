"""Report files of human studies (``reports/*.toml`` with comparisons instead of rows)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hdbench.schema.base import LibraryFile, Table

Percent = Annotated[float, Field(ge=0, le=100)]


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
    #: The study whose packets are shown (``protocols/studies/``).
    study: str | None = None
    #: Published preference for ``method``, per cent; left out if there is none.
    published: Percent | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Comparison:
        named = [self.method is not None, self.over is not None, self.study is not None]
        if any(named) != all(named):
            raise ValueError("a comparison names method, over and study, or none of them")
        if not any(named) and self.published is None:
            raise ValueError("a comparison needs methods, a published preference, or both")
        if self.method is not None and self.method == self.over:
            raise ValueError(f"'{self.method}' is compared with itself")
        return self


class PreferenceReport(LibraryFile):
    """A table or figure of preferences: measured and published rates, in separate columns."""

    #: What the published numbers were measured on.
    published_on: str
    #: ``rates``: a line for each comparison. ``durations``: a line for each time shown as well.
    show: Literal["rates", "durations"]
    comparisons: list[Comparison]
