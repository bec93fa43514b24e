"""Whether a segmenter can be trusted: one that sees, one that does not, one that got worse."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import constant_segmenter, mean_iou_of
from PIL import Image
from torch import nn

from hdbench.data.labels import shipped_space
from hdbench.evaluation.confusion import confusion_matrix, scores_of
from hdbench.segmentation.segmenter import Segmenter, read_card
from hdbench.workflows.check_segmenter import as_record, inspect_segmenter
from hdbench.workspace.bench import Bench

SPACE = shipped_space("camvid")
Cli = Callable[..., Result]


def colours_network() -> nn.Module:
    """Logits are minus the squared distance to each class's colour: the best is the nearest."""
    network = nn.Conv2d(3, len(SPACE.scored), 1)
    colours = torch.tensor([entry.colour for entry in SPACE.scored]) / 255
    with torch.no_grad():
        network.weight.copy_(20 * colours[:, :, None, None])
        assert network.bias is not None
        network.bias.copy_(-10 * colours.square().sum(dim=1))
    return network


@pytest.fixture
def seeing() -> Segmenter:
    card = constant_segmenter(0, SPACE, 64, 48).card
    return Segmenter(colours_network(), replace(card, weights="colours"), torch.device("cpu"))


@pytest.fixture
def colours_file(tmp_path: Path) -> Path:
    """The same as a TorchScript file, for the command line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(colours_network(), torch.rand(1, 3, 48, 64))
        traced.save(str(tmp_path / "colours.pt"))
    return tmp_path / "colours.pt"


def test_a_segmenter_that_sees_passes_and_its_controls_fall(
    bench: Bench, seeing: Segmenter
) -> None:
    found = inspect_segmenter(bench, seeing)
    assert found.problems == []
    assert found.declared is None
    oracle = mean_iou_of(found.oracle)
    assert oracle > 0.5
    noise, other = (found.controls[name] for name in ("noise", "another scene"))
    assert mean_iou_of(noise) < 0.3 * oracle
    assert mean_iou_of(other) < 0.8 * oracle
    assert other.images == [found.oracle.images[n] for n in (1, 2, 0)]


def test_a_segmenter_that_looks_at_nothing_is_found_out(bench: Bench) -> None:
    found = inspect_segmenter(bench, constant_segmenter(3, SPACE, 64, 48))
    for name, problem in zip(("noise", "another scene"), found.problems, strict=True):
        assert problem.startswith(f"{name} ")
        assert f"{mean_iou_of(found.controls[name]):.4f}" in problem


def declaring(bench: Bench, segmenter: Segmenter, mean_iou: float) -> Segmenter:
    oracle = {
        "benchmark": bench.benchmark.name,
        "scoring": bench.scoring.name,
        "pixel_accuracy": 0.1,
        "mean_iou": mean_iou,
    }
    segmenter.card = replace(segmenter.card, oracle=oracle)
    return segmenter


def test_the_gate_holds_the_oracle_to_the_card(bench: Bench, seeing: Segmenter) -> None:
    reached = mean_iou_of(inspect_segmenter(bench, seeing).oracle)
    assert inspect_segmenter(bench, declaring(bench, seeing, reached + 0.009)).problems == []
    found = inspect_segmenter(bench, declaring(bench, seeing, reached + 0.011))
    assert re.search(f"mean_iou.*{reached:.4f}.*{reached + 0.011:.4f}", found.problems[0])
    assert as_record(found)["declared"]["mean_iou"] == reached + 0.011


@pytest.mark.slow
def test_a_wrong_class_table_fails_the_gate(bench: Bench, seeing: Segmenter) -> None:
    """Two classes exchanged in the labels, as by a wrong table; and a wrong mean."""
    reached = mean_iou_of(inspect_segmenter(bench, seeing).oracle)
    declaring(bench, seeing, reached)
    assert inspect_segmenter(bench, seeing).problems == []
    card = replace(seeing.card, mean=[0.4, 0.4, 0.4])
    shifted = Segmenter(seeing.network, card, torch.device("cpu"))
    declares = re.compile(f"mean_iou.*{reached:.4f}")
    assert declares.search(inspect_segmenter(bench, shifted).problems[0])
    for scene in bench.dataset.test_scenes:
        label = np.array(Image.open(scene.label_map))
        swapped = np.where(label == 1, 3, np.where(label == 3, 1, label)).astype(np.uint8)
        Image.fromarray(swapped).save(scene.label_map)
    fresh = Bench(bench.library, bench.workspace, bench.benchmark)
    assert declares.search(inspect_segmenter(fresh, seeing).problems[0])


# -- the verbs -------------------------------------------------------------------------------------


def imported(cli: Cli, colours_file: Path) -> Path:
    words = ("--mean", "0,0,0", "--std", "1,1,1", "--trust", "--name", "colours")
    result = cli("segmenter", "import", "torchscript", colours_file, *words)
    assert result.exit_code == 0, result.output
    folder = Path("ws/segmenters/imported/colours")
    assert result.stdout.startswith(f"imported: {folder.resolve()}\n")
    assert "--trust'" in result.stderr
    return folder


@pytest.mark.slow
def test_a_foreign_segmenter_is_imported_checked_and_used(
    cli: Cli, colours_file: Path, bench: Bench
) -> None:
    folder = imported(cli, colours_file)
    judged = ("--segmenter", folder, "--trust")
    first = cli("segmenter", "check", *judged)
    assert first.exit_code == 0, first.output
    assert "--declare" in first.stderr
    assert "IoU sky" in first.stdout
    assert cli("segmenter", "check", *judged, "--declare").exit_code == 0
    declared = read_card(folder).oracle
    assert declared is not None
    record = json.loads(cli("segmenter", "check", *judged, "--json").stdout)
    assert record["problems"] == []
    assert record["declared"]["class_iou"] == record["oracle"]["class_iou"]
    assert cli("segmenter", "check", *judged, "--declare").exit_code == 2
    card = json.loads((folder / "segmenter.json").read_text())
    card["oracle"]["mean_iou"] += 0.2
    (folder / "segmenter.json").write_text(json.dumps(card))
    failed = cli("segmenter", "check", *judged)
    assert failed.exit_code == 1
    assert re.search(f"mean_iou.*{card['oracle']['mean_iou']:.4f}", failed.stderr)


def test_the_oracle_under_it_is_that_of_an_independent_count(
    cli: Cli, colours_file: Path, bench: Bench
) -> None:
    """Nearest colour by NumPy, counted by hdbench's matrices; labels at the native size."""
    folder = imported(cli, colours_file)
    words = ("segmenter", "check", "--segmenter", folder, "--trust", "--json")
    record = json.loads(cli(*words).stdout)
    total = np.zeros((12, 11), np.int64)
    for scene in bench.dataset.test_scenes:
        from torchvision.transforms.functional import pil_to_tensor

        photograph = pil_to_tensor(Image.open(scene.image))[None]
        small = nn.functional.interpolate(photograph, (48, 64), mode="bicubic", antialias=True)
        logits = colours_network()(small / 255)
        logits = nn.functional.interpolate(logits, (72, 96), mode="bilinear", align_corners=False)
        guess = logits[0].argmax(0).numpy().astype(np.uint8)
        total += confusion_matrix(np.array(Image.open(scene.label_map)), guess, 11)
    expected = scores_of(total, bench.scoring.counting)
    assert record["oracle"]["mean_iou"] == pytest.approx(expected.mean_iou, abs=1e-12)


