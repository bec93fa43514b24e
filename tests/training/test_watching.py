"""Validation while training: it changes nothing, and the best generator is really the best."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import MACHINE, trainable
from PIL import Image
from test_loop import MACHINE as SAVING_OFTEN
from test_loop import PowerCut, elsewhere, weights
from torch import nn

from hdbench.data.layouts import spread
from hdbench.data.loading import read_scene
from hdbench.errors import CheckpointError, LibraryError
from hdbench.networks.builder import build_generator, limits_of
from hdbench.provenance import digest
from hdbench.reporting.training_page import TRAINING_PAGE
from hdbench.runtime.devices import Machine
from hdbench.runtime.job import Job
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.generator import BEST, GENERATOR_CARD, GENERATOR_WEIGHTS, ValidationScore
from hdbench.schema.method import require_trained
from hdbench.segmentation.prediction import predict
from hdbench.segmentation.validation import SegmenterValidation
from hdbench.synthesis import load_generator
from hdbench.training.keeping import BestGenerator, Networks, read_generator_card
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import images_identity, trained_generator, training_facts
from hdbench.workspace.segmenters import open_segmenter

CPU = torch.device("cpu")


def train(bench: Bench, machine: Machine = MACHINE, **options) -> Path:
    """Train a seed that the fixtures have not trained, and return the run's folder."""
    return train_method(bench, trainable(bench), 1, machine, **options).parent


def logged(run: Path) -> list[dict[str, float]]:
    rows = read_metrics(run / "metrics.jsonl")
    for row in rows:
        del row["seconds"]
        row.pop("peak_bytes", None)
    return rows


def independent_mean_iou(bench: Bench, run: Path) -> float:
    """The mean IoU of a folder's generator on the validation scenes, counted in plain numpy."""
    spec = bench.benchmark.validation
    assert spec is not None
    segmenter = open_segmenter(bench, None, CPU)
    weights = run / GENERATOR_WEIGHTS
    synthesize = load_generator(
        trainable(bench), limits_of(bench.benchmark), bench.space, weights, CPU
    )
    size, count = bench.benchmark.size, len(bench.space.scored)
    hits, union = np.zeros(count), np.zeros(count)
    for files in spread(bench.dataset.scenes(spec.split), spec.scenes):
        scene = read_scene(files, bench.space, photograph=False)
        image = synthesize(scene.resized(size.height, size.width))
        truth = np.array(Image.open(files.label_map))
        height, width = truth.shape
        found = predict(segmenter, image, height, width, bench.scoring.segmenter).numpy()
        found[truth == 11] = 255  # void
        for n in range(count):
            hits[n] += ((truth == n) & (found == n)).sum()
            union[n] += ((truth == n) | (found == n)).sum()
    present = union > 0
    return float((hits[present] / union[present]).mean())


