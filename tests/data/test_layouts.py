from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from conftest import CITYSCAPES_SCENES as SCENES
from conftest import save_pixels, street
from PIL import Image

from hdbench.data.labels import shipped_space
from hdbench.data.layouts import LAYOUTS, find_scenes
from hdbench.data.loading import read_scene
from hdbench.data.scene import boundary_map
from hdbench.errors import DataError
from hdbench.schema.benchmark import Data


def test_benchmarks_may_name_every_layout() -> None:
    assert set(get_args(Data.model_fields["layout"].annotation)) == set(LAYOUTS)


# -- camvid ---------------------------------------------------------------------------------------


def test_scenes_come_in_the_order_of_their_names(camvid_folder: Path) -> None:
    names = [entry.name for entry in find_scenes("camvid", camvid_folder, "train")]
    assert names == sorted(names)
    assert len(names) == 8


def test_photographs_may_be_jpeg_or_png(camvid_folder: Path) -> None:
    path = camvid_folder / "train" / "train_02.png"
    Image.open(path).save(path.with_suffix(".JPG"), format="JPEG")
    path.unlink()
    assert find_scenes("camvid", camvid_folder, "train")[2].image.suffix == ".JPG"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}/train: .*train/ .*trainannot/"):
        find_scenes("camvid", tmp_path, "train")


def test_empty_folders_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "trainannot").mkdir()
    with pytest.raises(DataError, match=r"train, .*/trainannot: empty"):
        find_scenes("camvid", tmp_path, "train")


def test_everything_that_lacks_its_partner_is_listed(camvid_folder: Path) -> None:
    (camvid_folder / "train" / "train_01.png").unlink()
    (camvid_folder / "trainannot" / "train_04.png").unlink()
    with pytest.raises(DataError) as error:
        find_scenes("camvid", camvid_folder, "train")
    text = str(error.value)
    assert "2 problems in 'train'" in text
    assert re.search(r"trainannot/train_01\.png: .* \S*/train/train_01", text)
    assert re.search(r"train/train_04\.png: .* \S*/trainannot/train_04", text)


def test_two_photographs_of_one_scene_are_an_error(camvid_folder: Path) -> None:
    path = camvid_folder / "train" / "train_02.png"
    Image.open(path).save(path.with_suffix(".jpg"))
    with pytest.raises(DataError, match=r"train_02\.png: train_02\.jpg"):
        find_scenes("camvid", camvid_folder, "train")


# -- cityscapes and pix2pixhd ---------------------------------------------------------------------


@pytest.fixture
def flat(cityscapes_folder: Path, tmp_path: Path) -> Path:
    """The same files in the folders of the official pix2pixHD."""
    root = tmp_path / "flat"
    for folder, pattern in (
        ("train_img", "*_leftImg8bit.png"),
        ("train_label", "*_labelIds.png"),
        ("train_inst", "*_instanceIds.png"),
    ):
        (root / folder).mkdir(parents=True)
        for path in cityscapes_folder.rglob(pattern):
            shutil.copy(path, root / folder)
    return root


def test_maps_survive_the_way_through_sixteen_bit_pngs(cityscapes_folder: Path) -> None:
    files = find_scenes("cityscapes", cityscapes_folder, "train")
    assert [entry.name for entry in files] == list(SCENES)
    for n, entry in enumerate(files):
        label, instance, photograph = street(n)
        scene = read_scene(entry, shipped_space("cityscapes"))
        assert scene.instance is not None
        assert scene.image is not None
        assert np.array_equal(scene.label.numpy(), label)
        assert np.array_equal(scene.instance.numpy(), instance.astype(np.int32))
        assert np.array_equal(scene.image.permute(1, 2, 0).numpy(), photograph)
        inside = boundary_map(scene.instance[None]) - boundary_map(scene.label[None])
        columns = torch.nonzero(inside[0, 0])[:, 1].unique()
        assert columns.tolist() == [7, 8]  # the edge between the two cars


def test_both_layouts_of_the_same_files_are_the_same_scenes(
    cityscapes_folder: Path, flat: Path
) -> None:
    space = shipped_space("cityscapes")
    ours = [
        read_scene(entry, space) for entry in find_scenes("cityscapes", cityscapes_folder, "train")
    ]
    theirs = [read_scene(entry, space) for entry in find_scenes("pix2pixhd", flat, "train")]
    assert len(ours) == len(theirs) == 3
    for a, b in zip(ours, theirs, strict=True):
        assert a.name == b.name
        for one, other in ((a.label, b.label), (a.instance, b.instance), (a.image, b.image)):
            assert one is not None
            assert other is not None
            assert torch.equal(one, other)


def test_bare_stems_are_matched_by_name_not_by_position(flat: Path) -> None:
    label, instance, photograph = street(9)
    save_pixels(flat / "train_img" / "Zed.png", photograph)
    save_pixels(flat / "train_label" / "Zed_gtFine_labelIds.png", label)
    save_pixels(flat / "train_inst" / "Zed.png", instance)
    files = find_scenes("pix2pixhd", flat, "train")[0]
    assert (files.name, files.image.name) == ("Zed", "Zed.png")
    assert files.label_map.name == "Zed_gtFine_labelIds.png"


