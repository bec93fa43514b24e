"""Styles from the verb to the images: made once, resumed, checked, and never mixed up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import two_ranks
from click.testing import CliRunner, Result
from conftest import MACHINE, constant_segmenter, evaluated
from forks import Forked
from PIL import Image
from styled import METHOD, opened, train_styled

import hdbench
from hdbench.cli.main import cli as command
from hdbench.data.loading import read_photograph
from hdbench.data.scene import resize_photograph
from hdbench.errors import CheckpointError, HdbenchError, UsageError
from hdbench.reporting.footnotes import footnotes
from hdbench.runtime.ranks import Ranks
from hdbench.schema.generator import ENCODER_WEIGHTS
from hdbench.schema.method import TrainedMethod, require_trained
from hdbench.schema.styles import STYLES_FILE, Styles
from hdbench.styles import Style
from hdbench.workflows import styles as workflow
from hdbench.workflows import synthesize
from hdbench.workflows.measure_styles import measure_encoding, measure_repainting
from hdbench.workflows.style_sheets import draw_styles
from hdbench.workflows.styles import make_styles
from hdbench.workflows.synthesize import synthesize_again, synthesize_method
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.stale import Stale
from hdbench.workspace.styles import load_styles, require_encoder, save_styles, styles_path

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("styles")
    train_styled(root)
    return root


@pytest.fixture
def bench(trained_root: Path, tmp_path: Path) -> Bench:
    shutil.copytree(trained_root / "ws", tmp_path / "ws")
    return opened(tmp_path)


@pytest.fixture
def method(bench: Bench) -> TrainedMethod:
    return require_trained(bench.library.method(METHOD))


@pytest.fixture
def run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run hdbench in this process, on the small streets."""
    root = bench.workspace.root.parent
    (root / "hdbench.toml").write_text(f'benchmark = "{root}/small.toml"\nworkspace = "ws"\n')
    monkeypatch.chdir(root)
    return lambda *words: CliRunner().invoke(command, [str(word) for word in words])


def made(bench: Bench, method: TrainedMethod, **options) -> Styles:
    return make_styles(bench, method, 0, CPU, **options)


