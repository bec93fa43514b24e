"""``study plan``, ``tally``, ``simulate`` and reports of preferences, as a user runs them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result as Outcome
from small_packet import csv_text, submission, write_own, write_packet

from hdbench.evaluation.scores import recomputed
from hdbench.library import Library
from hdbench.schema.result import Provenance, Result, ScoreRecord
from hdbench.workspace.results import save_result

pytestmark = pytest.mark.usefixtures("with_figures")
Cli = Callable[..., Outcome]
EVIL = "<img src=x onerror=alert(1)> $x_{"


def test_a_plan(bare_cli: Cli) -> None:
    outcome = bare_cli("study", "plan", "--methods", "3")
    assert outcome.exit_code == 0
    assert "820" in outcome.stdout
    assert "783" in outcome.stdout
    assert "judged 10 times" in outcome.stdout
    plan = json.loads(bare_cli("study", "plan", "--study", "limited", "--json").stdout)
    assert plan["judgments_per_pair_and_scene"] == 14
    assert "7 durations" in plan["balance"][0]
    assert bare_cli("study", "plan", "--preference", "50").exit_code == 2
    tiny = bare_cli("study", "plan", "--preference", "50.01")
    assert tiny.exit_code == 2
    assert "50.01 %" in tiny.stderr
    unknown = bare_cli("study", "plan", "--study", "unlimitd")
    assert unknown.exit_code == 2
    assert "'unlimited'" in unknown.stderr


@pytest.mark.parametrize(
    "verb",
    [
        "plan", "build", "verify", "mturk", "tally", "simulate", "serve", "backup", "export",
        "rehearse", "prolific", "prolific create", "prolific publish", "prolific list",
        "prolific approve", "prolific bonus",
    ],
)  # fmt: skip
def test_help_has_examples(bare_cli: Cli, verb: str) -> None:
    outcome = bare_cli("study", *verb.split(), "--help")
    assert outcome.exit_code == 0
    assert "Example" in outcome.stdout
    assert f"  hdbench study {verb}" in outcome.stdout


def packet_in(folder: Path, *methods: str) -> Path:
    return write_packet(folder / "ws" / "studies" / "unlimited", methods=methods)


@pytest.mark.slow
def test_from_answers_to_table_2(cli: Cli, tmp_path: Path) -> None:
    packet = packet_in(tmp_path, "pix2pix", "ours-labels-only")
    own = [submission(packet, n, n) for n in range(3)]
    results = tmp_path / "Batch_results.csv"
    answers = [json.dumps(submission(packet, n, n)) for n in (3, 3)]
    results.write_bytes(csv_text(["A", "A"], answers).encode())
    write_own(packet, own)
    early = cli("report", "table2")
    assert early.exit_code == 1
    assert "report 'table2'" in early.stderr

    tallied = cli("study", "tally", packet, results)
    assert tallied.exit_code == 0, tallied.stderr
    assert "48 judgments of 4 participants" in tallied.stdout
    assert "pix2pix over ours-labels-only" in tallied.stdout
    assert "25 identical rows" in tallied.stdout
    analysis = json.loads(cli("study", "tally", packet, results, "--json").stdout)
    (pair,) = analysis["pairs"]
    folder = packet / "results" / "tally"
    assert {path.name for path in folder.iterdir()} == {
        "judgments.csv", "methods.md", "rates.svg", "summary.json",
    }  # fmt: skip

    table = cli("report", "table2")
    assert table.exit_code == 0, table.stderr
    line = next(row for row in table.stdout.splitlines() if row.startswith("pix2pixHD over pix2p"))
    assert f"{100 * (1 - pair['share']):.1f}" in line  # the report asks the other way round
    assert line.rstrip().endswith("93.8")
    assert "measured" in table.stdout
    assert "SIMULATED" not in table.stdout
    written = {path.name for path in (tmp_path / "ws" / "reports").iterdir()}
    suffixes = ("txt", "md", "csv", "tex", "rates.svg", "rates.png", "html")
    assert written == {f"table2.{suffix}" for suffix in suffixes}
    own = cli("report", "preferences")
    assert own.exit_code == 0, own.stderr
    assert f"{100 * pair['share']:.1f}" in own.stdout
    assert "pix2pix over ours-labels-only" in own.stdout

    (folder / "judgments.csv").write_text("edited")
    assert "judgments.csv" in cli("report", "table2").stderr


@pytest.mark.slow
def test_simulated_studies_are_refused_unless_asked_for_and_marked(
    cli: Cli, tmp_path: Path
) -> None:
    packet = packet_in(tmp_path, "ours-labels-only", "crn")
    outcome = cli("study", "simulate", packet, "--careless", "0.1", "--ability", "crn=-1")
    assert outcome.exit_code == 0, outcome.stderr
    assert "4 simulated participants" in outcome.stdout
    assert cli("study", "tally", packet).exit_code == 2
    text = cli("study", "tally", packet, "--simulated").stdout
    assert text.startswith("SIMULATED")
    folder = packet / "results" / "tally-simulated"
    assert (folder / "methods.md").read_text().startswith("SIMULATED")
    assert "SIMULATED" in (folder / "rates.svg").read_text()
    assert json.loads((folder / "summary.json").read_text())["simulated"] is True
    rows = (folder / "judgments.csv").read_text().splitlines()[1:]
    assert all(",simulated,True," in row for row in rows)

    assert cli("report", "table2").exit_code == 1
    refused = cli("report", "table2", "--packet", packet)
    assert refused.exit_code == 1
    assert f"{packet}: " in refused.stderr
    assert "simulated" in refused.stderr.replace(str(packet), "")
    shown = cli("report", "table2", "--simulated")
    assert shown.stdout.startswith("SIMULATED")
    reports = tmp_path / "ws" / "reports"
    for suffix in ("txt", "md", "csv", "tex", "rates.svg", "html"):
        assert "SIMULATED" in (reports / f"table2.simulated.{suffix}").read_text()

    # not even where somebody puts them among people's
    folder.rename(packet / "results" / "tally")
    moved = cli("report", "table2")
    assert moved.exit_code == 1
    assert re.search(r"summary\.json: .*simulated", moved.stderr)


@pytest.mark.slow
def test_two_packets_of_one_comparison_are_not_pooled(cli: Cli, tmp_path: Path) -> None:
    studies = tmp_path / "ws" / "studies"
    for name in ("first", "second"):
        write_packet(studies / name, methods=("ours-labels-only", "crn"))
        write_own(studies / name, [submission(studies / name, n, n) for n in range(2)])
        assert cli("study", "tally", studies / name).exit_code == 0
    both = cli("report", "table2")
    assert both.exit_code == 2
    assert f"{studies / 'first'}, {studies / 'second'}" in both.stderr
    assert cli("report", "table2", "--packet", studies / "first").exit_code == 0


def test_options_of_the_other_kind_of_report_are_misuse(cli: Cli, tmp_path: Path) -> None:
    for words in (
        ("table1", "--simulated"),
        ("table1", "--packet", "x"),
        ("table2", "--method", "ours"),
    ):
        outcome = cli("report", *words)
        assert outcome.exit_code == 2
        assert "report 'table" in outcome.stderr
    refused = cli("report", "table2", "--packet", tmp_path).stderr
    assert re.search(rf"{tmp_path}: .*study\.json", refused)


def test_html_and_formulas_in_names_are_inert_everywhere(cli: Cli, tmp_path: Path) -> None:
    packet = packet_in(tmp_path, EVIL, "crn")
    write_own(packet, [submission(packet, n, n) for n in range(2)])
    assert cli("study", "tally", packet).exit_code == 0
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'name = "mine"\ntitle = "<b>mine"\nsource = "<i>"\npublished_on = "<u>"\nshow = "rates"\n'
        f'[[comparisons]]\ntitle = "{EVIL}"\nmethod = "{EVIL}"\nover = "crn"\n'
        'study = "unlimited"\npublished = 50.0\n'
    )
    outcome = cli("report", "./mine.toml")
    assert outcome.exit_code == 0, outcome.stderr
    assert "<img" not in (tmp_path / "ws" / "reports" / "mine.md").read_text()
    page = (tmp_path / "ws" / "reports" / "mine.html").read_text()
    for tag in ("<img", "<b>", "<i>", "<u>"):
        assert tag not in page
    assert "&lt;img" in page
    for path in (
        packet / "results" / "tally" / "rates.svg",
        tmp_path / "ws/reports/mine.rates.svg",
    ):
        assert "<img" not in path.read_text()
        ET.fromstring(path.read_text())
    assert "<img" not in (packet / "results" / "tally" / "methods.md").read_text()


def stored(
    folder: Path, method: str, right: list[int], scoring: str = "camvid-std-v1", **choices: object
) -> Path:
    """A result whose images have so many of 100 pixels right."""
    matrices = np.array([[[n, 0], [100 - n, 0], [0, 0]] for n in right])
    counting = Library().scoring("camvid-std-v1").counting
    counted = {"name": scoring, "counting": counting.model_dump()}
    path = folder / f"{method}.json"
    result = Result(
        method=method,
        benchmark="tiny",
        seed=0,
        scoring=scoring,
        choices={"schema": 1, "scoring": counted, **choices},
        run=None,
        scenes=[f"scene_{n:03}" for n in range(len(right))],
        images=[f"{method} {n}" for n in range(len(right))],
        classes=["sky", "road"],
        scores=ScoreRecord(pixel_accuracy=None, mean_iou=None, class_iou={}),
        provenance=Provenance(versions={}, device="cpu", ranks=1),
        matrices=matrices,
    )
    save_result(path, result.model_copy(update={"scores": recomputed(result)}))
    return path


def test_a_metric_is_held_against_people(cli: Cli, tmp_path: Path) -> None:
    packet = packet_in(tmp_path, "ours", "crn")
    entries = [submission(packet, n, n) for n in range(4)]
    trials = [json.loads(line) for line in (packet / "trials.jsonl").read_text().splitlines()]
    by_id = {trial["trial"]: trial for trial in trials}
    for entry in entries:  # people prefer 'ours' on the later scenes
        for row in entry["rows"]:
            trial = by_id[row["trial"]]
            if trial["kind"] == "judgment":
                preferred = "ours" if int(trial["scene"][-3:]) > 5 else "crn"
                row["choice"] = "left" if trial["left"] == preferred else "right"
    write_own(packet, entries)
    ours, crn = stored(tmp_path, "ours", [*range(40, 52)]), stored(tmp_path, "crn", [45] * 12)
    outcome = cli("study", "tally", packet, "--scores", ours, "--scores", crn)
    assert outcome.exit_code == 0, outcome.stderr
    analysis = json.loads((packet / "results" / "tally" / "summary.json").read_text())
    assert {row["metric"] for row in analysis["metrics"]} == {"pixel accuracy", "mean IoU"}
    assert all(row["spearman"] > 0.8 for row in analysis["metrics"])
    assert "pixel accuracy, ours minus crn: Spearman +0." in outcome.stdout
    other = stored(tmp_path / "other", "crn", [45] * 12, void="errors")
    refused = cli("study", "tally", packet, "--scores", ours, "--scores", other)
    assert refused.exit_code == 2
    assert 'void: null -> "errors"' in refused.stderr
    twice = cli("study", "tally", packet, "--scores", ours, "--scores", ours)
    assert re.search(r"ours\.json: .*'ours'", twice.stderr)


@pytest.mark.slow
def test_scores_under_a_convention_of_the_users_own(cli: Cli, tmp_path: Path) -> None:
    """The library need not know it: a result states how its pixels were counted."""
    packet = packet_in(tmp_path, "ours", "crn")
    write_own(packet, [submission(packet, n, n) for n in range(4)])
    files = [stored(tmp_path, name, [*range(40, 52)], "mine-v1") for name in ("ours", "crn")]
    outcome = cli("study", "tally", packet, "--scores", files[0], "--scores", files[1])
    assert outcome.exit_code == 0, outcome.stderr
    analysis = json.loads((packet / "results" / "tally" / "summary.json").read_text())
    assert {row["metric"] for row in analysis["metrics"]} == {"pixel accuracy", "mean IoU"}
