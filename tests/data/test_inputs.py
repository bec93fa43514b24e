from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from conftest import write_scene
from PIL import Image

from hdbench.data.inputs import input_digest, paint_input, read_input, scaled_input, source_cell
from hdbench.data.labels import shipped_space
from hdbench.data.layouts import SceneFiles, find_scenes, survey_split
from hdbench.data.loading import read_photograph, read_scene
from hdbench.data.own_folder import tenth
from hdbench.data.scene import collate, resize_input, resize_photograph
from hdbench.errors import DataError
from hdbench.schema.image_input import ImageInput

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (7, 9, 5)).astype(np.uint16)
DEEP[0, 0], DEEP[0, 1] = 0, 65535
NONE = shipped_space("none")


def spec(channels: int, high: float = 255, **keys: Any) -> ImageInput:
    facts = {"kind": "image", "channels": channels, "range": [0, high], "boundaries": False}
    return ImageInput.model_validate({"resize": "bicubic-antialias", **facts, **keys})


def write_deep_png(path: Path, pixels: np.ndarray) -> None:
    """Write 16-bit RGB as the PNG specification has it; Pillow cannot."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def write_tiff(path: Path, pixels: np.ndarray, planes: bool) -> None:
    stored = pixels.transpose(2, 0, 1) if planes else pixels
    layout = "separate" if planes else "contig"
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig=layout)


def grey_png(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels[:, :, 0]).save(path)


@pytest.mark.parametrize(
    ("name", "write", "channels"),
    [
        ("grey.png", grey_png, 1),
        ("grey.tif", lambda path, pixels: tifffile.imwrite(path, pixels[:, :, 0]), 1),
        ("many.tif", lambda path, pixels: write_tiff(path, pixels, False), 5),
        ("planes.tiff", lambda path, pixels: write_tiff(path, pixels, True), 5),
        ("many.npy", np.save, 5),
    ],
)
def test_sixteen_bits_are_read_exactly(
    tmp_path: Path, name: str, write: Callable[[Path, np.ndarray], None], channels: int
) -> None:
    pixels = np.ascontiguousarray(DEEP[:, :, :channels])
    write(tmp_path / name, pixels)
    found = read_input(tmp_path / name, spec(channels, 65535))
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy().transpose(1, 2, 0).astype(np.int64), pixels)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 2), ("RGB", 3)])
def test_pictures_have_the_channels_of_their_mode(tmp_path: Path, mode: str, channels: int) -> None:
    picture = Image.fromarray(DEEP[:, :, :3].astype(np.uint8)).convert(mode)
    picture.save(tmp_path / "one.png")
    found = read_input(tmp_path / "one.png", spec(channels))
    expected = np.array(picture.convert("L") if mode == "1" else picture)
    assert np.array_equal(found.numpy().transpose(1, 2, 0).squeeze(), expected)


def test_a_palette_is_the_colours_that_it_shows(tmp_path: Path) -> None:
    picture = Image.fromarray(DEEP[:, :, :3].astype(np.uint8)).quantize(8)
    picture.save(tmp_path / "one.png")
    found = read_input(tmp_path / "one.png", spec(3))
    assert np.array_equal(found.numpy().transpose(1, 2, 0), np.array(picture.convert("RGB")))


def wrong_kind(path: Path) -> None:
    np.save(path, np.array(["text"]))


@pytest.mark.parametrize(
    ("name", "write", "stated", "words"),
    [
        ("a.npy", lambda path: np.save(path, DEEP), spec(3, 65535), ["5 channels", "channels = 3"]),
        ("a.npy", lambda path: np.save(path, DEEP), spec(5, 4095), ["to 65535", "[0, 4095]"]),
        (
            "a.png",
            lambda path: Image.new("L", (4, 3)).save(path),
            spec(1, 65535),
            ["uint8", "at most 255", "[0, 65535]"],
        ),
        (
            "a.npy",
            lambda path: np.save(path, np.full((3, 4), np.nan)),
            spec(1),
            ["not finite", "[0, 255]"],
        ),
        ("a.npy", lambda path: np.save(path, np.zeros((2, 3, 4, 5))), spec(1), ["(2, 3, 4, 5)"]),
        ("a.npy", wrong_kind, spec(1), ["<U4"]),
        ("a.npy", lambda path: path.write_bytes(b"junk"), spec(1), ["decoded"]),
        ("a.tif", lambda path: path.write_bytes(b"II*\0junk"), spec(1), ["decoded"]),
        ("a.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), spec(1), ["decoded"]),
        ("a.jpg", lambda path: Image.new("CMYK", (4, 3)).save(path), spec(4), ["CMYK"]),
        ("a.png", lambda path: write_deep_png(path, DEEP[:, :, :3]), spec(3), ["16-bit", "TIFF"]),
        ("a.png", lambda path: None, spec(1), ["no such file"]),
    ],
)
def test_another_file_than_stated_is_named_with_what_was_found(
    tmp_path: Path, name: str, write: Callable[[Path], None], stated: ImageInput, words: list[str]
) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError) as caught:
        read_input(tmp_path / name, stated)
    for word in (str(tmp_path / name), *words):
        assert word in str(caught.value)


def test_the_digest_is_of_pixels_and_their_type(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", DEEP[:, :, 0])
    tifffile.imwrite(tmp_path / "one.tif", DEEP[:, :, 0], compression="zlib")
    np.save(tmp_path / "wide.npy", DEEP[:, :, 0].astype(np.uint32))
    digests = {name: input_digest(tmp_path / name) for name in ("one.npy", "one.tif", "wide.npy")}
    assert digests["one.npy"] == digests["one.tif"] != digests["wide.npy"]


def test_the_ends_of_the_range_become_minus_one_and_one() -> None:
    stated = spec(1, range=[-40, 60.0])
    assert scaled_input(torch.tensor([-40.0, 10.0, 60.0]), stated).tolist() == [-1, 0, 1]
    painted = paint_input(torch.tensor([-40.0, 10.0, 60.0]).view(1, 1, 3), stated)
    assert painted[:, 0].tolist() == [[0, 128, 255]] * 3
    five = paint_input(torch.arange(5.0).view(5, 1, 1), spec(5, 4))
    assert five.flatten().tolist() == [0, 64, 128]


@pytest.mark.parametrize(("height", "width"), [(5, 7), (12, 16), (6, 20), (3, 3)])
def test_the_maximum_keeps_every_pixel_once(height: int, width: int) -> None:
    """A loop over the old pixels: each raises the new pixel that its centre lies in."""
    pixels = torch.rand(2, 12, 16)
    found = resize_input(pixels, height, width, spec(2, resize="maximum"))
    expected = torch.full((2, height, width), -1.0)
    for row in range(12):
        for column in range(16):
            place = (2 * row + 1) * height // 24, (2 * column + 1) * width // 32
            expected[:, *place] = torch.maximum(expected[:, *place], pixels[:, row, column])
    holes = expected == -1  # where the image grows
    assert torch.equal(found[~holes], expected[~holes])
    assert holes.any() == (width > 16)
    assert set(found.flatten().tolist()) <= set(pixels.flatten().tolist())


def test_bicubic_inputs_are_resized_like_photographs(tmp_path: Path) -> None:
    write_scene(tmp_path, "train", "one", 0, (96, 72))
    photograph = read_photograph(tmp_path / "train" / "one.png")
    found = resize_input(photograph.float(), 48, 64, spec(3))
    expected = resize_photograph(photograph, 48, 64).float()
    # uint8 is rounded, and cut off at 0 and 255, after each of two passes.
    assert ((found - expected).abs() <= 1.01).float().mean() > 0.99
    assert torch.equal(resize_input(photograph.float(), 72, 96, spec(3)), photograph.float())
    checks = (torch.arange(96) % 2 * 255.0).expand(3, 72, 96)
    assert resize_input(checks, 72, 111, spec(3)).amax() == 255  # the kernel overshoots


def paired(root: Path, size: tuple[int, int] = (16, 12)) -> list[SceneFiles]:
    """Two scenes of layout ``images``; each input is the photograph's red channel, 16 bits."""
    for n in range(2):
        pixels = RANDOM.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        for folder in ("photographs", "inputs"):
            (root / "train" / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / "train/photographs" / f"{n}.png")
        np.save(root / "train/inputs" / f"{n}.npy", pixels[:, :, 0].astype(np.uint16) * 257)
    return find_scenes("images", root, "train")


