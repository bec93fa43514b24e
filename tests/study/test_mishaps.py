"""What goes wrong between a packet and its numbers: each mishap has its message and exit status."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from killed import killed_in
from packets import protocol_with, study_of
from small_packet import csv_text, submission, write_packet

import hdbench.study.packet.build as packets
from hdbench.study.packet.build import Flags
from hdbench.study.packet.files import PREVIEW_FILE
from hdbench.study.packet.gathering import gather
from hdbench.study.packet.verify import verify
from hdbench.workspace.bench import Bench

Cli = Callable[..., Result]
PILOT = ("study", "build", "--study", "pilot", "--methods")
FLAGS = Flags(seed=0, run_seed=0, intersect=False, most_scenes=None)


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """A packet to which results are given."""
    return write_packet(tmp_path / "packet", methods=("ours", "crn"))


def results(packet: Path, workers: int = 1, **change: Any) -> str:
    """A results CSV of the requester site; ``change`` is made in each worker's third row."""
    answers = []
    for n in range(workers):
        entry = submission(packet, n, n)
        entry["rows"][2] |= change
        answers.append(json.dumps(entry))
    return csv_text([f"W{n}" for n in range(workers)], answers)


# ---- results that venues really write ----


def test_rows_of_the_requester_site_end_before_approve_and_reject(
    cli: Cli, answered: Path, tmp_path: Path
) -> None:
    text = results(answered, 2)
    header, *rows = csv.reader(io.StringIO(text))
    assert header[-2:] == ["Approve", "Reject"]
    assert [len(row) for row in rows] == [len(header) - 2] * 2
    path = tmp_path / "Batch_1_batch_results.csv"
    path.write_text(text)
    plain = cli("study", "tally", answered, path)
    assert plain.exit_code == 0, plain.stderr
    buffer = io.StringIO()
    writer = csv.writer(buffer)  # as a requester hands the file back, with one row filled in
    writer.writerows([header, [*rows[0], "x", ""], rows[1]])
    path.write_text(buffer.getvalue())
    assert cli("study", "tally", answered, path).stdout == plain.stdout
    buffer = io.StringIO()
    csv.writer(buffer).writerows([header, rows[0], rows[1][:-1]])
    path.write_text(buffer.getvalue())
    short = cli("study", "tally", answered, path)
    assert short.exit_code == 1
    assert re.search(rf"line \d+: {len(header) - 3} cells, .* {len(header)};", short.stderr)


