from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_packet import (
    csv_text,
    protocol_of,
    row_of,
    submission,
    trials_of,
    write_own,
    write_packet,
)

from hdbench.errors import DataError, HdbenchError, UsageError
from hdbench.schema.judgment import COLUMNS
from hdbench.study.analysis.export import judgments_csv
from hdbench.study.analysis.tally import Tally, answer_files, tally
from hdbench.study.packet.files import open_packet


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_packet(tmp_path_factory.mktemp("packet"))


@pytest.fixture
def packet(tmp_path: Path) -> Path:
    return write_packet(tmp_path / "packet")


def counted(packet: Path, submissions: list[dict[str, Any]]) -> Tally:
    path = write_own(packet, submissions)
    return tally(open_packet(packet), [path], simulated=False)


def message(packet: Path, submissions: list[dict[str, Any]]) -> str:
    with pytest.raises(HdbenchError) as error:
        counted(packet, submissions)
    return str(error.value)


def test_a_folder_of_saved_answers_is_tallied(packet: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    for n in range(3):
        (saved / f"judgments-{n}.json").write_text(json.dumps(submission(packet, n, n)) + "\n")
    opened = open_packet(packet)
    found = tally(opened, answer_files(opened, [saved], simulated=False), simulated=False)
    own = counted(packet, [submission(packet, n, n) for n in range(3)])
    assert found.table["chosen"].tolist() == own.table["chosen"].tolist()
    assert set(found.table["source"]) == {"own"}
    assert len(set(found.table["participant"])) == 3
    (saved / "judgments-1.json").write_text('{"schema": 1, "stu')
    with pytest.raises(DataError, match=r"judgments-1\.json: .*column 18"):
        tally(opened, answer_files(opened, [saved], simulated=False), simulated=False)
    with pytest.raises(UsageError, match="results: "):
        answer_files(opened, [packet / "results"], simulated=False)


def test_what_was_chosen_is_what_is_in_the_table(packet: Path) -> None:
    found = counted(packet, [submission(packet, n, n) for n in range(3)])
    assert tuple(found.table.columns) == COLUMNS
    assert len(found.table) == 3 * (5 + 8 + 12)
    by_id = {trial["trial"]: trial for n in range(3) for trial in trials_of(packet, n)}
    for row in found.judgments().to_dict("records"):
        trial = by_id[row["trial"]]
        assert row["chosen"] == trial[row["choice"]]
        assert [row[key] for key in ("a", "b", "scene")] == [
            trial[key] for key in ("a", "b", "scene")
        ]
        assert not row["simulated"]
        assert row["source"] == "own"
    assert len(found.judgments()) == 36
    assert found.exclusions == []
    assert found.missing() == 0
    assert found.packets_to_ask() == list(range(3, 12))


def test_identical_rows_are_dropped_and_counted(packet: Path) -> None:
    once = submission(packet, 0, 0)
    found = counted(packet, [{**once, "participant": "a" * 16}] * 3)
    assert found.duplicates == 2 * len(once["rows"])
    assert len(found.judgments()) == 12


def test_conflicting_answers_are_an_error_with_both_lines(packet: Path) -> None:
    one = submission(packet, 0, 0, participant="a" * 16)
    rows = [dict(row) for row in one["rows"]]
    rows[-1]["choice"] = {"left": "right", "right": "left"}[rows[-1]["choice"]]
    said = message(packet, [submission(packet, 1, 1), one, {**one, "rows": rows}])
    for fact in ("judgments.jsonl line 2 ", "judgments.jsonl line 3: ", rows[-1]["trial"]):
        assert fact in said


def test_a_void_attempt_is_replaced_by_the_second(packet: Path) -> None:
    trials = trials_of(packet, 0)
    rows = [row_of(trial, n) for n, trial in enumerate(trials)]
    last = trials[-1]
    void = row_of(last, 0, "left", void="hidden")
    rows[-1:] = [void, row_of(last, 0, "right", attempt=2)]
    found = counted(packet, [submission(packet, 0, 0, rows=rows)])
    judged = found.judgments().to_dict("records")
    (kept,) = [row for row in judged if row["trial"] == last["trial"]]
    assert (kept["attempt"], kept["choice"]) == (2, "right")
    assert len(found.table) == len(trials) + 1
    assert len(found.judgments()) == 12
    only_void = rows[:-1]
    found = counted(packet, [submission(packet, 0, 0, rows=only_void)])
    assert len(found.judgments()) == 11
    assert found.missing() == 1


@pytest.mark.parametrize("blank", [None, ""])
def test_a_blank_answer_is_missing_and_never_left(packet: Path, blank: str | None) -> None:
    rows = [row_of(trial, n) for n, trial in enumerate(trials_of(packet, 0))]
    rows[-1]["choice"] = blank
    found = counted(packet, [submission(packet, 0, 0, rows=rows)])
    assert len(found.judgments()) == 11
    assert found.missing() == 1
    assert found.table["choice"].iloc[-1] is None or found.table["choice"].isna().iloc[-1]


def test_of_a_persons_packets_the_first_is_kept(packet: Path) -> None:
    """The first in time, whatever the order of the lines."""
    late = submission(packet, 1, 1, participant="a" * 16)
    for row in late["rows"]:
        row["at"] = row["at"].replace("2030", "2031")
    early = submission(packet, 0, 0, participant="a" * 16)
    found = counted(packet, [late, early, submission(packet, 2, 2)])
    (left_out,) = found.exclusions
    assert (left_out.kind, left_out.packet, left_out.judgments) == ("repeat", 1, 12)
    assert set(found.judgments()["packet"]) == {0, 2}
    assert set(found.judgments(all_sessions=True)["packet"]) == {0, 2}
    assert 1 in found.packets_to_ask()
    assert len(found.table) == 75


def test_several_passes_allow_a_packet_of_each(tmp_path: Path) -> None:
    folder = write_packet(tmp_path, protocol=protocol_of(passes=2))
    passes = {n: trials_of(folder, n)[-1]["pass"] for n in range(12)}
    other = next(n for n in passes if passes[n] != passes[0])
    same = next(n for n in passes if n and passes[n] == passes[0])
    person = {"participant": "a" * 16}
    found = counted(folder, [submission(folder, n, n, **person) for n in (0, other, same)])
    assert [entry.packet for entry in found.exclusions] == [same]


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"response_ms": 250.0}, ("250 ms", "300 ms")),
        ({"response_ms": None}, ("no response", "300 ms")),
        ({"choice": "left"}, ("100 %", "left", "85 %")),
        ({"choice": None}, ("no judgment",)),
    ],
)
def test_quality_rules_exclude_and_say_why(
    packet: Path, change: dict[str, Any], facts: tuple[str, ...]
) -> None:
    rows = [
        row_of(trial, n) | (change if trial["kind"] == "judgment" else {})
        for n, trial in enumerate(trials_of(packet, 0))
    ]
    found = counted(packet, [submission(packet, 0, 0, rows=rows), submission(packet, 1, 1)])
    (excluded,) = found.exclusions
    assert excluded.kind == "quality"
    [reason] = excluded.reasons
    assert all(fact in reason for fact in facts)
    assert len(found.judgments()) == 12
    assert len(found.judgments(all_sessions=True)) == 12 + excluded.judgments
    assert 0 in found.packets_to_ask()
    assert len(found.table) == 50  # nothing is thrown away


