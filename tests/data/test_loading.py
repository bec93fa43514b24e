from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdbench.data.label_maps import read_label
from hdbench.data.labels import VOID, shipped_space
from hdbench.data.layouts import find_scenes
from hdbench.data.loading import (
    ResizeAndFlip,
    ScaleAndCrop,
    ids_digest,
    photograph_digest,
    read_instance,
    read_photograph,
    read_scene,
    training_batches,
)
from hdbench.data.scene import Batch, Scene
from hdbench.errors import DataError

SPACE = shipped_space("camvid")
AUGMENT = ResizeAndFlip(48, 64, flip=True)


def batches(root: Path, start: int, stop: int, workers: int = 0, size: int = 2, seed: int = 0):
    files = find_scenes("camvid", root, "train")
    return list(
        training_batches(
            files,
            SPACE,
            AUGMENT,
            batch_size=size,
            seed=seed,
            start=start,
            stop=stop,
            workers=workers,
        )
    )


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    return all(
        a.names == b.names
        and torch.equal(a.label, b.label)
        and a.image is not None
        and b.image is not None
        and torch.equal(a.image, b.image)
        for a, b in zip(ours, theirs, strict=True)
    )


def test_a_step_depends_on_seed_and_step_alone(camvid_folder: Path) -> None:
    whole = batches(camvid_folder, 0, 10)
    assert same(whole[7:], batches(camvid_folder, 7, 10))
    assert not same(whole, batches(camvid_folder, 0, 10, seed=1))


def test_workers_do_not_move_a_pixel(camvid_folder: Path) -> None:
    assert same(batches(camvid_folder, 0, 6), batches(camvid_folder, 0, 6, workers=2))


def test_an_epoch_sees_every_scene_once_and_epochs_differ(camvid_folder: Path) -> None:
    found = [name for batch in batches(camvid_folder, 0, 8) for name in batch.names]
    assert sorted(found[:8]) == sorted(found[8:]) == sorted(set(found))
    assert found[:8] != found[8:]


