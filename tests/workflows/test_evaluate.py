"""The main job, end to end, on a small dataset; every number recomputed independently."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from conftest import MACHINE, evaluated
from PIL import Image
from sklearn.metrics import confusion_matrix as sklearn_confusion
from torch.nn import functional as F
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from hdbench.errors import CheckpointError, HdbenchError, LibraryError, UsageError
from hdbench.networks.pspnet import build_pspnet
from hdbench.provenance import tensors_digest
from hdbench.segmentation.segmenter import Segmenter, save_segmenter, write_card
from hdbench.workflows import evaluate as whole
from hdbench.workflows import synthesize
from hdbench.workflows.train_segmenter import train_own_segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.results import current_results, load_result, matrices_path, result_path
from hdbench.workspace.segmenters import open_segmenter

CPU = torch.device("cpu")
METHOD = "ours-no-vgg"
#: What to set and run where the shipped segmenter does not fit a benchmark.
WAY_OUT = ('name = "own"', "[segmenter]", "'hdbench segmenter train'")


@pytest.fixture
def segmenter(trained: Bench) -> Segmenter:
    return open_segmenter(trained, None, CPU)


def independent_matrix(bench: Bench, image: Image.Image, label: Path) -> np.ndarray:
    """One image's matrix by Pillow, smp's own loader and scikit-learn."""
    network = smp.from_pretrained(str(bench.segmenter_folder())).eval()
    card = json.loads((bench.segmenter_folder() / "segmenter.json").read_text())
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255.0
    mean, std = (torch.tensor(card[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    truth = np.array(Image.open(label))
    with torch.no_grad():
        logits = network((pixels - mean) / std)
        logits = F.interpolate(logits, truth.shape, mode="bilinear", align_corners=False)
    guess = logits[0].argmax(dim=0).numpy()
    counts = sklearn_confusion(truth.ravel(), guess.ravel(), labels=range(12))
    return counts[:, :11]  # label 11 is void: a row, never a column


@pytest.mark.slow
def test_stored_matrices_equal_an_independent_computation(
    scored: Bench, segmenter: Segmenter
) -> None:
    evaluated(scored, [METHOD], 0, segmenter, CPU)
    for method in (METHOD, "floor-patchwork"):
        result = load_result(result_path(scored, method, 0))
        assert result.matrices.shape == (3, 12, 11)
        for n, scene in enumerate(scored.dataset.test_scenes):
            image = scored.image_folder(method, 0) / f"{scene.name}.png"
            expected = independent_matrix(scored, Image.open(image), scene.label_map)
            assert np.array_equal(result.matrices[n], expected)
            assert result.matrices[n].sum() == 96 * 72


@pytest.mark.slow
def test_the_oracle_is_the_photograph_resized(trained: Bench) -> None:
    """Resized by PyTorch's own 8-bit bicubic; scored by smp and scikit-learn."""
    result = load_result(result_path(trained, "oracle", 0))
    for n, scene in enumerate(trained.dataset.test_scenes):
        photograph = pil_to_tensor(Image.open(scene.image))
        small = F.interpolate(photograph[None], (48, 64), mode="bicubic", antialias=True)[0]
        expected = independent_matrix(trained, to_pil_image(small), scene.label_map)
        assert np.array_equal(result.matrices[n], expected)


def test_method_oracle_and_floors_are_scored_under_one_fingerprint(
    scored: Bench, segmenter: Segmenter
) -> None:
    results = evaluated(scored, [METHOD], 0, segmenter, CPU)
    assert [result.method for result in results] == [
        METHOD,
        "oracle",
        "floor-patchwork",
        "floor-nearest",
        "floor-mean-colour",
    ]
    assert len({result.fingerprint for result in results}) == 1
    assert results[1].run is None
    assert all(result.run for result in results if result.method != "oracle")


