"""Images as training data: learnt from synthesized ones, scored on real ones."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from conftest import MACHINE
from PIL import Image

from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_resized
from hdbench.errors import UsageError
from hdbench.segmentation.segmenter import read_card
from hdbench.workflows.train_segmenter import images_as_training_data, train_on
from hdbench.workspace.bench import Bench

Cli = Callable[..., Result]


def test_labels_and_images_of_other_sizes_meet_at_the_benchmarks(
    bench: Bench, tmp_path: Path
) -> None:
    scene = bench.dataset.train_scenes[0]
    small = tmp_path / "small.png"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(small)
    found = read_resized(SceneFiles("x", scene.label_map, small, None), bench.space, 48, 64)
    assert found.image is not None
    assert np.array_equal(found.image.permute(1, 2, 0).numpy(), pixels)
    nearest = Image.open(scene.label_map).resize((64, 48), Image.Resampling.NEAREST)
    assert np.array_equal(found.label.numpy(), np.array(nearest))


def test_the_data_are_the_methods_images_with_the_real_labels(trained: Bench) -> None:
    method = trained.library.method("ours-no-vgg")
    data = images_as_training_data(trained, method, 0, MACHINE)
    folder = trained.image_folder("ours-no-vgg", 0, training=True)
    assert folder.name == "train"
    assert [entry.image for entry in data.files] == [folder / f"train_{n:02}.png" for n in range(8)]
    assert [entry.label for entry in data.files] == [
        entry.label for entry in trained.dataset.train_scenes
    ]
    assert data.images == {"method": "ours-no-vgg"}
    oracle = images_as_training_data(trained, trained.library.method("oracle"), 0, MACHINE)
    assert [entry.image for entry in oracle.files] == [
        entry.image for entry in trained.dataset.train_scenes
    ]
    assert [row[2] for row in oracle.digests] == [row[2] for row in data.digests]
    assert all(a[1] != b[1] for a, b in zip(oracle.digests, data.digests, strict=True))


@pytest.mark.slow
def test_the_verb_prints_both_and_does_nothing_twice(cli: Cli, trained: Bench) -> None:
    result = cli("segmenter", "train", "--on", "ours-no-vgg", "--workers", "0")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].startswith("oracle")
    assert lines[2].startswith("ours-no-vgg")
    assert "8 scenes of 'train'" in lines[3]
    words = ("segmenter", "train", "--on", "ours-no-vgg", "--json")
    records = json.loads(cli(*words).stdout)
    cards = [read_card(Path(record["folder"])) for record in records]
    for card, name in zip(cards, ("oracle", "ours-no-vgg"), strict=True):
        assert re.fullmatch(f"tiny/train .*'{name}'.*, 8 scenes", card.trained_on)
    assert cards[0].weights != cards[1].weights
    assert [card.training["steps"] for card in cards] == [4, 4]
    stamps = [Path(record["folder"]).stat().st_mtime_ns for record in records]
    assert json.loads(cli(*words).stdout) == records
    assert [Path(record["folder"]).stat().st_mtime_ns for record in records] == stamps


@pytest.mark.slow
def test_photographs_stored_in_another_file_teach_the_same(trained: Bench) -> None:
    """The path of the two trainings differs by the images alone."""
    oracle = trained.library.method("oracle")
    first = train_on(trained, oracle, 0, MACHINE)
    assert [one.method for one in first] == ["oracle"]
    for entry in trained.dataset.train_scenes:
        pixels = np.array(Image.open(entry.image))
        Image.fromarray(pixels).save(entry.image, compress_level=0)
    weights = read_card(first[0].folder).weights
    shutil.rmtree(first[0].folder)
    fresh = Bench(trained.library, trained.workspace, trained.benchmark)
    assert read_card(train_on(fresh, oracle, 0, MACHINE)[0].folder).weights == weights


@pytest.mark.parametrize("name", ["floor-nearest", "floor-patchwork"])
def test_floors_that_would_return_the_photographs_are_refused(bench: Bench, name: str) -> None:
    with pytest.raises(UsageError, match=f"--on {name}: .*--on oracle"):
        train_on(bench, bench.library.method(name), 0, MACHINE)


def test_an_untrained_method_is_noticed_before_anything_is_learnt(cli: Cli, bench: Bench) -> None:
    result = cli("segmenter", "train", "--on", "ours-no-vgg")
    assert result.exit_code == 1
    assert "'hdbench train ours-no-vgg'" in result.stderr
    assert not (bench.workspace.root / "segmenters").exists()
    assert cli("segmenter", "train", "--json").exit_code == 2
