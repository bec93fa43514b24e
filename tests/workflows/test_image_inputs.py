"""From images to photographs, the whole way: with label maps beside them, and without."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import MACHINE, TINY, evaluated, save_pixels, trainable
from PIL import Image

from hdbench.errors import CheckpointError, LibraryError, UsageError
from hdbench.library import Library
from hdbench.runtime.devices import Machine
from hdbench.runtime.weights import stored_digest
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.schema.method import Floor
from hdbench.training.config import RunConfig, run_identity
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workflows.export_weights import export_hub, export_official
from hdbench.workflows.import_weights import import_hub
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method
from hdbench.workflows.train_segmenter import train_own_segmenter
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.fingerprint import choices_under
from hdbench.workspace.paths import Workspace
from hdbench.workspace.perceptual import perceptual_of
from hdbench.workspace.segmenters import open_segmenter
from hdbench.workspace.start import fine_tuned, starting_weights

CPU = torch.device("cpu")
Run = Callable[..., Result]

INPUT = """
[input]
kind       = "image"
channels   = {channels}
range      = [0, {high}]
resize     = "{resize}"
boundaries = false
"""
EDGES = (
    INPUT.format(channels=1, high=255, resize="maximum")
    + """
[input.edges]
sigma = 1.0
low   = 0.05
high  = 0.15
"""
)
#: Pairs of images without labels.
PAIRS = """
extends = "pairs"
name    = "couples"
title   = "Couples"

[size]
width  = 64
height = 48

