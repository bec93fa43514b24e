from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F

from hdbench.data.labels import VOID, shipped_space
from hdbench.errors import CheckpointError, UsageError
from hdbench.networks.pspnet import PSPNetDesign, build_pspnet
from hdbench.provenance import file_digest, tensors_digest
from hdbench.runtime.devices import Machine
from hdbench.runtime.weights import load_weights
from hdbench.segmentation.segmenter import (
    CONFIG_FILE,
    SegmenterCard,
    load_segmenter,
    read_card,
    save_segmenter,
    write_card,
)
from hdbench.segmentation.training import train_segmenter
from hdbench.training.objective import pixel_cross_entropy
from hdbench.training.segmentation import SegmentationTrainer
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import training_data

CPU = torch.device("cpu")
MACHINE = Machine(CPU, workers=0, checkpoint_minutes=0)
NAMES = ["sky", "building", "pole"]


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small segmenter on disk; tests get copies."""
    torch.manual_seed(0)
    network = build_pspnet(PSPNetDesign("resnet18", 5, 1, 3))
    card = SegmenterCard(
        architecture="pspnet",
        encoder="resnet18",
        depth=5,
        enlarge=1,
        label_space="camvid",
        classes=NAMES,
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.2, 0.2],
        window=[64, 48],
        trained_on="nothing",
        scenes_digest="0" * 64,
        training={},
        weights=tensors_digest(network.state_dict()),
        oracle=None,
    )
    folder = tmp_path_factory.mktemp("saved") / "segmenter"
    save_segmenter(folder, network, card)
    return folder


@pytest.fixture
def folder(saved_once: Path, tmp_path: Path) -> Path:
    """A segmenter of the test's own, to break."""
    return Path(shutil.copytree(saved_once, tmp_path / "segmenter"))


def test_what_is_loaded_is_what_was_saved(folder: Path) -> None:
    segmenter = load_segmenter(folder, CPU)
    assert segmenter.card.classes == NAMES
    assert not segmenter.network.training


def test_smp_itself_reads_the_folder_and_computes_the_same(folder: Path) -> None:
    """The folder is segmentation-models-pytorch's own layout."""
    theirs = smp.from_pretrained(str(folder)).eval()
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    mean = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    expected = theirs((images / 255.0 - mean) / 0.2)
    assert torch.allclose(load_segmenter(folder, CPU).logits(images), expected, atol=1e-5)


def test_loading_touches_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored config names encoder weights, which smp itself would download."""
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["encoder_weights"] = "imagenet"
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    digest = file_digest(folder / CONFIG_FILE)
    write_card(folder, replace(read_card(folder), architecture="smp", config=digest))

    def refused(*args: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refused)
    assert load_segmenter(folder, CPU).card.architecture == "smp"


def test_sides_must_divide_by_eight(folder: Path) -> None:
    with pytest.raises(UsageError, match=r" 8, .*60x48"):
        load_segmenter(folder, CPU).logits(torch.zeros(1, 3, 48, 60, dtype=torch.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_space": "cityscapes"}, "'cityscapes'.*'camvid'"),
        ({"classes": ["building", "sky"]}, r"'camvid' \(building, sky\)"),
        ({"window": [128, 96]}, "128x96.*64x48"),
    ],
)
def test_other_classes_or_another_size_are_refused(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    space = shipped_space("camvid")
    fitting = replace(
        load_segmenter(folder, CPU).card, classes=[entry.name for entry in space.scored]
    )
    segmenter = load_segmenter(folder, CPU)
    segmenter.card = fitting
    segmenter.accepts(space, 64, 48)
    segmenter.card = replace(fitting, **change)
    with pytest.raises(UsageError, match=message):
        segmenter.accepts(space, 64, 48)


def test_replaced_weights_do_not_pass_for_the_cards(folder: Path) -> None:
    card = load_segmenter(folder, CPU).card
    write_card(folder, replace(card, weights="f" * 64))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*f{12}"):
        load_segmenter(folder, CPU)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("segmenter.json", b"{}"),
        ("segmenter.json", b"\xff"),
        ("model.safetensors", b""),
        ("model.safetensors", b"\x80\x04pickle"),
    ],
)
def test_damaged_files_are_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^{folder / name}: "):
        load_segmenter(folder, CPU)


def test_no_segmenter_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"segmenter\.json.*model\.safetensors"):
        load_segmenter(tmp_path, CPU)


def test_weights_of_another_number_of_classes_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"3x512x3x3.*5x512x3x3"):
        load_weights(folder / "model.safetensors", build_pspnet(PSPNetDesign("resnet18", 5, 1, 5)))


# -- training -------------------------------------------------------------------------------------


def learn(bench: Bench, root: Path) -> Path:
    return train_segmenter(bench.benchmark, 0, training_data(bench), root, MACHINE, restart=False)


class PowerCut(BaseException):
    """Stands for a process that ends without warning."""


@pytest.mark.slow
def test_a_crash_does_not_change_the_segmenter(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout included: the random stream is part of the checkpoint."""
    whole = load_segmenter(learn(bench, tmp_path / "whole"), CPU).card
    real, calls = SegmentationTrainer.step, iter(range(10**6))

    def step(self, batch):
        if next(calls) == 2:
            raise PowerCut
        return real(self, batch)

    monkeypatch.setattr(SegmentationTrainer, "step", step)
    with pytest.raises(PowerCut):
        learn(bench, tmp_path / "cut")
    torch.rand(7)  # whatever the process drew in between
    assert load_segmenter(learn(bench, tmp_path / "cut"), CPU).card.weights == whole.weights


