"""Checks of sessions before their answers count: that they belong to the packet, and differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdbench.errors import DataError
from hdbench.schema.judgment import Attempt
from hdbench.study.analysis.submissions import Received
from hdbench.study.packet.files import Packet
from hdbench.study.packet.rendering import public_study_id

#: Sessions that share this part of their response times, and this many different values, are
#: copies: pages record tenths of milliseconds, and browsers that round, tenths of seconds.
_COPIED_SHARE, _COPIED_VALUES = 0.5, 5


def require_ids(packet: Packet, entry: Received) -> int:
    """Return the number of the packet that a submission says it answers.

    Raises:
        DataError: it names another study, or a packet that this study does not have.
    """
    study = packet.study
    expected = public_study_id(study)
    if entry.study != expected:
        raise DataError(
            f"{entry.where}: study = {entry.study!r}; expected {expected!r}, the id of "
            f"{packet.folder}. These answers belong to another study"
        )
    if entry.packet not in study.packet_ids:
        raise DataError(
            f"{entry.where}: packet = {entry.packet!r} is none of the {study.packets} packets of "
            f"{packet.folder}, so the answers were edited. Take the file from its source again"
        )
    return study.packet_ids.index(entry.packet)


def require_distinct(packet: Packet, received: Sequence[Received]) -> None:
    """Check that no session is a copy of another under a new session id.

    Response times are compared trial by trial, or place by place if the packets differ; choices
    and dates are not compared, because they are easily edited.

    Raises:
        DataError: two sessions have the same rows, or half of their response times in common.
    """
    sessions = list({(entry.session, entry.packet): entry for entry in reversed(received)}.values())
    sessions.reverse()
    rows: dict[tuple[Attempt, ...], Received] = {}
    for entry in sessions:
        same = rows.setdefault(tuple(entry.rows), entry)
        if same is not entry and entry.rows:
            raise _copy(same, entry, f"all {len(entry.rows)} rows")
    times = np.full((len(sessions), 1 + max(trial.position for trial in packet.trials)), np.nan)
    for n, entry in enumerate(sessions):
        for row in entry.rows:
            if row.response_ms is not None and row.trial in packet.by_id:
                times[n, packet.by_id[row.trial].position] = row.response_ms
    measured = np.count_nonzero(~np.isnan(times), axis=1)
    for n in range(1, len(sessions)):
        equal = times[:n] == times[n]
        shared = np.count_nonzero(equal, axis=1)
        least = np.maximum(_COPIED_VALUES, _COPIED_SHARE * np.minimum(measured[:n], measured[n]))
        for other in np.flatnonzero(shared >= least):
            if len(np.unique(times[n, equal[other]])) >= _COPIED_VALUES:
                part = f"{shared[other]} of {measured[n]} response times"
                raise _copy(sessions[other], sessions[n], part)


def _copy(first: Received, second: Received, what: str) -> DataError:
    return DataError(
        f"{first.where} and {second.where}: {what} are the same in sessions {first.session} and "
        f"{second.session}; one is a copy of the other. Find out who sent it, and remove it"
    )
