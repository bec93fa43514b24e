"""Measures beyond segmentation: computed, stored, shown, and never mixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import constant_segmenter, evaluated
from torch import nn

from hdbench.data.label_maps import read_label
from hdbench.errors import DataError, HdbenchError, UsageError
from hdbench.evaluation.boundaries import edge_counts, f_scores
from hdbench.reporting.metric_tables import metric_tables
from hdbench.workflows import realism
from hdbench.workflows.boundaries import measure_boundaries
from hdbench.workflows.realism import measure_diversity, measure_realism
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.metrics import current_metrics, metric_path

Cli = Callable[..., Result]
CPU = torch.device("cpu")
FLOORS = ["floor-patchwork", "floor-nearest", "floor-mean-colour"]


class Means(nn.Module):
    """Stands in for Inception: 12 mean colours of an image's quarters."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        quarters = nn.functional.adaptive_avg_pool2d(images.float() / 255, 2)
        return (quarters.flatten(1),)


class Difference(nn.Module):
    """Stands in for LPIPS."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one - other).abs().mean()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Files and light networks in the place of Inception and AlexNet."""
    for name in ("inception.pth", "alexnet.pth"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(realism, "load_inception", lambda path, device: Means())
    monkeypatch.setattr(realism, "load_lpips", lambda path, device: Difference())
    return {
        "inception": tmp_path / "inception.pth",
        "lpips": tmp_path / "alexnet.pth",
        "reference": "train",
        "device": CPU,
    }


def with_more_scenes(bench: Bench) -> Bench:
    """The bench with 5 test scenes: KID wants 4."""
    for folder in ("val", "valannot"):
        for n in (1, 2):
            source = bench.dataset.root("val") / folder / f"val_0{n}.png"
            shutil.copy(source, source.with_name(f"more_{n}.png"))
    return open_bench(bench.workspace)


def test_realism_is_measured_once_and_says_what_it_compares(
    bench: Bench, weights: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = with_more_scenes(bench)
    found = measure_realism(bench, [], 0, **weights)
    assert [one.method for one in found] == FLOORS
    assert len({one.fingerprint for one in found}) == 1
    choices = found[0].choices
    assert (choices["images"], choices["inception"]["reference_images"]) == (5, 8)
    assert found[0].scores["kid_subset_size"] == 2
    assert len(found[0].per_image) == 5
    assert found[0].scores["lpips"] == pytest.approx(np.mean(found[0].per_image))
    assert all(one.scores["fid"] > 0 for one in found)
    monkeypatch.setattr(realism, "load_inception", None)  # nothing is computed again
    assert measure_realism(bench, [], 0, **weights) == found
    table = metric_tables(found)[0]
    assert list(table.table.columns) == ["FID", "KID x 1000", "LPIPS"]
    for fact in ("5 images", "8 photographs of 'train'", "100 subsets of 2"):
        assert fact in table.notes[0]
    assert "2048 features" in table.notes[1]  # more than images: KID is the better measure


@pytest.mark.slow
def test_other_weights_or_references_stand_in_tables_of_their_own(
    bench: Bench, weights: dict[str, Any], tmp_path: Path
) -> None:
    bench = with_more_scenes(bench)
    first = measure_realism(bench, [], 0, **weights)
    (tmp_path / "inception.pth").write_text("others")
    second = measure_realism(bench, [], 0, **weights)
    third = measure_realism(bench, [], 0, **{**weights, "reference": "test"})
    fourth = measure_realism(bench, [], 0, **{**weights, "inception": None})
    assert len({one.fingerprint for one in (*first, *second, *third, *fourth)}) == 4
    assert len(metric_tables([*first, *second])) == 2
    assert list(metric_tables(fourth)[0].table.columns) == ["LPIPS"]


def test_realism_of_nothing_or_of_the_oracle_is_refused(
    bench: Bench, weights: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"--inception-weights.*--lpips-weights"):
        measure_realism(bench, [], 0, **{**weights, "inception": None, "lpips": None})
    with pytest.raises(UsageError, match="oracle"):
        measure_realism(bench, ["oracle"], 0, **weights)
    with pytest.raises(UsageError, match=r"KID .*4 images"):
        measure_realism(bench, [], 0, **weights)


def test_diversity_is_between_folders(
    bench: Bench, weights: dict[str, Any], tmp_path: Path
) -> None:
    evaluated(bench, [], 0, constant_segmenter(3, bench.space, 64, 48), CPU)
    folders = [bench.image_folder(name, 0) for name in FLOORS]
    found = measure_diversity(bench, folders, weights["lpips"], CPU)
    assert (found["styles"], found["scenes"]) == (3, 3)
    assert found["lpips_diversity"] == pytest.approx(np.mean(list(found["per_scene"].values())))
    with pytest.raises(UsageError, match="two folders"):
        measure_diversity(bench, folders[:1], weights["lpips"], CPU)
    short = Path(shutil.copytree(folders[0], tmp_path / "short"))
    (short / "val_01.png").unlink()
    with pytest.raises(DataError, match=r"short: 1 of 3 scenes(.|\n)*val_01"):
        measure_diversity(bench, [folders[0], short], weights["lpips"], CPU)
    with pytest.raises(UsageError, match="nowhere: "):
        measure_diversity(bench, [folders[0], tmp_path / "nowhere"], weights["lpips"], CPU)


def test_boundaries_of_scored_methods_beside_oracle_and_floors(bench: Bench) -> None:
    segmenter = constant_segmenter(3, bench.space, 64, 48)
    with pytest.raises(HdbenchError, match=r"'hdbench evaluate .*--method oracle'"):
        measure_boundaries(bench, [], 0, segmenter, CPU)
    results = evaluated(bench, [], 0, segmenter, CPU)
    found = measure_boundaries(bench, [], 0, segmenter, CPU)
    assert [one.method for one in found] == ["oracle", *FLOORS]
    assert len({one.fingerprint for one in found}) == 1
    assert found[0].fingerprint != results[0].fingerprint
    # A segmenter that sees one class everywhere sees no edge at all.
    truths = [
        bench.space.to_train_ids(read_label(e.label_map, bench.space))
        for e in bench.dataset.test_scenes
    ]
    expected = [edge_counts(one, torch.full_like(one, 3), 11, 1) for one in truths]
    assert found[0].per_image == np.stack(expected).tolist()
    scores = f_scores(np.stack(expected))
    assert np.nanmax(scores) == 0.0
    assert found[0].scores["boundary_f"] == 0.0
    assert current_metrics(bench, results, segmenter.card) == found
    table = metric_tables(found)[0].table
    assert table.index[0] == "mean"
    assert list(table.columns) == ["oracle", *FLOORS]


def test_a_stale_or_damaged_record_is_named_and_made_again(bench: Bench) -> None:
    segmenter = constant_segmenter(3, bench.space, 64, 48)
    results = evaluated(bench, [], 0, segmenter, CPU)
    measure_boundaries(bench, [], 0, segmenter, CPU)
    path = metric_path(bench, "boundaries", "oracle", 0, segmenter.card)
    record = json.loads(path.read_text())
    for content in (
        json.dumps({**record, "images": "others"}),
        json.dumps({**record, "choices": {}}),
        "{",
    ):
        path.write_text(content)
        with pytest.raises(HdbenchError) as error:
            current_metrics(bench, results, segmenter.card)
        assert str(path) in str(error.value)
        assert "hdbench measure boundaries --method oracle" in str(error.value)
    assert len(measure_boundaries(bench, [], 0, segmenter, CPU)) == 4  # made again


@pytest.mark.slow
def test_verbs_print_and_reports_show_them(
    cli: Cli, trained: Bench, weights: dict[str, Any]
) -> None:
    with_more_scenes(trained)
    segmenter_card = trained.segmenter_folder() / "segmenter.json"
    card = json.loads(segmenter_card.read_text())
    segmenter_card.write_text(json.dumps({**card, "oracle": None}))  # the test split has changed
    assert cli("evaluate").exit_code == 0
    files = ("--inception-weights", weights["inception"], "--lpips-weights", weights["lpips"])
    printed = cli("measure", "realism", *files)
    assert printed.exit_code == 0, printed.stderr
    assert printed.stdout.splitlines()[2].startswith("floor-patchwork")
    records = json.loads(cli("measure", "boundaries", "--json").stdout)
    assert [record["method"] for record in records] == ["oracle", *FLOORS]
    folders = [trained.image_folder(name, 0) for name in FLOORS[:2]]
    told = cli("measure", "diversity", *folders, "--lpips-weights", weights["lpips"])
    assert told.stdout.startswith("LPIPS diversity 0.")
    assert (
        json.loads(
            cli(
                "measure", "diversity", *folders, "--lpips-weights", weights["lpips"], "--json"
            ).stdout
        )["styles"]
        == 2
    )
    text = cli("report", "table1").stdout
    assert "\nRealism\n" in text
    assert "\nBoundary F-score\n" in text
    page = (trained.workspace.reports() / "table1.tiny.html").read_text()
    assert "<h2>Realism</h2>" in page
    assert "<h2>Boundary F-score</h2>" in page
    assert "Realism" not in (trained.workspace.reports() / "table1.tiny.csv").read_text()