def test_untrusted_code_is_not_run(cli: Cli, colours_file: Path) -> None:
    folder = imported(cli, colours_file)
    for words in (("segmenter", "check"), ("evaluate",)):
        result = cli(*words, "--segmenter", folder)
        assert result.exit_code == 1
        assert "--trust" in result.stderr


@pytest.mark.slow
def test_predictions_made_elsewhere_score_like_what_predicted_them(
    cli: Cli, colours_file: Path, bench: Bench, tmp_path: Path
) -> None:
    folder = imported(cli, colours_file)
    first = json.loads(cli("evaluate", "--segmenter", folder, "--trust", "--json").stdout)
    network = colours_network()
    for method in ("oracle", "floor-patchwork", "floor-nearest", "floor-mean-colour"):
        for scene in bench.dataset.test_scenes:
            path = scene.image
            if method != "oracle":
                path = bench.image_folder(method, 0) / f"{scene.name}.png"
            pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None]
            if method == "oracle":
                pixels = nn.functional.interpolate(pixels, (48, 64), mode="bicubic", antialias=True)
            logits = network(pixels / 255)
            logits = nn.functional.interpolate(
                logits, (72, 96), mode="bilinear", align_corners=False
            )
            target = tmp_path / "predicted" / method / f"{scene.name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(logits[0].argmax(0).numpy().astype(np.uint8)).save(target)
    assert cli("segmenter", "import", "predictions", tmp_path / "predicted").exit_code == 2
    words = ("segmenter", "import", "predictions", tmp_path / "predicted", "--ids", "label")
    result = cli(*words)
    assert result.exit_code == 0, result.output
    judged = ("--segmenter", "ws/segmenters/imported/predicted")
    second = json.loads(cli("evaluate", *judged, "--json").stdout)
    assert [entry["mean_iou"] for entry in second] == [entry["mean_iou"] for entry in first]
    assert second[0]["fingerprint"] != first[0]["fingerprint"]
    assert "noise" not in cli("segmenter", "check", *judged).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--window", "640"), "'640'; expected WIDTHxHEIGHT"),
        (("--mean", "0.5"), "'0.5'; expected three numbers"),
        (("--ids", "train"), "'predictions'"),
    ],
)
def test_misuse_of_import_says_what_was_expected(cli: Cli, words, message: str) -> None:
    result = cli("segmenter", "import", "torchscript", "x.pt", *words)
    assert result.exit_code == 2
    assert message in result.output
