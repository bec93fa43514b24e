"""Training a benchmark's perceptual network, interrupted and repeated."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from conftest import MACHINE, write_tiny
from forks import Forked
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import pil_to_tensor

from hdbench.errors import UsageError
from hdbench.perceptual.files import load_perceptual, read_perceptual_card
from hdbench.provenance import tensors_digest
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.perceptual import PERCEPTUAL_CARD, PERCEPTUAL_WEIGHTS
from hdbench.training.segmentation import SegmentationTrainer
from hdbench.workflows.train import train_own_perceptual
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

Cli = Callable[..., Result]
EVERY_STEP = replace(MACHINE, checkpoint_minutes=0)


def write_long(folder: Path, epochs: int) -> Path:
    """Write a benchmark whose perceptual network takes eight small steps in an epoch."""
    path = write_tiny(folder)
    recipe = "\n".join(
        (
            "[perceptual.training]",
            f"epochs = {epochs}",
            "batch_size = 1",
            "channels = [4, 4, 8, 8, 8]",
            "convolutions = [1, 1, 1, 1, 1]",
        )
    )
    path.write_text(path.read_text().replace("[perceptual.training]\nepochs = 1", recipe))
    return path


def long_bench(tmp_path: Path, data: Path, name: str, epochs: int) -> Bench:
    """That benchmark in a workspace of its own."""
    path = write_long(tmp_path / "long", epochs)
    return open_bench(Workspace(tmp_path / name, data, str(path)))


def weights_in(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / PERCEPTUAL_WEIGHTS)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


# -- by the verb ----------------------------------------------------------------------------------


def test_the_verb_trains_and_a_second_one_computes_nothing(
    cli: Cli, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cli("perceptual", "train", "--workers", "0", "--device", "cpu")
    assert first.exit_code == 0, first.stderr
    folder = bench.perceptual_folder()
    card = read_perceptual_card(folder)
    assert first.stdout.splitlines()[0] == f"trained: {folder}"
    assert f"{100 * card.test_accuracy:.2f} %" in first.stdout
    load_perceptual(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for name in ("step", "__init__"):
        monkeypatch.setattr(SegmentationTrainer, name, lambda *_: pytest.fail("it trains again"))
    second = cli("perceptual", "train", "--workers", "0", "--device", "cpu")
    assert second.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_where_another_network_is_used_it_says_so(cli: Cli, bench: Bench, tiny: Path) -> None:
    name = 'name = "vgg19-imagenet"'
    tiny.write_text(tiny.read_text() + f"\n[perceptual]\n{name}\n")
    result = cli("perceptual", "train", "--workers", "0", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "'vgg19-imagenet'" in result.stderr
    assert f'name = "{bench.perceptual_folder()}"' in result.stderr


def test_images_that_leave_no_cell_are_refused(cli: Cli, bench: Bench, tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("height = 48", "height = 16"))
    result = cli("perceptual", "train", "--workers", "0", "--device", "cpu")
    assert result.exit_code == 2
    for name in ("'tiny'", "[size]", "64x16", "32"):
        assert name in result.stderr
    assert not bench.perceptual_folder().exists()


def test_a_benchmark_without_a_recipe_is_refused(bench: Bench) -> None:
    perceptual = bench.benchmark.perceptual.model_copy(
        update={"name": "vgg19-imagenet", "training": None}
    )
    benchmark = bench.benchmark.model_copy(update={"perceptual": perceptual})
    with pytest.raises(UsageError, match=r"\[perceptual\.training\].*'vgg19-imagenet'"):
        train_own_perceptual(
            Bench(bench.library, bench.workspace, benchmark), MACHINE, restart=False
        )


# -- what it leaves -------------------------------------------------------------------------------


def test_the_card_says_what_lies_beside_it(perceptive: Bench) -> None:
    folder = perceptive.perceptual_folder()
    card = json.loads((folder / PERCEPTUAL_CARD).read_text())
    stored = weights_in(folder)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert card["weights"] == tensors_digest(
        {name: value.float() for name, value in stored.items()}
    )
    convolutions = [value for name, value in stored.items() if name.endswith("weight")]
    assert len(convolutions) == sum(card["convolutions"])
    assert card["window"] == [64, 48]
    assert card["label_space"] == "camvid"
    assert card["trained_on"] == "camvid/train, 8 scenes"
    recipe = perceptive.benchmark.perceptual.training
    assert recipe is not None
    assert card["training"] == {**recipe.model_dump(), "seed": 0, "steps": 1}
    assert len(read_metrics(folder / "metrics.jsonl")) == 1


def logits_of(state: dict[str, Tensor], convolutions: list[int], images: Tensor) -> Tensor:
    """The segmenter with its head, from its state, layer by layer."""
    layer, blocks = 0, []
    for block, count in enumerate(convolutions):
        if block:
            images = F.max_pool2d(images, 2)
            layer += 1
        for _ in range(count):
            weight, bias = (state[f"features.{layer}.{name}"] for name in ("weight", "bias"))
            images = F.conv2d(images, weight, bias, padding=1)
            norm = {
                name: state[f"features.{layer + 1}.{name}"].view(1, -1, 1, 1)
                for name in ("running_mean", "running_var", "weight", "bias")
            }
            images = (images - norm["running_mean"]) / (norm["running_var"] + 1e-5).sqrt()
            images = F.relu(images * norm["weight"] + norm["bias"])
            layer += 3
        blocks.append(images)
    sum_so_far = None
    for n in range(len(blocks) - 1, -1, -1):
        here = F.conv2d(blocks[n], state[f"heads.{n}.weight"], state[f"heads.{n}.bias"])
        if sum_so_far is not None:
            here = here + F.interpolate(sum_so_far, here.shape[-2:], mode="bilinear")
        sum_so_far = here
    assert sum_so_far is not None
    return sum_so_far


def accuracy_by_hand(bench: Bench, network: Callable[[Tensor], Tensor]) -> tuple[float, int]:
    """Share of right pixels and their number, by Pillow, torch's bicubic and NumPy."""
    width, height = bench.benchmark.size.width, bench.benchmark.size.height
    right = counted = 0
    for scene in bench.dataset.test_scenes:
        photograph = pil_to_tensor(Image.open(scene.image))[None]
        small = F.interpolate(photograph, (height, width), mode="bicubic", antialias=True)
        logits = network(small.float() / 127.5 - 1)
        guess = logits[0].argmax(dim=0).numpy()
        nearest = Image.open(scene.label_map).resize((width, height), Image.Resampling.NEAREST)
        truth = np.array(nearest)
        scored = truth != 11  # CamVid's void; its other ids are the train ids
        right += int((guess[scored] == truth[scored]).sum())
        counted += int(scored.sum())
    return right / counted, counted