def bytes_of(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def test_styles_are_those_of_the_training_set(bench: Bench, method: TrainedMethod) -> None:
    styles = made(bench, method)
    assert load_styles(bench, method, 0) == styles
    assert (styles.scenes, styles.size, styles.photographs) == (4, (64, 32), "small")
    road = styles.by_id[7]
    assert (road.instances, road.large, sum(road.counts)) == (4, 4, 4)
    assert all(
        -1 <= value <= 1 for entry in styles.classes for centre in entry.centres for value in centre
    )
    train = styles.by_id[31]
    if not train.instances:
        assert train.centres == [[0.0, 0.0, 0.0]]


def _on_ranks(ranks: Ranks, root: Path) -> None:
    """Make styles and, with them, images."""
    bench = opened(root)
    method = require_trained(bench.library.method(METHOD))
    made(bench, method, ranks=ranks)
    synthesize_method(bench, method, 0, CPU, ranks=ranks)


@pytest.mark.slow
def test_two_ranks_make_the_same_styles_and_images(
    bench: Bench, method: TrainedMethod, tmp_path: Path
) -> None:
    copied = tmp_path / "ranks"
    shutil.copytree(bench.workspace.root, copied / "ws")
    styles, images = made(bench, method), synthesize_method(bench, method, 0, CPU)
    ranks = two_ranks.started(_on_ranks, tmp_path / "said", copied)
    assert two_ranks.ended(ranks) == [0, 0]
    shared = opened(copied)
    assert load_styles(shared, method, 0) == styles
    folder = shared.image_folder(METHOD, 0)
    assert bytes_of([folder / path.name for path in images]) == bytes_of(images)


@pytest.mark.slow
def test_they_are_made_once_and_again_for_another_k(
    bench: Bench, method: TrainedMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(bench, method)
    assert max(len(entry.centres) for entry in made(bench, method, clusters=2).classes) == 2
    assert made(bench, method).classes == first.classes
    monkeypatch.delattr(workflow, "encoded_instances")
    assert made(bench, method) == load_styles(bench, method, 0)


def test_missing_styles_are_made_by_synthesis(
    bench: Bench, method: TrainedMethod, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = synthesize_method(bench, method, 0, CPU)
    path = styles_path(bench, method, 0)
    assert str(path) in capsys.readouterr().err
    assert path.is_file()
    assert [path.parent for path in paths] == [bench.image_folder(METHOD, 0)] * 2


def test_images_are_byte_stable_and_do_not_depend_on_the_other_scenes(
    bench: Bench, method: TrainedMethod, tmp_path: Path
) -> None:
    paths = synthesize_method(bench, method, 0, CPU)
    alone = synthesize_again(bench, method, 0, CPU, bench.dataset.test_scenes[1:], tmp_path / "one")
    assert bytes_of(alone) == bytes_of(paths[1:])


@pytest.mark.slow
def test_other_styles_have_folders_of_their_own(bench: Bench, method: TrainedMethod) -> None:
    styles = ("random", "random:1", "center:0", "center:1", "encode")
    found = {
        text: synthesize_method(bench, method, 0, CPU, style=Style.parse(text)) for text in styles
    }
    assert [paths[0].parent.name for paths in found.values()] == [
        "val",
        "val.random-1",
        "val.center-0",
        "val.center-1",
        "val.encode",
    ]
    assert len({paths[0].read_bytes() for paths in found.values()}) == len(styles)


@pytest.mark.slow
def test_images_are_made_again_when_centres_change_and_only_then(
    bench: Bench, method: TrainedMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bytes_of(synthesize_method(bench, method, 0, CPU))
    encoded = bytes_of(synthesize_method(bench, method, 0, CPU, style=Style("encode")))
    made(bench, method, clusters=1)
    assert bytes_of(synthesize_method(bench, method, 0, CPU)) != before
    made(bench, method)
    assert bytes_of(synthesize_method(bench, method, 0, CPU)) == before
    monkeypatch.delattr(synthesize, "load_generator")
    assert bytes_of(synthesize_method(bench, method, 0, CPU)) == before
    assert bytes_of(synthesize_method(bench, method, 0, CPU, style=Style("encode"))) == encoded


@pytest.mark.slow
def test_results_say_in_which_style_their_images_are(bench: Bench, method: TrainedMethod) -> None:
    segmenter = constant_segmenter(0, bench.space, 64, 32)
    result = evaluated(bench, [METHOD], 0, segmenter, CPU)[0]
    assert result.provenance.training is not None
    said = f"random:0 (centres {made(bench, method).digest[:8]})"
    assert result.provenance.training.styles == said
    assert any(said in note for note in footnotes({result.method: [result]}))


def test_centres_of_another_run_are_refused(bench: Bench, method: TrainedMethod) -> None:
    made(bench, method)
    path = styles_path(bench, method, 0)
    content = json.loads(path.read_text())
    other = Styles(**{key: content[key] for key in content if key not in ("schema", "digest")})
    other = other.model_copy(update={"run": "0" * 64, "encoder": "1" * 64, "method": "another"})
    save_styles(path, other)
    for attempt in (
        lambda: synthesize_method(bench, method, 0, CPU),
        lambda: evaluated(bench, [METHOD], 0, constant_segmenter(0, bench.space, 64, 32), CPU),
    ):
        with pytest.raises(HdbenchError) as error:
            attempt()
        for word in (str(path), "another", "1" * 12, f"hdbench styles {METHOD}"):
            assert word in str(error.value)
    assert made(bench, method).method == METHOD  # the verb makes its own


def test_edited_centres_are_refused(bench: Bench, method: TrainedMethod) -> None:
    made(bench, method)
    path = styles_path(bench, method, 0)
    content = json.loads(path.read_text())
    content["classes"][7]["centres"][0][0] += 0.5
    path.write_text(json.dumps(content))
    assert isinstance(load_styles(bench, method, 0), Stale)
    path.write_text("{")
    assert isinstance(load_styles(bench, method, 0), Stale)


@pytest.mark.slow
def test_an_encoder_of_another_training_is_refused(bench: Bench, method: TrainedMethod) -> None:
    train_method(bench, method, 1, MACHINE)
    folders = [bench.run_folder(METHOD, seed) for seed in (0, 1)]
    shutil.copy(folders[1] / ENCODER_WEIGHTS, folders[0] / ENCODER_WEIGHTS)
    with pytest.raises(CheckpointError, match=ENCODER_WEIGHTS):
        made(bench, method)
    (folders[0] / ENCODER_WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=f"hdbench train {METHOD}"):
        made(bench, method)


def test_methods_without_an_encoder_have_no_styles(bench: Bench) -> None:
    for name in ("ours-no-vgg", "floor-nearest"):
        other = bench.library.method(name)
        with pytest.raises(UsageError, match=name):
            require_encoder(other)
        with pytest.raises(UsageError, match=name):
            synthesize_method(bench, other, 0, CPU, style=Style("random", 1))


@pytest.mark.slow
def test_styles_of_another_dataset(bench: Bench, method: TrainedMethod) -> None:
    benchmark = bench.benchmark.model_copy(
        update={
            "name": "other",
            "data": bench.benchmark.data.model_copy(update={"train": "judge[:3]"}),
        }
    )
    other = replace(bench, benchmark=benchmark)
    style = Style.parse("random", "other")
    with pytest.raises(HdbenchError, match=f"hdbench styles {METHOD} --from other"):
        synthesize_method(bench, method, 0, CPU, style=style)
    own = bytes_of(synthesize_method(bench, method, 0, CPU))
    styles = made(bench, method, source=other)
    assert (styles.photographs, styles.scenes) == ("other", 3)
    paths = synthesize_method(bench, method, 0, CPU, style=style)
    assert paths[0].parent.name == "val.random-0.from-other"
    assert bytes_of(paths) != own
    assert bytes_of(synthesize_method(bench, method, 0, CPU)) == own


def test_styles_of_another_label_space_are_refused(bench: Bench, method: TrainedMethod) -> None:
    camvid = replace(bench, benchmark=bench.library.benchmark("camvid"))
    with pytest.raises(UsageError) as error:
        made(bench, method, source=camvid)
    for word in ("camvid", "cityscapes", "sky"):
        assert word in str(error.value)


@pytest.mark.slow
def test_a_kill_in_the_middle_goes_on_with_the_scenes_that_are_left(
    bench: Bench, method: TrainedMethod, run: Callable[..., Result]
) -> None:
    root, path = bench.workspace.root.parent, styles_path(bench, method, 0)
    expected = made(bench, method)
    path.unlink()
    parts = path.with_suffix(".parts.jsonl")
    process = Forked("styles", METHOD, cwd=root)
    deadline = time.monotonic() + 120
    while not (parts.is_file() and parts.read_bytes().count(b'"source"') >= 1):
        assert process.poll() is None or path.is_file()
        if path.is_file() or time.monotonic() > deadline:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert made(bench, method).classes == expected.classes
    assert not parts.exists()


def test_encoded_scenes_are_not_encoded_again_and_a_line_cut_short_is(
    bench: Bench, method: TrainedMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = made(bench, method)
    path = styles_path(bench, method, 0)
    path.unlink()
    real, names = workflow.encoded_instances, []

    def encode(scene, styles):
        if len(names) == 3:
            raise KeyboardInterrupt
        names.append(scene.name)
        return real(scene, styles)

    monkeypatch.setattr(workflow, "encoded_instances", encode)
    with pytest.raises(KeyboardInterrupt):
        made(bench, method)
    parts = path.with_suffix(".parts.jsonl")
    parts.write_bytes(parts.read_bytes()[:-20])
    first, second, third = names
    names.clear()
    assert made(bench, method).classes == expected.classes
    assert names[0] == third
    assert len(names) == 2
    assert not {first, second} & set(names)


def test_a_sheet_of_a_scene_and_one_of_an_instance(
    bench: Bench, method: TrainedMethod, tmp_path: Path
) -> None:
    styles = made(bench, method, clusters=3)
    for name, only in (("scene", None), ("road", "road")):
        path = tmp_path / f"{name}.png"
        draw_styles(bench, method, 0, styles, CPU, path, only=only)
        with Image.open(path) as sheet:
            assert sheet.width >= 3 * 64
    with pytest.raises(UsageError, match="road"):
        draw_styles(bench, method, 0, styles, CPU, tmp_path / "x.png", only="rod")
    scenes = [entry.name for entry in bench.dataset.test_scenes]
    with pytest.raises(UsageError, match=scenes[0][:-1]):
        draw_styles(bench, method, 0, styles, CPU, tmp_path / "x.png", scene=scenes[0][:-1])


def test_what_is_measured_of_styles(bench: Bench, method: TrainedMethod) -> None:
    [road] = measure_repainting(bench, method, 0, CPU, ["road"])
    assert (road.name, road.scenes) == ("road", 2)
    assert road.inside.value > 0
    found = measure_encoding(bench, method, 0, CPU)
    assert found.gain.value == pytest.approx(found.random.value - found.encoded.value)
    folder = bench.image_folder(METHOD, 0, suffix=".encode")
    distances = []
    for entry in bench.dataset.test_scenes:
        real = resize_photograph(read_photograph(entry.image), 32, 64).int()
        image = read_photograph(folder / f"{entry.name}.png").int()
        distances.append(float((real - image).abs().double().mean()))
    assert found.encoded.value == pytest.approx(sum(distances) / 2)


@pytest.mark.slow
def test_the_verbs(run: Callable[..., Result], bench: Bench) -> None:
    done = run("styles", METHOD, "--k", 2)
    assert done.exit_code == 0, done.output
    folder = bench.run_folder(METHOD, 0)
    assert str(folder / STYLES_FILE) in done.stdout
    assert (folder / "styles.png").is_file()
    done = run("synthesize", "--method", METHOD, "--style", "center:1")
    assert done.exit_code == 0, done.output
    assert (folder / "images" / "val.center-1").is_dir()
    done = run("measure", "styles", METHOD, "--only", "road", "--only", "sky", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["repainted"][0]["name"] == "road"
    done = run("measure", "styles", METHOD, "--only", "road")
    assert "road" in done.stdout
    for words, expected in (
        (("styles", "ours-no-vgg"), "ours-no-vgg"),
        (("synthesize", "--method", METHOD, "--style", "center:2"), "0 to 1"),
        (("synthesize", "--method", METHOD, "--style", "radom"), "random"),
        (("synthesize", "--method", "floor-nearest", "--style", "encode"), "floor-nearest"),
        (("styles", METHOD, "--from", "camvid"), "camvid"),
        (("styles", METHOD, "--only", "rod"), "road"),
    ):
        done = run(*words)
        assert done.exit_code == 2, done.output
        assert expected in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("style", ["random", "random:7", "center:1", "encode"])
def test_python_makes_the_same_images_in_every_style(
    bench: Bench, method: TrainedMethod, style: str
) -> None:
    made(bench, method)
    paths = synthesize_method(bench, method, 0, CPU, style=Style.parse(style))
    generator = hdbench.load_generator(bench.run_folder(method.name, 0))
    scene = bench.dataset.test_scenes[0]
    photograph = np.array(Image.open(scene.image))
    image = generator.synthesize(
        Image.open(scene.label_map),
        None if scene.instance is None else Image.open(scene.instance),
        photograph if style == "encode" else style,
        name=scene.name,
    )
    assert np.array_equal(image, np.array(Image.open(paths[0])))


def test_python_refuses_styles_that_there_are_not(bench: Bench, method: TrainedMethod) -> None:
    (bench.run_folder(method.name, 0) / STYLES_FILE).unlink(missing_ok=True)
    label = np.full((32, 64), 7, np.uint8)
    bare = hdbench.load_generator(bench.run_folder(method.name, 0))
    for style, said in (
        (None, STYLES_FILE),
        ({7: 0}, STYLES_FILE),
        (np.zeros((32, 60, 3), np.uint8), "32, 64, 3"),
        (np.zeros((2, 32, 64), np.float32), "3, 32, 64"),
    ):
        with pytest.raises(UsageError, match=said):
            bare.synthesize(label, style=style)
    made(bench, method)
    full = hdbench.load_generator(bench.run_folder(method.name, 0))
    for style, said in (("encode", "photograph"), ({8: 0}, "8"), ("centre:1", "center")):
        with pytest.raises(UsageError, match=said):
            full.synthesize(label, style=style)
    flat = full.synthesize(label, style=np.zeros((3, 32, 64), np.float32))
    assert flat.shape == (32, 64, 3)