@pytest.mark.slow
def test_columns_are_found_by_name(cli: Cli, answered: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(results(answered, 2))
    plain = cli("study", "tally", answered, path).stdout
    header, *rows = csv.reader(io.StringIO(path.read_text()))
    buffer = io.StringIO()
    csv.writer(buffer).writerows([header[-3::-1], *(row[::-1] for row in rows)])
    path.write_text(buffer.getvalue())
    assert cli("study", "tally", answered, path).stdout == plain


def test_the_same_session_under_two_names_counts_once(
    cli: Cli, answered: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(results(answered, 2))
    answers = [json.dumps(submission(answered, n, n)) for n in range(2)]
    second.write_text(csv_text(["U0", "U1"], answers, turkle=True))
    outcome = cli("study", "tally", answered, first, second)
    assert outcome.exit_code == 0, outcome.stderr
    assert "24 judgments of 2 participants" in outcome.stdout
    assert "50 identical rows" in outcome.stdout
    entry = submission(answered, 1, 1)
    row = entry["rows"][-1]
    row["choice"] = {"left": "right", "right": "left"}[row["choice"]]
    second.write_text(csv_text(["U1"], [json.dumps(entry)], turkle=True))
    refused = cli("study", "tally", answered, first, second)
    assert refused.exit_code == 1
    assert "first.csv line 4 and " in refused.stderr
    assert "second.csv line 2: " in refused.stderr
    assert f"trial {row['trial']}" in refused.stderr


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (lambda text: text.encode("utf-8-sig"), ""),
        (lambda text: text.replace("\r\n", "\r").encode(), ""),
        (lambda text: text.encode("utf-16"), "line 1: not UTF-8"),
        (lambda text: text.encode("utf-16-le"), "results.csv line 1: "),
        (lambda text: text.replace('","', '"\t"').encode(), "results.csv line 1: "),
        (lambda text: text.replace('","', '";"').encode(), "results.csv line 1: "),
        (lambda _: b"\x89PNG\r\n\x1a\n", "line 1: not UTF-8"),
    ],
    ids=[
        "with BOM",
        "old line ends",
        "UTF-16",
        "UTF-16 without BOM",
        "tabs",
        "semicolons",
        "an image",
    ],
)
def test_encodings_of_results(
    cli: Cli, answered: Path, tmp_path: Path, encoded: Callable[[str], bytes], message: str
) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(encoded(results(answered)))
    outcome = cli("study", "tally", answered, path)
    assert outcome.exit_code == (1 if message else 0), outcome.stderr
    assert message in outcome.stderr
    assert not message or "results.csv" in outcome.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at": "2026-W01-1"}, "row 3 at = '2026-W01-1'"),
        ({"at": "2026-13-01T00:00:00Z"}, "row 3 at = '2026-13-01T00:00:00Z'"),
        ({"at": "2026-01-01T00:00:00"}, "row 3 at = '2026-01-01T00:00:00'"),
        ({"planned_ms": 10**30}, "row 3 planned_ms = 1000000000000000000000000000000"),
        ({"response_ms": 1e308}, "row 3 response_ms = 1e+308"),
        ({"choice": "<img src=x>"}, "row 3 choice = '<img src=x>'"),
        ({"trial": "<script>0</script>"}, "row 3 trial = '<script>0</script>'"),
        ({"void": "=1+1"}, "row 3 void = '=1+1'"),
    ],
)
def test_what_no_page_writes_is_an_error_with_line_and_row(
    cli: Cli, answered: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "results.csv"
    path.write_text(results(answered, **change))
    outcome = cli("study", "tally", answered, path)
    assert outcome.exit_code == 1
    assert f"results.csv line 2, Answer.judgments: {message}" in outcome.stderr
    assert not (answered / "results" / "tally").exists()


def test_answers_that_are_no_object_are_said_to_be_none(
    cli: Cli, answered: Path, tmp_path: Path
) -> None:
    path = tmp_path / "results.csv"
    path.write_text(csv_text(["W"], ["[1, 2]"]))
    assert "line 2, Answer.judgments: [1, 2]" in cli("study", "tally", answered, path).stderr


def test_html_in_what_a_browser_says_of_itself_goes_nowhere(
    cli: Cli, answered: Path, tmp_path: Path
) -> None:
    evil = "<script>alert(1)</script>"
    path = tmp_path / "results.csv"
    path.write_text(csv_text([evil], [json.dumps(submission(answered, 0, 0, user_agent=evil))]))
    outcome = cli("study", "tally", answered, path)
    assert outcome.exit_code == 0, outcome.stderr
    for file in (answered / "results" / "tally").iterdir():
        assert "script>" not in file.read_text(), file.name
    assert "script>" not in outcome.stdout


def test_files_without_answers_are_named(cli: Cli, answered: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(csv_text([], []))
    outcome = cli("study", "tally", answered, path)
    assert outcome.exit_code == 2
    assert f"{path}: " in outcome.stderr


@pytest.mark.slow
def test_a_folder_of_what_was_collected(cli: Cli, answered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "collected"
    folder.mkdir()
    empty = cli("study", "tally", answered, folder)
    assert empty.exit_code == 2
    assert f"{folder}: " in empty.stderr
    (folder / "judgments-a.json").write_text(json.dumps(submission(answered, 0, 0)))
    (folder / "judgments-a (1).json").write_text(json.dumps(submission(answered, 0, 0)))
    (folder / "._judgments-a.json").write_bytes(b"\x00\x05\x16\x07")  # macOS beside its copies
    (folder / "batch.csv").write_text(csv_text(["W"], [json.dumps(submission(answered, 1, 1))]))
    outcome = cli("study", "tally", answered, folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert "24 judgments of 1 participant and 1 session " in outcome.stdout
    assert "25 identical rows" in outcome.stdout


def test_a_protocol_that_was_changed_after_the_build_is_found_without_sums(
    cli: Cli, answered: Path
) -> None:
    study = study_of(answered)
    study["protocol"]["quality"]["checks_passed"] = study["quality"]["checks_passed"] = 0
    (answered / "study.json").write_text(json.dumps(study))
    outcome = cli("study", "tally", answered)
    assert outcome.exit_code == 1
    assert "study.json: protocol_hash" in outcome.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--preference", "nan"),
        ("plan", "--power", "nan"),
        ("plan", "--design-effect", "inf"),
        ("plan", "--worker-sd", "1e300"),
        ("plan", "--fee", "inf"),
        ("simulate", "PACKET", "--side-bias", "nan"),
        ("simulate", "PACKET", "--ability", "ours=nan"),
        ("simulate", "PACKET", "--careless", "nan"),
    ],
)
def test_numbers_that_are_not_finite_are_misuse(
    cli: Cli, answered: Path, words: tuple[str, ...]
) -> None:
    outcome = cli("study", *(answered if word == "PACKET" else word for word in words))
    assert outcome.exit_code == 2
    assert words[-2] in outcome.stderr
    assert not (answered / "results" / "simulated.jsonl").exists()


def test_the_smallest_level_has_a_plan(cli: Cli) -> None:
    assert cli("study", "plan", "--alpha", "1e-9").exit_code == 0
    assert cli("study", "plan", "--alpha", "1e-300").exit_code == 2


# ---- packets ----


def renamed(bench: Bench, name: str) -> None:
    """Give the method ``beta`` another name."""
    folder = bench.run_folder("beta", 0).parent
    folder.rename(folder.with_name(name))


@pytest.mark.parametrize("name", ["server", "turkle", "${packet}", "=1+1", "日本 ü", "k", "123"])
def test_a_method_may_have_a_name_of_usual_words(
    cli: Cli, imaged: Bench, tmp_path: Path, name: str
) -> None:
    renamed(imaged, name)
    outcome = cli(*PILOT, f"alpha,{name}", "--output", tmp_path / "p")
    assert outcome.exit_code == 0, outcome.stderr
    assert study_of(tmp_path / "p")["methods"] == ["alpha", name]


def test_a_study_may_name_its_methods(imaged: Bench, tmp_path: Path) -> None:
    """Its name is the researcher's; participants never get it."""
    protocol = protocol_with().model_copy(update={"name": "alpha-against-beta"})
    material = gather(imaged, protocol, ["alpha", "beta"], None, 0, False, None)
    packets.build(imaged, protocol, material, None, FLAGS, tmp_path / "p")
    served = [path for path in (tmp_path / "p" / "web").rglob("*.*") if path.suffix != ".png"]
    for path in (*served, *(tmp_path / "p" / "mturk").iterdir()):
        assert "alpha" not in path.read_text(), path.name


def test_a_name_in_the_question_says_what_to_do(cli: Cli, imaged: Bench, tmp_path: Path) -> None:
    renamed(imaged, "natural")
    outcome = cli(*PILOT, "alpha,natural", "--output", tmp_path / "p")
    assert outcome.exit_code == 1
    assert "method 'natural'" in outcome.stderr
    assert not (tmp_path / "p").exists()


def test_names_that_cannot_be_printed_are_refused(cli: Cli, imaged: Bench) -> None:
    renamed(imaged, "new\nline")
    outcome = cli(*PILOT, "alpha,new\nline")
    assert outcome.exit_code == 2
    assert r"'new\nline': " in outcome.stderr


def test_more_scenes_than_there_are_and_none(cli: Cli, imaged: Bench) -> None:
    more = cli(*PILOT, "alpha,beta", "--scenes", len(imaged.dataset.test_scenes) + 1)
    assert more.exit_code == 2
    assert "--scenes 4" in more.stderr
    assert cli(*PILOT, "alpha,beta", "--scenes", 0).exit_code == 2
    unknown = cli(*PILOT, "alpha,nosuch")
    assert "'nosuch'" in unknown.stderr
    assert "hdbench import-images" in unknown.stderr


def test_one_scene_makes_a_sound_packet(cli: Cli, imaged: Bench, tmp_path: Path) -> None:
    assert imaged.dataset.test_scenes
    outcome = cli(*PILOT, "alpha,beta", "--scenes", 1, "--output", tmp_path / "p")
    assert outcome.exit_code == 0, outcome.stderr
    moved = shutil.move(tmp_path / "p", tmp_path / "elsewhere")
    assert not [line for finding in verify(Path(moved)) for line in finding.violations]


def test_a_second_build_proves_the_packet_that_is_there(
    cli: Cli, imaged: Bench, tmp_path: Path
) -> None:
    assert imaged.dataset.test_scenes
    words = (*PILOT, "alpha,beta", "--output", tmp_path / "p")
    assert cli(*words).exit_code == 0
    lost = next((tmp_path / "p" / "images").iterdir())
    lost.unlink()
    again = cli(*words)
    assert again.exit_code == 1
    assert f"images/{lost.name}: " in again.stderr
    assert "--key" in again.stderr


@pytest.mark.slow
def test_a_build_that_was_killed_leaves_no_packet_and_hinders_none(
    imaged: Bench, tmp_path: Path
) -> None:
    folder, protocol = tmp_path / "studies" / "p", protocol_with()
    material = gather(imaged, protocol, ["alpha", "beta"], None, 0, False, None)

    words = (imaged, protocol, material, None, FLAGS, folder)
    # Everything but the last file is written when the signal comes.
    child = killed_in("hdbench.study.packet.build.preview_page", 1, packets.build, *words)
    (left,) = folder.parent.iterdir()
    assert left.name == f".p.{child}.unfinished"
    assert packets.build(*words).written
    assert list(folder.parent.iterdir()) == [folder]
    assert (folder / PREVIEW_FILE).is_file()
