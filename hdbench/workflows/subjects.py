"""What is measured: methods beside the floors, and the results that they have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdbench.errors import HdbenchError
from hdbench.schema.method import Method
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.evaluate import FLOOR_METHODS, stored_results
from hdbench.workspace.bench import Bench
from hdbench.workspace.measures import Measure, load_measure
from hdbench.workspace.results import Result


def with_others(bench: Bench, methods: Sequence[str], *others: str) -> dict[str, Method]:
    """Return methods by what they are asked for by, those of ``others`` and the floors behind."""
    chosen = {name: bench.library.method(name) for name in methods}
    known = {method.name for method in chosen.values()}
    for name in (*others, *FLOOR_METHODS):
        if name not in known:
            chosen[name] = bench.library.method(name)
    return chosen


def require_results(
    bench: Bench, methods: Sequence[str], seed: int, segmenter: Segmenter
) -> dict[str, Result]:
    """Return the results of methods under a judge, by what the methods are asked for by.

    Raises:
        HdbenchError: one was not scored, or is no longer true.
    """
    found = stored_results(bench, methods, seed, segmenter)
    results: dict[str, Result] = {}
    for name in methods:
        method = bench.library.method(name)
        if method.name not in found:
            raise HdbenchError(
                f"'{name}' is not scored on '{bench.benchmark.name}' by this judge under "
                f"'{bench.scoring.name}' yet.\nNext: 'hdbench evaluate --method {name}'"
            )
        results[name] = found[method.name]
    return results


def known_measure(path: Path) -> Measure | None:
    """Return a stored measure, or None if there is none or it is damaged: it is made again."""
    try:
        return load_measure(path)
    except HdbenchError:
        return None
