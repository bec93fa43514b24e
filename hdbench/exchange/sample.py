"""Which images travel in a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from hdbench.provenance import digest
from hdbench.schema.method import Method


def sampled_scenes(scenes: Sequence[str], count: int, results: Iterable[str]) -> list[str]:
    """Return ``count`` of the scenes, in their order; all of them if there are no more.

    They follow from ``results``, the SHA-256 of the records of all results: whoever packs a bundle
    has no say in which images are looked at, and another result would have other scenes.
    """
    seed = digest(sorted(results))

    def place(scene: str) -> str:
        return hashlib.sha256(f"{seed}/{scene}".encode()).hexdigest()

    chosen = set(sorted(scenes, key=place)[:count])
    return [scene for scene in scenes if scene in chosen]


def why_withheld(method: Method, built_in: bool) -> str | None:
    """Return why images of a method do not travel, or None if they do.

    Photographs of a dataset belong to others; ``built_in`` says that hdbench draws the scenes.
    """
    if built_in:
        return None
    if method.images_from == "dataset":
        return "they are photographs of the dataset, which are not this lab's to pass on"
    if method.images_from == "floor" and method.copies_photographs:
        return "they are parts of the dataset's photographs, which are not this lab's to pass on"
    return None
