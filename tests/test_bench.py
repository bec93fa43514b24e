from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hdbench.bench import Bench, open_bench
from hdbench.errors import LibraryError, UsageError
from hdbench.workspace import Workspace


def test_the_folder_of_images_bears_the_splits_name_without_its_slice(city: Workspace) -> None:
    bench = open_bench(city)
    assert [len(bench.train_scenes), len(bench.test_scenes)] == [2, 3]
    assert bench.image_folder("ours", 0).parts[-2:] == ("images", "val")


def test_one_instance_pixel_changes_what_images_are_made_from_but_no_label(
    city: Workspace,
) -> None:
    first = open_bench(city)
    assert [len(row) for row in first.test_map_digests] == [2, 2, 2]
    path = first.test_scenes[1].instance
    assert path is not None
    ids = np.array(Image.open(path))
    ids[5, 9] = 26000
    Image.fromarray(ids).save(path)
    again = open_bench(city)
    assert again.test_label_digests == first.test_label_digests
    changed = [a != b for a, b in zip(again.test_map_digests, first.test_map_digests, strict=True)]
    assert changed == [False, True, False]


def test_a_dataset_without_instance_maps_has_label_digests_alone(bench: Bench) -> None:
    assert bench.test_map_digests == [[digest] for digest in bench.test_label_digests]


def test_another_scoring_is_found_and_refused_at_once(bench: Bench, city: Workspace) -> None:
    edges = open_bench(city).scored_under("streets-edges-v1")
    assert edges.scoring.labels.edge_band == 3
    assert edges.result_path("ours", 0).name == "seed0.streets-edges-v1.json"
    with pytest.raises(LibraryError, match="did you mean 'streets-edges-v1'"):
        bench.scored_under("streets-edge-v1")
    with pytest.raises(UsageError, match=r"labels of 'camvid', .* classes of 'cityscapes'"):
        bench.scored_under("streets-edges-v1")
