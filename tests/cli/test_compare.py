"""``compare``, ``evaluate --explain`` and several segmenters, as a user types and reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from conftest import accuracy_of, changed, made_result, mean_iou_of

from hdbench.evaluation.uncertainty import NOTE
from hdbench.networks.pspnet import build_pspnet
from hdbench.provenance import digest
from hdbench.runtime.weights import weights_digest
from hdbench.segmentation.segmenter import SegmenterCard, save_segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import load_result, result_path, save_result

Cli = Callable[..., Result]
METHOD = "ours-no-vgg"


def matrices(right: int) -> np.ndarray:
    """Fourteen images of two classes of 40 pixels each and 5 void pixels."""
    found = np.zeros((14, 3, 2), dtype=np.int64)
    wobble = np.arange(14)[:, None] % 3
    found[:, [0, 1], [0, 1]] = right - wobble
    found[:, [0, 1], [1, 0]] = 40 - right + wobble
    found[:, 2, 0] = 5
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two methods under one convention, and the first under another."""
    results = [
        made_result("mine", matrices(36)),
        made_result("theirs", matrices(30)),
        made_result("mine", matrices(36), void_in_accuracy="errors"),
    ]
    for n, result in enumerate(results):
        save_result(tmp_path / f"{n}.json", result)
    return [str(tmp_path / f"{n}.json") for n in range(3)]


# -- compare --------------------------------------------------------------------------------------


def test_methods_under_one_fingerprint_are_compared_image_by_image(
    bare_cli: Cli, files: list[str]
) -> None:
    result = bare_cli("compare", *files[:2])
    assert result.exit_code == 0
    for fact in ("A: mine", "tiny", "seed 0", "14 images", "camvid-std-v1"):
        assert fact in result.stdout.splitlines()[0]
    assert re.search(r"A - B +pixel acc. % +\+15\.00 \[\+15\.00, \+15\.00\]", result.stdout)
    assert NOTE in result.stdout
    record = json.loads(bare_cli("compare", *files[:2], "--json").stdout)
    first = record["pairs"][0]
    assert first["difference"]["value"] == pytest.approx(0.15)
    assert first["corrected"] >= first["difference"]["p_value"]
    low, high = record["results"]["A"]["intervals"]["pixel_accuracy"]
    assert low <= record["results"]["A"]["pixel_accuracy"] <= high


def test_across_fingerprints_nothing_is_ranked_and_the_policy_is_priced(
    bare_cli: Cli, files: list[str]
) -> None:
    result = bare_cli("compare", files[0], files[2])
    assert result.exit_code == 0
    assert "void pixels in pixel accuracy: " in result.stdout
    ours, theirs = (accuracy_of(load_result(Path(files[n]))) for n in (0, 2))
    assert re.search(
        rf"void pixels in pixel accuracy +{100 * (theirs - ours):+.2f} +\+0\.0000", result.stdout
    )
    assert "p (Holm)" not in result.stdout
    record = json.loads(bare_cli("compare", files[0], files[2], "--json").stdout)
    assert record["compared_with_A"]["B"]["rest"]["pixel_accuracy"] == pytest.approx(0)


def test_three_results_of_which_two_share_a_fingerprint(bare_cli: Cli, files: list[str]) -> None:
    text = bare_cli("compare", *files).stdout
    assert re.search("A and B .*fingerprint", text)
    assert re.search("void pixels in pixel accuracy: .* A, .* C", text)
    assert "between A and C" in text