def test_a_second_evaluation_computes_nothing(
    scored: Bench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluated(scored, [METHOD], 0, segmenter, CPU)
    monkeypatch.delattr(whole, "score")
    monkeypatch.delattr(synthesize, "load_generator")
    again = evaluated(scored, [METHOD], 0, segmenter, CPU)
    assert [result.scores for result in again] == [result.scores for result in first]


def test_only_a_missing_image_is_synthesized_and_it_is_the_same(
    scored: Bench, segmenter: Segmenter
) -> None:
    evaluated(scored, [METHOD], 0, segmenter, CPU)
    paths = sorted(scored.image_folder(METHOD, 0).glob("*.png"))
    before = {path: path.read_bytes() for path in paths}
    stamps = {path: path.stat().st_mtime_ns for path in paths}
    paths[1].unlink()
    evaluated(scored, [METHOD], 0, segmenter, CPU)
    assert {path: path.read_bytes() for path in paths} == before
    assert [path.stat().st_mtime_ns == stamps[path] for path in paths] == [True, False, True]


@pytest.mark.slow
def test_one_label_pixel_changes_the_fingerprint_and_the_image_made_from_it(
    scored: Bench, segmenter: Segmenter
) -> None:
    first = evaluated(scored, [METHOD], 0, segmenter, CPU)[0]
    path = scored.dataset.test_scenes[0].label_map
    label = np.array(Image.open(path))
    label[:20, :20] = (label[:20, :20] + 1) % 11
    Image.fromarray(label).save(path)
    fresh = Bench(scored.library, scored.workspace, scored.benchmark)
    segmenter.card = replace(segmenter.card, oracle=None)  # the labels are meant to have changed
    again = evaluated(fresh, [METHOD], 0, segmenter, CPU)[0]
    assert again.fingerprint != first.fingerprint
    assert again.images[0] != first.images[0]
    assert again.images[1:] == first.images[1:]


def test_labels_compressed_anew_keep_the_fingerprint_and_the_images(
    scored: Bench, segmenter: Segmenter
) -> None:
    first = evaluated(scored, [METHOD], 0, segmenter, CPU)[0]
    path = scored.dataset.test_scenes[0].label_map
    before = path.read_bytes()
    Image.open(path).save(path, compress_level=0)
    assert path.read_bytes() != before
    fresh = Bench(scored.library, scored.workspace, scored.benchmark)
    assert (
        current_results(fresh, [METHOD], 0, segmenter.card)[METHOD].fingerprint == first.fingerprint
    )
    assert evaluated(fresh, [METHOD], 0, segmenter, CPU)[0].images == first.images


def test_a_damaged_result_is_computed_again(scored: Bench, segmenter: Segmenter) -> None:
    first = evaluated(scored, [METHOD], 0, segmenter, CPU)[0]
    path = result_path(scored, METHOD, 0)
    matrices_path(path).write_bytes(b"")
    with pytest.raises(HdbenchError, match=path.name):
        load_result(path)
    assert evaluated(scored, [METHOD], 0, segmenter, CPU)[0].scores == first.scores


@pytest.mark.slow
def test_the_card_declares_its_oracle_and_the_gate_compares_with_it(
    trained: Bench, segmenter: Segmenter
) -> None:
    oracle = evaluated(trained, [], 0, segmenter, CPU)[0]
    declared = segmenter.card.oracle
    assert declared is not None
    assert declared["mean_iou"] == oracle.scores.mean_iou
    assert declared["fingerprint"] == oracle.fingerprint
    better = {**declared, "mean_iou": declared["mean_iou"] + 0.011}
    write_card(trained.segmenter_folder(), replace(segmenter.card, oracle=better))
    stricter = open_segmenter(trained, None, CPU)
    with pytest.raises(HdbenchError, match=rf"mean_iou.*{better['mean_iou']:.4f}") as error:
        evaluated(trained, [], 0, stricter, CPU)
    assert "'hdbench segmenter train --restart'" in str(error.value)


def test_the_gate_of_a_shipped_segmenter_asks_for_no_training(
    trained: Bench, segmenter: Segmenter
) -> None:
    assert segmenter.card.oracle is not None
    better = {**segmenter.card.oracle, "mean_iou": segmenter.card.oracle["mean_iou"] + 0.011}
    write_card(trained.segmenter_folder(), replace(segmenter.card, oracle=better))
    bench = with_segmenter(trained, trained.segmenter_folder())
    renamed = bench.benchmark.model_copy(update={"name": "tiny-again"})
    bench = replace(bench, benchmark=renamed)  # the gate goes by what is measured, not by names
    with pytest.raises(HdbenchError, match=r"mean_iou(.|\n)*'hdbench data check'$"):
        evaluated(bench, [], 0, open_segmenter(bench, None, CPU), CPU)
    assert not result_path(bench, "oracle", 0).exists()


def test_the_gate_stops_a_wrong_normalisation_before_anything_is_stored(trained: Bench) -> None:
    card = open_segmenter(trained, None, CPU).card
    write_card(trained.segmenter_folder(), replace(card, mean=[4.0, 4.0, 4.0]))
    result_path(trained, "oracle", 0).unlink()
    with pytest.raises(
        HdbenchError, match=r"hdbench data check.*hdbench segmenter train --restart"
    ):
        evaluated(trained, [METHOD], 0, open_segmenter(trained, None, CPU), CPU)
    assert not result_path(trained, "oracle", 0).exists()
    assert not result_path(trained, METHOD, 0).exists()


def test_a_segmenter_trained_for_another_configuration_is_refused(trained: Bench) -> None:
    spec = trained.benchmark.required_segmenter.training.model_copy(update={"epochs": 9})
    benchmark = trained.benchmark.with_recipe(spec)
    with pytest.raises(CheckpointError, match=r"segmenter\.epochs: 2 -> 9"):
        open_segmenter(Bench(trained.library, trained.workspace, benchmark), None, CPU)


@pytest.mark.slow
def test_results_of_a_foreign_segmenter_are_stored_apart(
    scored: Bench, segmenter: Segmenter, tmp_path: Path
) -> None:
    evaluated(scored, [METHOD], 0, segmenter, CPU)
    own = result_path(scored, METHOD, 0).read_bytes()
    network = build_pspnet(segmenter.card.design)
    card = replace(segmenter.card, weights=tensors_digest(network.state_dict()), oracle=None)
    save_segmenter(tmp_path / "foreign", network, card)
    foreign = open_segmenter(scored, tmp_path / "foreign", CPU)
    results = evaluated(scored, [METHOD], 0, foreign, CPU)
    assert result_path(scored, METHOD, 0).read_bytes() == own
    assert (
        load_result(result_path(scored, METHOD, 0, foreign=card.weights[:8])).scores
        == results[0].scores
    )
    assert (
        current_results(scored, [METHOD], 0, segmenter.card)[METHOD].fingerprint
        != results[0].fingerprint
    )


def with_segmenter(bench: Bench, folder: Path) -> Bench:
    """The same benchmark, scored by a shipped segmenter."""
    choice = bench.benchmark.required_segmenter.model_copy(update={"name": str(folder)})
    benchmark = bench.benchmark.model_copy(update={"segmenter": choice})
    return Bench(bench.library, bench.workspace, benchmark)


@pytest.mark.slow
def test_a_shipped_segmenter_needs_no_training_and_its_results_bear_no_name(
    trained: Bench, tmp_path: Path
) -> None:
    own = open_segmenter(trained, None, CPU)
    expected = evaluated(trained, [], 0, own, CPU)
    shipped = tmp_path / "weights" / "pspnet-v1"
    shutil.move(trained.segmenter_folder(), shipped)
    shutil.rmtree(trained.workspace.root / "results")
    bench = with_segmenter(trained, shipped)
    segmenter = open_segmenter(bench, None, CPU)
    assert segmenter.card == own.card
    results = evaluated(bench, [], 0, segmenter, CPU)
    assert [result.scores for result in results] == [result.scores for result in expected]
    assert result_path(bench, "oracle", 0).is_file()


@pytest.mark.slow
def test_repeating_the_training_of_a_shipped_segmenter_keeps_it_in_use(
    trained: Bench, segmenter: Segmenter, tmp_path: Path
) -> None:
    network = build_pspnet(segmenter.card.design)
    card = replace(segmenter.card, weights=tensors_digest(network.state_dict()), oracle=None)
    save_segmenter(tmp_path / "shipped", network, card)
    bench = with_segmenter(trained, tmp_path / "shipped")
    repeated = train_own_segmenter(bench, MACHINE)
    assert repeated.card == segmenter.card
    assert open_segmenter(bench, None, CPU).card.weights == card.weights
    evaluated(bench, [], 0, repeated, CPU)
    assert result_path(bench, "oracle", 0, foreign=repeated.card.weights[:8]).is_file()


def test_a_missing_shipped_segmenter_is_named(trained: Bench) -> None:
    bench = with_segmenter(trained, Path("pspnet-v7"))
    with pytest.raises(LibraryError, match=r"'pspnet-v7'.*models/weights/") as error:
        open_segmenter(bench, None, CPU)
    assert all(fact in str(error.value) for fact in WAY_OUT)


def test_another_size_than_that_of_the_shipped_segmenter_names_the_way_out(
    trained: Bench,
) -> None:
    """A benchmark that extends another and changes its size inherits its segmenter."""
    size = trained.benchmark.size.model_copy(update={"width": 128})
    benchmark = trained.benchmark.model_copy(update={"size": size})
    other = Bench(trained.library, trained.workspace, benchmark)
    bench = with_segmenter(other, trained.segmenter_folder())
    with pytest.raises(UsageError, match=r"64x48.*128x48") as error:
        open_segmenter(bench, None, CPU)
    assert all(fact in str(error.value) for fact in WAY_OUT)
    with pytest.raises(UsageError, match="--segmenter"):
        open_segmenter(bench, trained.segmenter_folder(), CPU)


def test_matrices_of_another_result_are_not_accepted(scored: Bench, segmenter: Segmenter) -> None:
    """Also where the scores are the same: the images' matrices in another order."""
    evaluated(scored, [METHOD], 0, segmenter, CPU)
    path = result_path(scored, METHOD, 0)
    matrices = load_result(path).matrices
    np.savez_compressed(matrices_path(path), matrices=matrices[::-1])
    with pytest.raises(HdbenchError, match=path.name):
        load_result(path)


def test_a_training_that_has_not_ended_is_not_scored(trained: Bench, segmenter: Segmenter) -> None:
    (trained.run_folder(METHOD, 0) / "generator.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"hdbench train {METHOD}"):
        evaluated(trained, [METHOD], 0, segmenter, CPU)


@pytest.mark.slow
def test_one_image_is_enough(trained: Bench) -> None:
    for folder in ("val", "valannot"):
        for path in sorted((trained.dataset.root("val") / folder).iterdir())[1:]:
            path.unlink()
    fresh = Bench(trained.library, trained.workspace, trained.benchmark)
    segmenter = open_segmenter(fresh, None, CPU)
    segmenter.card = replace(segmenter.card, oracle=None)  # the test split is meant to have changed
    results = evaluated(fresh, [METHOD], 0, segmenter, CPU)
    assert all(len(result.matrices) == 1 for result in results)
