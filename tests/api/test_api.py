"""The Python interface gives what the command line gives, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import save_pixels, trainable
from PIL import Image

import hdbench
from hdbench.data.labels import shipped_space
from hdbench.data.layouts import SceneFiles
from hdbench.errors import CheckpointError, DataError, HdbenchError, UsageError
from hdbench.library import GENERATORS, Library
from hdbench.networks.builder import AS_STATED, limits_of
from hdbench.schema.base import from_identity, identity_of
from hdbench.schema.benchmark import Budget
from hdbench.schema.method import Pix2PixHD, require_trained
from hdbench.streets.scene import draw_scene
from hdbench.synthesis import load_generator, write_images
from hdbench.workflows.evaluate import score_methods
from hdbench.workflows.export_weights import export_hub
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.segmenters import open_segmenter

Cli = Callable[..., Result]
CPU = torch.device("cpu")
SHIPPED = Library().entries(GENERATORS)["streets-ours-v1"]


def pixels_of(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


@pytest.fixture(scope="session")
def streets_generator() -> hdbench.Generator:
    return hdbench.load_generator(SHIPPED)


@pytest.fixture(scope="session")
def drawn_streets(tmp_path_factory: pytest.TempPathFactory) -> list[SceneFiles]:
    """Two street scenes on disk."""
    folder = tmp_path_factory.mktemp("streets")
    files = []
    for n in range(2):
        scene = draw_scene(1, n, 256, 128)
        label, instance = folder / f"label{n}.png", folder / f"instance{n}.png"
        save_pixels(label, np.asarray(scene.label))
        save_pixels(instance, np.asarray(scene.instance).astype(np.uint16))
        files.append(SceneFiles(name=f"scene{n}", label=label, image=label, instance=instance))
    return files


# -- generators ------------------------------------------------------------------------------------


def test_the_shipped_generator_makes_the_images_of_the_command_line(
    streets_generator: hdbench.Generator, drawn_streets: list[SceneFiles], tmp_path: Path
) -> None:
    benchmark = Library().benchmark("streets")
    method, space = require_trained(Library().method("ours")), shipped_space("cityscapes")
    weights = SHIPPED / "generator.safetensors"
    paths = write_images(
        lambda: load_generator(method, limits_of(benchmark), space, weights, CPU),
        drawn_streets,
        space,
        benchmark,
        tmp_path,
        sources=["", ""],
        title="",
    )
    assert streets_generator.name == "ours"
    assert streets_generator.size == (256, 128)
    assert streets_generator.classes[26] == "car"
    for files, path in zip(drawn_streets, paths, strict=True):
        assert files.instance is not None
        found = streets_generator.synthesize(
            Image.open(files.label_map), Image.open(files.instance)
        )
        assert found.dtype == np.uint8
        assert found.shape == (128, 256, 3)
        assert np.array_equal(found, pixels_of(path))


@pytest.mark.slow
def test_arrays_tensors_pictures_and_batches_give_the_same(
    streets_generator: hdbench.Generator, drawn_streets: list[SceneFiles]
) -> None:
    labels = [pixels_of(files.label_map) for files in drawn_streets]
    instances = [pixels_of(files.instance) for files in drawn_streets if files.instance]
    expected = streets_generator.synthesize(labels[0], instances[0])
    tensor = streets_generator.synthesize(
        torch.from_numpy(labels[0]).long(), torch.from_numpy(instances[0].astype(np.int64))
    )
    assert np.array_equal(tensor, expected)
    batch = streets_generator.synthesize(np.stack(labels), np.stack(instances))
    assert batch.shape == (2, 128, 256, 3)
    assert np.array_equal(batch[0], expected)
    assert np.array_equal(batch, streets_generator.synthesize(labels, instances))
    assert not np.array_equal(streets_generator.synthesize(labels[0]), expected)  # no boundaries


def test_a_method_a_run_and_a_hub_folder_are_one_generator(
    trained: Bench, cli: Cli, tmp_path: Path
) -> None:
    assert cli("synthesize", "--method", "ours-no-vgg").exit_code == 0
    method = trainable(trained)
    paths = synthesize_method(trained, method, 0, CPU)
    export_hub(trained, method, 0, tmp_path / "hub")
    run = trained.run_folder(method.name, 0)
    here = hdbench.load_generator(method.name)  # the fixture's hdbench.toml says the rest
    for generator in (
        here,
        hdbench.load_generator(run),
        hdbench.load_generator(str(tmp_path / "hub") + "/"),
    ):
        assert generator.size == (64, 48)
        for files, path in zip(trained.dataset.test_scenes, paths, strict=True):
            label = Image.open(files.label_map).resize((64, 48), Image.Resampling.NEAREST)
            assert np.array_equal(generator.synthesize(label), pixels_of(path))


def test_imported_weights_are_loaded_by_name(cli: Cli, trained: Bench, tmp_path: Path) -> None:
    export_hub(trained, trainable(trained), 0, tmp_path / "hub")
    assert cli("import-weights", "--from-hub", tmp_path / "hub", "--as", "theirs").exit_code == 0
    label = np.full((48, 64), 3, np.uint8)
    ours, theirs = (hdbench.load_generator(name) for name in ("ours-no-vgg", "theirs"))
    assert np.array_equal(ours.synthesize(label), theirs.synthesize(label))


LABEL = np.full((128, 256), 7, np.uint8)


@pytest.mark.parametrize(
    ("label", "instance", "style", "said"),
    [
        (LABEL.astype(np.float32), None, None, "float32"),
        (LABEL + 93, None, None, "100"),
        (LABEL.astype(np.int64) - 8, None, None, "-1"),
        (LABEL[:100], None, None, "256x96"),
        (LABEL[:8, :8], None, None, "16x16"),
        (LABEL, LABEL[:64], None, "256x64"),
        (LABEL, np.stack([LABEL] * 2), None, "2 maps"),
        (LABEL, LABEL.astype(np.int64) << 40, None, "2\\^31"),
        (np.stack([LABEL] * 3, axis=-1)[None], None, None, "H x W"),
        (Image.fromarray(np.stack([LABEL] * 3, axis=-1)), None, None, "RGB"),
        ([], None, None, "sequence"),
        (LABEL, None, "random", "encoder"),
    ],
)
def test_maps_that_no_generator_can_read_are_named(
    streets_generator: hdbench.Generator, label, instance, style, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        streets_generator.synthesize(label, instance, style)


def test_what_holds_no_generator_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no-such"):
        hdbench.load_generator(tmp_path / "no-such")
    with pytest.raises(UsageError, match="no-such"):
        hdbench.load_generator("no-such")
    with pytest.raises(UsageError, match="floor-nearest"):
        hdbench.load_generator("floor-nearest")
    with pytest.raises(UsageError, match="leave out"):
        hdbench.load_generator(SHIPPED, benchmark="streets")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "generator.json").write_bytes((SHIPPED / "generator.json").read_bytes())
    (tmp_path / "cut" / "generator.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="cut"):
        hdbench.load_generator(tmp_path / "cut")


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = "import hdbench, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="nothing"):
        hdbench.nothing  # noqa: B018


def test_a_card_gives_back_the_method_and_the_budget() -> None:
    method, budget = Library().method("ours-full"), Library().benchmark("streets").budget
    assert isinstance(method, Pix2PixHD)
    stated = identity_of(method, exclude={"title", "source"})
    again = from_identity(Pix2PixHD, stated, title=method.title, source=method.source)
    assert again == method
    assert from_identity(Budget, identity_of(budget)) == budget
    assert AS_STATED.width == 1.0


# -- scores ----------------------------------------------------------------------------------------


@pytest.fixture
def scored(trained: Bench, tmp_path: Path) -> Path:
    """A folder with the photographs of the small benchmark at its size."""
    folder = tmp_path / "pictures"
    for files in trained.dataset.test_scenes:
        picture = Image.open(files.image).convert("RGB").resize((64, 48))
        save_pixels(folder / f"{files.name}.png", np.array(picture))
    return folder


@pytest.mark.slow
def test_scores_are_those_of_the_command_line(trained: Bench, cli: Cli, scored: Path) -> None:
    assert cli("import-images", "pictures", scored).exit_code == 0
    bench = open_bench(trained.workspace)
    segmenter = open_segmenter(bench, None, CPU)
    method = bench.library.method("pictures")
    [expected] = score_methods(bench, [method], 0, segmenter, CPU)[0].results
    scenes = bench.dataset.test_scenes
    labels = scenes[0].label_map.parent
    convention = bench.scoring.name
    found = hdbench.score(scored, labels, trained.segmenter_folder(), convention)
    assert np.array_equal(found.matrices, expected.matrices)
    assert found.pixel_accuracy == expected.scores.pixel_accuracy
    assert found.mean_iou == expected.scores.mean_iou
    assert found.class_iou == expected.scores.class_iou
    assert found.names == expected.scenes
    assert found.classes == expected.classes
    pictures = [pixels_of(scored / f"{files.name}.png") for files in scenes]
    maps = [pixels_of(files.label_map) for files in scenes]
    again = hdbench.score(
        pictures, maps, trained.segmenter_folder(), convention, instances=maps, workers=0
    )
    assert np.array_equal(again.matrices, expected.matrices)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        ([np.zeros((48, 64, 3), np.uint8)], [np.zeros((48, 64), np.uint8)] * 2, "2 label maps"),
        ([np.zeros((48, 64), np.uint8)], [np.zeros((48, 64), np.uint8)], "H x W x 3"),
        ([np.zeros((48, 64, 3), np.uint8)], [np.zeros((48, 64))], "float64"),
        ([np.zeros((48, 64, 3), np.uint8)], [np.full((48, 64), 300)], "256"),
        ([np.zeros((48, 64, 3), np.uint8)], [np.full((48, 64), 99)], "id 99"),
        ([], [], "at least one"),
        (
            [np.zeros((48, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)],
            [np.zeros((48, 64), np.uint8)] * 2,
            "64x32",
        ),
        ("no-such-folder", [np.zeros((48, 64), np.uint8)], "no-such-folder"),
        ("no-such-folder", "no-such-labels", "no-such-labels"),
    ],
)
def test_what_cannot_be_scored_is_named(trained: Bench, images, labels, said: str) -> None:
    with pytest.raises(HdbenchError, match=said):
        hdbench.score(images, labels, trained.segmenter_folder(), "camvid-std-v1")


def test_an_image_that_is_missing_is_named(trained: Bench, scored: Path) -> None:
    (scored / "val_01.png").unlink()
    labels = trained.dataset.test_scenes[0].label_map.parent
    with pytest.raises(DataError, match="val_01"):
        hdbench.score(scored, labels, trained.segmenter_folder(), "camvid-std-v1")
