from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdbench.data.layouts import SceneFiles
from hdbench.errors import LibraryError, UsageError
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace
from hdbench.workspace.results import result_path


def test_the_folder_of_images_bears_the_splits_name_without_its_slice(city: Workspace) -> None:
    bench = open_bench(city)
    assert [len(bench.dataset.train_scenes), len(bench.dataset.test_scenes)] == [2, 3]
    assert bench.image_folder("ours", 0).parts[-2:] == ("images", "val")


def test_one_instance_pixel_changes_what_images_are_made_from_but_no_label(
    city: Workspace,
) -> None:
    first = open_bench(city)
    assert [len(row) for row in first.dataset.test_map_digests] == [2, 2, 2]
    path = first.dataset.test_scenes[1].instance
    assert path is not None
    ids = np.array(Image.open(path))
    ids[5, 9] = 26000
    Image.fromarray(ids).save(path)
    again = open_bench(city)
    assert again.dataset.test_label_digests == first.dataset.test_label_digests
    changed = [
        a != b
        for a, b in zip(again.dataset.test_map_digests, first.dataset.test_map_digests, strict=True)
    ]
    assert changed == [False, True, False]


def test_a_dataset_without_instance_maps_has_label_digests_alone(bench: Bench) -> None:
    assert bench.dataset.test_map_digests == [
        [digest] for digest in bench.dataset.test_label_digests
    ]


def recompressed(path: Path) -> None:
    """Write a file's pixels anew, as another encoder would."""
    before = path.read_bytes()
    Image.open(path).save(path, compress_level=0)
    assert path.read_bytes() != before


def files(scene: SceneFiles) -> list[Path]:
    assert scene.instance is not None
    return [scene.image, scene.label_map, scene.instance]


def test_the_same_pixels_in_other_files_are_the_same_data(city: Workspace) -> None:
    first = open_bench(city)
    train_data, segmenter_data = (
        first.dataset.train_digests,
        first.dataset.digests(
            first.dataset.scenes(first.benchmark.required_segmenter.training.split)
        ),
    )
    assert [len(row) for row in train_data] == [4, 4]  # name, photograph, labels, instances
    for path in files(first.dataset.train_scenes[0]):
        recompressed(path)
    again = open_bench(city)
    assert again.dataset.train_digests == train_data
    assert (
        again.dataset.digests(
            again.dataset.scenes(again.benchmark.required_segmenter.training.split)
        )
        == segmenter_data
    )


@pytest.mark.parametrize("kind", range(3), ids=["photograph", "labels", "instances"])
def test_one_pixel_is_other_data(city: Workspace, kind: int) -> None:
    first = open_bench(city)
    before = first.dataset.train_digests
    path = files(first.dataset.train_scenes[1])[kind]
    pixels = np.array(Image.open(path))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    after = open_bench(city).dataset.train_digests
    changed = [
        [a != b for a, b in zip(*rows, strict=True)] for rows in zip(after, before, strict=True)
    ]
    assert changed == [[False] * 4, [False] + [n == kind for n in range(3)]]


def test_another_scoring_is_found_and_refused_at_once(bench: Bench, city: Workspace) -> None:
    edges = open_bench(city).scored_under("streets-edges-v1")
    assert edges.scoring.labels.edge_band == 3
    assert result_path(edges, "ours", 0).name == "seed0.streets-edges-v1.json"
    with pytest.raises(LibraryError, match="'streets-edges-v1'"):
        bench.scored_under("streets-edge-v1")
    with pytest.raises(UsageError, match=r"'camvid'.*'cityscapes'"):
        bench.scored_under("streets-edges-v1")
