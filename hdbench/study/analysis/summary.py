"""The numbers of a tally (``summary.json``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from hdbench.evaluation.significance import LEVEL, holm
from hdbench.provenance import versions
from hdbench.schema.record import Record
from hdbench.schema.summary import (
    SUMMARY_SCHEMA,
    AnchorFindings,
    AnchorRate,
    BradleyTerry,
    Counts,
    MetricCorrelation,
    NoCorrelation,
    NoEstimate,
    NoTrend,
    PairRate,
    PairTrend,
    Share,
    Summary,
    TimedRate,
    Unnamed,
)
from hdbench.study.analysis.ranking import bradley_terry, trend_over_time
from hdbench.study.analysis.statistics import correlate, krippendorff_alpha, share_of
from hdbench.study.analysis.tally import Tally, where, within_one_frame

#: A metric's score of each image, by method and scene.
Scores = Mapping[str, Mapping[str, float]]


def analyse(tally: Tally, metrics: Mapping[str, Scores]) -> Summary:
    """Return the analysis of a study.

    ``metrics`` are scores of images by the metric's name, to compare with preferences.
    """
    study, judged = tally.study, tally.judgments()
    timed = study.protocol.design.mode == "timed"
    anchor = study.protocol.anchor
    return Summary(
        schema_version=SUMMARY_SCHEMA,
        study=study.name,
        title=study.protocol.title,
        version=study.protocol.version,
        mode=study.protocol.design.mode,
        simulated=tally.simulated,
        protocol_hash=study.protocol_hash,
        design_hash=study.design_hash,
        methods=study.methods,
        reference=study.reference,
        scenes=len(study.scenes),
        level=LEVEL,
        counts=_counts(tally, judged),
        unnamed=_unnamed(tally, judged),
        exclusions=tally.exclusions,
        packets_to_ask_again=tally.packets_to_ask(),
        pairs=pair_rates(tally, judged),
        side=share_of(judged["choice"] == "left", judged["participant"], judged["scene"])
        if len(judged)
        else None,
        bradley_terry=_abilities(judged),
        durations=list(_durations(study.pairs, judged)) if timed else [],
        trends=list(_trends(study.pairs, judged)) if timed else [],
        metrics=[
            row
            for name, scores in metrics.items()
            for row in _metric(study.pairs, judged, name, scores)
        ],
        created_with=versions(),
        **({} if anchor is None else {"anchor": _anchor(tally, anchor.method)}),
    )


def pair_rates(tally: Tally, judged: pd.DataFrame) -> list[PairRate]:
    """Return the rate of each pair in ``judged``, with p-values corrected for all pairs (Holm)."""
    everyone = tally.judgments(all_sessions=True)
    rows = []
    for a, b in tally.study.pairs:
        own = _of_pair(judged, a, b)
        alpha = krippendorff_alpha(_units(own), own["chosen"]) if len(own) else None
        of_all = _rate(_of_pair(everyone, a, b), a)
        rows.append(PairRate(a=a, b=b, **_keys(_rate(own, a)), alpha=alpha, all_sessions=of_all))
    for name in ("p_value", "clustered_p_value"):
        tested = [n for n, row in enumerate(rows) if getattr(row, name) is not None]
        corrected = holm([getattr(rows[n], name) for n in tested])
        for n, value in zip(tested, corrected, strict=True):
            rows[n] = rows[n].model_copy(update={f"{name}_holm": value})
    return rows


def _units(rows: pd.DataFrame) -> list[str]:
    """Return the judged units: scenes, in timed studies per duration."""
    return [
        f"{scene}/{time}" for scene, time in zip(rows["scene"], rows["duration_ms"], strict=True)
    ]


def _of_pair(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    return where(rows, (rows["a"] == a) & (rows["b"] == b))


def _rate(rows: pd.DataFrame, a: str) -> Share:
    if rows.empty:
        return Share(share=None, k=0, n=0)
    return share_of(rows["chosen"] == a, rows["participant"], rows["scene"])


def _keys(record: Record) -> dict[str, Any]:
    """Return the keys that a record was given, for a record that has more."""
    return {name: getattr(record, name) for name in record.model_fields_set}


def _anchor(tally: Tally, method: str) -> AnchorFindings:
    """Return how often compared methods were preferred over the anchor."""
    rows = tally.anchor_trials()
    preferred: list[float] = [
        float(np.mean(own["chosen"] == method))
        for _, own in cast("Any", rows.groupby(["participant", "session"]))
    ]
    return AnchorFindings(
        method=method,
        scenes=len(tally.study.anchors),
        rates=[
            AnchorRate(method=name, **_keys(_rate(where(rows, rows["a"] == name), name)))
            for name in tally.study.methods
        ],
        over_all=share_of(rows["chosen"] != method, rows["participant"], rows["scene"])
        if len(rows)
        else Share(share=None, k=0, n=0),
        sessions=len(preferred),
        preferring_anchor=sum(share > 0.5 for share in preferred),
    )


def _abilities(judged: pd.DataFrame) -> BradleyTerry | NoEstimate:
    return bradley_terry(
        judged["left"],
        judged["right"],
        judged["choice"] == "left",
        judged["participant"],
        judged["scene"],
    )


def _durations(pairs: Sequence[tuple[str, str]], judged: pd.DataFrame) -> Iterator[TimedRate]:
    """Yield the rate of each pair at each planned duration, and how long that was on screen."""
    for a, b in pairs:
        for planned, own in cast("Any", _of_pair(judged, a, b).groupby("duration_ms")):
            measured = own["shown_ms"].to_numpy(dtype=float, na_value=np.nan)
            measured = measured[~np.isnan(measured)]
            median = float(np.median(measured)) if len(measured) else None
            yield TimedRate(
                a=a, b=b, planned_ms=int(planned), measured_ms=median, **_keys(_rate(own, a))
            )


def _trends(
    pairs: Sequence[tuple[str, str]], judged: pd.DataFrame
) -> Iterator[PairTrend | NoTrend]:
    for a, b in pairs:
        own = _of_pair(judged, a, b)
        own = where(own, own["shown_ms"].to_numpy(dtype=float, na_value=np.nan) > 0)
        trend = trend_over_time(
            own["chosen"] == a, own["shown_ms"], own["participant"], own["scene"]
        )
        if isinstance(trend, str):
            yield NoTrend(a=a, b=b, reason=trend)
        else:
            yield PairTrend(a=a, b=b, **_keys(trend))


def _metric(
    pairs: Sequence[tuple[str, str]], judged: pd.DataFrame, name: str, scores: Scores
) -> Iterator[MetricCorrelation | NoCorrelation]:
    """Yield, for each scored pair, the correlation of a metric's differences with preferences."""
    for a, b in pairs:
        if a not in scores or b not in scores:
            continue
        own = _of_pair(judged, a, b)
        preferences = {
            scene: float(np.mean(rows_of_scene["chosen"] == a))
            for scene, rows_of_scene in cast("Any", own.groupby("scene"))
            if scene in scores[a] and scene in scores[b]
        }
        differences = [scores[a][scene] - scores[b][scene] for scene in preferences]
        found = correlate(differences, list(preferences.values()))
        if found is None:
            reason = "too few images or no variation"
            yield NoCorrelation(metric=name, a=a, b=b, reason=reason)
        else:
            yield MetricCorrelation(metric=name, a=a, b=b, **_keys(found))


