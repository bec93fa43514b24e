"""Results of other labs as rows of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdbench.exchange.beside import methods_of
from hdbench.reporting.measured import Elsewhere
from hdbench.schema.bundle import TrainedOn
from hdbench.text import inert


def elsewhere(paths: Sequence[Path]) -> list[Elsewhere]:
    """Return the methods of bundles, each with all of its seeds.

    Raises:
        UsageError: there is no such file, or two have one name.
        DataError: a bundle does not hold together; all that is wrong is named.
    """
    rows = []
    for runs in methods_of(paths):
        first = runs[0]
        # A mean under the second segmenter needs all seeds.
        second = [entry.second for entry in runs if entry.second is not None]
        rows.append(
            Elsewhere(
                f"{inert(first.title)} ({inert(first.bundle)})",
                f"bundle '{inert(first.bundle)}'; {_training(first.trained_on)}",
                tuple(entry.result for entry in runs),
                tuple(second) if len(second) == len(runs) else (),
                first.trained_on.images_seen,
            )
        )
    return rows


def _training(known: TrainedOn) -> str:
    if known.said_by == "nobody":
        return "what it was trained on is not stated"
    source = "its card" if known.said_by == "card" else "the lab"
    return f"trained on, as {source} states it: {inert(known.words)}"