[budget]
width        = 0.0625
epochs       = 1
decay_epochs = 1
ema          = 0.0
""" + INPUT.format(channels=2, high=65535, resize="bicubic-antialias")


@pytest.fixture
def edged(tmp_path: Path, camvid_folder: Path) -> Bench:
    """The small benchmark, its scenes made from edges."""
    (tmp_path / "edged.toml").write_text(TINY.replace('"tiny"', '"edged"') + EDGES)
    return open_bench(Workspace(tmp_path / "ws", camvid_folder, str(tmp_path / "edged.toml")))


@pytest.fixture
def pairs(tmp_path: Path) -> Bench:
    """Five training and two test pairs without labels: 16-bit arrays of 2 channels."""
    root = tmp_path / "pairs"
    for n in range(7):
        random = np.random.default_rng(n)
        folder = root / ("train" if n < 5 else "test")
        photograph = random.integers(0, 256, (72, 96, 3), dtype=np.uint8)
        save_pixels(folder / "photographs" / f"{n}.png", photograph)
        (folder / "inputs").mkdir(exist_ok=True)
        np.save(folder / "inputs" / f"{n}.npy", photograph[:, :, :2].astype(np.uint16) * 257)
    (tmp_path / "couples.toml").write_text(PAIRS)
    return open_bench(Workspace(tmp_path / "ws", root, str(tmp_path / "couples.toml")))


def train(bench: Bench, machine: Machine = MACHINE) -> Path:
    return train_method(bench, trainable(bench), 0, machine)


def images(bench: Bench) -> list[bytes]:
    method = trainable(bench)
    return [path.read_bytes() for path in synthesize_method(bench, method, 0, CPU)]


def cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    real, left = Pix2PixHDTrainer.step, iter(range(steps))

    def step(self, batch, rate):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(self, batch, rate)

    monkeypatch.setattr(Pix2PixHDTrainer, "step", step)


@pytest.mark.parametrize("which", [pytest.param("edged", marks=pytest.mark.slow), "pairs"])
def test_a_killed_training_goes_on_and_its_images_are_the_same_bytes(
    which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench: Bench = request.getfixturevalue(which)
    whole = train(bench)
    made = images(bench)
    other = Bench(
        bench.library,
        Workspace(tmp_path / "other", bench.workspace.data_root, bench.workspace.benchmark),
        bench.benchmark,
    )
    often = Machine(CPU, workers=0, checkpoint_minutes=0)
    with monkeypatch.context() as patched:
        cut_after(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(other, often)
    assert not (other.run_folder("ours-no-vgg", 0) / GENERATOR_WEIGHTS).is_file()
    assert stored_digest(train(other)) == stored_digest(whole)
    assert images(other) == made
    for path in synthesize_method(bench, trainable(bench), 0, CPU):
        path.unlink()
    assert images(bench) == made
    sheet = next((whole.parent / "samples").glob("step-*.png"))
    with Image.open(sheet) as drawn:
        assert drawn.width > 3 * 64


@pytest.mark.slow
def test_an_image_is_made_again_when_its_input_changes(pairs: Bench) -> None:
    train(pairs)
    first, second = images(pairs)
    [changed, _] = pairs.dataset.test_scenes
    pixels = np.load(changed.required_input)
    np.save(changed.required_input, 65535 - pixels)
    again = open_bench(pairs.workspace)
    now = images(again)
    assert now[0] != first
    assert now[1] == second


@pytest.mark.slow
def test_a_changed_training_input_is_another_run(pairs: Bench) -> None:
    train(pairs)
    changed = pairs.dataset.train_scenes[0].required_input
    np.save(changed, np.load(changed) // 2)
    with pytest.raises(CheckpointError, match="scenes_digest"):
        train(open_bench(pairs.workspace))


def test_settings_of_the_edges_are_part_of_the_runs_identity(edged: Bench) -> None:
    def identity(bench: Bench) -> dict:
        config = RunConfig(trainable(bench), bench.benchmark, 0, None)
        return run_identity(config, bench.dataset.train_digests)

    own = identity(edged)
    spec = edged.benchmark.input
    assert spec is not None
    assert spec.edges is not None
    coarse = spec.edges.model_copy(update={"sigma": 3.0})
    spec = spec.model_copy(update={"edges": coarse})
    other = edged.with_benchmark(edged.benchmark.model_copy(update={"input": spec}))
    assert identity(other)["input"]["edges"]["sigma"] == 3.0
    assert identity(other)["scenes_digest"] != own["scenes_digest"]
    plain = edged.with_benchmark(edged.benchmark.model_copy(update={"input": None}))
    assert "input" not in identity(plain)


@pytest.mark.slow
def test_labels_beside_the_edges_score_as_always(edged: Bench, trained_once: Path) -> None:
    """Neither segmenter nor scores know of the edges."""
    shutil.copytree(trained_once / "segmenters" / "tiny", edged.segmenter_folder().parent)
    segmenter = open_segmenter(edged, None, CPU)
    train(edged)
    found = evaluated(edged, ["ours-no-vgg"], 0, segmenter, CPU)
    assert [result.method for result in found][:2] == ["ours-no-vgg", "oracle"]
    plain = edged.with_benchmark(edged.benchmark.model_copy(update={"input": None}))
    assert found[0].choices == choices_under(plain, plain.scoring, segmenter.card)


def test_what_needs_labels_says_so(pairs: Bench) -> None:
    floor = pairs.library.method("floor-nearest")
    assert isinstance(floor, Floor)
    needs: Sequence[Callable[[], object]] = (
        lambda: pairs.scoring,
        lambda: train_own_segmenter(pairs, MACHINE),
        lambda: synthesize_method(pairs, floor, 0, CPU),
    )
    for call in needs:
        with pytest.raises(UsageError, match=r"'couples' has no label maps .*label_space = 'none'"):
            call()


@pytest.mark.slow
def test_weights_for_input_images_are_not_taken_for_those_of_labels(
    edged: Bench, tmp_path: Path
) -> None:
    train(edged)
    method = trainable(edged)
    tuned = fine_tuned(edged, method, method.name, "tuned", ()).method
    assert tuned.start is not None
    assert starting_weights(tuned.start).channels.names == ["input 0"]
    with pytest.raises(UsageError, match="edged"):
        export_hub(edged, method, 0, tmp_path / "hub")
    with pytest.raises(UsageError, match="edged"):
        import_hub(edged, "theirs", str(tmp_path))
    [said] = [
        note
        for note in export_official(edged, method, 0, tmp_path / "official").notes
        if "--label_nc" in note
    ]
    assert "--label_nc 0 --input_nc 1 " in said
    assert "--no_instance" in said


def test_any_network_of_the_library_may_give_the_perceptual_loss(pairs: Bench) -> None:
    perceptual = pairs.benchmark.perceptual.model_copy(update={"name": "streets-perceptual-v1"})
    other = pairs.with_benchmark(pairs.benchmark.model_copy(update={"perceptual": perceptual}))
    chosen = perceptual_of(other, trainable(other, "ours"))
    assert chosen is not None
    assert chosen.name == "streets-perceptual-v1"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('[perceptual]\nname = "own"', ["[perceptual]", '"own"', "vgg19-imagenet"]),
        ('scoring = "camvid-std-v1"', ["scoring", "label_space = 'none'"]),
        ("[input]\nboundaries = true", ["[input] boundaries", "false"]),
        ("[input]\nrange = [255, 0]", ["[input]", "range = [255.0, 0.0]"]),
        ("[input]\nchannels = 3", ["[input]", "channels = 3", "1 channel"]),
        ('[input]\nresize = "bicubic"', ["resize", "'bicubic'", "bicubic-antialias"]),
        ("[input.edges]\nlow = 0.5", ["[input.edges]", "low = 0.5", "high = 0.1"]),
        ('[data]\nlabel_space = "camvid"', ["'segmenter' is missing"]),
    ],
)
def test_a_benchmark_that_cannot_be_is_refused(
    tmp_path: Path, lines: str, words: list[str]
) -> None:
    path = tmp_path / "wrong.toml"
    head = 'extends = "edges"\nname = "wrong"\ntitle = "Wrong"\n'
    path.write_text(f"{head}{lines}\n")
    with pytest.raises(LibraryError) as caught:
        Library().benchmark(str(path))
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_a_dataset_without_inputs_is_named(edged: Bench) -> None:
    spec = edged.benchmark.input
    assert spec is not None
    spec = spec.model_copy(update={"edges": None})
    bare = edged.with_benchmark(edged.benchmark.model_copy(update={"input": spec}))
    with pytest.raises(Exception, match=r"train_00\.png: no input image"):
        train(bare)


def photographs(folder: Path, count: int = 11) -> Path:
    for n in range(count):
        pixels = np.random.default_rng(n).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        save_pixels(folder / f"{n:02}.jpg", pixels)
    return folder


@pytest.mark.slow
def test_a_folder_of_photographs_trains_at_once(
    bare_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photographs(tmp_path / "cats")
    sheet = bare_cli("data", "edges", folder, "--preview", "cats.png", "--sigma", "1")
    assert sheet.exit_code == 0, sheet.output
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["cats.png"]
    made = bare_cli("data", "edges", folder, "--output", "cats.toml", "--sigma", "1.5")
    assert made.exit_code == 0, made.output
    assert "train: 10 edge maps" in made.output
    assert "hdbench.toml" in made.output
    benchmark = Library().benchmark("./cats.toml")
    assert (benchmark.size.width, benchmark.size.height) == (256, 192)
    assert benchmark.input is not None
    assert benchmark.input.edges is not None
    assert benchmark.input.edges.model_dump() == {"sigma": 1.5, "low": 0.05, "high": 0.1}
    plan = bare_cli("train", "ours-no-vgg", "--plan", "--json")
    assert plan.exit_code == 0, plan.output
    again = bare_cli("data", "edges", folder, "--output", "cats.toml", "--sigma", "1.5")
    assert again.exit_code == 0, again.output
    other = bare_cli("data", "edges", folder, "--output", "cats.toml", "--sigma", "3")
    assert other.exit_code == 2
    assert "cats.toml" in other.output
    for words in (("check",), ("preview",)):
        result = bare_cli("data", *words)
        assert result.exit_code == 0, result.output
    refused = bare_cli("evaluate", "--method", "ours-no-vgg")
    assert refused.exit_code == 2
    assert "has no label maps" in refused.output


def test_edges_of_a_labelled_benchmark_keep_its_labels(cli: Run, tmp_path: Path) -> None:
    made = cli("data", "edges", "--output", "lines.toml", "--high", "0.3")
    assert made.exit_code == 0, made.output
    benchmark = Library().benchmark("./lines.toml")
    assert benchmark.data.label_space.name == "camvid"
    assert benchmark.scoring == "camvid-std-v1"
    assert benchmark.input is not None
    assert not benchmark.input.boundaries
    assert cli("data", "edges", "--benchmark", "./lines.toml").exit_code == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--sigma", "-1", "--preview", "x.png"), "--sigma"),
        (("--low", "0.9", "--preview", "x.png"), "low = 0.9"),
        (("--output", "x.json"), "--output x.json"),
        ((), "--output FILE.toml"),
        (("--size", "64", "--output", "x.toml"), "--size"),
    ],
)
def test_a_wrong_option_is_named(cli: Run, words: Sequence[str], named: str) -> None:
    result = cli("data", "edges", *words)
    assert result.exit_code == 2
    assert named in result.output