def test_seven_of_eight_checks_pass_and_six_do_not(packet: Path) -> None:
    def failing(count: int) -> list[dict[str, Any]]:
        rows = [row_of(trial, n) for n, trial in enumerate(trials_of(packet, 0))]
        for row in rows[5 : 5 + count]:  # after the practice
            row["choice"] = {"left": "right", "right": "left"}[row["choice"]]
        return rows

    assert counted(packet, [submission(packet, 0, 0, rows=failing(1))]).exclusions == []
    (excluded,) = counted(packet, [submission(packet, 0, 0, rows=failing(2))]).exclusions
    [reason] = excluded.reasons
    assert re.search("6 of 8 checks .*7$", reason)
    blank = failing(0)
    blank[5]["choice"] = blank[6]["choice"] = None  # no answer is no pass
    assert counted(packet, [submission(packet, 0, 0, rows=blank)]).exclusions


def test_timed_trials_must_be_within_a_frame(tmp_path: Path) -> None:
    folder = write_packet(tmp_path, packet_length=20, protocol=protocol_of("limited"))

    def late(count: int, frames: int | None) -> list[dict[str, Any]]:
        trials = trials_of(folder, 0)
        rows = [row_of(trial, n) for n, trial in enumerate(trials)]
        judged = [n for n, trial in enumerate(trials) if trial["kind"] == "judgment"]
        for n in judged[:count]:
            planned = rows[n]["frames_planned"]
            rows[n]["frames_shown"] = None if frames is None else planned + frames
        return rows

    for count, frames, excluded in ((20, 1, 0), (2, 2, 0), (3, 2, 1), (3, -2, 1), (3, None, 1)):
        found = counted(folder, [submission(folder, 0, 0, rows=late(count, frames))])
        assert len(found.exclusions) == excluded
    assert "85 % of trials" in found.exclusions[0].reasons[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda line: line[:200], "column 200"),
        (lambda line: line.replace('"left"', '"lft"', 1), "choice = 'lft'"),
        (lambda line: line.replace('"attempt": 1', '"attempt": 3', 1), "attempt = 3"),
        (lambda line: line.replace("900.0", '"900"', 1), "response_ms = '900'"),
        (lambda line: line.replace("900.0", "NaN", 1), "line 1"),
        (lambda line: line.replace("2030-01-02T", "02.01.2030 ", 1), "at = '02.01.2030"),
        (lambda line: line.replace('"participant"', '"worker"'), "key 'worker'"),
        (lambda line: line.replace(f'"participant": "{"0" * 16}", ', ""), "no participant"),
        (lambda line: line.replace(f'"{"0" * 16}"', '"A3WORKER"', 1), "participant = 'A3WORKER'"),
        (lambda line: line.replace('"schema": 1', '"schema": 2'), "schema = 2"),
    ],
)
def test_a_mangled_line_is_an_error_with_its_number(packet: Path, change, text: str) -> None:
    path = write_own(packet, [submission(packet, 0, 0)])
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError) as error:
        tally(open_packet(packet), [path], simulated=False)
    assert "judgments.jsonl line 1" in str(error.value)
    assert text in str(error.value)


