"""Segmenters of others become folders of hdbench's own that compute what they computed."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch import Tensor, nn

from hdbench.cli.segmenter import KINDS as CLI_KINDS
from hdbench.data.labels import shipped_space
from hdbench.errors import CheckpointError, DataError, UsageError
from hdbench.segmentation.adoption import KINDS, ImportOptions, adopt
from hdbench.segmentation.segmenter import Segmenter, load_segmenter, read_card, write_card

CPU = torch.device("cpu")
SPACE = shipped_space("camvid")
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
OPTIONS = ImportOptions(SPACE, (96, 64))
STATED = replace(OPTIONS, mean=MEAN, std=STD)


def noise(*shape: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)


def normalised(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    return (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def test_help_names_every_kind() -> None:
    assert CLI_KINDS == KINDS


# -- cards -----------------------------------------------------------------------------------------


class Sum(nn.Module):
    """One class per channel of the input."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def test_order_and_range_are_those_of_the_card(tmp_path: Path) -> None:
    images = noise(1, 3, 8, 8)
    blank = torchscript_folder(tmp_path, nn.Conv2d(3, 11, 1)).card
    card = replace(blank, mean=MEAN, std=STD)
    rgb = Segmenter(Sum(), card, CPU).logits(images)
    assert torch.allclose(rgb, normalised(images, MEAN, STD), atol=1e-6)
    swapped = replace(card, order="BGR", mean=MEAN[::-1], std=STD[::-1])
    assert torch.allclose(Segmenter(Sum(), swapped, CPU).logits(images), rgb.flip(1), atol=1e-6)
    large = replace(
        card, peak=255.0, mean=[255 * value for value in MEAN], std=[255 * value for value in STD]
    )
    assert torch.allclose(Segmenter(Sum(), large, CPU).logits(images), rgb, atol=1e-5)
    different = [replace(card, **change) for change in ({"order": "BGR"}, {"peak": 255.0})]
    different += [replace(card, mean=STD), replace(card, window=[8, 8]), replace(card, weights="0")]
    assert len({json.dumps(one.choices) for one in (card, *different)}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "pspmet"}, "architecture 'pspmet' .*'pspnet'"),
        ({"order": "GBR"}, "order = 'GBR'; expected RGB or BGR"),
        ({"std": [0.2, 0.0, 0.2]}, r"std = \[0\.2, 0\.0, 0\.2\]"),
        ({"mean": [0.5]}, r"mean = \[0\.5\]"),
        ({"peak": 0.0}, "peak = 0.0"),
        ({"architecture": "pspnet"}, "depth = None"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(change, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    card = torchscript_folder(tmp_path, nn.Conv2d(3, 11, 1)).card
    write_card(folder, replace(card, **change))
    with pytest.raises(CheckpointError, match=message):
        load_segmenter(folder, CPU, trust=True)


def test_a_segmenter_in_training_mode_is_refused(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 11, 1), nn.Dropout(0.5)).train()
    card = torchscript_folder(tmp_path, nn.Conv2d(3, 11, 1)).card
    segmenter = Segmenter(network, card, CPU)
    images = noise(1, 3, 8, 8)
    assert torch.equal(segmenter.logits(images), segmenter.logits(images))  # put to eval
    network[1].train()
    with pytest.raises(UsageError, match=r"eval\(\)"):
        segmenter.logits(images)


def test_a_folder_that_holds_one_already_is_left_alone(tmp_path: Path) -> None:
    torchscript_folder(tmp_path, nn.Conv2d(3, 11, 1))
    with pytest.raises(UsageError, match="--name"):
        torchscript_folder(tmp_path, nn.Conv2d(3, 11, 1))


# -- segmentation-models-pytorch -------------------------------------------------------------------


@pytest.fixture
def unet(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = smp.Unet(
        "resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(16, 8, 8), classes=11
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path / "unet")  # pyright: ignore[reportCallIssue]
    return tmp_path / "unet"


@pytest.mark.slow
def test_any_model_of_smp_predicts_as_smp_computes(unet: Path, tmp_path: Path) -> None:
    config = json.loads((unet / "config.json").read_text())
    (unet / "config.json").write_text(json.dumps({**config, "encoder_weights": "imagenet"}))
    segmenter = adopt("smp", str(unet), tmp_path / "ours", STATED)
    card = segmenter.card
    assert (card.architecture, card.encoder, card.mean) == ("smp", "resnet18", MEAN)
    (unet / "config.json").write_text(json.dumps(config))
    theirs = smp.from_pretrained(str(unet)).eval()
    images = noise(2, 3, 64, 96)
    expected = theirs(normalised(images, MEAN, STD))
    assert torch.allclose(segmenter.logits(images), expected, atol=1e-5)
    with pytest.raises(UsageError, match="--mean R,G,B"):
        adopt("smp", str(unet), tmp_path / "unstated", OPTIONS)
    with pytest.raises(UsageError, match=r" 8, .*96x63"):
        segmenter.logits(noise(1, 3, 63, 96))


@pytest.mark.slow
def test_a_pickled_model_of_smp_is_read_as_tensors(unet: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(unet / "model.safetensors"), unet / "pytorch_model.bin")
    first = adopt("smp", str(unet), tmp_path / "a", STATED)
    (unet / "model.safetensors").unlink()
    assert adopt("smp", str(unet), tmp_path / "b", STATED).card.weights == first.card.weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_model_class": "Unit"}, r"config\.json: .*'Unit'"),
        ({"encoder_name": "resnet19"}, r"config\.json: .*resnet19"),
        ({"classes": 12}, r"segmentation_head.*11x8x3x3.*12x8x3x3"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    change, message: str, unet: Path, tmp_path: Path
) -> None:
    config = json.loads((unet / "config.json").read_text())
    (unet / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(CheckpointError, match=message):
        adopt("smp", str(unet), tmp_path / "ours", STATED)
    assert not (tmp_path / "ours" / "segmenter.json").exists()


@pytest.mark.slow
def test_another_number_of_classes_is_noticed(unet: Path, tmp_path: Path) -> None:
    options = replace(STATED, space=shipped_space("cityscapes"))
    with pytest.raises(CheckpointError, match=r"\[1, 11, .* 1 x 19 x .*'cityscapes'"):
        adopt("smp", str(unet), tmp_path / "ours", options)


# -- the hub ---------------------------------------------------------------------------------------


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    def refused(*args: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.slow
def test_a_hub_id_is_taken_from_the_cache(
    unet: Path, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache's layout: a commit's snapshot, and which commit 'main' is."""
    import huggingface_hub

    repository = hub_cache / "models--owner--unet-camvid"
    shutil.copytree(unet, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda *words, **options: real(*words, cache_dir=hub_cache, **options),
    )
    segmenter = adopt("smp", "owner/unet-camvid", tmp_path / "ours", STATED)
    assert segmenter.card.source is not None
    assert segmenter.card.source["file"] == "owner/unet-camvid"


@pytest.mark.usefixtures("hub_cache")
def test_what_the_cache_lacks_is_named_and_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        adopt("smp", "owner/nobody-has-this", tmp_path / "ours", OPTIONS)
    text = str(error.value)
    assert "owner/nobody-has-this: " in text
    assert "config.json, model.safetensors" in text
    assert "'hf download owner/nobody-has-this'" in text
    assert "models--owner--nobody-has-this" in text


@pytest.mark.parametrize("source", ["nowhere", "a/b/c", "../x"])
def test_what_is_neither_folder_nor_hub_id_is_misuse(source: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"^{re.escape(source)}: "):
        adopt("smp", source, tmp_path / "ours", OPTIONS)


# -- SegFormer -------------------------------------------------------------------------------------


@pytest.fixture
def segformer(tmp_path: Path) -> Path:
    """A tiny SegFormer with random weights, as transformers saves one."""
    transformers = pytest.importorskip("transformers", reason="the extra 'hf' is not installed")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label={n: entry.name for n, entry in enumerate(SPACE.scored)},
        label2id={entry.name: n for n, entry in enumerate(SPACE.scored)},
    )
    folder = tmp_path / "segformer"
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    settings = {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def test_segformer_predicts_as_transformers_computes(segformer: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    segmenter = adopt("segformer", str(segformer), tmp_path / "ours", OPTIONS)
    assert (segmenter.card.mean, segmenter.card.peak) == (MEAN, 1.0)
    theirs = transformers.SegformerForSemanticSegmentation.from_pretrained(segformer).eval()
    images = noise(2, 3, 64, 96)
    with torch.no_grad():
        expected = theirs(pixel_values=normalised(images, MEAN, STD)).logits
    assert expected.shape == (2, 11, 16, 24)
    assert torch.allclose(segmenter.logits(images), expected, atol=1e-5)
    again = load_segmenter(tmp_path / "ours", CPU)
    assert torch.equal(again.logits(images), segmenter.logits(images))


def test_other_class_names_are_refused(segformer: Path, tmp_path: Path) -> None:
    path = segformer / "config.json"
    content = json.loads(path.read_text())
    content["id2label"]["3"], content["id2label"]["4"] = "pavement", "road"
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"'camvid'\n  3: pavement "):
        adopt("segformer", str(segformer), tmp_path / "ours", OPTIONS)
    content["id2label"] = {str(n): f"LABEL_{n}" for n in range(11)}  # nobody named them
    path.write_text(json.dumps(content))
    adopt("segformer", str(segformer), tmp_path / "ours", OPTIONS)


def test_a_segformer_that_does_not_say_its_mean_needs_it_stated(
    segformer: Path, tmp_path: Path
) -> None:
    (segformer / "preprocessor_config.json").unlink()
    with pytest.raises(UsageError, match="--mean R,G,B"):
        adopt("segformer", str(segformer), tmp_path / "ours", OPTIONS)
    assert adopt("segformer", str(segformer), tmp_path / "ours", STATED).card.mean == MEAN


def test_a_segformer_of_other_shapes_or_names_is_refused(segformer: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(segformer / "model.safetensors")
    state["decode_head.classifier.weight"] = torch.zeros(5, 16, 1, 1)
    state["more"] = torch.zeros(1)
    del state["decode_head.classifier.bias"]
    save_file(state, segformer / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="3 differences") as error:
        adopt("segformer", str(segformer), tmp_path / "ours", OPTIONS)
    assert "decode_head.classifier.bias: " in str(error.value)
    assert "more: " in str(error.value)


def test_a_pickled_segformer_is_read_as_tensors(segformer: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(segformer / "model.safetensors"), segformer / "pytorch_model.bin")
    first = adopt("segformer", str(segformer), tmp_path / "a", OPTIONS)
    (segformer / "model.safetensors").unlink()
    second = adopt("segformer", str(segformer), tmp_path / "b", OPTIONS)
    assert second.card.weights == first.card.weights


def test_another_model_of_transformers_is_refused(segformer: Path, tmp_path: Path) -> None:
    path = segformer / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "dpt"}))
    with pytest.raises(CheckpointError, match="model_type = 'dpt'; expected 'segformer'"):
        adopt("segformer", str(segformer), tmp_path / "ours", OPTIONS)


def test_without_the_extra_the_message_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError, match=r"pip install 'hdbench\[hf\]'"):
        adopt("segformer", str(tmp_path / "x"), tmp_path / "ours", OPTIONS)


# -- TorchScript -----------------------------------------------------------------------------------


def traced(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces successors of the format
        program: Any = torch.jit.trace(network, torch.rand(1, 3, 64, 96), check_trace=False)
        program.save(str(path))
    return path


def torchscript_folder(tmp_path: Path, network: nn.Module) -> Segmenter:
    path = traced(network, tmp_path / "model.pt")
    return adopt("torchscript", str(path), tmp_path / "ours", replace(STATED, trust=True))


def test_a_torchscript_file_predicts_as_it_computes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 11, 3, padding=1), nn.BatchNorm2d(11)).eval()
    segmenter = torchscript_folder(tmp_path, network)
    images = noise(1, 3, 64, 96)
    expected = network(normalised(images, MEAN, STD))
    assert torch.allclose(segmenter.logits(images), expected, atol=1e-5)


def test_a_torchscript_file_runs_only_where_it_is_trusted(tmp_path: Path) -> None:
    torchscript_folder(tmp_path, nn.Conv2d(3, 11, 1))
    for attempt in (
        lambda: adopt("torchscript", str(tmp_path / "model.pt"), tmp_path / "b", STATED),
        lambda: load_segmenter(tmp_path / "ours", CPU),
    ):
        with pytest.raises(CheckpointError, match="--trust"):
            attempt()


def test_a_torchscript_file_must_have_its_mean_stated(tmp_path: Path) -> None:
    path = traced(nn.Conv2d(3, 11, 1), tmp_path / "model.pt")
    with pytest.raises(UsageError, match="--mean R,G,B"):
        adopt("torchscript", str(path), tmp_path / "ours", replace(OPTIONS, trust=True))


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm2d(11)])
def test_what_was_traced_in_training_mode_is_refused(layer: nn.Module, tmp_path: Path) -> None:
    """``eval()`` cannot take back; dropout answers otherwise each time, batch norm in company."""
    network = nn.Sequential(nn.Conv2d(3, 11, 1), layer).train()
    with pytest.raises(CheckpointError, match=r"eval\(\)"):
        torchscript_folder(tmp_path, network)
    assert not (tmp_path / "ours" / "segmenter.json").exists()


def test_another_torchscript_file_does_not_pass_for_the_cards(tmp_path: Path) -> None:
    card = torchscript_folder(tmp_path, nn.Conv2d(3, 11, 1)).card
    traced(nn.Conv2d(3, 11, 1), tmp_path / "ours" / "model.torchscript.pt")
    with pytest.raises(CheckpointError, match=rf"torchscript\.pt: .*{card.weights[:12]}"):
        load_segmenter(tmp_path / "ours", CPU, trust=True)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_damaged_torchscript_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pt: .*TorchScript"):
        adopt("torchscript", str(tmp_path / "x.pt"), tmp_path / "o", replace(STATED, trust=True))


# -- predictions -----------------------------------------------------------------------------------

IMAGES = {
    method: [(f"scene_{n}", noise(3, 16, 24, seed=10 * m + n)) for n in range(3)]
    for m, method in enumerate(("oracle", "ours"))
}


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """Maps of label ids of two methods' three scenes, at twice the images' size."""
    random = np.random.default_rng(0)
    for method, images in IMAGES.items():
        (tmp_path / "predicted" / method).mkdir(parents=True)
        for scene, _ in images:
            ids = random.integers(0, 11, (32, 48)).astype(np.uint8)
            Image.fromarray(ids).save(tmp_path / "predicted" / method / f"{scene}.png")
    return tmp_path / "predicted"


def take(source: Path, folder: Path, label_ids: bool = False) -> Segmenter:
    images: Callable[[str], list[tuple[str, Tensor]]] = IMAGES.__getitem__
    return adopt(
        "predictions", str(source), folder, replace(OPTIONS, images=images, label_ids=label_ids)
    )


def test_predictions_are_found_again_by_their_images(predicted: Path, tmp_path: Path) -> None:
    take(predicted, tmp_path / "ours")
    segmenter = load_segmenter(tmp_path / "ours", CPU)
    for method, images in IMAGES.items():
        for scene, image in images:
            expected = np.array(Image.open(predicted / method / f"{scene}.png"))
            logits = segmenter.logits(image[None])
            assert logits.shape == (1, 11, 32, 48)
            assert np.array_equal(logits[0].argmax(0).numpy(), expected)


def test_label_ids_and_train_ids_are_told_apart(tmp_path: Path) -> None:
    space = shipped_space("cityscapes")
    image = noise(3, 4, 4)
    (tmp_path / "p" / "oracle").mkdir(parents=True)
    path = tmp_path / "p" / "oracle" / "a.png"
    options = ImportOptions(space, (4, 4), images=lambda method: [("a", image)], label_ids=True)
    Image.fromarray(np.full((4, 4), 26, np.uint8)).save(path)  # car, train id 13
    segmenter = adopt("predictions", str(tmp_path / "p"), tmp_path / "a", options)
    assert segmenter.logits(image[None])[0].argmax(0).unique().tolist() == [13]
    with pytest.raises(DataError, match=r"a\.png: train ids \[26\]; .*'cityscapes'"):
        adopt("predictions", str(tmp_path / "p"), tmp_path / "b", replace(options, label_ids=False))
    Image.fromarray(np.full((4, 4), 3, np.uint8)).save(path)  # out of roi
    with pytest.raises(DataError, match=r"a\.png: label ids .*void"):
        adopt("predictions", str(tmp_path / "p"), tmp_path / "c", options)


def test_an_image_that_nobody_predicted_is_refused(predicted: Path, tmp_path: Path) -> None:
    segmenter = take(predicted, tmp_path / "ours")
    image = IMAGES["oracle"][0][1]
    for other in (image.flip(-1), image[:, :8], noise(3, 16, 24, seed=99)):
        with pytest.raises(DataError, match=r"image of \d+x\d+"):
            segmenter.logits(other[None])


def test_everything_wrong_with_predictions_is_listed_and_nothing_imported(
    predicted: Path, tmp_path: Path
) -> None:
    folder = predicted / "oracle"
    (folder / "scene_0.png").unlink()
    Image.new("RGB", (48, 32)).save(folder / "scene_1.png")
    (folder / "scene_2.png").write_bytes(b"\x89PNG")
    Image.new("L", (48, 32)).save(folder / "scene_9.png")
    Image.new("L", (32, 48)).save(predicted / "ours" / "scene_0.png")
    Image.new("L", (48, 32), 11).save(predicted / "ours" / "scene_1.png")
    with pytest.raises(DataError, match="6 problems") as error:
        take(predicted, tmp_path / "ours")
    text = str(error.value)
    for message in (
        "oracle/scene_0.png: ",
        "oracle/scene_1.png: mode RGB",
        "oracle/scene_2.png: ",
        "oracle/scene_9.png: ",
        "ours/scene_0.png: 32x48, ",
        "ours/scene_1.png: train ids [11]",
    ):
        assert message in text
    assert not (tmp_path / "ours").exists()


def test_a_map_that_was_changed_afterwards_is_noticed(predicted: Path, tmp_path: Path) -> None:
    segmenter = take(predicted, tmp_path / "ours")
    for path in (tmp_path / "ours" / "maps").glob("*.png"):
        Image.new("L", (48, 32), 5).save(path)
    with pytest.raises(DataError, match=r"maps/\w+\.png: "):
        segmenter.logits(IMAGES["oracle"][0][1][None])
    index = tmp_path / "ours" / "predictions.json"
    index.write_text(index.read_text().replace("0", "1"))
    weights = segmenter.card.weights[:12]
    with pytest.raises(CheckpointError, match=rf"predictions\.json: .*{weights}"):
        load_segmenter(tmp_path / "ours", CPU)


def test_predictions_of_other_pixels_are_another_segmenter(predicted: Path, tmp_path: Path) -> None:
    take(predicted, tmp_path / "a")
    path = predicted / "ours" / "scene_1.png"
    ids = np.array(Image.open(path))
    ids[3, 7] = (ids[3, 7] + 1) % 11
    Image.fromarray(ids).save(path)
    take(predicted, tmp_path / "b")
    assert read_card(tmp_path / "a").weights != read_card(tmp_path / "b").weights
