"""The library: methods, protocols, reports and shipped weights, found by name and validated."""

from hdbench.library.files import Library, library_root
from hdbench.library.kinds import (
    BENCHMARKS,
    CARD_FILE,
    GENERATORS,
    KINDS,
    LABEL_SPACES,
    METHODS,
    PERCEPTUALS,
    REPORTS,
    SCORINGS,
    SEGMENTERS,
    STUDIES,
    WEIGHTS,
)

__all__ = [
    "BENCHMARKS",
    "CARD_FILE",
    "GENERATORS",
    "KINDS",
    "LABEL_SPACES",
    "METHODS",
    "PERCEPTUALS",
    "REPORTS",
    "SCORINGS",
    "SEGMENTERS",
    "STUDIES",
    "WEIGHTS",
    "Library",
    "library_root",
]
