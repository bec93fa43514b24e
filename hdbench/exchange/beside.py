"""Other labs' methods for a table of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdbench.errors import UsageError
from hdbench.exchange.reading import open_bundle
from hdbench.schema.bundle import BundleEntry


def methods_of(paths: Sequence[Path]) -> list[list[BundleEntry]]:
    """Return the methods of bundles, each as its runs in the order of their seeds.

    The bundles' references are left out: oracle and floors stand in every table already.

    Raises:
        UsageError: there is no such file, or two have one name.
        DataError: a bundle does not hold together; all that is wrong is named.
    """
    found: dict[tuple[str, str], list[BundleEntry]] = {}
    names: set[str] = set()
    for path in paths:
        bundle = open_bundle(path)
        if bundle.name in names:
            raise UsageError(
                f"{path}: another bundle is named '{bundle.name}' too; rename one of the files"
            )
        names.add(bundle.name)
        for entry in bundle.results:
            if entry.role == "method":
                found.setdefault((entry.bundle, entry.method), []).append(entry)
    return [sorted(runs, key=lambda entry: entry.seed) for runs in found.values()]
