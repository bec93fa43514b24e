"""Label spaces: what ships, and one's own, whose content identifies what depends on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import save_pixels
from PIL import Image

from hdbench.data.label_maps import read_label
from hdbench.data.labels import label_space_of, shipped_space
from hdbench.errors import DataError, LibraryError
from hdbench.library import Library
from hdbench.provenance import digest
from hdbench.schema.base import identity_of
from hdbench.training.segmentation import shared_identity
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

CLASSES = """
name   = "birds"
title  = "Birds"
source = "drawn"
classes = [
  { id = 0, name = "sky",  colour = [0, 0, 255] },
  { id = 2, name = "bird", colour = [255, 0, 0] },
  { id = 3, name = "void", colour = [0, 0, 0], train_id = "void", stored = 255 },
]
"""
BENCHMARK = """
extends = "camvid"
name    = "mine"
title   = "Mine"
scoring = "./counted.toml"

[data]
layout      = "folder"
label_space = "./classes.toml"
"""
SCORING = """
extends     = "camvid-std-v1"
name        = "counted"
label_space = "./classes.toml"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for name, text in (("classes", CLASSES), ("mine", BENCHMARK), ("counted", SCORING)):
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


def opened(folder: Path) -> Bench:
    return open_bench(Workspace(folder / "ws", folder, str(folder / "mine.toml")))


@pytest.mark.parametrize(
    ("name", "channels", "scored"),
    [
        ("ade20k", 151, 150),
        ("camvid", 12, 11),
        ("celebamask-hq", 19, 19),
        ("cityscapes", 35, 19),
        ("coco-stuff", 183, 182),
        ("helen", 11, 11),
        ("nyu40", 41, 40),
    ],
)
def test_what_ships_has_the_classes_of_its_dataset(name: str, channels: int, scored: int) -> None:
    space = shipped_space(name)
    assert (space.channels, len(space.scored)) == (channels, scored)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("camvid", "3441974f"),
        ("cityscapes", "22f7a815"),
    ],
)
def test_a_released_space_is_never_edited(name: str, content: str) -> None:
    """Identities hold its name alone."""
    space = shipped_space(name)
    classes = [[entry.id, entry.name, entry.train_id] for entry in space.classes]
    assert digest([space.channels, classes])[:8] == content


