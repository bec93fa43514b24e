from __future__ import annotations

import numpy as np
import pytest
import torch

from hdbench.floors import TrainingSet, mean_colour, nearest, patchwork
from hdbench.workspace.bench import Bench


@pytest.fixture
def training(bench: Bench) -> TrainingSet:
    return TrainingSet(bench.dataset.train_scenes, bench.space, 48, 64)


def test_mean_colours_are_the_means(training: TrainingSet) -> None:
    pixels = training.images.permute(0, 2, 3, 1).numpy()
    for entry in (0, 1, 3, 11):
        expected = pixels[training.labels.numpy() == entry].mean(axis=0)
        assert np.abs(training.mean_colours[entry].numpy() - expected).max() <= 0.5
    label = torch.full((48, 64), 3, dtype=torch.uint8)
    assert torch.equal(mean_colour(label, training)[:, 5, 5], training.mean_colours[3])


def test_a_class_that_never_occurs_takes_the_mean_of_all(training: TrainingSet) -> None:
    overall = training.images.double().mean(dim=(0, 2, 3)).round()
    assert torch.equal(training.mean_colours[77].double(), overall)


def test_nearest_returns_the_photograph_of_a_known_label_map(training: TrainingSet) -> None:
    for n in range(len(training.labels)):
        assert torch.equal(nearest(training.labels[n], training), training.images[n])


def test_patchwork_returns_the_photograph_of_a_known_label_map(training: TrainingSet) -> None:
    assert torch.equal(patchwork(training.labels[2], training), training.images[2])


def test_every_patchwork_pixel_is_a_training_pixel_of_its_label_or_a_mean(
    bench: Bench, training: TrainingSet
) -> None:
    from hdbench.data.loading import read_scene

    scene = read_scene(bench.dataset.test_scenes[0], bench.space).resized(48, 64)
    image = patchwork(scene.label, training)
    same_place = (training.images == image).all(dim=1) & (training.labels == scene.label)
    mean = (mean_colour(scene.label, training) == image).all(dim=0)
    assert (same_place.any(dim=0) | mean).all()
    coverable = (training.labels == scene.label).any(dim=0)
    assert torch.equal(same_place.any(dim=0) & coverable, coverable)