def test_what_matrices_cannot_tell_is_listed(
    bare_cli: Cli, files: list[str], tmp_path: Path
) -> None:
    result = load_result(Path(files[0]))
    larger = changed(result, choices={**result.choices, "image_size": [128, 96]})
    save_result(tmp_path / "larger.json", larger)
    words = ("compare", files[0], tmp_path / "larger.json")
    compared = json.loads(bare_cli(*words, "--json").stdout)["compared_with_A"]["B"]
    [lacking] = compared["not_recomputed"]
    assert "size" in lacking
    assert bare_cli(*words).stdout.splitlines()[-1] == f"  {lacking}"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("mine",), 2, "'hdbench compare A B'"),
        (("nowhere.json", "{0}"), 1, "nowhere.json: "),
        (("oors", "{0}"), 2, "'ours'"),
        (("ours", "{0}"), 1, "'hdbench evaluate --method ours'"),
        (("ours:camvid-std-v2", "{0}"), 2, "'camvid-std-v1'"),
    ],
)
def test_misuse_says_what_and_what_next(
    cli: Cli, files: list[str], words: tuple[str, ...], status: int, message: str
) -> None:
    result = cli("compare", *(word.format(*files) for word in words))
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_methods_of_the_workspace_are_found_by_name_and_convention(
    cli: Cli, trained: Bench, tmp_path: Path
) -> None:
    text = 'name = "void-v1"\nextends = "camvid-std-v1"\n[counting]\nvoid_in_accuracy = "errors"\n'
    (tmp_path / "void-v1.toml").write_text(text)
    assert cli("evaluate").exit_code == 0
    assert cli("evaluate", "--scoring", "void-v1.toml").exit_code == 0
    pairs = json.loads(cli("compare", "oracle", "floor-nearest", "--json").stdout)["pairs"]
    oracle, floor = (
        mean_iou_of(load_result(result_path(trained, name, 0)))
        for name in ("oracle", "floor-nearest")
    )
    expected = oracle - floor
    assert pairs[1]["difference"]["value"] == pytest.approx(expected, abs=1e-12)
    priced = cli("compare", "oracle", "oracle:void-v1.toml").stdout
    assert re.search(r"A and B +\+0\.00 +\+0\.0000", priced)


# -- evaluate -------------------------------------------------------------------------------------


def test_explain_prints_the_fingerprint_that_a_score_would_have_and_scores_nothing(
    cli: Cli, trained: Bench
) -> None:
    known = load_result(result_path(trained, "oracle", 0))
    result_path(trained, "oracle", 0).unlink()
    result = cli("evaluate", "--explain")
    assert result.exit_code == 0
    assert f"fingerprint {known.fingerprint}" in result.stdout
    assert "  void pixels in pixel accuracy: " in result.stdout
    assert not result_path(trained, "oracle", 0).exists()
    record = json.loads(cli("evaluate", "--explain", "--json").stdout)
    assert record["fingerprint"] == known.fingerprint == digest(record["choices"])
    assert len(record["words"]) > 20


@pytest.mark.slow
def test_intervals_stand_in_the_table_and_in_json(cli: Cli, trained: Bench) -> None:
    records = json.loads(cli("evaluate", "--json").stdout)
    low, high = records[0]["intervals"]["mean_iou"]
    assert low <= records[0]["mean_iou"] <= high
    text = cli("evaluate").stdout
    assert f"{records[0]['mean_iou']:.4f} [{low:.4f}, {high:.4f}]" in text
    assert NOTE in text


def foreign_segmenter_file(folder: Path, card: SegmenterCard) -> Path:
    network = build_pspnet(card.design)
    save_segmenter(folder, network, replace(card, weights=weights_digest(network), oracle=None))
    return folder


@pytest.mark.slow
def test_several_segmenters_rank_the_same_images(cli: Cli, trained: Bench, tmp_path: Path) -> None:
    card = SegmenterCard(
        **json.loads((trained.segmenter_folder() / "segmenter.json").read_text(encoding="utf-8"))
    )
    other = foreign_segmenter_file(tmp_path / "other", card)
    words = ("evaluate", "--segmenter", "own", "--segmenter", other)
    record = json.loads(cli(*words, "--json").stdout)
    assert [entry["segmenter"].split()[0] for entry in record["judges"]] == ["own", "other"]
    fingerprints = {entry["results"][0]["fingerprint"] for entry in record["judges"]}
    assert len(fingerprints) == 2
    assert [entry["methods"] for entry in record["agreement"]] == [3, 3]
    assert all(-1 <= entry["tau"] <= 1 for entry in record["agreement"] if entry["tau"] is not None)
    text = cli(*words).stdout
    assert f"other {record['judges'][1]['weights'][:8]}" in text
    assert "Kendall's tau" in text
    stored = load_result(
        result_path(trained, "oracle", 0, foreign=record["judges"][1]["weights"][:8])
    )
    assert stored.scores.mean_iou == record["judges"][1]["results"][0]["mean_iou"]
    explained = json.loads(cli(*words, "--explain", "--json").stdout)
    assert [entry["fingerprint"] for entry in explained] == [
        entry["results"][0]["fingerprint"] for entry in record["judges"]
    ]


def test_one_segmenter_under_two_names_is_refused(cli: Cli, trained: Bench) -> None:
    folder = trained.segmenter_folder()
    result = cli("evaluate", "--segmenter", "own", "--segmenter", folder)
    assert result.exit_code == 2
    assert "--segmenter own" in result.stderr