def stated(files: SceneFiles, resize: str = "bicubic-antialias") -> SceneFiles:
    return SceneFiles(
        files.name,
        files.label,
        files.image,
        None,
        input=files.input,
        input_spec=spec(1, 65535, resize=resize),
    )


@pytest.mark.parametrize("resize", ["bicubic-antialias", "nearest"])
def test_the_input_stays_on_its_photograph(tmp_path: Path, resize: str) -> None:
    """Whatever is done to a scene is done to both; the input is the photograph's red channel."""
    scene = read_scene(stated(paired(tmp_path)[0], resize), NONE)
    assert scene.input is not None
    assert scene.image is not None
    assert torch.equal(scene.input[0], scene.image[0].float() * 257)
    flipped = scene.flipped()
    assert flipped.input is not None
    assert flipped.image is not None
    assert torch.equal(flipped.input[0], flipped.image[0].float() * 257)
    assert not torch.equal(flipped.input, scene.input)
    small = scene.resized(6, 8).flipped()
    assert small.input is not None
    assert small.image is not None
    assert small.input.shape == (1, 6, 8)
    if resize == "bicubic-antialias":
        assert (small.input[0] / 257 - small.image[0].float()).abs().mean() < 0.5
    batch = collate([scene.resized(6, 8), small])
    assert batch.input is not None
    assert batch.input.shape == (2, 1, 6, 8)
    assert batch.to(torch.device("cpu")).input is not None
    assert source_cell(small, NONE).caption == "input of 0"


