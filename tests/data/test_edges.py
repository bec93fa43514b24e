from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2gray
from skimage.feature import canny

from hdbench.data import edges
from hdbench.data.edges import SETTINGS_FILE, edge_map, edge_sheet, with_edge_maps
from hdbench.data.inputs import read_input
from hdbench.data.layouts import SceneFiles, find_scenes
from hdbench.data.loading import read_photograph
from hdbench.runtime.file_digests import FileDigests
from hdbench.schema.image_input import Edges, ImageInput

SETTINGS = Edges(sigma=1.0, low=0.05, high=0.15)
SPEC = ImageInput(
    kind="image",
    channels=1,
    range=[0, 255],
    resize="maximum",
    boundaries=False,
    edges=SETTINGS,
)


class Counted:
    """Counts the maps that are made, and may stop before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self.stop: int | None = None
        monkeypatch.setattr(edges, "edge_map", self)

    def __call__(self, photograph: torch.Tensor, settings: Edges) -> torch.Tensor:
        if self.made == self.stop:
            raise KeyboardInterrupt
        self.made += 1
        return edge_map(photograph, settings)


def made(root: Path, folder: Path, spec: ImageInput = SPEC) -> list[SceneFiles]:
    files = find_scenes("camvid", root, "train")
    return with_edge_maps(files, spec, folder, FileDigests(folder.parent / "digests.json"))


def test_edges_are_those_of_scikit_image_on_the_native_photograph(
    camvid_folder: Path, tmp_path: Path
) -> None:
    for entry in made(camvid_folder, tmp_path / "maps")[:3]:
        grey = rgb2gray(np.array(Image.open(entry.image).convert("RGB")))
        expected = canny(grey, sigma=1.0, low_threshold=0.05, high_threshold=0.15)
        assert 0.01 < expected.mean() < 0.5
        found = read_input(entry.required_input, SPEC)
        assert np.array_equal(found[0].numpy(), expected * 255.0)


def test_a_stopped_call_goes_on_with_the_maps_that_are_missing(
    camvid_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    counted.stop = 3
    with pytest.raises(KeyboardInterrupt):
        made(camvid_folder, tmp_path / "maps")
    counted.stop = None
    made(camvid_folder, tmp_path / "maps")
    assert counted.made == 8
    made(camvid_folder, tmp_path / "maps")
    assert counted.made == 8


def test_maps_that_are_no_longer_true_are_made_again(
    camvid_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, folder = Counted(monkeypatch), tmp_path / "maps"
    first, second, third, *_ = made(camvid_folder, folder)
    shutil.copy(second.image, first.image)  # another photograph
    Image.new("L", (96, 72)).save(second.required_input)  # drawn by somebody else
    damaged = third.required_input
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = made(camvid_folder, folder)
    assert counted.made == 8 + 3
    for entry in again[:3]:
        expected = edge_map(read_photograph(entry.image), SETTINGS)
        assert torch.equal(read_input(entry.required_input, SPEC)[0], expected.float())


def test_other_settings_make_other_maps_and_are_recorded(
    camvid_folder: Path, tmp_path: Path
) -> None:
    before = [path.required_input.read_bytes() for path in made(camvid_folder, tmp_path / "maps")]
    coarse = SPEC.model_copy(update={"edges": Edges(sigma=3, low=0.05, high=0.15)})
    after = [
        path.required_input.read_bytes() for path in made(camvid_folder, tmp_path / "maps", coarse)
    ]
    assert all(one != other for one, other in zip(before, after, strict=True))
    facts = json.loads((tmp_path / "maps" / SETTINGS_FILE).read_text())
    assert facts["settings"] == {"sigma": 3.0, "low": 0.05, "high": 0.15}
    assert facts["scikit-image"]


def test_the_sheet_has_two_scenes_in_a_row(camvid_folder: Path) -> None:
    files = find_scenes("camvid", camvid_folder, "train")
    one, three = edge_sheet(files[:1], SETTINGS), edge_sheet(files[:3], SETTINGS)
    assert three.width > 3 * one.width // 2
    assert three.height > one.height


def test_the_photograph_is_only_read(camvid_folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in camvid_folder.rglob("*.png")}
    files = made(camvid_folder, tmp_path / "maps")
    assert {path: path.read_bytes() for path in camvid_folder.rglob("*.png")} == before
    plain = find_scenes("camvid", camvid_folder, "train")
    assert [replace(entry, input=None, input_spec=None) for entry in files] == plain
