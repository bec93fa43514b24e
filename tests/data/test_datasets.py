"""Datasets in small: the true structure of their folders, and maps composed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import save_pixels
from PIL import Image

from hdbench.data.inspection import check_split
from hdbench.data.labels import shipped_space
from hdbench.data.layouts import find_scenes, survey_split
from hdbench.data.loading import read_scene
from hdbench.errors import DataError
from hdbench.library import Library


def photograph(path: Path, height: int = 6, width: int = 7) -> None:
    random = np.random.default_rng(len(path.name))
    save_pixels(path, random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def ids(path: Path, *values: int, height: int = 6, width: int = 7) -> None:
    label = np.resize(np.array(values, np.uint8), (height, width))
    save_pixels(path, label)


# -- ADE20K and COCO-Stuff ------------------------------------------------------------------------


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    for split, name in (("training", "train"), ("validation", "val")):
        photograph(tmp_path / "images" / split / f"ADE_{name}_00000001.jpg")
        ids(tmp_path / "annotations" / split / f"ADE_{name}_00000001.png", 0, 1, 150)
    (tmp_path / "objectInfo150.txt").write_text("Idx\n")
    (tmp_path / "sceneCategories.txt").write_text("ADE_train_00000001 airport_terminal\n")
    return tmp_path


def test_ade20k_is_read_as_it_unpacks(ade: Path) -> None:
    benchmark = Library().benchmark("ade20k")
    for split in (benchmark.data.train, benchmark.data.test):
        report = check_split(benchmark, ade, split)
        assert (report.scenes, report.problems) == (1, [])
        assert report.pixels["other"] == report.pixels["wall"] == report.pixels["flag"] == 14


@pytest.mark.parametrize(
    ("images", "labels"),
    [("{}", "stuffthingmaps/{}"), ("images/{}", "annotations/{}")],
)
def test_coco_stuff_is_read_in_both_of_its_forms(tmp_path: Path, images: str, labels: str) -> None:
    (tmp_path / "annotations").mkdir()  # COCO's own, beside either
    (tmp_path / "annotations" / "instances_train2017.json").write_text("{}")
    benchmark = Library().benchmark("coco-stuff")
    for split in (benchmark.data.train, benchmark.data.test):
        photograph(tmp_path / images.format(split) / "000000000009.jpg")
        ids(tmp_path / labels.format(split) / "000000000009.png", 0, 181, 255)
        report = check_split(benchmark, tmp_path, split)
        assert (report.scenes, report.problems) == (1, [])
    [files] = find_scenes("coco-stuff", tmp_path, "train2017")
    space = shipped_space("coco-stuff")
    assert read_scene(files, space).label.unique().tolist() == [0, 181, 182]  # 255 is channel 182
    assert space.channels == 183
    assert space.train_id_table[182] == 255


def test_a_coco_map_of_more_than_its_ids_is_refused(tmp_path: Path) -> None:
    photograph(tmp_path / "train2017" / "a.jpg")
    ids(tmp_path / "stuffthingmaps" / "train2017" / "a.png", 182)
    [files] = find_scenes("coco-stuff", tmp_path, "train2017")
    with pytest.raises(DataError, match=r"a\.png: id 182 \(42 pixels\)"):
        read_scene(files, shipped_space("coco-stuff"))


# -- Helen ----------------------------------------------------------------------------------------


@pytest.fixture
def helen(tmp_path: Path) -> Path:
    """Two faces to train on and two to test on; part n is certain in column n."""
    lists = {"exemplars": ("1_1", "2_1"), "testing": ("3_1",), "tuning": ("4_1",)}
    for text, names in lists.items():
        lines = (f"{n} , {name}\n" for n, name in enumerate(names, start=1))
        (tmp_path / f"{text}.txt").write_text("".join(lines))
        for name in names:
            photograph(tmp_path / "images" / f"{name}.jpg", 4, 12)
            for n in range(11):
                part = np.full((4, 12), 20, np.uint8)  # equal everywhere: the first part wins
                part[:, n] = 200
                save_pixels(tmp_path / "labels" / name / f"{name}_lbl{n:02}.png", part)
    return tmp_path


def test_helen_takes_the_most_probable_part(helen: Path) -> None:
    benchmark = Library().benchmark("helen")
    names = [[e.name for e in find_scenes("helen", helen, split)] for split in ("train", "test")]
    assert names == [["1_1", "2_1"], ["3_1", "4_1"]]
    report = check_split(benchmark, helen, "test")
    assert (report.scenes, report.problems, report.sizes) == (2, [], {"12x4": 2})
    [first, _] = find_scenes("helen", helen, "train")
    label = read_scene(first, shipped_space("helen")).label
    assert label.tolist() == [[*range(11), 0]] * 4


def test_every_lacking_part_of_helen_is_named(helen: Path) -> None:
    (helen / "labels/1_1/1_1_lbl07.png").unlink()
    (helen / "images/2_1.jpg").unlink()
    problems = survey_split("helen", helen, "train").problems
    assert [line.split(": ")[0] for line in problems] == [
        str(helen / "labels/1_1/1_1_lbl07.png"),
        str(helen / "images/2_1.jpg"),
    ]
    assert "exemplars.txt" in survey_split("helen", helen / "images", "train").problems[0]
    assert "'val'" in survey_split("helen", helen, "val").problems[0]


# -- CelebAMask-HQ --------------------------------------------------------------------------------


@pytest.fixture
def celebamask(tmp_path: Path) -> Path:
    """Images 0 and 2001 of the training and the test partition; masks of half their size."""
    lines = "idx\torig_idx\torig_file\n0\t119613\t119614.jpg\n2001\t182637\t182638.jpg\n"
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text(lines)
    for number in (0, 2001):
        photograph(tmp_path / "CelebA-HQ-img" / f"{number}.jpg", 8, 8)
        folder = tmp_path / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        for part, rows in (("skin", slice(0, 3)), ("nose", slice(2, 4))):
            mask = np.zeros((4, 4, 3), np.uint8)
            mask[rows] = 255
            save_pixels(folder / f"{number:05}_{part}.png", mask)
    return tmp_path


def test_celebamask_paints_its_masks_at_the_photographs_size(celebamask: Path) -> None:
    benchmark = Library().benchmark("celebamask-hq")
    for split, name in (("train", "00000"), ("test", "02001")):
        report = check_split(benchmark, celebamask, split)
        assert (report.scenes, report.problems, report.sizes) == (1, [], {"8x8": 1})
        [files] = find_scenes("celebamask-hq", celebamask, split)
        assert files.name == name
        label = read_scene(files, shipped_space("celebamask-hq")).label
        assert label[:, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]  # the nose over the skin
    assert survey_split("celebamask-hq", celebamask, "val").scenes == []


def test_a_face_without_masks_or_photograph_is_named(celebamask: Path) -> None:
    (celebamask / "CelebA-HQ-img/0.jpg").unlink()
    for mask in (celebamask / "CelebAMask-HQ-mask-anno/1").iterdir():
        mask.unlink()
    assert "0.jpg" in survey_split("celebamask-hq", celebamask, "train").problems[0]
    assert "02001_*.png" in survey_split("celebamask-hq", celebamask, "test").problems[0]
    nowhere = survey_split("celebamask-hq", celebamask / "CelebA-HQ-img", "train")
    assert "CelebA-HQ-to-CelebA-mapping.txt" in nowhere.problems[0]


# -- a folder of one's own, and NYU, which uses it ------------------------------------------------


def own_folder(root: Path, names: list[str]) -> Path:
    for name in names:
        photograph(root / "photographs" / f"{name}.jpg", 427, 561)
        ids(root / "inputs" / f"{name}.png", 0, 1, 40, height=427, width=561)
    return root


def test_nyu_is_read_from_folders_of_its_splits(tmp_path: Path) -> None:
    benchmark = Library().benchmark("nyu")
    for split in (benchmark.data.train, benchmark.data.test):
        own_folder(tmp_path / split, ["0001"])
        report = check_split(benchmark, tmp_path, split)
        assert (report.scenes, report.problems, report.sizes) == (1, [], {"561x427": 1})


def test_a_folder_without_splits_is_divided_the_same_way_every_time(tmp_path: Path) -> None:
    names = [f"{n:02}" for n in range(20)]
    own_folder(tmp_path, names)
    train = [entry.name for entry in find_scenes("folder", tmp_path, "train")]
    val = [entry.name for entry in find_scenes("folder", tmp_path, "val")]
    assert sorted(train + val) == names
    assert val == ["03", "07"]  # the smallest SHA-256 of their names, by hashlib
    assert "test" in survey_split("folder", tmp_path, "test").problems[0]


def test_the_user_may_name_the_validation_scenes(tmp_path: Path) -> None:
    own_folder(tmp_path, ["a", "b", "c"])
    (tmp_path / "val.txt").write_text("c\nb\n")
    assert [entry.name for entry in find_scenes("folder", tmp_path, "val")] == ["b", "c"]
    (tmp_path / "val.txt").write_text("c\nz\n")
    with pytest.raises(DataError, match=r"val\.txt: .*'z'"):
        find_scenes("folder", tmp_path, "train")


def test_instances_are_optional_and_labels_go_before_inputs(tmp_path: Path) -> None:
    own_folder(tmp_path / "train", ["a"])
    [files] = find_scenes("folder", tmp_path, "train")
    assert files.instance is None
    save_pixels(tmp_path / "train/instances/a.png", np.full((427, 561), 300, np.uint16))
    (tmp_path / "train/labels").mkdir()
    Image.open(files.label_map).save(tmp_path / "train/labels/a.png")
    [files] = find_scenes("folder", tmp_path, "train")
    assert files.label == tmp_path / "train/labels/a.png"
    scene = read_scene(files, shipped_space("nyu40"))
    assert scene.instance is not None
    assert scene.instance.max() == 300


def test_a_folder_lacking_photographs_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    with pytest.raises(DataError, match=r"photographs: no such folder; expected photographs/, inp"):
        find_scenes("folder", tmp_path, "train")