@pytest.mark.slow
@pytest.mark.usefixtures("with_pages")
def test_validation_changes_nothing_and_keeps_the_best(
    trained: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if the power is cut in the middle of a validation."""
    plain = train(elsewhere(trained, "unwatched"))
    told = capsys.readouterr().err
    assert str(elsewhere(trained, "unwatched").segmenter_folder()) in told  # why there is none
    for word in ("img/s", "GB"):
        assert word in told
    assert not (plain / BEST).exists()

    real, real_save = SegmenterValidation.score, Job.save

    def cut(self, synthesize):
        real(self, synthesize)
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(SegmenterValidation, "score", cut)
        patched.setattr(Job, "save", lambda job: real_save(job) if job.step == 5 else None)
        with pytest.raises(PowerCut):
            train(trained, SAVING_OFTEN, validate_every=1)
    run = train(trained, validate_every=1)

    assert weights(run / GENERATOR_WEIGHTS) == weights(plain / GENERATOR_WEIGHTS)
    assert (run / "identity.json").read_bytes() == (plain / "identity.json").read_bytes()
    rows = logged(run)
    scores = {row["step"]: row.pop("validation_mean_iou") for row in rows if row["step"] % 8 == 0}
    for row in rows:
        row.pop("validation_pixel_accuracy", None)
    assert rows == logged(plain)
    card = read_generator_card(run / BEST)
    best = max(scores, key=lambda step: scores[step])
    assert card.validation is not None
    assert (card.steps, card.validation.mean_iou) == (best, scores[best])
    assert card.validation.mean_iou == pytest.approx(independent_mean_iou(trained, run / BEST))
    assert scores[16] == pytest.approx(independent_mean_iou(trained, run))
    assert card.identity == {**read_generator_card(run).identity, "checkpoint": "best"}
    page = (run / TRAINING_PAGE).read_text()
    assert f"{scores[16]:.4f}" in page


@pytest.mark.slow
def test_the_last_epoch_is_always_validated(trained: Bench) -> None:
    rows = logged(train(trained, validate_every=5))
    assert [row["step"] for row in rows if "validation_mean_iou" in row] == [16]


# -- the best generator's folder ------------------------------------------------------------------


def networks(seed: int) -> Networks:
    torch.manual_seed(seed)
    return Networks(nn.Conv2d(2, 3, 1), None)


def facts(step: int) -> dict[str, object]:
    made = {"method": "m", "benchmark": "b", "seed": 0, "command": "c", "machine": {}}
    return {**made, "steps": step, "seconds": 1.0}


SETUP = {"segmenter": "0" * 8}


def offer(best: BestGenerator, benchmark: Benchmark, step: int, score: float) -> bool:
    found = ValidationScore(mean_iou=score, pixel_accuracy=None, setup=SETUP)
    return best.offer(networks(step), benchmark.budget, found, facts(step))


def test_only_a_higher_score_replaces_the_best(bench: Bench, tmp_path: Path) -> None:
    best = BestGenerator(tmp_path, {"run": 1}, SETUP)
    taken = [offer(best, bench.benchmark, n, s) for n, s in enumerate((0.3, 0.5, 0.5, 0.4), 1)]
    assert taken == [True, True, False, False]
    assert read_generator_card(tmp_path / BEST).steps == 2
    again = BestGenerator(tmp_path, {"run": 1}, SETUP)
    assert again.score == best.score
    broken = networks(9)
    broken.generator.get_parameter("bias").data[0] = float("nan")
    found = ValidationScore(mean_iou=0.9, pixel_accuracy=None, setup=SETUP)
    assert not best.offer(broken, bench.benchmark.budget, found, facts(9))


@pytest.mark.parametrize("change", ["run", "setup", "weights", "card", "gone"])
def test_a_best_generator_that_is_another_or_damaged_does_not_count(
    bench: Bench, tmp_path: Path, change: str
) -> None:
    offer(BestGenerator(tmp_path, {"run": 1}, SETUP), bench.benchmark, 1, 0.5)
    identity, setup = {"run": 1}, SETUP
    folder = tmp_path / BEST
    if change == "run":
        identity = {"run": 2}
    elif change == "setup":
        setup = {"segmenter": "1" * 8}
    elif change == "weights":
        (folder / GENERATOR_WEIGHTS).write_bytes(b"")
    elif change == "card":  # as after a kill between the card and the weights of a new best
        card = json.loads((folder / GENERATOR_CARD).read_text())
        (folder / GENERATOR_CARD).write_text(json.dumps({**card, "weights": "0" * 64}))
    else:
        (folder / GENERATOR_CARD).unlink()
    best = BestGenerator(tmp_path, identity, setup)
    assert best.score is None
    assert offer(best, bench.benchmark, 2, 0.1)


def test_a_validation_on_the_test_split_is_refused(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "leaky.toml"
    path.write_text(
        'extends = "camvid"\nname = "leaky"\ntitle = "t"\n[validation]\nsplit = "val[:3]"\n'
    )
    with pytest.raises(LibraryError, match=r"\[validation\] split = 'val\[:3\]'"):
        bench.library.benchmark(str(path))


# -- the best generator as a method ---------------------------------------------------------------


def test_images_of_the_best_never_pass_for_those_of_the_last(trained: Bench) -> None:
    last = trainable(trained)
    best = require_trained(trained.library.method(f"{last.name}@best"))
    run = trained.run_folder(last.name, 0)
    shutil.rmtree(run / BEST)
    with pytest.raises(CheckpointError, match=r"best: .*has no best"):
        trained_generator(trained, best, 0)
    card = read_generator_card(run)
    torch.manual_seed(1)
    generator = build_generator(last, 13, limits_of(trained.benchmark))
    found = ValidationScore(mean_iou=0.5, pixel_accuracy=None, setup=SETUP)
    kept = {key: getattr(card, key) for key in ("method", "benchmark", "seed", "command")}
    kept |= {"steps": 8, "seconds": 1.0, "machine": {}}
    folder = BestGenerator(run, card.identity, SETUP)
    assert folder.offer(Networks(generator, None), trained.benchmark.budget, found, kept)

    assert trained_generator(trained, last, 0) == run / GENERATOR_WEIGHTS
    assert trained_generator(trained, best, 0) == run / BEST / GENERATOR_WEIGHTS
    identities = [images_identity(trained, method, 0) for method in (last, best)]
    assert identities[0] == card.identity
    assert identities[1] == {**card.identity, "checkpoint": "best"}
    paths = [synthesize_method(trained, method, 0, CPU) for method in (last, best)]
    assert not set(paths[0]) & set(paths[1])
    assert paths[0][0].read_bytes() != paths[1][0].read_bytes()
    facts_of_best = training_facts(trained, best.name, 0, digest(identities[1]))
    assert facts_of_best is not None
    assert (facts_of_best.steps, facts_of_best.ships) == (8, None)
    assert facts_of_best.weights == read_generator_card(run / BEST).weights


@pytest.mark.parametrize("name", ["floor-nearest@best", "ourz@best"])
def test_what_is_not_trained_has_no_best(bench: Bench, name: str) -> None:
    with pytest.raises(LibraryError, match=name.removesuffix("@best")):
        bench.library.method(name)
