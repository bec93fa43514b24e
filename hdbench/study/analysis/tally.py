"""From submissions to one table of judgments, and the sessions that are excluded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from hdbench.errors import DataError, UsageError, counted
from hdbench.runtime.progress import progress
from hdbench.schema.judgment import COLUMNS, Attempt, Judgment
from hdbench.schema.packet import StudyRecord, TrialRecord
from hdbench.schema.study import StudyProtocol
from hdbench.schema.summary import Exclusion
from hdbench.study.analysis.sessions import require_distinct, require_ids
from hdbench.study.analysis.submissions import Blank, Received, read_answers
from hdbench.study.answers.database import database_path
from hdbench.study.packet.files import JUDGMENTS_FILE, RESULTS_FOLDER, SIMULATED_FILE, Packet

#: Columns that name a session.
_SESSION = ["participant", "session"]


@dataclass(frozen=True)
class Tally:
    """The judgments table and its exclusions."""

    packet: Packet
    #: One row for each attempt at each trial, columns as in ``COLUMNS``.
    table: pd.DataFrame = field(repr=False)
    exclusions: list[Exclusion]
    #: Identical rows that came more than once and were dropped.
    duplicates: int
    #: File and line of each submission without any answer.
    blanks: list[str]
    #: Values of ``participant`` that stand for a session, because nothing says who the person is.
    unnamed: frozenset[str] = frozenset()

    @property
    def study(self) -> StudyRecord:
        """What was fixed when the packet was built."""
        return self.packet.study

    @property
    def simulated(self) -> bool:
        """Whether the answers are simulated; a table never mixes them with people's."""
        return bool(self.table["simulated"].any())

    def judgments(self, *, all_sessions: bool = False) -> pd.DataFrame:
        """Return the judgments that count: answered, not void, the first valid attempt.

        With ``all_sessions``, also those of sessions that the quality rules exclude.
        """
        out = {
            (exclusion.participant, exclusion.session)
            for exclusion in self.exclusions
            if not (all_sessions and exclusion.kind == "quality")
        }
        return _without(answered(judgment_rows(self.table)), out)

    def anchor_trials(self) -> pd.DataFrame:
        """Return the answers to anchor trials of the sessions that count."""
        out = {(exclusion.participant, exclusion.session) for exclusion in self.exclusions}
        return _without(answered(where(self.table, self.table["kind"] == "anchor")), out)

    def missing(self) -> int:
        """Return the number of judgments in the sessions' packets without a valid answer."""
        judged = answered(judgment_rows(self.table))
        sessions = self.table.drop_duplicates(_SESSION)
        planned = {
            packet: sum(trial.kind == "judgment" for trial in trials)
            for packet, trials in self.packet.by_packet.items()
        }
        return sum(planned[packet] for packet in sessions["packet"]) - len(judged)

    def packets_to_ask(self) -> list[int]:
        """Return the packets without a session that counts; they need another participant."""
        out = {(exclusion.participant, exclusion.session) for exclusion in self.exclusions}
        sessions = self.table.drop_duplicates(_SESSION)
        done = {
            packet
            for packet, *who in zip(
                sessions["packet"], sessions["participant"], sessions["session"], strict=True
            )
            if tuple(who) not in out
        }
        return sorted(set(self.packet.by_packet) - done)