def _unnamed(tally: Tally, judged: pd.DataFrame) -> Unnamed:
    return Unnamed(
        sessions=len(tally.unnamed),
        judging_sessions=len(tally.unnamed & set(judged["participant"])),
    )


def _counts(tally: Tally, judged: pd.DataFrame) -> Counts:
    table = tally.table
    sessions = table.drop_duplicates(["participant", "session"])
    quality = [entry for entry in tally.exclusions if entry.kind == "quality"]
    repeats = [entry for entry in tally.exclusions if entry.kind == "repeat"]
    return Counts(
        participants=len(set(sessions["participant"]) - tally.unnamed),
        sessions=len(sessions),
        sources=dict(Counter(sessions["source"])),
        answered=len(tally.judgments(all_sessions=True)) + sum(e.judgments for e in repeats),
        judgments=len(judged),
        judging_participants=len(set(judged["participant"]) - tally.unnamed),
        judged_scenes=len(set(judged["scene"])),
        excluded_sessions=len(quality),
        excluded_judgments=sum(entry.judgments for entry in quality),
        repeat_sessions=len(repeats),
        repeat_judgments=sum(entry.judgments for entry in repeats),
        duplicate_rows=tally.duplicates,
        blank_submissions=len(tally.blanks),
        missing_judgments=tally.missing(),
        void_attempts=int(np.count_nonzero(table["void"].notna())),
        within_one_frame=within_one_frame(judged, tally.study.protocol),
    )