def test_no_file_is_decoded_twice_in_an_epoch(
    camvid_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    real = Image.open

    def counted(path: Path) -> Image.Image:
        opened[str(path)] += 1
        return real(path)

    monkeypatch.setattr(Image, "open", counted)
    batches(camvid_folder, 0, 8, size=1)
    assert len(opened) == 16
    assert set(opened.values()) == {1}


def test_the_global_random_stream_stays_the_networks(camvid_folder: Path) -> None:
    """Else a resumed training would draw other dropout masks than an uninterrupted one."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batches(camvid_folder, 0, 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_both_orientations_occur(camvid_folder: Path) -> None:
    files = find_scenes("camvid", camvid_folder, "train")
    plain = {entry.name: read_scene(entry, SPACE).resized(48, 64) for entry in files}
    mirrored = Counter(
        torch.equal(batch.label[0], plain[batch.names[0]].label.flip(-1))
        for batch in batches(camvid_folder, 0, 40, size=1)
    )
    assert min(mirrored.values()) >= 8


def test_scale_and_crop_pads_labels_with_void_and_keeps_maps_aligned() -> None:
    label = torch.arange(12 * 16, dtype=torch.int64).view(12, 16) % 11
    label = label.to(torch.uint8)
    scene = Scene("one", label, None, label.expand(3, -1, -1).contiguous())
    for seed in range(30):
        random = torch.Generator().manual_seed(seed)
        crop = ScaleAndCrop(12, 16, 0.5, 2.0, True, fill=11, jitter=0.0, noise=0.0)(scene, random)
        assert crop.size == (12, 16)
        assert crop.image is not None
        assert crop.image.shape == (3, 12, 16)
        padding = crop.label == 11
        assert torch.equal(padding, (crop.image == 128).all(dim=0))


def test_jitter_and_noise_change_the_photograph_alone() -> None:
    image = torch.arange(3 * 12 * 16).view(3, 12, 16).remainder(200).to(torch.uint8) + 20
    label = torch.zeros(12, 16, dtype=torch.uint8)

    def crop(seed: int, jitter: float, noise: float) -> Scene:
        augment = ScaleAndCrop(12, 16, 1.0, 1.0, False, fill=11, jitter=jitter, noise=noise)
        return augment(Scene("one", label, None, image), torch.Generator().manual_seed(seed))

    def image_of(scene: Scene) -> torch.Tensor:
        assert scene.image is not None
        return scene.image

    assert torch.equal(image_of(crop(3, 0.0, 0.0)), image)
    for jitter, noise in ((0.3, 0.0), (0.0, 8.0), (0.3, 8.0)):
        scene = crop(3, jitter, noise)
        first, again, other = (image_of(crop(seed, jitter, noise)) for seed in (3, 3, 4))
        assert torch.equal(scene.label, label)
        assert first.dtype == torch.uint8
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert not torch.equal(first, image)
    noisy = [image_of(crop(n, 0.0, 8.0)) for n in range(40)]
    deviations = [float((pixels - image.float()).std()) for pixels in noisy]
    assert max(deviations) < 9.0
    assert 3.0 < sum(deviations) / len(deviations) < 5.0


def test_train_ids_leave_void_out() -> None:
    label = torch.tensor([[0, 10, 11]], dtype=torch.uint8)
    assert SPACE.to_train_ids(label).tolist() == [[0, 10, VOID]]


def test_sixteen_bit_instance_ids_stay_positive(tmp_path: Path) -> None:
    path = tmp_path / "inst.png"
    Image.fromarray(np.array([[33001, 24]], dtype=np.uint16)).save(path)
    assert read_instance(path).tolist() == [[33001, 24]]


def test_palette_labels_are_read_by_index(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[3, 11]], dtype=np.uint8), mode="L").convert("P")
    picture = Image.frombytes("P", (2, 1), bytes([3, 11]))
    picture.putpalette([n for colour in range(256) for n in (colour, 255 - colour, 7)])
    picture.save(tmp_path / "label.png")
    assert read_label(tmp_path / "label.png", SPACE).tolist() == [[3, 11]]


def test_the_digest_of_ids_is_that_of_the_pixels_not_of_the_file(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 34, (16, 24), dtype=np.uint8)
    small, large, palette = (tmp_path / f"{name}.png" for name in ("small", "large", "palette"))
    Image.fromarray(ids).save(small, compress_level=9)
    Image.fromarray(ids).save(large, compress_level=0)
    picture = Image.frombytes("P", (24, 16), ids.tobytes())
    picture.putpalette([7] * 768)
    picture.save(palette)
    assert small.read_bytes() != large.read_bytes()
    assert ids_digest(small) == ids_digest(large) == ids_digest(palette)
    ids[3, 5] += 1
    Image.fromarray(ids).save(large)
    assert ids_digest(large) != ids_digest(small)


def test_the_digest_of_ids_tells_shapes_and_sixteen_bit_ids_apart(tmp_path: Path) -> None:
    path = tmp_path / "ids.png"
    digests = set()
    for ids in ([[26000, 26001]], [[26001, 26000]], [[26000], [26001]], [[26000, 33001]]):
        Image.fromarray(np.array(ids, dtype=np.uint16)).save(path)
        digests.add(ids_digest(path))
    assert len(digests) == 4


def test_the_digest_of_a_photograph_is_that_of_its_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    Image.fromarray(colours).save(small, compress_level=9)
    Image.fromarray(colours).save(large, compress_level=0)
    assert small.read_bytes() != large.read_bytes()
    assert photograph_digest(small) == photograph_digest(large)
    for other in (colours.transpose(1, 0, 2), colours[..., ::-1], colours ^ np.uint8(1)):
        Image.fromarray(np.ascontiguousarray(other)).save(large)
        assert photograph_digest(large) != photograph_digest(small)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "label.png: "),
        (lambda path: path.write_bytes(b""), " 0 bytes"),
        (lambda path: path.write_text("<html>"), " 6 bytes"),
        (lambda path: Image.new("RGB", (4, 4)).save(path), "mode RGB"),
        (lambda path: Image.new("L", (4, 4), 200).save(path), "id 200 (16 pixels)"),
        (lambda path: Image.new("I;16", (4, 4)).save(path), "mode I;16"),
    ],
)
def test_a_bad_label_map_names_file_and_fault(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "label.png"
    make(path)
    with pytest.raises(DataError) as error:
        read_label(path, SPACE)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_map_of_cityscapes_train_ids_is_refused(tmp_path: Path) -> None:
    """Its void, 255, is no label id; reading road as 'unlabeled' would be silent otherwise."""
    path = tmp_path / "x_gtFine_labelTrainIds.png"
    Image.new("L", (4, 4), 255).save(path)
    with pytest.raises(DataError, match=r"id 255 \(16 pixels\); .*'cityscapes' .* 0 to 33"):
        read_label(path, shipped_space("cityscapes"))


def test_a_truncated_png_names_the_file(camvid_folder: Path) -> None:
    path = camvid_folder / "train" / "train_00.png"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"train_00\.png: .*1000 bytes"):
        read_photograph(path)


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "I;16"])
def test_a_photograph_of_another_mode_is_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(DataError, match=f"mode {mode}"):
        read_photograph(path)


def test_sizes_that_differ_are_an_error(camvid_folder: Path) -> None:
    Image.new("RGB", (72, 96)).save(camvid_folder / "train" / "train_03.png")
    files = find_scenes("camvid", camvid_folder, "train")[3]
    with pytest.raises(
        DataError, match=r"train/train_03\.png: 72x96.*trainannot/train_03\.png.* 96x72"
    ):
        read_scene(files, SPACE)


@pytest.mark.real_data
def test_every_real_frame_is_read(real_data: Path) -> None:
    for split, count in (("train", 367), ("val", 101)):
        files = find_scenes("camvid", real_data / "camvid", split)
        assert len(files) == count
        for entry in files[::40]:
            scene = read_scene(entry, SPACE)
            assert scene.size == (360, 480)