@pytest.mark.slow
def test_the_card_says_what_was_trained_on(bench: Bench, tmp_path: Path) -> None:
    card = load_segmenter(learn(bench, tmp_path / "s"), CPU).card
    assert card.label_space == "camvid"
    assert len(card.classes) == 11
    assert card.window == [64, 48]
    assert card.trained_on == "tiny/train, 8 scenes"
    assert card.training["steps"] == 4


@pytest.mark.slow
def test_half_precision_halves_the_file_and_predicts_with_what_is_in_it(
    bench: Bench, tmp_path: Path
) -> None:
    """The card's digest is that of the rounded weights, which smp reads and computes alike with."""
    spec = bench.benchmark.required_segmenter.training.model_copy(update={"storage": "fp16"})
    benchmark = bench.benchmark.with_recipe(spec)
    whole = learn(bench, tmp_path / "whole")
    half = learn(Bench(bench.library, bench.workspace, benchmark), tmp_path / "half")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, whole)]
    assert sizes[0] < 0.52 * sizes[1]
    exact, segmenter = load_segmenter(whole, CPU), load_segmenter(half, CPU)
    for name, parameter in segmenter.network.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, exact.network.get_parameter(name).half().float())
    for name, buffer in segmenter.network.named_buffers():
        assert torch.equal(buffer, exact.network.get_buffer(name))
    assert segmenter.card.weights == tensors_digest(segmenter.network.state_dict())
    assert segmenter.card.weights != exact.card.weights
    theirs = smp.from_pretrained(str(half)).eval()
    images = torch.randn(1, 3, 48, 64)
    assert torch.equal(theirs(images), segmenter.network(images))


@pytest.mark.slow
def test_the_segmenter_learns_from_its_own_split(
    bench: Bench, camvid_folder: Path, tmp_path: Path
) -> None:
    for folder in ("val", "valannot"):
        (camvid_folder / folder).rename(camvid_folder / folder.replace("val", "judge"))
    spec = bench.benchmark.required_segmenter.training.model_copy(update={"split": "judge"})
    benchmark = bench.benchmark.with_recipe(spec)
    other = Bench(bench.library, bench.workspace, benchmark)
    scenes = other.dataset.scenes("judge")
    assert [entry.name for entry in scenes] == ["val_00", "val_01", "val_02"]
    assert len(other.dataset.train_scenes) == 8
    card = load_segmenter(learn(other, tmp_path / "s"), CPU).card
    assert card.trained_on == "tiny/judge, 3 scenes"


def test_void_pixels_teach_nothing() -> None:
    logits = torch.randn(2, 4, 6, 5, requires_grad=True)
    truth = torch.randint(0, 4, (2, 6, 5))
    truth[0, :3] = VOID
    loss = pixel_cross_entropy(logits, truth)
    assert torch.allclose(loss, F.cross_entropy(logits, truth, ignore_index=VOID))
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[0, :, :3].any()
    assert logits.grad[1].any()


def test_a_batch_of_nothing_but_void_is_harmless() -> None:
    truth = torch.full((1, 2, 2), VOID)
    assert pixel_cross_entropy(torch.randn(1, 4, 2, 2), truth).item() == 0


def test_an_unknown_encoder_is_an_error(bench: Bench, tmp_path: Path) -> None:
    spec = bench.benchmark.required_segmenter.training.model_copy(update={"encoder": "resnet19"})
    benchmark = bench.benchmark.with_recipe(spec)
    with pytest.raises(UsageError, match="encoder = 'resnet19'"):
        learn(Bench(bench.library, bench.workspace, benchmark), tmp_path / "s")
