"""What a table must say about the images behind its numbers."""

from __future__ import annotations

from collections.abc import Iterable

from hdbench.results import Result


def footnotes(results: Iterable[Result]) -> list[str]:
    """Return a sentence for each thing that a reader must know of imported images.

    Images that came in a format that loses something, and scenes that have none.
    """
    notes: list[str] = []
    for result in results:
        facts = result.provenance.get("imported")
        if facts is None:
            continue
        if facts["lossy"]:
            notes.append(
                f"{result.method}: {facts['lossy']} of {facts['scenes']} images came as JPEG, "
                "which changes what the segmenter sees; all others here are of lossless files."
            )
        if facts["scenes"] < facts["scenes_of_split"]:
            notes.append(
                f"{result.method}: images of {facts['scenes']} of {facts['scenes_of_split']} "
                "scenes; all rows are scored on these alone, so no number here compares with one "
                "of the whole split."
            )
    return notes
