"""The numbers of a tally, as one JSON value (``summary.json``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd

from hdbench.evaluation.significance import LEVEL, holm
from hdbench.provenance import versions
from hdbench.study.analysis.ranking import bradley_terry, trend_over_time
from hdbench.study.analysis.statistics import (
    Share,
    correlate,
    krippendorff_alpha,
    share_of,
)
from hdbench.study.analysis.tally import Tally, where, within_one_frame

#: Of ``summary.json``; 2: one test for each p-value and its interval.
SCHEMA = 2
#: A metric's score of each image, by method and scene.
Scores = Mapping[str, Mapping[str, float]]


def analyse(tally: Tally, metrics: Mapping[str, Scores]) -> dict[str, Any]:
    """Return the analysis of a study as JSON values.

    ``metrics`` are scores of images by the metric's name, to compare with preferences. Shares are
    in [0, 1]; the rate of a pair is how often its ``a`` was preferred.
    """
    study, judged = tally.study, tally.judgments()
    timed = study.protocol.design.mode == "timed"
    return {
        "schema": SCHEMA,
        "study": study.name,
        "title": study.protocol.title,
        "version": study.protocol.version,
        "mode": study.protocol.design.mode,
        "simulated": tally.simulated,
        "protocol_hash": study.protocol_hash,
        "design_hash": study.design_hash,
        "methods": study.methods,
        "reference": study.reference,
        "scenes": len(study.scenes),
        "level": LEVEL,
        "counts": _counts(tally, judged),
        "unnamed": _unnamed(tally, judged),
        "exclusions": [asdict(exclusion) for exclusion in tally.exclusions],
        "packets_to_ask_again": tally.packets_to_ask(),
        "pairs": pair_rates(tally, judged),
        "side": _share(share_of(judged["choice"] == "left", judged["participant"], judged["scene"]))
        if len(judged)
        else None,
        "bradley_terry": _abilities(judged),
        "durations": _durations(study.pairs, judged) if timed else [],
        "trends": _trends(study.pairs, judged) if timed else [],
        "metrics": [
            row
            for name, scores in metrics.items()
            for row in _metric(study.pairs, judged, name, scores)
        ],
        "created_with": versions(),
    }


def pair_rates(tally: Tally, judged: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rate of each pair in ``judged``, with p-values corrected for all pairs (Holm)."""
    everyone = tally.judgments(all_sessions=True)
    rows = []
    for a, b in tally.study.pairs:
        own = _of_pair(judged, a, b)
        row: dict[str, Any] = {"a": a, "b": b, **_rate(own, a)}
        row["alpha"] = krippendorff_alpha(_units(own), own["chosen"]) if len(own) else None
        row["all_sessions"] = _rate(_of_pair(everyone, a, b), a)
        rows.append(row)
    for name in ("p_value", "clustered_p_value"):
        tested = [row for row in rows if row.get(name) is not None]
        for row, value in zip(tested, holm([row[name] for row in tested]), strict=True):
            row[f"{name}_holm"] = value
    return rows


def _units(rows: pd.DataFrame) -> list[str]:
    """Return the judged units: scenes, in timed studies per duration."""
    return [
        f"{scene}/{time}" for scene, time in zip(rows["scene"], rows["duration_ms"], strict=True)
    ]


def _of_pair(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    return where(rows, (rows["a"] == a) & (rows["b"] == b))


def _rate(rows: pd.DataFrame, a: str) -> dict[str, Any]:
    if rows.empty:
        return {"k": 0, "n": 0, "share": None}
    return _share(share_of(rows["chosen"] == a, rows["participant"], rows["scene"]))


def _share(share: Share) -> dict[str, Any]:
    return {"share": share.value, **asdict(share)}


def _abilities(judged: pd.DataFrame) -> dict[str, Any]:
    found = bradley_terry(
        judged["left"],
        judged["right"],
        judged["choice"] == "left",
        judged["participant"],
        judged["scene"],
    )
    return {name: value for name, value in asdict(found).items() if value is not None}


def _durations(pairs: Sequence[tuple[str, str]], judged: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rate of each pair at each planned duration, and how long that was on screen."""
    rows = []
    for a, b in pairs:
        for planned, own in cast("Any", _of_pair(judged, a, b).groupby("duration_ms")):
            measured = own["shown_ms"].to_numpy(dtype=float, na_value=np.nan)
            measured = measured[~np.isnan(measured)]
            rows.append(
                {
                    "a": a,
                    "b": b,
                    "planned_ms": int(planned),
                    "measured_ms": float(np.median(measured)) if len(measured) else None,
                    **_rate(own, a),
                }
            )
    return rows


def _trends(pairs: Sequence[tuple[str, str]], judged: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for a, b in pairs:
        own = _of_pair(judged, a, b)
        own = where(own, own["shown_ms"].to_numpy(dtype=float, na_value=np.nan) > 0)
        trend = trend_over_time(
            own["chosen"] == a, own["shown_ms"], own["participant"], own["scene"]
        )
        said = {"reason": trend} if isinstance(trend, str) else asdict(trend)
        rows.append({"a": a, "b": b, **said})
    return rows


def _metric(
    pairs: Sequence[tuple[str, str]], judged: pd.DataFrame, name: str, scores: Scores
) -> list[dict[str, Any]]:
    """Return, for each scored pair, the correlation of a metric's differences with preferences."""
    rows = []
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
        said = {"reason": "too few images or no variation"} if found is None else asdict(found)
        rows.append({"metric": name, "a": a, "b": b, **said})
    return rows


def _unnamed(tally: Tally, judged: pd.DataFrame) -> dict[str, Any]:
    """Return the sessions of people whom nothing names; one person may have taken several."""
    return {
        "sessions": len(tally.unnamed),
        "judging_sessions": len(tally.unnamed & set(judged["participant"])),
    }


def _counts(tally: Tally, judged: pd.DataFrame) -> dict[str, Any]:
    table = tally.table
    sessions = table.drop_duplicates(["participant", "session"])
    quality = [entry for entry in tally.exclusions if entry.kind == "quality"]
    repeats = [entry for entry in tally.exclusions if entry.kind == "repeat"]
    return {
        "participants": len(set(sessions["participant"]) - tally.unnamed),
        "sessions": len(sessions),
        "sources": dict(Counter(sessions["source"])),
        "answered": len(tally.judgments(all_sessions=True)) + sum(e.judgments for e in repeats),
        "judgments": len(judged),
        "judging_participants": len(set(judged["participant"]) - tally.unnamed),
        "judged_scenes": len(set(judged["scene"])),
        "excluded_sessions": len(quality),
        "excluded_judgments": sum(entry.judgments for entry in quality),
        "repeat_sessions": len(repeats),
        "repeat_judgments": sum(entry.judgments for entry in repeats),
        "duplicate_rows": tally.duplicates,
        "blank_submissions": len(tally.blanks),
        "missing_judgments": tally.missing(),
        "void_attempts": int(np.count_nonzero(table["void"].notna())),
        "within_one_frame": within_one_frame(judged, tally.study.protocol),
    }
