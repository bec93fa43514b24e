"""Segmenters that differ in what builds their network never share a score."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from conftest import evaluated

from hdbench.data.labels import shipped_space
from hdbench.errors import CheckpointError
from hdbench.segmentation.adoption import ImportOptions, adopt
from hdbench.segmentation.segmenter import CONFIG_FILE, load_segmenter
from hdbench.workspace.bench import Bench, open_bench

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def adopted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in two networks: output stride 8, and 16."""
    torch.manual_seed(0)
    model = smp.DeepLabV3("resnet18", encoder_weights=None, encoder_output_stride=8, classes=11)
    space = shipped_space("camvid")
    options = ImportOptions(space, (64, 48), mean=[0.5] * 3, std=[0.25] * 3)
    folder = tmp_path_factory.mktemp("adopted")
    for stride in (8, 16):
        source = folder / f"smp{stride}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save_pretrained(source)  # pyright: ignore[reportCallIssue]
        config = json.loads((source / CONFIG_FILE).read_text())
        config["encoder_output_stride"] = stride
        (source / CONFIG_FILE).write_text(json.dumps(config))
        adopt("smp", str(source), folder / f"ours{stride}", options)
    return folder


@pytest.fixture
def folders(adopted_once: Path, tmp_path: Path) -> list[Path]:
    """Both, to break."""
    names = ("ours8", "ours16")
    return [Path(shutil.copytree(adopted_once / name, tmp_path / name)) for name in names]


@pytest.mark.slow
def test_the_configuration_enters_the_fingerprint_and_no_score_is_taken_over(
    bench: Bench, folders: list[Path]
) -> None:
    results = []
    for folder in folders:
        segmenter = load_segmenter(folder, CPU)
        results.append(evaluated(open_bench(bench.workspace), [], 0, segmenter, CPU)[0])
    first, second = results
    weights = {result.choices["segmenter"]["weights"] for result in results}
    assert len(weights) == 1
    assert first.fingerprint != second.fingerprint
    assert (first.matrices != second.matrices).any()
    again = evaluated(open_bench(bench.workspace), [], 0, load_segmenter(folders[0], CPU), CPU)[0]
    assert again.scores == first.scores


def test_a_configuration_that_was_edited_or_exchanged_is_refused(folders: list[Path]) -> None:
    path = folders[0] / CONFIG_FILE
    before = path.read_text()
    path.write_text(before.replace("8", "16", 1))
    with pytest.raises(CheckpointError) as error:
        load_segmenter(folders[0], CPU)
    assert str(path) in str(error.value)
    shutil.copy(folders[1] / CONFIG_FILE, path)
    with pytest.raises(CheckpointError):
        load_segmenter(folders[0], CPU)
    path.write_text(before)
    load_segmenter(folders[0], CPU)


def test_a_card_that_names_no_configuration_asks_for_another_import(folders: list[Path]) -> None:
    card = folders[0] / "segmenter.json"
    record = json.loads(card.read_text())
    card.write_text(json.dumps({**record, "config": None}))
    with pytest.raises(CheckpointError) as error:
        load_segmenter(folders[0], CPU)
    assert str(card) in str(error.value)
