"""Streets as files: what is read back is what was drawn, whatever happened in between."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.helpers.csHelpers import getCsFileInfo
from forks import forking
from PIL import Image

from hdbench.data.labels import shipped_space
from hdbench.data.layouts import find_scenes
from hdbench.data.loading import read_scene
from hdbench.errors import DataError, HdbenchError, UsageError
from hdbench.streets import files
from hdbench.streets.files import SPLITS, write_streets
from hdbench.streets.scene import draw_scene

SIZE = (64, 32)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_what_is_read_back_is_what_was_drawn(tmp_path: Path) -> None:
    assert write_streets(tmp_path, "val", 2, *SIZE) == 2
    for index, entry in enumerate(find_scenes("cityscapes", tmp_path, "val")):
        drawn = draw_scene(SPLITS["val"].seed, index, *SIZE)
        read = read_scene(entry, shipped_space("cityscapes"))
        for ours, theirs in (
            (read.label, drawn.label),
            (read.instance, drawn.instance),
            (read.image, drawn.image),
        ):
            assert ours is not None
            assert theirs is not None
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)


def test_names_and_formats_are_cityscapes_own(tmp_path: Path) -> None:
    """Taken apart by the dataset's official scripts."""
    write_streets(tmp_path, "train", 2, *SIZE)
    for kind, mode in (
        ("leftImg8bit/train/streets/*_leftImg8bit.png", "RGB"),
        ("gtFine/train/streets/*_gtFine_labelIds.png", "L"),
        ("gtFine/train/streets/*_gtFine_instanceIds.png", "I;16"),
        ("gtFine/train/streets/*_gtFine_color.png", "RGB"),
    ):
        paths = sorted(tmp_path.glob(kind))
        assert len(paths) == 2
        for index, path in enumerate(paths):
            info = getCsFileInfo(str(path))
            assert (info.city, int(info.sequenceNb), int(info.frameNb)) == ("streets", 1, index)
            with Image.open(path) as image:
                assert (image.mode, image.size) == (mode, SIZE)


def test_colours_are_those_of_the_labels(tmp_path: Path) -> None:
    write_streets(tmp_path, "val", 1, *SIZE)
    folder = tmp_path / "gtFine" / "val" / "streets"
    label, colour = (
        np.array(Image.open(folder / f"streets_000002_000000_gtFine_{kind}.png"))
        for kind in ("labelIds", "color")
    )
    for entry in shipped_space("cityscapes").classes:
        assert np.all(colour[label == entry.id] == entry.colour)


@pytest.mark.slow
def test_no_scene_is_in_two_splits(tmp_path: Path) -> None:
    for split in SPLITS:
        write_streets(tmp_path, split, 1, *SIZE)
    scenes = [find_scenes("cityscapes", tmp_path, split)[0] for split in SPLITS]
    assert len({entry.name for entry in scenes}) == len(SPLITS)
    assert len({entry.image.read_bytes() for entry in scenes}) == len(SPLITS)


class PowerCut(BaseException):
    """Stands for a process that ends without warning."""


@pytest.mark.slow
@pytest.mark.parametrize("done", range(10))
def test_a_drawing_that_was_cut_off_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """After any number of files: the marker, then four for each scene."""
    write_streets(tmp_path / "whole", "val", 3, *SIZE)
    real, calls = files.write_atomically, iter(range(10**6))

    def write(path: Path, content: bytes) -> None:
        if next(calls) == done:
            raise PowerCut
        real(path, content)

    monkeypatch.setattr(files, "write_atomically", write)
    with pytest.raises(PowerCut):
        write_streets(tmp_path / "cut", "val", 3, *SIZE)
    monkeypatch.undo()
    write_streets(tmp_path / "cut", "val", 1, *SIZE)  # a scene half done is no trap for fewer
    assert find_scenes("cityscapes", tmp_path / "cut", "val")
    write_streets(tmp_path / "cut", "val", 3, *SIZE)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


MANY = 40


def _draw_many(root: Path) -> None:
    write_streets(root, "train", MANY, *SIZE)


@pytest.mark.slow
def test_processes_draw_the_same_files_also_after_kill_9(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "usable_cores", lambda: 0)
    _draw_many(tmp_path / "alone")
    monkeypatch.setattr(files, "usable_cores", lambda: 2)
    _draw_many(tmp_path / "shared")
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")

    process = forking().Process(target=_draw_many, args=(tmp_path / "killed",))
    process.start()
    while process.is_alive() and len(list((tmp_path / "killed").rglob("*.png"))) < 12:
        process.join(timeout=0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    _draw_many(tmp_path / "killed")
    found = contents(tmp_path / "killed")
    assert {name: found[name] for name in found if not name.endswith(".tmp")} == contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_a_process_that_may_have_no_children_draws_alone(tmp_path: Path) -> None:
    process = forking().Process(target=_draw_many, args=(tmp_path,), daemon=True)
    process.start()
    process.join(timeout=120)
    assert process.exitcode == 0
    assert len(list(tmp_path.rglob("*_leftImg8bit.png"))) == MANY


def test_only_what_is_missing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_streets(tmp_path, "val", 3, *SIZE)
    before = contents(tmp_path)
    drawn = []

    def draw(seed: int, index: int, width: int, height: int):
        drawn.append(index)
        return draw_scene(seed, index, width, height)

    monkeypatch.setattr(files, "draw_scene", draw)
    write_streets(tmp_path, "val", 2, *SIZE)
    assert not drawn
    write_streets(tmp_path, "val", 4, *SIZE)
    assert drawn == [3]
    assert before.items() <= contents(tmp_path).items()


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (None, r"no streets\.json"),
        ({"version": 1, "width": 128, "height": 64}, "1 at 128x64.* 1 at 64x32"),
        ({"version": 0, "width": 64, "height": 32}, "0 at 64x32.* 1 at 64x32"),
        ({"version": 1}, r"streets\.json: "),
        ([], r"streets\.json: "),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, marker: object, message: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    if marker is not None:
        (tmp_path / "streets.json").write_text(json.dumps(marker))
    before = contents(tmp_path)
    with pytest.raises(DataError, match=message):
        write_streets(tmp_path, "val", 1, *SIZE)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vall", 1, 64, 32), "'vall'.*'val'"),
        (("val", 101, 64, 32), "'val' .*100 scenes.* 101 "),
        (("val", 1, 64, 48), "64x48.* 64x32 or 96x48$"),
        (("val", 1, 65, 32), "65x32.* 64x32$"),
        (("val", 1, 40, 20), "40x20.* 64x32$"),
    ],
)
def test_what_cannot_be_drawn_is_named_before_anything_is_written(
    tmp_path: Path, arguments: tuple[str, int, int, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_streets(tmp_path / "streets", *arguments)
    assert not (tmp_path / "streets").exists()


def test_a_file_in_the_folders_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "streets").write_text("")
    with pytest.raises(HdbenchError, match=r"streets\.json"):
        write_streets(tmp_path / "streets", "val", 1, *SIZE)
