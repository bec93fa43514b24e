"""Other labs' methods for a table of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdbench.errors import UsageError
from hdbench.evaluation.comparing import require_one_fingerprint
from hdbench.exchange.reading import open_bundle
from hdbench.schema.bundle import BundleEntry
from hdbench.schema.result import Result


def entries_beside(paths: Sequence[Path], own: Result) -> list[BundleEntry]:
    """Return the methods of bundles that may be ranked with a result of one's own.

    The bundles' references are left out: oracle and floors stand in every table already.

    Raises:
        UsageError: there is no such file, or two have one name.
        DataError: a bundle does not hold together; all that is wrong is named.
        HdbenchError: the results are of other choices; each is named.
    """
    found: dict[str, BundleEntry] = {}
    for path in paths:
        for entry in open_bundle(path).results:
            if entry.role != "method":
                continue
            if entry.name in found:
                raise UsageError(
                    f"{path}: another bundle is named '{entry.bundle}' too; rename one of the files"
                )
            require_one_fingerprint([own, entry.named()[0]])
            found[entry.name] = entry
    return list(found.values())
