"""Tables of what ``compare`` and several segmenters find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from hdbench.evaluation.agreement import Agreement, UnderSegmenter, ranks
from hdbench.evaluation.comparing import Comparison, Pair
from hdbench.evaluation.seeds import estimates_of
from hdbench.evaluation.uncertainty import intervals_of
from hdbench.reporting.score_table import estimate_text
from hdbench.reporting.tables import COLUMNS, score_cell
from hdbench.schema.result import OVERALL, Overall, Result
from hdbench.text import CORRELATION, NOTHING, joined, p_words


def side_by_side(names: Sequence[str], results: Sequence[Result]) -> pd.DataFrame:
    """Return the overall scores of results, one row per result; their fingerprints may differ."""
    lines = []
    for result in results:
        own = intervals_of([result])
        lines.append(
            [
                score_cell(result.method, score, style, {result.method: result}, own)
                for score, (_, style) in COLUMNS.items()
            ]
        )
    columns = [title for title, _ in COLUMNS.values()]
    return pd.DataFrame(lines, index=pd.Index(names, name="result"), columns=columns)


def steps_table(comparison: Comparison, letter: str) -> pd.DataFrame:
    """Return by how much each choice that can be recomputed changes A's scores, one row each."""
    lines = [(step.title, step.change) for step in comparison.steps]
    lines.append((f"what is left between A and {letter}", comparison.rest))
    return pd.DataFrame(
        {
            title: [style.text(change[score], sign="+") for _, change in lines]
            for score, (title, style) in COLUMNS.items()
        },
        index=pd.Index([title for title, _ in lines], name=f"made in A as in {letter}"),
    )


def pairs_table(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return differences between methods with intervals and p-values, a row per score and pair."""
    lines = []
    for pair in pairs:
        title, style = COLUMNS[pair.difference.score]
        found = pair.difference
        lines.append(
            [
                title,
                style.text(found.value, found.interval, "+"),
                p_words(found.p_value),
                p_words(pair.corrected),
            ]
        )
    index = pd.Index([f"{pair.ours} - {pair.theirs}" for pair in pairs], name="methods")
    return pd.DataFrame(lines, index=index, columns=["score", "difference", "p", "p (Holm)"])


def segmenters_table(
    scored: Sequence[UnderSegmenter],
    scores: Sequence[Overall] = OVERALL,
    titles: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the scores of the same images under several segmenters, with ranks.

    There is a row for each method of any segmenter, called as ``titles`` say.
    """
    heads: list[tuple[str, str]] = []
    columns: list[list[str]] = []
    methods = list(dict.fromkeys(name for one in scored for name in one.by_method))
    for one in scored:
        estimates = estimates_of(one.by_method)
        for score in scores:
            title, style = COLUMNS[score]
            places = ranks(one.scores(score))
            heads += [(one.segmenter, title), (one.segmenter, "rank")]
            columns.append(
                [
                    estimate_text(estimates[name].of(score), style)
                    if name in estimates
                    else NOTHING
                    for name in methods
                ]
            )
            columns.append([str(places.get(name) or NOTHING) for name in methods])
    return pd.DataFrame(
        [list(line) for line in zip(*columns, strict=True)],
        index=pd.Index([(titles or {}).get(name, name) for name in methods], name="method"),
        columns=pd.MultiIndex.from_tuples(heads),
    )


def agreement_table(
    agreements: Sequence[Agreement], titles: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return Kendall's tau of each score, one row per score and pair of segmenters.

    Methods are called as ``titles`` say.
    """
    called = titles or {}
    lines = [
        [
            COLUMNS[entry.score][0],
            CORRELATION.text(entry.tau, entry.interval, sign="+"),
            str(entry.methods),
            "; ".join(joined([called.get(name, name) for name in pair]) for pair in entry.swapped)
            or "none",
        ]
        for entry in agreements
    ]
    index = pd.Index(
        [f"{entry.ours} and {entry.theirs}" for entry in agreements], name="segmenters"
    )
    columns = ["score", "Kendall's tau", "methods", "pairs ranked the other way round"]
    return pd.DataFrame(lines, index=index, columns=columns)
