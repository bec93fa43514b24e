"""Ways to get a false number: each changes one link between data and table, and is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import MACHINE, evaluated, trainable
from PIL import Image
from safetensors.torch import load_file, save_file

from hdbench.errors import CheckpointError, DataError, HdbenchError
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.schema.generator import GENERATOR_CARD, GENERATOR_WEIGHTS
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.results import current_results, load_result, matrices_path, result_path
from hdbench.workspace.runs import trained_generator
from hdbench.workspace.segmenters import open_segmenter

Cli = Callable[..., Result]
CPU = torch.device("cpu")
METHOD = "ours-no-vgg"


@pytest.fixture
def scorer(trained: Bench) -> Segmenter:
    return open_segmenter(trained, None, CPU)


def edited(path: Path, change: Callable[[dict], object]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def refused_everywhere(cli: Cli, path: Path) -> None:
    """Verbs that show a number name the file; ``evaluate`` is not among them, as it computes."""
    for words in (
        ("report",),
        ("compare", METHOD, "oracle"),
        ("gallery", METHOD),
    ):
        shown = cli(*words)
        assert shown.exit_code == 1, (words, shown.output)
        assert str(path) in shown.stderr, words


# -- result -> table -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("key", ["pixel_accuracy", "mean_iou"])
def test_a_score_that_was_edited_is_not_shown(cli: Cli, scored: Bench, key: str) -> None:
    path = result_path(scored, METHOD, 0)
    true = json.loads(path.read_text())["scores"][key]
    edited(path, lambda record: record["scores"].update({key: true + 0.1}))
    with pytest.raises(HdbenchError) as error:
        load_result(path)
    for name in (str(path), key, str(true), str(true + 0.1)):
        assert name in str(error.value)
    refused_everywhere(cli, path)
    record = json.loads(cli("evaluate", "--method", METHOD, "--json").stdout)
    assert record[0][key] == true


def test_the_iou_of_one_class_that_was_edited_is_not_shown(scored: Bench) -> None:
    path = result_path(scored, METHOD, 0)
    edited(path, lambda record: record["scores"]["class_iou"].update({"sky": 0.99}))
    with pytest.raises(HdbenchError):
        load_result(path)


def test_matrices_of_another_method_are_not_read(cli: Cli, scored: Bench) -> None:
    path, other = (result_path(scored, name, 0) for name in (METHOD, "oracle"))
    shutil.copy(matrices_path(other), matrices_path(path))
    refused_everywhere(cli, path)


def test_a_result_under_the_name_of_another_method_is_stale(cli: Cli, scored: Bench) -> None:
    path, other = (result_path(scored, name, 0) for name in (METHOD, "floor-patchwork"))
    shutil.copy(other, path)
    shutil.copy(matrices_path(other), matrices_path(path))
    refused_everywhere(cli, path)


# -- images -> result ------------------------------------------------------------------------------


@pytest.mark.slow
def test_photographs_in_place_of_synthesized_images_are_refused(
    cli: Cli, scored: Bench, scorer: Segmenter
) -> None:
    image = scored.image_folder(METHOD, 0) / "val_00.png"
    photograph = Image.open(scored.dataset.photographs[0]).resize((64, 48))
    photograph.save(image)
    with pytest.raises(DataError) as error:
        evaluated(scored, [METHOD], 0, scorer, CPU)
    assert str(image) in str(error.value)
    refused_everywhere(cli, result_path(scored, METHOD, 0))
    image.unlink()
    again = evaluated(open_bench(scored.workspace), [METHOD], 0, scorer, CPU)
    assert again[0].matrices.sum() == load_result(result_path(scored, METHOD, 0)).matrices.sum()


def test_images_and_the_result_that_names_them_are_refused_together(
    scored: Bench, scorer: Segmenter
) -> None:
    """Also where the digests in the result were renewed: the run recorded what it made."""
    image = scored.image_folder(METHOD, 0) / "val_00.png"
    Image.new("RGB", (64, 48), (70, 130, 180)).save(image)
    [digest] = scored.file_digests.of([image])
    edited(result_path(scored, METHOD, 0), lambda record: record["images"].__setitem__(0, digest))
    with pytest.raises(HdbenchError, match="1 image"):
        current_results(open_bench(scored.workspace), [METHOD], 0, scorer.card)


@pytest.mark.parametrize("imported", [False, True])
def test_no_study_shows_images_that_were_replaced(
    cli: Cli, scored: Bench, tmp_path: Path, imported: bool
) -> None:
    name = METHOD
    if imported:
        shutil.copytree(scored.image_folder(METHOD, 0), tmp_path / "theirs")
        (tmp_path / "theirs" / "images.jsonl").unlink()
        assert cli("import-images", "spade", tmp_path / "theirs").exit_code == 0
        name = "spade"
    image = scored.image_folder(name, 0) / "val_00.png"
    Image.new("RGB", (64, 48), (70, 130, 180)).save(image)
    built = cli("study", "build", "--methods", f"{name},floor-nearest")
    assert built.exit_code == 1, built.output
    assert str(image) in built.stderr


def test_an_image_without_a_record_is_made_again(scored: Bench, scorer: Segmenter) -> None:
    """As in a folder of a version that kept none, or after a crash between image and record."""
    folder = scored.image_folder(METHOD, 0)
    before = (folder / "val_00.png").read_bytes()
    Image.new("RGB", (64, 48)).save(folder / "val_00.png")
    (folder / "images.jsonl").unlink()
    evaluated(open_bench(scored.workspace), [METHOD], 0, scorer, CPU)
    assert (folder / "val_00.png").read_bytes() == before


def test_a_result_whose_run_and_images_are_gone_is_not_ranked(cli: Cli, scored: Bench) -> None:
    shutil.rmtree(scored.run_folder(METHOD, 0))
    refused_everywhere(cli, result_path(scored, METHOD, 0))


# -- run -> weights -> images ----------------------------------------------------------------------


def test_weights_that_were_replaced_are_refused(scored: Bench, scorer: Segmenter) -> None:
    path = scored.run_folder(METHOD, 0) / GENERATOR_WEIGHTS
    state = load_file(path)
    save_file({name: value + 0.001 for name, value in state.items()}, path)
    with pytest.raises(CheckpointError) as error:
        evaluated(open_bench(scored.workspace), [METHOD], 0, scorer, CPU)
    assert str(path) in str(error.value)


@pytest.mark.slow
def test_weights_and_card_of_another_run_are_refused(scored: Bench) -> None:
    method = trainable(scored)
    other = train_method(scored, method, 1, MACHINE)
    for name in (GENERATOR_WEIGHTS, GENERATOR_CARD):
        shutil.copy(other.parent / name, scored.run_folder(METHOD, 0) / name)
    with pytest.raises(CheckpointError) as error:
        trained_generator(open_bench(scored.workspace), method, 0)
    assert str(scored.run_folder(METHOD, 0) / GENERATOR_CARD) in str(error.value)


def test_a_flipped_bit_of_a_checkpoint_is_found_and_the_one_before_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        weights = torch.arange(2000, dtype=torch.float32) + step
        checkpoints.save(step, {"trainee": {"weights": weights}})
    newest = checkpoints.paths()[-1]
    content = newest.read_bytes()
    random = np.random.default_rng(0)
    steps = []
    for position in random.integers(0, len(content), 250):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(random.integers(8))
        newest.write_bytes(bytes(damaged))
        state = checkpoints.load_latest()
        assert state is not None
        assert torch.equal(
            state["trainee"]["weights"], torch.arange(2000, dtype=torch.float32) + state["step"]
        )
        steps.append(state["step"])
    assert set(steps[:50]) == {1}
    assert newest.name in capsys.readouterr().err


# -- data -> fingerprint ---------------------------------------------------------------------------


@pytest.mark.slow
def test_labels_repainted_under_their_old_size_and_time_are_noticed(
    scored: Bench, scorer: Segmenter
) -> None:
    before = load_result(result_path(scored, METHOD, 0))
    path = scored.dataset.test_scenes[0].label_map
    stat, size = path.stat(), path.stat().st_size
    label = np.array(Image.open(path))
    for shift in range(1, 11):
        Image.fromarray(((label.astype(int) + shift) % 11).astype(np.uint8)).save(path)
        if path.stat().st_size <= size:
            break
    with path.open("ab") as file:
        file.write(b"\0" * (size - path.stat().st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (size, stat.st_mtime_ns)
    scorer.card = scorer.card.__class__(**{**scorer.card.__dict__, "oracle": None})
    with pytest.raises(HdbenchError, match="labels"):
        current_results(open_bench(scored.workspace), [METHOD], 0, scorer.card)
    again = evaluated(open_bench(scored.workspace), [METHOD], 0, scorer, CPU)
    assert again[0].fingerprint != before.fingerprint
