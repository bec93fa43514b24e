"""Images written behind a synthesizer: the same bytes, whole, none lost; and images in bf16."""

from __future__ import annotations

import math
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import trainable
from forks import forking
from PIL import Image
from torch import Tensor

import hdbench
from hdbench import synthesis
from hdbench.data.labels import shipped_space
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.data.scene import Scene, collate, from_network_range
from hdbench.data.sheets import png_bytes
from hdbench.errors import DataError, StorageError, UsageError
from hdbench.library import GENERATORS, Library
from hdbench.networks.builder import Conditioning, Limits, build_generator
from hdbench.networks.cascaded_refinement import images_of
from hdbench.networks.noise import noise_of
from hdbench.runtime import devices
from hdbench.runtime.devices import in_precision, require_precision
from hdbench.schema.benchmark import Size
from hdbench.schema.method import require_generator
from hdbench.streets.scene import draw_scene
from hdbench.synthesis import Synthesizer, made_images, write_images
from hdbench.workflows.evaluate import evaluate
from hdbench.workflows.recheck import recheck
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import open_segmenter

CPU = torch.device("cpu")
METHOD = "ours-no-vgg"


def painted(scene: Scene) -> Tensor:
    """An image that depends on every pixel of the label map."""
    return torch.stack([scene.label * 3, scene.label * 7 + 1, 255 - scene.label])


def written(bench: Bench, folder: Path, synthesize: Synthesizer = painted) -> list[Path]:
    scenes = bench.dataset.test_scenes
    sources = [scene.name for scene in scenes]
    return write_images(
        lambda: synthesize, scenes, bench.space, bench.benchmark, folder, sources, "painting"
    )


def expected_bytes(bench: Bench, entry: SceneFiles) -> bytes:
    size = bench.benchmark.size
    scene = read_scene(entry, bench.space, photograph=False).resized(size.height, size.width)
    return png_bytes(painted(scene))


# -- writing ---------------------------------------------------------------------------------------


def test_files_and_records_are_those_of_one_image_after_the_other(
    bench: Bench, tmp_path: Path
) -> None:
    paths, scenes = written(bench, tmp_path / "out"), bench.dataset.test_scenes
    assert [path.name for path in paths] == [f"{entry.name}.png" for entry in scenes]
    assert [path.read_bytes() for path in paths] == [expected_bytes(bench, one) for one in scenes]
    records = made_images(tmp_path / "out")
    assert {name: one.source for name, one in records.items()} == {
        f"{entry.name}.png": entry.name for entry in scenes
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        [*records, "images.jsonl"]
    )


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_images_made_before_an_error_are_kept(
    bench: Bench, tmp_path: Path, error: type[BaseException]
) -> None:
    scenes = bench.dataset.test_scenes

    def stopping(scene: Scene) -> Tensor:
        if scene.name == scenes[2].name:
            raise error
        return painted(scene)

    with pytest.raises(error):
        written(bench, tmp_path, stopping)
    kept = {f"{entry.name}.png" for entry in scenes[:2]}
    assert set(made_images(tmp_path)) == kept
    made: list[str] = []

    def recording(scene: Scene) -> Tensor:
        made.append(scene.name)
        return painted(scene)

    paths = written(bench, tmp_path, recording)
    assert made == [entry.name for entry in scenes[2:]]
    assert [path.read_bytes() for path in paths] == [expected_bytes(bench, one) for one in scenes]


