from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import save_pixels

from hdbench.data.inspection import check_split
from hdbench.data.label_maps import read_label
from hdbench.errors import DataError, LibraryError, UsageError
from hdbench.networks.builder import limits_of, side_divisor
from hdbench.schema.method import require_trained
from hdbench.workflows.from_folder import distinct_colour, init_from_folder
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import open_workspace

WRITTEN = {"own-data-classes.toml", "own-data-std-v1.toml", "own-data.toml", "hdbench.toml"}


def folder(root: Path, coloured: bool = False, count: int = 6) -> Path:
    """Scenes of three sizes, two of them odd; ids 0, 4 and 255, or three colours."""
    for n in range(count):
        height, width = ((99, 131), (96, 128), (101, 133))[n % 3]
        label = np.zeros((height, width), np.uint8)
        label[height // 2 :], label[:5] = 4, 255
        colours = {0: (9, 9, 9), 4: (200, 0, 0), 255: (0, 77, 0)}
        painted = np.zeros((height, width, 3), np.uint8)
        for value, colour in colours.items():
            painted[label == value] = colour
        save_pixels(root / "inputs" / f"{n}.png", painted if coloured else label)
        noise = np.random.default_rng(n).integers(0, 256, painted.shape, dtype=np.uint8)
        save_pixels(root / "photographs" / f"{n}.jpg", noise)
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("coloured", [False, True])
def test_what_is_written_is_all_that_later_commands_need(here: Path, coloured: bool) -> None:
    data = folder(here.parent / "Own data", coloured)
    before = sorted(data.rglob("*"))
    found = init_from_folder(data, here, Path("hdbench-runs"), False)
    assert {path.name for path in found.written} == WRITTEN == {p.name for p in here.iterdir()}
    assert sorted(data.rglob("*")) == before  # the folder is only read
    bench = open_bench(open_workspace(here))
    for split, count in (("train", 5), ("val", 1)):
        report = check_split(bench.benchmark, bench.dataset.root(split), split)
        assert (report.scenes, report.problems) == (count, [])
    assert bench.scoring.name == "own-data-std-v1"
    names = [entry.name for entry in bench.space.classes]
    if coloured:
        assert names == ["class-0", "class-1", "class-2"]
        assert [entry.colour for entry in bench.space.classes] == [
            (0, 77, 0),
            (9, 9, 9),
            (200, 0, 0),
        ]
    else:
        assert names == ["class-0", "class-4", "void"]  # 255 is void, on a channel of its own
        assert bench.space.channels == 6
    assert bench.space.name == "own-data"
    method = require_trained(bench.library.method("ours"))
    divisor = side_divisor(method, limits_of(bench.benchmark))
    size = bench.benchmark.size
    assert (size.width % divisor, size.height % divisor) == (0, 0)


def test_nothing_is_overwritten_unasked(here: Path) -> None:
    data = folder(here.parent / "own-data")
    init_from_folder(data, here, Path("runs"), False)
    (here / "own-data.toml").write_text("mine")
    with pytest.raises(UsageError, match=r"own-data\.toml.*--overwrite"):
        init_from_folder(data, here, Path("runs"), False)
    assert (here / "own-data.toml").read_text() == "mine"
    init_from_folder(data, here, Path("runs"), True)
    assert open_bench(open_workspace(here)).benchmark.name == "own-data"


def test_classes_that_the_folder_states_are_used(here: Path) -> None:
    data = folder(here.parent / "own-data")
    (data / "classes.toml").write_text(
        'name = "birds"\ntitle = "Birds"\nsource = "drawn"\nclasses = [\n'
        '  { id = 0, name = "sky", colour = [0, 0, 255] },\n'
        '  { id = 1, name = "bird", colour = [255, 0, 0], stored = 255 },\n]\n'
    )
    found = init_from_folder(data, here, Path("runs"), False)
    assert found.unnamed is None
    assert {path.name for path in here.iterdir()} == WRITTEN - {"own-data-classes.toml"}
    bench = open_bench(open_workspace(here))
    assert bench.space.name == "birds"
    [problem, *_] = check_split(bench.benchmark, data, "train").problems
    assert "id 4" in problem
    assert str(data / "classes.toml") in problem
    (data / "classes.toml").write_text("name = 'birds'\nclasses = []")
    with pytest.raises(LibraryError, match=r"classes\.toml: "):
        init_from_folder(data, here, Path("runs"), True)


def test_splits_that_have_folders_are_kept(here: Path) -> None:
    data = here.parent / "own-data"
    for split, count in (("train", 3), ("test", 2)):
        folder(data / split, count=count)
    init_from_folder(data, here, Path("runs"), False)
    spec = open_bench(open_workspace(here)).benchmark.data
    assert (spec.train, spec.test) == ("train", "test")


def test_photographs_in_the_place_of_label_maps_are_refused(here: Path) -> None:
    data = folder(here.parent / "own-data")
    noise = np.random.default_rng(0).integers(0, 256, (99, 131, 3), dtype=np.uint8)
    for path in (data / "inputs").iterdir():
        save_pixels(path, noise)
    with pytest.raises(DataError, match=r"inputs/\d\.png: more than 255"):
        init_from_folder(data, here, Path("runs"), False)
    assert not list(here.iterdir())


def test_a_missing_folder_or_partner_is_named(here: Path) -> None:
    data = folder(here.parent / "own-data")
    (data / "inputs/3.png").unlink()
    with pytest.raises(DataError, match=r"photographs/3\.jpg: no label map"):
        init_from_folder(data, here, Path("runs"), False)
    with pytest.raises(UsageError, match="nowhere"):
        init_from_folder(here / "nowhere", here, Path("runs"), False)


def test_distinct_colours_are_pascal_vocs() -> None:
    colours = [distinct_colour(n) for n in range(256)]
    assert colours[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert len({tuple(colour) for colour in colours}) == 256


def test_a_derived_file_reads_the_maps_that_it_was_derived_from(here: Path) -> None:
    data = folder(here.parent / "own-data", coloured=True)
    init_from_folder(data, here, Path("runs"), False)
    space = open_bench(open_workspace(here)).space
    assert read_label(data / "inputs/0.png", space).unique().tolist() == [0, 1, 2]
