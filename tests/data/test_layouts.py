from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from hdbench.data.layouts import find_scenes
from hdbench.errors import DataError


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
    with pytest.raises(DataError, match=r"expected train/ with photographs and trainannot/"):
        find_scenes("camvid", tmp_path, "train")


def test_empty_folders_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "trainannot").mkdir()
    with pytest.raises(DataError, match="empty; expected photographs and label maps"):
        find_scenes("camvid", tmp_path, "train")


def test_everything_that_lacks_its_partner_is_listed(camvid_folder: Path) -> None:
    (camvid_folder / "train" / "train_01.png").unlink()
    (camvid_folder / "trainannot" / "train_04.png").unlink()
    with pytest.raises(DataError) as error:
        find_scenes("camvid", camvid_folder, "train")
    text = str(error.value)
    assert "2 problems in 'train'" in text
    assert "trainannot/train_01.png: no photograph" in text
    assert "train/train_04.png: no label map" in text


def test_two_photographs_of_one_scene_are_an_error(camvid_folder: Path) -> None:
    path = camvid_folder / "train" / "train_02.png"
    Image.open(path).save(path.with_suffix(".jpg"))
    with pytest.raises(DataError, match="is the same scene; keep one"):
        find_scenes("camvid", camvid_folder, "train")
