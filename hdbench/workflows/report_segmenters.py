"""The ranks of all measured methods under each segmenter that has scored them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hdbench.errors import CheckpointError
from hdbench.evaluation.agreement import UnderSegmenter, agreements
from hdbench.evaluation.comparing import require_one_fingerprint
from hdbench.evaluation.seeds import estimates_of
from hdbench.library import CARD_FILE, METHODS, SEGMENTERS
from hdbench.reporting.comparisons import agreement_table, segmenters_table
from hdbench.reporting.document import Section
from hdbench.reporting.footnotes import bracket_notes
from hdbench.schema.report import Report
from hdbench.schema.result import Result
from hdbench.segmentation.segmenter import Segmenter, SegmenterCard, read_card
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import current_runs

_NOTES = (
    "Rank 1 is the highest mean. The oracle is not ranked, and not in Kendall's tau-b.",
    "Brackets of tau: 95 % percentile bootstrap over images; methods and seeds are not resampled.",
    "Each segmenter has a fingerprint of its own, so compare ranks across them, not scores. Seeds "
    "of a method are shown if all segmenters that scored the method have scored them.",
)


def segmenter_sections(
    bench: Bench,
    report: Report,
    seeds: Sequence[int] | None,
    segmenter: Segmenter,
    second: Segmenter | None,
) -> tuple[list[Section], dict[str, str]]:
    """Return ranks and their agreement, with facts; none if fewer than two segmenters scored.

    Raises:
        HdbenchError: a result is stale.
    """
    assert report.segmenters is not None
    cards = _cards(bench, segmenter, second)
    scored = {
        name: current_runs(bench, list(bench.library.entries(METHODS)), seeds, card)
        for name, card in cards.items()
    }
    scored = {name: runs for name, runs in scored.items() if runs}
    if len(scored) < 2:
        return [], {}
    under = [
        UnderSegmenter(name, cards[name].weights, _shared(runs, list(scored.values())))
        for name, runs in scored.items()
    ]
    for one in under:
        require_one_fingerprint(one.results)
    scores = report.segmenters.scores
    best = under[0].scores(scores[0])
    under[0].results.sort(key=lambda one: (-(best[one.method] or 0.0), one.seed))
    found = [entry for score in scores for entry in agreements(under) if entry.score == score]
    titles = {name: bench.library.method(name).title for one in under for name in one.by_method}
    notes = bracket_notes(estimates_of(under[0].by_method).values())
    sections = [
        Section(
            "Scores and ranks",
            "ranks",
            segmenters_table(under, scores, titles),
            notes=[note for note in notes if "CSV" not in note] + list(_NOTES),
        ),
        Section("Agreement of the ranks", "agreement", agreement_table(found, titles)),
    ]
    facts = {one.segmenter: f"fingerprint {one.results[0].fingerprint}" for one in under}
    command = " ".join(f"--segmenter {name}" for name in ("own", "second"))
    facts["command"] = f"hdbench evaluate --method NAME {command}, or the folder of a segmenter"
    return sections, facts


def _shared(
    runs: dict[str, list[Result]], all_runs: Sequence[dict[str, list[Result]]]
) -> list[Result]:
    """Return the results of the seeds that every segmenter has scored that scored the method."""
    shared: list[Result] = []
    for name, results in runs.items():
        seeds = [{one.seed for one in other[name]} for other in all_runs if name in other]
        shared += [one for one in results if one.seed in set.intersection(*seeds)]
    return shared


def _cards(
    bench: Bench, segmenter: Segmenter, second: Segmenter | None
) -> dict[str, SegmenterCard]:
    """Return the cards of the segmenters that may have scored, by their names in the table.

    Others than the benchmark's two are those that ship and those in the workspace.
    """
    found = {f"first ({segmenter.card.architecture})": segmenter.card}
    if second is not None:
        found[f"second ({second.card.architecture})"] = second.card
    for folder in _folders(bench):
        try:
            card = read_card(folder)
        except CheckpointError:  # somebody's own affair, until it is asked to score
            continue
        known = [one.choices for one in found.values()]
        if card.label_space == bench.space.name and card.choices not in known:
            found[f"{card.architecture} {card.short_name}"] = card
    return found


def _folders(bench: Bench) -> Iterator[Path]:
    yield from bench.library.entries(SEGMENTERS).values()
    for path in sorted((bench.workspace.root / "segmenters").rglob(CARD_FILE)):
        yield path.parent