def test_the_accuracy_on_the_card_is_that_of_the_test_photographs(perceptive: Bench) -> None:
    folder = perceptive.perceptual_folder()
    card = read_perceptual_card(folder)
    newest = max((folder / "checkpoints").iterdir())
    state = torch.load(newest, weights_only=True)["trainee"]["network"]
    accuracy, counted = accuracy_by_hand(
        perceptive, lambda images: logits_of(state, card.convolutions, images)
    )
    assert card.test_accuracy == pytest.approx(accuracy, abs=5 / counted)  # ties of floats
    assert 0 < accuracy < 1


def test_what_is_stored_are_the_features_that_it_learnt_with(perceptive: Bench) -> None:
    """Batch norm folded and rounded to fp16, they feed the same head to the same accuracy."""
    folder = perceptive.perceptual_folder()
    card = read_perceptual_card(folder)
    newest = max((folder / "checkpoints").iterdir())
    state = torch.load(newest, weights_only=True)["trainee"]["network"]
    stored, layer, learnt_layer = weights_in(folder), 0, 0
    for block, count in enumerate(card.convolutions):
        layer, learnt_layer = layer + bool(block), learnt_layer + bool(block)
        for _ in range(count):
            norm = {
                name: state[f"features.{learnt_layer + 1}.{name}"].double()
                for name in ("running_mean", "running_var", "weight", "bias")
            }
            scale = norm["weight"] / (norm["running_var"] + 1e-5).sqrt()
            weight = state[f"features.{learnt_layer}.weight"].double() * scale.view(-1, 1, 1, 1)
            bias = state[f"features.{learnt_layer}.bias"].double() - norm["running_mean"]
            for name, value in (("weight", weight), ("bias", bias * scale + norm["bias"])):
                found = stored[f"features.{layer}.{name}"].double()
                torch.testing.assert_close(found, value, rtol=2**-10, atol=1e-6)
            layer, learnt_layer = layer + 2, learnt_layer + 3


