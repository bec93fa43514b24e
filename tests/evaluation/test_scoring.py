"""Which pixels a convention counts, worked by hand on an 8x8 scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import constant_segmenter, evaluated, save_pixels
from PIL import Image

from hdbench.data.labels import shipped_space
from hdbench.data.layouts import SceneFiles
from hdbench.library import Library
from hdbench.schema.scoring import Labels, Scoring
from hdbench.segmentation.passes import count_images
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import Workspace

SPACE = shipped_space("cityscapes")
ROAD, CAR = 0, 13  # train ids


def convention(edge_band: int) -> Scoring:
    labels = Labels(size="native", resize="nearest-exact", edge_band=edge_band)
    return Library().scoring("cityscapes-std-v1").model_copy(update={"labels": labels})


@pytest.fixture
def scene(tmp_path: Path) -> SceneFiles:
    """Road in the left half; in the right half one car above another."""
    label = np.full((8, 8), 7, np.uint8)
    label[:, 4:] = 26
    instance = label.astype(np.uint16)
    instance[:4, 4:], instance[4:, 4:] = 26000, 26001
    paths = [tmp_path / f"{name}.png" for name in ("label", "image", "instance")]
    for path, pixels in zip(paths, (label, np.zeros((8, 8, 3), np.uint8), instance), strict=True):
        save_pixels(path, pixels)
    label_map, image, instance_map = paths
    return SceneFiles("one", label_map, image, instance_map)


def matrix(files: SceneFiles, edge_band: int) -> np.ndarray:
    """The scene's matrix under a segmenter that sees cars everywhere."""
    benchmark = Library().benchmark("cityscapes")
    size = benchmark.size.model_copy(update={"width": 8, "height": 8})
    [counted] = count_images(
        constant_segmenter(CAR, SPACE, 8, 8),
        [files],
        [files.image],
        [0],
        SPACE,
        benchmark.model_copy(update={"size": size}),
        [convention(edge_band)],
        photographs=True,
        workers=0,
    )
    return counted.matrices[0]


@pytest.mark.parametrize(
    ("edge_band", "road", "cars"),
    [
        (0, 32, 32),
        # The columns on both sides of the road's edge; rows 3 and 4 of the cars' other 3 columns.
        (1, 8, 8 + 2 * 3),
        # Two columns on both sides; rows 2 to 5 of the cars' other 2 columns.
        (2, 16, 16 + 4 * 2),
        (3, 24, 24 + 6 * 1),
        (4, 32, 32),
        (9, 32, 32),
    ],
)
def test_only_the_band_is_counted(scene: SceneFiles, edge_band: int, road: int, cars: int) -> None:
    expected = np.zeros((20, 19), np.int64)
    expected[ROAD, CAR], expected[CAR, CAR] = road, cars
    assert np.array_equal(matrix(scene, edge_band), expected)


def test_without_instances_the_band_is_at_label_edges(scene: SceneFiles) -> None:
    found = matrix(replace(scene, instance=None), 1)
    assert (found[ROAD, CAR], found[CAR, CAR], found.sum()) == (8, 8, 16)


def test_void_beside_an_edge_stays_void(scene: SceneFiles) -> None:
    label = np.array(Image.open(scene.label_map))
    label[:, 3] = 0  # unlabeled, between road and cars
    save_pixels(scene.label_map, label)
    found = matrix(scene, 1)
    assert (found[ROAD, CAR], found[CAR, CAR], found[-1, CAR]) == (0, 14, 8)


def test_a_convention_for_all_pixels_reads_no_instance_map(scene: SceneFiles) -> None:
    assert scene.instance is not None
    scene.instance.unlink()
    assert matrix(scene, 0).sum() == 64


def test_instance_maps_enter_the_fingerprint_where_edges_are_counted(city: Workspace) -> None:
    segmenter, cpu = constant_segmenter(CAR, SPACE, 24, 16), torch.device("cpu")

    def fingerprints() -> list[str]:
        bench = open_bench(city)
        benches = (bench, bench.scored_under("streets-edges-v1"))
        return [evaluated(each, [], 0, segmenter, cpu)[0].fingerprint for each in benches]

    before = fingerprints()
    assert before[0] != before[1]
    path = open_bench(city).dataset.test_scenes[1].instance
    assert path is not None
    ids = np.array(Image.open(path))
    ids[5, 9] = 26000
    save_pixels(path, ids)
    after = fingerprints()
    assert after[0] == before[0]
    assert after[1] != before[1]