def test_without_labels_the_label_map_is_zero(tmp_path: Path) -> None:
    scene = read_scene(stated(paired(tmp_path)[0]), NONE, photograph=False)
    assert scene.image is None
    assert scene.size == (12, 16)
    assert not scene.label.any()


def test_an_input_of_another_size_is_named(tmp_path: Path) -> None:
    files = stated(paired(tmp_path)[0])
    assert files.input is not None
    np.save(files.input, np.zeros((12, 15), np.uint16))
    with pytest.raises(DataError, match=r"0\.png: 16x12, but its input .*0\.npy is 15x12"):
        read_scene(files, NONE)


def test_every_photograph_needs_its_input(tmp_path: Path) -> None:
    paired(tmp_path)
    (tmp_path / "train/inputs/1.npy").unlink()
    survey = survey_split("images", tmp_path, "train")
    assert [entry.name for entry in survey.scenes] == ["0"]
    assert "no input image" in survey.problems[0]


def test_label_maps_beside_the_inputs_are_found(tmp_path: Path) -> None:
    files = paired(tmp_path)
    assert files[0].label is None
    for n in range(2):
        (tmp_path / "train/labels").mkdir(exist_ok=True)
        Image.new("L", (16, 12), 3).save(tmp_path / "train/labels" / f"{n}.png")
    [first, _] = find_scenes("images", tmp_path, "train")
    assert first.label == tmp_path / "train/labels/0.png"
    scene = read_scene(stated(first), shipped_space("camvid"))
    assert set(scene.label.flatten().tolist()) == {3}


def test_one_folder_of_photographs_is_divided_as_any_of_ones_own(tmp_path: Path) -> None:
    for n in range(25):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{n:02}.jpg")
    names = [f"{n:02}" for n in range(25)]
    train, val = (
        [entry.name for entry in find_scenes("photographs", tmp_path, part)]
        for part in ("train", "val")
    )
    assert val == sorted(tenth(names))
    assert sorted(train + val) == names
    with pytest.raises(DataError, match="splits train and val"):
        find_scenes("photographs", tmp_path, "test")
    (tmp_path / "test").mkdir()
    (tmp_path / "24.jpg").rename(tmp_path / "test" / "24.jpg")
    assert [entry.name for entry in find_scenes("photographs", tmp_path, "test")] == ["24"]
    (tmp_path / "val.txt").write_text("03\n07\n")
    assert [entry.name for entry in find_scenes("photographs", tmp_path, "val")] == ["03", "07"]