def test_the_same_seed_gives_the_same_weights_with_and_without_workers(
    tmp_path: Path, camvid_folder: Path
) -> None:
    folders = [
        train_own_perceptual(long_bench(tmp_path, camvid_folder, f"ws{workers}", 1), machine, False)
        for workers in range(2)
        for machine in [replace(MACHINE, workers=workers)]
    ]
    assert same(*(weights_in(folder) for folder in folders))


# -- crashes --------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """Stands for a process that ends without warning."""


def test_a_crash_at_any_step_does_not_change_the_weights(
    tmp_path: Path, camvid_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_own_perceptual(long_bench(tmp_path, camvid_folder, "whole", 1), MACHINE, False)
    bench, real = long_bench(tmp_path, camvid_folder, "cut", 1), SegmentationTrainer.step
    for crash_after in (1, 4):
        done = iter(range(crash_after))

        def step(self: SegmentationTrainer, batch: Any, done: Any = done) -> dict[str, Tensor]:
            if next(done, None) is None:
                raise PowerCut
            return real(self, batch)

        monkeypatch.setattr(SegmentationTrainer, "step", step)
        with pytest.raises(PowerCut):
            train_own_perceptual(bench, EVERY_STEP, restart=False)
        assert not (bench.perceptual_folder() / PERCEPTUAL_CARD).exists()
    monkeypatch.setattr(SegmentationTrainer, "step", real)
    cut = train_own_perceptual(bench, EVERY_STEP, restart=False)
    assert same(weights_in(cut), weights_in(whole))
    assert (cut / PERCEPTUAL_CARD).read_text() == (whole / PERCEPTUAL_CARD).read_text()
    assert [row["step"] for row in read_metrics(cut / "metrics.jsonl")] == list(range(1, 9))


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_weights(tmp_path: Path, camvid_folder: Path) -> None:
    bench = long_bench(tmp_path, camvid_folder, "ws", epochs=25)
    words = ("perceptual", "train", "--benchmark", bench.workspace.benchmark, "--data-root")
    where = (camvid_folder, "--workspace", "ws", "--checkpoint-minutes", "0", "--workers", "0")
    process = Forked(*words, *where, cwd=tmp_path)
    metrics = bench.perceptual_folder() / "metrics.jsonl"
    while len(read_metrics(metrics)) < 3:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            raise AssertionError("the training ended before its third step")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    folder = bench.perceptual_folder()
    assert not (folder / PERCEPTUAL_CARD).exists()
    reached = len(read_metrics(folder / "metrics.jsonl"))
    assert 0 < reached < 200
    train_own_perceptual(bench, MACHINE, restart=False)
    whole = train_own_perceptual(long_bench(tmp_path, camvid_folder, "whole", 25), MACHINE, False)
    assert same(weights_in(folder), weights_in(whole))
    assert [row["step"] for row in read_metrics(folder / "metrics.jsonl")] == list(range(1, 201))