def test_a_path_is_taken_from_the_files_own_folder(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    bench = opened(mine)
    assert (bench.space.name, bench.space.channels) == ("birds", 4)
    assert bench.scoring.label_space == "birds"
    assert [entry.name for entry in bench.space.scored] == ["sky", "bird"]
    files = [mine / f"{name}.toml" for name in ("mine", "classes", "counted")]
    assert Library().problems_in(files) == []


def test_identities_of_what_ships_name_the_space_alone() -> None:
    data = Library().benchmark("camvid").data
    assert identity_of(data) == {
        "layout": "camvid",
        "label_space": "camvid",
        "train": "train",
        "test": "val",
    }
    assert shared_identity(Library().benchmark("camvid"), 0, [])["data"] == {
        "layout": "camvid",
        "label_space": "camvid",
    }


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("[255, 0, 0]", "[254, 0, 0]", True),
        ("Birds", "My birds", True),
        ('"bird"', '"robin"', False),
        ("id = 2", "id = 1", False),
        ("stored = 255", "stored = 254", False),
        ("[255, 0, 0] }", '[255, 0, 0], train_id = "void" }', False),
        ('name   = "birds"', 'name   = "birds"\nchannels = 9', False),
    ],
)
def test_ones_own_content_identifies_runs(mine: Path, old: str, new: str, same: bool) -> None:
    before = identity_of(opened(mine).benchmark.data)
    (mine / "classes.toml").write_text(CLASSES.replace(old, new))
    assert (identity_of(opened(mine).benchmark.data) == before) is same
    assert str(mine) not in str(before)  # a moved folder is the same data


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id = 2", "id = 0", "id 0 stands after id 0"),
        ("id = 2", "id = 256", r"id = 256"),
        ('"bird"', '"sky"', "name 'sky' belongs to two"),
        ("stored = 255", "stored = 2", "stored value '2' belongs to two"),
        ("[255, 0, 0]", "[255, 0]", "colour"),
        ("[255, 0, 0]", "[255, 0, 0], train_id = 1", "train ids"),
        ('title  = "Birds"', "channels = 3", "'title' is missing"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(mine: Path, old: str, new: str, message: str) -> None:
    (mine / "classes.toml").write_text(CLASSES.replace(old, new))
    with pytest.raises(LibraryError, match=rf"classes\.toml: .*{message}"):
        opened(mine)


def test_an_unknown_space_is_named_with_the_file_that_asks(mine: Path) -> None:
    path = mine / "mine.toml"
    path.write_text(BENCHMARK.replace("./classes.toml", "camvidd"))
    with pytest.raises(LibraryError, match=r"mine\.toml: no label space .*'camvidd'.*'camvid'"):
        opened(mine)
    path.write_text(BENCHMARK.replace("classes.toml", "gone.toml"))
    with pytest.raises(LibraryError, match=r"mine\.toml: .*gone\.toml: no such file"):
        opened(mine)


# -- label maps in it -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["index", "palette", "colours", "alpha"])
def test_index_palette_and_colours_are_the_same_map(mine: Path, mode: str) -> None:
    space = opened(mine).space
    values = np.array([[0, 2, 255], [2, 2, 0]], np.uint8)
    image = Image.fromarray(values)
    if mode == "palette":
        image = Image.new("P", (3, 2))
        image.putpalette([7] * 768)  # the palette does not matter
        image.putdata(values.flatten().tolist())
    if mode in ("colours", "alpha"):
        colours = {0: (0, 0, 255), 2: (255, 0, 0), 255: (0, 0, 0)}
        image = Image.new("RGB", (3, 2))
        image.putdata([colours[int(value)] for value in values.flatten()])
        image = image.convert("RGBA") if mode == "alpha" else image
    image.save(mine / "a.png")
    assert torch.equal(
        read_label(mine / "a.png", space), torch.tensor([[0, 2, 3], [2, 2, 0]], dtype=torch.uint8)
    )


def test_a_class_that_the_file_lacks_is_named_with_both_files(mine: Path) -> None:
    space = opened(mine).space
    save_pixels(mine / "a.png", np.array([[0, 7, 7]], np.uint8))
    with pytest.raises(DataError, match=rf"a\.png: id 7 \(2 pixels\).*\n.*{mine}/classes\.toml"):
        read_label(mine / "a.png", space)
    pixels = np.array([[[0, 0, 255], [1, 2, 3], [1, 2, 3]]], np.uint8)
    save_pixels(mine / "a.png", pixels)
    message = rf"a\.png: colour \[1, 2, 3\] \(2 pixels\).*\n.*{mine}/classes\.toml"
    with pytest.raises(DataError, match=message):
        read_label(mine / "a.png", space)


def test_a_colour_of_two_classes_is_no_class(mine: Path) -> None:
    (mine / "classes.toml").write_text(CLASSES.replace("[255, 0, 0]", "[0, 0, 255]"))
    save_pixels(mine / "a.png", np.full((2, 2, 3), (0, 0, 255), np.uint8))
    with pytest.raises(DataError, match=r"\[0, 0, 255\] .* sky and bird"):
        read_label(mine / "a.png", opened(mine).space)


def test_colours_are_part_of_the_data_where_maps_are_colour_coded(mine: Path) -> None:
    for split in ("train", "val"):
        pixels = np.full((2, 2, 3), (0, 0, 255), np.uint8)
        save_pixels(mine / split / "inputs/a.png", pixels)
        save_pixels(mine / split / "photographs/a.png", pixels)
    before = opened(mine).dataset.test_label_digests
    swapped = CLASSES.replace("[0, 0, 255]", "[9, 9, 9]").replace("[255, 0, 0]", "[0, 0, 255]")
    (mine / "classes.toml").write_text(swapped)
    assert opened(mine).dataset.test_label_digests != before


def test_padding_is_never_counted(mine: Path) -> None:
    for space in (shipped_space("helen"), label_space_of(Library().label_space("coco-stuff"))):
        assert space.train_id_table[space.padding_id] == 255
