"""What is measured of a method, as tables of scores show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hdbench.evaluation.comparing import require_one_fingerprint
from hdbench.schema.method import Method
from hdbench.schema.report import Row
from hdbench.schema.result import Result


@dataclass(frozen=True)
class Measured:
    """The results of one method, one for each training seed."""

    #: Under the benchmark's segmenter, by seed; at least one.
    results: tuple[Result, ...]
    #: Under the second segmenter, by seed; empty if it has scored none.
    second: tuple[Result, ...] = ()
    #: Whether it is compared with others: neither photographs nor a floor.
    ranked: bool = True
    #: How many images each of its runs saw in training, counted as often as they were seen; None
    #: where nothing was trained or nothing is known of it.
    images_seen: int | None = None
    #: Where results of another laboratory come from; empty for those of this workspace.
    origin: str = ""
    #: Repeats the number; for results from elsewhere, there.
    command: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """Results of another laboratory, for a row of their own under the same fingerprint rule."""

    #: The row's heading.
    title: str
    #: Where they come from, in a sentence's words: who measured them, the file, its digest.
    origin: str
    #: Of one method, one for each seed.
    results: tuple[Result, ...]
    #: Under the second segmenter.
    second: tuple[Result, ...] = ()
    #: How many images each of its runs saw in training; None where nothing is known of it.
    images_seen: int | None = None

    @property
    def row(self) -> Row:
        """The row of a table."""
        return Row(title=self.title, method=f"{self.results[0].method} ({self.title})")

    @property
    def measured(self) -> Measured:
        """What the row shows."""
        return Measured(self.results, self.second, images_seen=self.images_seen, origin=self.origin)


def row_beside(method: Method, benchmark: str) -> Row:
    """Return the row of a method that was trained on the benchmark named in ``beside``."""
    title = f"{method.title}, trained on '{benchmark}'"
    return Row(title=title, method=f"{method.name} ({benchmark})")


def require_comparable(measured: Mapping[str, Measured]) -> None:
    """Check that methods may stand in one table.

    Raises:
        HdbenchError: their fingerprints differ; each choice that differs is named.
    """
    for part in ("results", "second"):
        found: list[Result] = []
        for name, one in measured.items():
            for result in getattr(one, part):
                found.append(result.model_copy(update={"method": name}))
        if found:
            require_one_fingerprint(found)