def answered(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a valid answer, the first one for each session and trial."""
    valid = where(rows, rows["void"].isna() & rows["choice"].notna())
    return valid.sort_values(by="attempt", kind="stable").drop_duplicates([*_SESSION, "trial"])


def _without(rows: pd.DataFrame, out: Set[tuple[str, str]]) -> pd.DataFrame:
    """Return the rows without those of some participants' sessions."""
    if not out:
        return rows
    whose = zip(rows["participant"], rows["session"], strict=True)
    return where(rows, np.array([pair not in out for pair in whose], dtype=bool))


def judgment_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of judgments, without practice, checks and anchor trials."""
    return where(rows, rows["kind"] == "judgment")


def where(rows: pd.DataFrame, mask: Any) -> pd.DataFrame:
    """Return the rows where a mask is true, typed as a frame."""
    return cast("pd.DataFrame", rows[mask])


def answer_files(packet: Packet, files: Sequence[Path], *, simulated: bool) -> list[Path]:
    """Return the files to tally: those named, those in named folders, and the packet's own rows.

    Raises:
        UsageError: there are none, or simulated answers are requested beside others.
    """
    results = packet.folder / RESULTS_FOLDER
    own, invented = results / JUDGMENTS_FILE, results / SIMULATED_FILE
    served = database_path(packet.folder)
    if simulated:
        if files:
            raise UsageError(
                "--simulated takes the packet's own simulated answers alone; leave the files out"
            )
        if not invented.is_file():
            raise UsageError(
                f"{invented}: no such file.\nNext: 'hdbench study simulate {packet.folder}'"
            )
        return [invented]
    found = [*(path for path in (served, own) if path.is_file()), *_in_folders(files)]
    if found:
        return list(dict.fromkeys(path.resolve() for path in found))
    hint = (
        f"only simulated ones.\nNext: 'hdbench study tally {packet.folder} --simulated'"
        if invented.is_file()
        else "expected the packet's own answers there, or as arguments results CSVs or a folder of "
        "what participants saved"
    )
    raise UsageError(f"{own}: no answers yet; {hint}")


def _in_folders(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = [
            file
            for file in sorted(path.iterdir())
            # Other systems leave hidden companions of files that they copied.
            if file.suffix in (".csv", ".json") and not file.name.startswith(".")
        ]
        if not inside:
            raise UsageError(
                f"{path}: no .json that a participant saved and no results CSV in this folder; "
                "expected the folder of what was collected"
            )
        yield from inside


def tally(packet: Packet, files: Sequence[Path], *, simulated: bool) -> Tally:
    """Return the judgments of results CSVs and own rows, as one table.

    Simulated and people's answers are never mixed.

    Raises:
        UsageError: a file is missing or of another kind.
        DataError: a line cannot be read, contradicts another, belongs to another packet, or is of
            the other kind of answers.
    """
    received: list[Received] = []
    blanks: list[str] = []
    for path in files:
        for entry in read_answers(path, packet.study):
            if isinstance(entry, Blank):
                blanks.append(entry.where)
            else:
                received.append(entry)
    wrong = next((entry for entry in received if entry.simulated != simulated), None)
    if wrong is not None:
        raise DataError(
            f"{wrong.where}: "
            + (
                "a person's answers among simulated ones"
                if simulated
                else "simulated answers among people's"
            )
            + "; they are never tallied together. Move them to another file"
        )
    judgments: list[Judgment] = []
    # Without the participant: sessions are random, so one session under two names, such as in the
    # files of two venues, is one submission received twice.
    seen: dict[tuple[str, str, int], tuple[Attempt, str]] = {}
    duplicates = 0
    for entry in progress(received, desc="reading", unit="session", delay=2):
        stated, number = require_ids(packet, entry), None
        if not entry.rows:
            blanks.append(entry.where)
        for row in entry.rows:
            trial = _trial(packet, entry, row)
            number = trial.packet if number is None else number
            if trial.packet != number:
                raise DataError(
                    f"{entry.where}: trials of packets {number} and {trial.packet} in one "
                    "submission, so the answers were edited. Take the file from its source again"
                )
            if trial.packet != stated:
                raise DataError(
                    f"{entry.where}: packet = {entry.packet!r}, but its trials are of packet "
                    f"{packet.study.packet_ids[number]!r}, so the answers were edited. Take the "
                    "file from its source again"
                )
            key = (entry.session, row.trial, row.attempt)
            before = seen.setdefault(key, (row, entry.where))
            if before[0] is not row:
                if before[0] != row:
                    raise DataError(
                        f"{before[1]} and {entry.where}: two different answers to trial "
                        f"{row.trial}, attempt {row.attempt}, in one session; remove the wrong one"
                    )
                duplicates += 1
                continue
            judgments.append(_judgment(packet.study, entry, row, trial))
    require_distinct(packet, received)
    table = _as_table(judgments)
    if table.empty:
        listed = ", ".join(str(path) for path in files)
        empty = f" ({counted(len(blanks), 'blank submission')})" if blanks else ""
        raise UsageError(
            f"{listed}: no answers{empty}; nothing can be tallied yet.\n"
            f"Next: wait for participants, or give other files: 'hdbench study tally "
            f"{packet.folder} RESULTS.csv'"
        )
    unnamed = {entry.participant for entry in received if not entry.named}
    return Tally(
        packet,
        table,
        _exclusions(packet, table),
        duplicates,
        blanks,
        frozenset(unnamed & set(table["participant"])),
    )


def _trial(packet: Packet, entry: Received, row: Attempt) -> TrialRecord:
    trial = packet.by_id.get(row.trial)
    if trial is None:
        raise DataError(
            f"{entry.where}: trial {row.trial} is not in {packet.folder}; these answers belong to "
            "another packet"
        )
    return trial


def _judgment(study: StudyRecord, entry: Received, row: Attempt, trial: TrialRecord) -> Judgment:
    return Judgment(
        study=study.name,
        source=entry.source,
        simulated=entry.simulated,
        participant=entry.participant,
        session=entry.session,
        packet=trial.packet,
        trial=row.trial,
        attempt=row.attempt,
        kind=trial.kind,
        pass_number=trial.pass_number,
        a=trial.a,
        b=trial.b,
        scene=trial.scene,
        left=trial.left,
        right=trial.right,
        choice=row.choice,
        chosen=getattr(trial, row.choice) if row.choice else None,
        expected=trial.expected,
        duration_ms=trial.duration_ms,
        shown_ms=row.shown_ms,
        frames_planned=row.frames_planned,
        frames_shown=row.frames_shown,
        response_ms=row.response_ms,
        void=row.void,
        at=row.at,
    )


def _exclusions(packet: Packet, table: pd.DataFrame) -> list[Exclusion]:
    """Return the sessions that do not count, with reasons, in order of time."""
    timed = table.assign(began=pd.to_datetime(table["at"], format="ISO8601", utc=True))
    sessions = [
        (str(participant), str(session), rows)
        for (participant, session), rows in cast("Any", timed.groupby(_SESSION, sort=False))
    ]
    sessions.sort(key=lambda entry: entry[2]["began"].min())
    found = []
    taken: dict[str, list[set[int]]] = {}
    for participant, session, rows in sessions:
        before = taken.setdefault(participant, [])
        number = int(rows["packet"].iloc[0])
        passes = {
            trial.pass_number for trial in packet.by_packet[number] if trial.kind == "judgment"
        }
        repeat = len(before) >= packet.study.protocol.design.passes or any(
            passes & other for other in before
        )
        if repeat:
            reasons = ["a further packet of this participant; the first is kept"]
        else:
            before.append(passes)
            reasons = _broken_rules(rows, packet)
        if reasons:
            judged = len(answered(judgment_rows(rows)))
            found.append(
                Exclusion(
                    participant=participant,
                    session=session,
                    packet=number,
                    kind="repeat" if repeat else "quality",
                    reasons=reasons,
                    judgments=judged,
                )
            )
    return found


def broken_rules_of(packet: Packet, number: int, attempts: Sequence[Attempt]) -> list[str]:
    """Return the quality rules that one session of packet ``number`` breaks, in words.

    ``attempts`` are its answers, all to trials of this packet.
    """
    entry = Received(
        where="",
        source="own",
        participant="",
        named=True,
        study="",
        packet=packet.study.packet_ids[number],
        session="",
        rows=list(attempts),
    )
    judgments = [_judgment(packet.study, entry, row, packet.by_id[row.trial]) for row in entry.rows]
    return _broken_rules(_as_table(judgments), packet)


def _as_table(judgments: Sequence[Judgment]) -> pd.DataFrame:
    rows = [[value for _, value in judgment] for judgment in judgments]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _broken_rules(rows: pd.DataFrame, packet: Packet) -> list[str]:
    """Return the quality rules that a session breaks, in words."""
    quality, valid = packet.study.protocol.quality, answered(rows)
    reasons = []
    asked = sum(trial.kind == "check" for trial in packet.by_packet[int(rows["packet"].iloc[0])])
    right = (valid["kind"] == "check") & (valid["choice"] == valid["expected"])
    passed = int(np.count_nonzero(right))
    if asked and passed < min(quality.checks_passed, asked):
        reasons.append(f"{passed} of {asked} checks passed, fewer than {quality.checks_passed}")
    judged = judgment_rows(valid)
    if judged.empty:
        return [*reasons, "no judgment answered"]
    times = judged["response_ms"].to_numpy(dtype=float, na_value=np.nan)
    times = times[~np.isnan(times)]
    median = float(np.median(times)) if len(times) else 0.0
    if median < quality.median_response_ms:
        shown = f"median response {median:.0f} ms" if len(times) else "no response time"
        reasons.append(f"{shown}, less than {quality.median_response_ms:g} ms")
    left = np.count_nonzero(judged["choice"] == "left") / len(judged)
    share, side = max((left, "left"), (1 - left, "right"))
    if share > quality.one_side_share:
        reasons.append(
            f"{100 * share:.0f} % of answers {side}, more than {100 * quality.one_side_share:g} %"
        )
    within = within_one_frame(judged, packet.study.protocol)
    if within is not None and within < quality.timed_within_one_frame:
        reasons.append(
            f"{100 * within:.0f} % of trials within one frame of the plan, less than "
            f"{100 * quality.timed_within_one_frame:g} %"
        )
    return reasons


def within_one_frame(judged: pd.DataFrame, protocol: StudyProtocol) -> float | None:
    """Return the share of timed judgments shown within one frame of the plan, or None if untimed.

    Judgments without counted frames do not count as within.
    """
    if protocol.design.mode != "timed" or judged.empty:
        return None
    shown, meant = (
        judged[name].to_numpy(dtype=float, na_value=np.nan)
        for name in ("frames_shown", "frames_planned")
    )
    return float(np.mean(np.abs(shown - meant) <= 1))