def test_answers_to_another_packet_are_refused(packet: Path) -> None:
    rows = [row_of(trial, n) for n, trial in enumerate(trials_of(packet, 0))]
    foreign = [{**rows[0], "trial": "f" * 16}, *rows[1:]]
    assert "f" * 16 in message(packet, [submission(packet, 0, 0, rows=foreign)])
    mixed = [*rows, row_of(trials_of(packet, 1)[0], 0)]
    assert "packets 0 and 1" in message(packet, [submission(packet, 0, 0, rows=mixed)])


@pytest.mark.parametrize("turkle", [False, True])
def test_a_venues_csv_gives_the_same_judgments_as_own_rows(packet: Path, turkle: bool) -> None:
    answers = [json.dumps(submission(packet, n, n)) for n in range(3)]
    path = packet / "results.csv"
    path.write_bytes(csv_text(["A1", "B2", "C3"], answers, turkle=turkle).encode())
    opened = open_packet(packet)
    found = tally(opened, [path], simulated=False)
    own = counted(packet, [submission(packet, n, n) for n in range(3)])
    same = [name for name in COLUMNS if name not in ("source", "participant")]
    assert found.judgments()[same].equals(own.judgments()[same])
    assert set(found.table["source"]) == {"turkle" if turkle else "mturk"}
    assert len(set(found.table["participant"])) == 3
    text = judgments_csv(found.table).decode()
    assert "A1" not in text  # a venue's name for a person goes nowhere
    both = tally(opened, [path, packet / "results" / "judgments.jsonl"], simulated=False)
    assert (len(both.table), both.duplicates) == (75, 75)  # the same sessions under other names


def test_blank_answers_of_a_csv_are_listed_not_counted(packet: Path) -> None:
    path = packet / "results.csv"
    answers = [json.dumps(submission(packet, 0, 0)), "", "{}"]
    path.write_bytes(csv_text(["A", "B", "C"], answers).encode())
    found = tally(open_packet(packet), [path], simulated=False)
    assert len(found.blanks) == 2
    assert len(set(found.table["participant"])) == 1
    path.write_bytes(csv_text(["A"], [""]).encode())
    with pytest.raises(UsageError, match=r"results\.csv: .*1 blank"):
        tally(open_packet(packet), [path], simulated=False)