def test_a_full_disk_is_the_error_of_the_synthesis(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise StorageError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr(synthesis, "write_atomically", full)
    with pytest.raises(StorageError, match=r"val_00\.png: cannot be written"):
        written(bench, tmp_path)
    assert not made_images(tmp_path)


def test_a_damaged_label_map_is_named_after_the_images_before_it(
    bench: Bench, tmp_path: Path
) -> None:
    scenes = bench.dataset.test_scenes
    scenes[1].label_map.write_bytes(b"cut")
    with pytest.raises(DataError, match=scenes[1].label_map.name):
        written(bench, tmp_path)
    assert set(made_images(tmp_path)) == {f"{scenes[0].name}.png"}


def _killed_at_the_eighth(label: Path, folder: Path) -> None:
    def synthesize(scene: Scene) -> torch.Tensor:
        if scene.name == "7":
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.randint(0, 256, (3, 512, 1024), dtype=torch.uint8)

    files = [SceneFiles(name=str(n), label=label, image=label, instance=None) for n in range(9)]
    benchmark, sources = Library().benchmark("streets"), ["source"] * 9
    space = shipped_space("cityscapes")
    write_images(lambda: synthesize, files, space, benchmark, folder, sources, "making")


@pytest.mark.slow
def test_kill_9_leaves_whole_images_alone(tmp_path: Path) -> None:
    label, folder = tmp_path / "label.png", tmp_path / "images"
    Image.fromarray(np.full((128, 256), 7, np.uint8)).save(label)
    process = forking().Process(target=_killed_at_the_eighth, args=(label, folder))
    process.start()
    process.join(timeout=100)
    assert process.exitcode == -signal.SIGKILL
    found = list(folder.glob("[!.]*.png"))
    assert len(found) >= 3  # those that no thread had in hand
    for path in found:
        assert np.array(Image.open(path)).shape == (512, 1024, 3)
    for name in made_images(folder):
        assert (folder / name) in found


# -- bf16 ------------------------------------------------------------------------------------------


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with instructions for bf16: without them, the same is computed slowly."""
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"amx_bf16"})


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.square(one.astype(float) - other).mean())


@pytest.mark.usefixtures("with_bf16")
def test_the_shipped_generator_in_bf16_is_within_40_db() -> None:
    folder = Library().entries(GENERATORS)["streets-ours-v1"]
    exact, rounded = (hdbench.load_generator(folder, precision=one) for one in ("fp32", "bf16"))
    scene = draw_scene(1, 0, 256, 128)
    images = [one.synthesize(scene.label, scene.instance) for one in (exact, rounded)]
    assert not np.array_equal(images[0], images[1])
    assert psnr(images[0], images[1]) >= 40  # 54 where this was written


@pytest.mark.parametrize("name", ["ours", "ours-full", "ours-reflection-padding", "pix2pix", "crn"])
def test_every_network_computes_in_bf16(name: str) -> None:
    method = require_generator(Library().method(name))
    size = Size(width=64, height=64)
    torch.manual_seed(0)
    network = build_generator(method, 6, Limits(0.125, 2, size)).eval()
    labels = torch.arange(64).div(16, rounding_mode="floor").expand(64, 64).to(torch.uint8)
    scene = Scene("scene", labels, None, None)
    x = Conditioning(5, True)(collate([scene]))
    images = []
    for precision in ("fp32", "bf16"):
        network = in_precision(network, precision)
        with torch.no_grad(), noise_of("scene"):
            output = images_of(network(x.to(next(network.parameters()).dtype)))
        images.append(from_network_range(output[0, 0]).numpy())
    assert psnr(*images) >= 30  # random weights: rounding errors are not damped


@pytest.mark.slow
@pytest.mark.usefixtures("with_bf16")
def test_images_in_bf16_never_pass_for_those_that_are_scored(trained: Bench) -> None:
    method = trainable(trained)
    exact = synthesize_method(trained, method, 0, CPU)
    before = [path.read_bytes() for path in exact]
    rounded = synthesize_method(trained, method, 0, CPU, precision="bf16")
    assert {path.parent.name for path in rounded} == {"val.bf16"}
    assert [path.read_bytes() for path in exact] == before
    assert [path.read_bytes() for path in rounded] != before
    segmenter = open_segmenter(trained, None, CPU)

    for path in rounded:  # their bytes alone
        shutil.copy(path, exact[0].parent)
    with pytest.raises(DataError, match="changed after the run made"):
        synthesize_method(trained, method, 0, CPU)
    shutil.copy(rounded[0].parent / "images.jsonl", exact[0].parent)  # and what was recorded
    result = evaluate(trained, [METHOD], 0, segmenter, CPU)[0].results[0]
    assert [path.read_bytes() for path in exact] == before
    found = recheck(trained, method, result, trained.scoring, 2, segmenter, CPU)
    assert all(one.same_image and one.holds for one in found)


def test_bf16_is_refused_where_it_would_be_slow_or_mean_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_cpu_flags", set)
    with pytest.raises(UsageError, match="leave the precision out"):
        require_precision("bf16", CPU)
    require_precision("fp32", CPU)
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"avx512_bf16"})
    floor = bench.library.method("floor-nearest")
    with pytest.raises(UsageError, match="no network makes the images of 'floor-nearest'"):
        synthesize_method(bench, floor, 0, CPU, precision="bf16")