@pytest.mark.parametrize(
    ("layout", "gone", "message"),
    [
        ("cityscapes", "leftImg8bit", "leftImg8bit/train: .*leftImg8bit/train/<city>/ and gtFine"),
        ("cityscapes", "gtFine", "gtFine/train: .*leftImg8bit/train/<city>/ and gtFine"),
        ("cityscapes", ".", ": .*leftImg8bit/train/<city>/ and gtFine"),
        ("pix2pixhd", "train_inst", "train_inst: .*train_label/, train_inst/"),
    ],
)
def test_each_missing_folder_is_named_once(
    cityscapes_folder: Path, flat: Path, layout: str, gone: str, message: str
) -> None:
    root = cityscapes_folder if layout == "cityscapes" else flat
    shutil.rmtree(root / gone)
    with pytest.raises(DataError) as error:
        find_scenes(layout, root, "train")
    assert "1 problem in 'train'" in str(error.value)
    assert re.search(message, str(error.value))


def test_every_file_without_its_partners_is_listed_with_their_place(
    cityscapes_folder: Path,
) -> None:
    first, second, third = SCENES
    (cityscapes_folder / f"leftImg8bit/train/aachen/{first}_leftImg8bit.png").unlink()
    (cityscapes_folder / f"gtFine/train/aachen/{second}_gtFine_labelIds.png").unlink()
    (cityscapes_folder / f"gtFine/train/bochum/{third}_gtFine_labelIds.png").unlink()
    (cityscapes_folder / f"gtFine/train/bochum/{third}_gtFine_instanceIds.png").unlink()
    with pytest.raises(DataError) as error:
        find_scenes("cityscapes", cityscapes_folder, "train")
    text = str(error.value)
    assert "4 problems in 'train'" in text
    photographs, maps = cityscapes_folder / "leftImg8bit/train", cityscapes_folder / "gtFine/train"
    first_map = maps / f"aachen/{first}_gtFine_labelIds.png"
    second_photograph = photographs / f"aachen/{second}_leftImg8bit.png"
    third_photograph = photographs / f"bochum/{third}_leftImg8bit.png"
    for present, lacking in (
        (first_map, photographs / f"aachen/{first}_leftImg8bit.png"),
        (second_photograph, maps / f"aachen/{second}_gtFine_labelIds.png"),
        (third_photograph, maps / f"bochum/{third}_gtFine_labelIds.png"),
        (third_photograph, maps / f"bochum/{third}_gtFine_instanceIds.png"),
    ):
        assert re.search(f"{present}: .* {lacking}", text)


def test_a_dataset_without_instance_maps_lacks_one_for_each_scene(cityscapes_folder: Path) -> None:
    for path in cityscapes_folder.rglob("*_instanceIds.png"):
        path.unlink()
    with pytest.raises(DataError, match="3 problems in 'train'"):
        find_scenes("cityscapes", cityscapes_folder, "train")


def test_a_scene_of_two_cities_is_an_error(cityscapes_folder: Path) -> None:
    source = cityscapes_folder / "gtFine/train/aachen" / f"{SCENES[0]}_gtFine_labelIds.png"
    shutil.copy(source, cityscapes_folder / "gtFine/train/bochum")
    with pytest.raises(DataError, match=r"bochum/aachen_.*: aachen/aachen_"):
        find_scenes("cityscapes", cityscapes_folder, "train")


def test_a_lacking_flat_file_is_named_as_its_partner_is(flat: Path) -> None:
    save_pixels(flat / "train_img" / "mine.jpg", street(9)[2])
    with pytest.raises(DataError) as error:
        find_scenes("pix2pixhd", flat, "train")
    for folder in ("train_label", "train_inst"):
        assert re.search(rf"mine\.jpg: .* {flat / folder}/mine\.png", str(error.value))


def test_files_that_are_hidden_or_lie_elsewhere_are_left_alone(cityscapes_folder: Path) -> None:
    source = next(cityscapes_folder.rglob("*_labelIds.png"))
    shutil.copy(source, source.with_name("._x_gtFine_labelIds.png"))
    shutil.copy(source, cityscapes_folder / "gtFine/train/y_gtFine_labelIds.png")
    assert len(find_scenes("cityscapes", cityscapes_folder, "train")) == 3


# -- slices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["camvid", "cityscapes", "pix2pixhd"])
def test_a_slice_is_the_first_scenes_by_name(
    camvid_folder: Path, cityscapes_folder: Path, flat: Path, layout: str
) -> None:
    root = {"camvid": camvid_folder, "cityscapes": cityscapes_folder, "pix2pixhd": flat}[layout]
    whole = find_scenes(layout, root, "train")
    assert find_scenes(layout, root, "train[:2]") == whole[:2]
    assert find_scenes(layout, root, f"train[:{len(whole)}]") == whole


def test_a_slice_of_more_than_there_is_names_both_counts(camvid_folder: Path) -> None:
    with pytest.raises(DataError, match=r"'train\[:16\]' .*16 scenes.* 8"):
        find_scenes("camvid", camvid_folder, "train[:16]")


def test_a_slice_of_a_broken_split_is_refused(camvid_folder: Path) -> None:
    """Which scenes are its first depends on the one that is missing."""
    (camvid_folder / "train" / "train_05.png").unlink()
    with pytest.raises(DataError, match=r"1 problem in 'train\[:2\]'"):
        find_scenes("camvid", camvid_folder, "train[:2]")