def spoilt(text: str) -> list[tuple[str, bytes, str]]:
    lines = text.split("\r\n")
    return [
        ("cut inside a cell", text[: len(text) * 2 // 3].encode(), "results.csv line 2: "),
        ("cut between cells", (lines[0] + '\r\n"a","b"\r\n').encode(), "line 2: 2 cells"),
        ("a cell too many", (text.rstrip() + ',"x"\r\n').encode(), "cells"),
        ("empty", b"", "results.csv: "),
        ("semicolons", lines[0].replace('","', ";").encode(), "results.csv line 1: "),
        ("not UTF-8", text.replace("A0", "\u00e4").encode("latin-1"), "line 2: not UTF-8"),
        ("no answers", text.replace("Answer.judgments", "Answer.x").encode(), "Answer.judgments"),
        (
            "a column twice",
            text.replace("Answer.comment", "Input.packet").encode(),
            "'Input.packet'",
        ),
        ("curly quotes", text.replace('""', "\u201c").encode(), "quotation marks"),
        ("no worker", text.replace('"W"', '""').encode(), "line 2: WorkerId"),
    ]


def test_a_spoilt_csv_is_an_error_that_names_the_line(packet: Path) -> None:
    sound = csv_text(["W"], [json.dumps(submission(packet, 0, 0))])
    opened, path = open_packet(packet), packet / "results.csv"
    for name, content, text in spoilt(sound):
        path.write_bytes(content)
        with pytest.raises(HdbenchError) as error:
            tally(opened, [path], simulated=False)
        assert text in str(error.value), name
        assert "results.csv" in str(error.value)


def test_a_cell_that_a_spreadsheet_cut_is_recognised(packet: Path) -> None:
    answer = json.dumps(submission(packet, 0, 0) | {"padding": "x" * 40_000})[:32_767]
    path = packet / "results.csv"
    path.write_bytes(csv_text(["W"], [answer]).encode())
    with pytest.raises(DataError, match="32,767"):
        tally(open_packet(packet), [path], simulated=False)


def test_line_numbers_count_lines_inside_cells(packet: Path) -> None:
    """Answers of the first two rows hold a line break each, so the third begins on line 6."""
    good = json.dumps(submission(packet, 0, 0))
    path = packet / "results.csv"
    path.write_bytes(csv_text(["A", "B", "C"], [good, "", "{broken"]).encode())
    with pytest.raises(DataError, match=r"results\.csv line 6, Answer\.judgments: "):
        tally(open_packet(packet), [path], simulated=False)


@given(st.data())
@settings(max_examples=6, deadline=None)
def test_the_order_of_submissions_changes_nothing(built: Path, data: st.DataObject) -> None:
    packets = data.draw(st.permutations(range(6)))
    opened = open_packet(built)
    entries = [submission(built, n, n, participant=f"{n:016x}") for n in packets]
    path = write_own(built, entries)
    found = tally(opened, [path], simulated=False).judgments().sort_values(["packet", "trial"])
    ordered = write_own(built, sorted(entries, key=lambda entry: entry["packet"]))
    again = tally(opened, [ordered], simulated=False).judgments().sort_values(["packet", "trial"])
    assert found.reset_index(drop=True).equals(again.reset_index(drop=True))


# -- the packet ---------------------------------------------------------------------------------


def test_a_folder_that_is_no_packet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"study\.json"):
        open_packet(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda record: record.pop("pairs"), "key 'pairs'"),
        (lambda record: record.update(schema=9), "schema = 9"),
        (lambda record: record["quality"].update(checks_passed=0), "quality"),
        (lambda record: record["protocol"]["design"].pop("mode"), "protocol design key 'mode'"),
    ],
)
def test_a_damaged_packet_is_named(packet: Path, change, text: str) -> None:
    path = packet / "study.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(DataError) as error:
        open_packet(packet)
    assert text in str(error.value)


def test_rules_cannot_be_moved_after_the_packet_is_built(packet: Path) -> None:
    (packet / "SHA256SUMS").write_text(f"{'0' * 64}  study.json\n")
    with pytest.raises(DataError, match=r"study\.json: "):
        open_packet(packet)


def test_a_trials_file_that_was_cut_names_the_line(packet: Path) -> None:
    path = packet / "trials.jsonl"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match=r"trials\.jsonl line 300: "):
        open_packet(packet)


def test_files_to_tally(packet: Path) -> None:
    opened = open_packet(packet)
    with pytest.raises(UsageError, match=r"judgments\.jsonl: "):
        answer_files(opened, [], simulated=False)
    with pytest.raises(UsageError, match="hdbench study simulate"):
        answer_files(opened, [], simulated=True)
    own = write_own(packet, [submission(packet, 0, 0)])
    assert answer_files(opened, [own], simulated=False) == [own.resolve()]
    with pytest.raises(UsageError, match=r"none\.csv: "):
        tally(opened, [packet / "none.csv"], simulated=False)


# -- exports ------------------------------------------------------------------------------------


def test_no_name_becomes_a_formula_in_the_export(tmp_path: Path) -> None:
    names = ('=HYPERLINK("http://x","y")', "<img src=x onerror=alert(1)>")
    folder = write_packet(tmp_path, methods=names)
    found = counted(folder, [submission(folder, n, n) for n in range(2)])
    rows = list(csv.DictReader(io.StringIO(judgments_csv(found.table).decode(), newline="")))
    assert len(rows) == len(found.table)
    cells = {value for row in rows for value in row.values()}
    assert f"'{names[0]}" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert rows[-1]["duration_ms"] == ""
