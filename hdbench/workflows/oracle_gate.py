"""The oracle gate: evaluation stops if real images score too far below the segmenter's card.

More than one point, that is. What a card declares holds wherever the same scenes are scored at the
same size and counted in the same way, whatever the benchmark is called. Fingerprints are not
compared on purpose: a wrong mean, class table, photograph or label changes them and is what the
gate is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hdbench.errors import HdbenchError, LibraryError
from hdbench.evaluation.explain import differences
from hdbench.provenance import digest
from hdbench.schema.result import OVERALL, Result
from hdbench.segmentation.segmenter import Segmenter, SegmenterCard
from hdbench.text import SCORE
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import is_trained_here

_GATE = 0.01  # the oracle may fall this far below what the segmenter's card declares
#: What of a convention moves a number; its name, title and further readings do not.
_COUNTED = ("label_space", "segmenter", "labels", "counting")


def measured_on(result: Result) -> dict[str, Any]:
    """Return what an oracle was measured on, as JSON values, for the card that declares it.

    Dataset, names of the scenes, size, and the convention without its name: all that another
    benchmark must share for the declared score to hold there.
    """
    scoring = result.choices["scoring"]
    return {
        "dataset": result.choices["dataset"],
        "scene_names": digest(result.scenes),
        "image_size": result.choices["image_size"],
        "scoring": {key: scoring[key] for key in _COUNTED},
    }


def obstacle(bench: Bench, result: Result, card: SegmenterCard) -> str | None:
    """Return in words why a card's declared score does not bind an oracle's, or None if it does.

    A card without ``measured_on`` names its benchmark and convention: what these say is taken from
    the library, which tells all of a dataset that hdbench draws. Of photographs on disk it cannot
    tell whether they are the same; then only the same benchmark or fingerprint will do.
    """
    declared = card.oracle
    if declared is None:
        return "the segmenter's card declares no oracle"
    if declared.get("fingerprint") == result.fingerprint:
        return None
    here = {**measured_on(result), "split": result.choices["split"]}
    try:
        there = declared.get("measured_on") or _named(bench, declared, here, result.scoring)
    except LibraryError:
        return (
            f"the card declares an oracle for '{declared['benchmark']}' under "
            f"'{declared['scoring']}', which are not both in the library, and says no more of it"
        )
    found = differences(there, {key: here[key] for key in there})
    if found:
        words = "; ".join(entry.sentence("the card", "this benchmark") for entry in found)
        return f"the card declares an oracle of something else: {words}"
    same_scenes = "scene_names" in there or bench.benchmark.data.built_in
    if not same_scenes and declared["benchmark"] != bench.benchmark.name:
        return (
            f"the card declares an oracle for '{declared['benchmark']}' and does not say on which "
            f"scenes of layout '{here['dataset']}'"
        )
    if "scene_names" not in there and bench.subset is not None:
        return f"only {len(result.scenes)} scenes of the split are scored"
    return None


def _named(
    bench: Bench, declared: Mapping[str, Any], here: Mapping[str, Any], scoring: str
) -> dict[str, Any]:
    """Return what the library says of the benchmark and convention that a card names.

    Raises LibraryError if it lacks one of them.
    """
    try:
        benchmark = bench.library.benchmark(declared["benchmark"])
    except LibraryError:
        if declared["benchmark"] != bench.benchmark.name:
            raise
        benchmark = bench.benchmark  # a file of the user's own
    policies = here["scoring"]
    if declared["scoring"] != scoring:  # a convention's name stands for all that it says
        policies = bench.library.scoring(declared["scoring"]).model_dump(include=set(_COUNTED))
    return {
        "dataset": benchmark.data.layout,
        "split": benchmark.data.test,
        "image_size": [benchmark.size.width, benchmark.size.height],
        "scoring": policies,
    }


def oracle_gate(bench: Bench, result: Result, segmenter: Segmenter) -> None:
    """Raise HdbenchError if the oracle is over a point below a card that binds (``obstacle``)."""
    card = segmenter.card
    if card.oracle is None or obstacle(bench, result, card) is not None:
        return
    anew = ""
    if is_trained_here(bench, card):
        anew = ", then 'hdbench segmenter train --restart' if the data is meant to have changed"
    for name in OVERALL:
        measured = result.scores.overall(name) or 0.0
        if measured < card.oracle[name] - _GATE:
            raise HdbenchError(
                f"the oracle's {name} is {SCORE.text(measured)}, the segmenter's card declares "
                f"{SCORE.text(card.oracle[name])}: the photographs, labels, sizes or the card's "
                "mean and std changed, so no score here can be trusted.\n"
                f"Next: 'hdbench data check'{anew}"
            )


def gate_notes(bench: Bench, oracles: Sequence[Result], segmenter: Segmenter) -> list[str]:
    """Return a sentence for each reason why an oracle was not held to the card."""
    notes: dict[str, list[str]] = {}
    for result in oracles:
        reason = obstacle(bench, result, segmenter.card)
        if reason is not None:
            notes.setdefault(reason, []).append(result.scoring)
    found = [
        f"no oracle gate on '{bench.benchmark.name}' under {', '.join(names)}: {reason}"
        for reason, names in notes.items()
    ]
    if segmenter.card.oracle is None:
        found.append("Next: 'hdbench segmenter check --declare' holds later scores to these")
    return found
