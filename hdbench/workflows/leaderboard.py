"""``hdbench bundle leaderboard``: a folder of bundles, each verified, ranked on one page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import torch

from hdbench.errors import UsageError
from hdbench.evaluation.uncertainty import intervals_of
from hdbench.exchange.reading import same_labels
from hdbench.reporting.leaderboard import Board, Listed, Ranked, render_leaderboard
from hdbench.runtime.progress import progress
from hdbench.schema.bundle import Bundle, BundleEntry, Check
from hdbench.text import inert
from hdbench.workflows.check_bundle import Here, Verified, verify

#: Problems of a bundle that are shown.
_SHOWN = 12


@dataclass(frozen=True)
class LeaderboardPage:
    """The page, and what is on it."""

    html: str
    #: Methods that are ranked; oracle and floors are not.
    methods: int
    bundles: int
    tables: int
    #: A line for each bundle that does not hold, with its first problem.
    refused: list[str]


def leaderboard_page(
    folder: Path,
    title: str,
    here: Here,
    device: torch.device,
    rescore: bool = True,
    tolerance: float = 0.0,
) -> LeaderboardPage:
    """Verify the bundles of a folder and return the page that ranks those that hold.

    ``here``, ``rescore`` and ``tolerance`` are those of ``verify``.

    Raises:
        UsageError: there is no bundle in the folder.
    """
    paths = sorted(folder.glob("*.zip"))
    if not paths:
        raise UsageError(f"{folder}: holds no bundle; expected archives of 'hdbench bundle pack'")
    found = [
        verify(path, here, device, rescore, tolerance)
        for path in progress(paths, desc="verifying", unit="bundle")
    ]
    found = _with_one_truth(found)
    holding = [(one, one.bundle) for one in found if one.bundle is not None]
    rows = [
        row
        for one, bundle in progress(holding, desc="ranking", unit="bundle")
        for row in _rows(one, bundle)
    ]
    rows.sort(key=_fingerprint)
    titles = {bundle.name: bundle.title for _, bundle in holding}
    boards = [
        Board(titles[group[0].first.bundle], _merged(group))
        for group in (list(group) for _, group in groupby(rows, key=_fingerprint))
    ]
    boards.sort(key=lambda board: (-len(board.rows), board.title))
    ranked = sum(row.first.role == "method" for board in boards for row in board.rows)
    refused = [one.wrong[0] for one in found if one.bundle is None]
    html = render_leaderboard(title, boards, [_listed(one) for one in found])
    return LeaderboardPage(html, ranked, len(found), len(boards), refused)


def _fingerprint(row: Ranked) -> str:
    return row.first.result.fingerprint


def _with_one_truth(found: Sequence[Verified]) -> list[Verified]:
    """Return the bundles with those refused whose labels are not those of their fingerprint.

    A fingerprint has a hash of the label maps, whose pixels of each class the matrices count. The
    bundle of most images that were scored again is taken as right.
    """
    first: dict[str, BundleEntry] = {}
    for one in sorted(found, key=lambda one: -sum(one.rescored.values())):
        if one.bundle is not None:
            entry = one.bundle.results[0]
            first.setdefault(entry.result.fingerprint, entry)
    return [_held_to(one, first) for one in found]


def _held_to(one: Verified, right: Mapping[str, BundleEntry]) -> Verified:
    if one.bundle is None:
        return one
    ours = one.bundle.results[0].result
    other = right[ours.fingerprint]
    if other.result.scenes == ours.scenes and same_labels(other.result, ours):
        return one
    check = Check(
        claim="bundles of one fingerprint count the same label maps",
        measured="",
        wrong=[
            f"{inert(one.path.name)}: its matrices count other pixels of some class than those of "
            f"'{inert(other.bundle)}', though their fingerprints agree"
        ],
    )
    return replace(one, bundle=None, checks=[*one.checks, check])


def _rows(verified: Verified, bundle: Bundle) -> list[Ranked]:
    """Return the methods of a bundle, each with all of its seeds."""
    oracle = next((entry.result for entry in bundle.results if entry.role == "oracle"), None)
    # The oracle keeps its name, by which the others' ratios find it.
    named = [
        entry.result if entry.role == "oracle" else entry.named()[0] for entry in bundle.results
    ]
    found = intervals_of(named)
    intervals = {
        entry.name: found[result.method]
        for entry, result in zip(bundle.results, named, strict=True)
        if result.method in found
    }
    by_method: dict[str, list[BundleEntry]] = {}
    for entry in bundle.results:
        by_method.setdefault(entry.method, []).append(entry)
    return [
        Ranked(
            sorted(entries, key=lambda entry: entry.seed),
            oracle,
            intervals,
            verified.rescored,
            [bundle.name],
            len(bundle.sample),
        )
        for entries in by_method.values()
    ]


def _merged(rows: Sequence[Ranked]) -> list[Ranked]:
    """Return rows with references that are alike in several bundles as one row."""
    kept: dict[object, Ranked] = {}
    for row in rows:
        first, key = row.first, (row.first.bundle, row.first.method)
        if first.role != "method":
            matrices = hashlib.sha256(first.result.matrices.tobytes()).hexdigest()
            key = (first.role, first.method, matrices)
        if key in kept:
            kept[key] = replace(kept[key], bundles=[*kept[key].bundles, *row.bundles])
        else:
            kept[key] = row
    return list(kept.values())


def _listed(verified: Verified) -> Listed:
    bundle, name = verified.bundle, verified.path.name
    if bundle is None:
        more = len(verified.wrong) - _SHOWN
        rest = [f"... and {more} more"] if more > 0 else []
        return Listed(name, "", "", [*verified.wrong[:_SHOWN], *rest], False)
    lines = [f"{check.claim}: {check.measured}" for check in verified.checks if check.checked]
    lines += [f"not checked: {line}" for check in verified.checks for line in check.unchecked]
    return Listed(name, bundle.contact, bundle.sha256, lines, True)
