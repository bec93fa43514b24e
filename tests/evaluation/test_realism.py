"""FID, KID and LPIPS on weights of the right shapes, against independent computations."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torchvision.models import alexnet

from hdbench.errors import CheckpointError, UsageError
from hdbench.evaluation.realism import diversity, frechet_distance, kernel_distance
from hdbench.networks.realism import (
    ALEXNET_WEIGHTS,
    INCEPTION_WEIGHTS,
    inception_features,
    load_inception,
    load_lpips,
    lpips_distance,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names and shapes of torchvision's."""
    path = tmp_path_factory.mktemp("weights") / ALEXNET_WEIGHTS
    torch.manual_seed(0)
    torch.save(alexnet(weights=None).state_dict(), path)
    return path


def random_features(count: int, size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator)
    return torch.randn(count, size, generator=generator) @ mixing + seed


def test_fid_is_the_formula_by_scipys_matrix_root() -> None:
    ours, theirs = random_features(200, 12, 0), random_features(150, 12, 1)
    a, b = ours.double().numpy(), theirs.double().numpy()
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(
        np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * np.real(root)
    )
    assert frechet_distance(ours, theirs) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(ours, ours) == pytest.approx(0, abs=1e-6)


def polynomial_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate with k(a, b) = (a.b / d + 1)^3, sum by sum."""
    d, m = x.shape[1], len(x)

    def mean_off_diagonal(z: np.ndarray) -> float:
        terms = [(z[i] @ z[j] / d + 1) ** 3 for i in range(m) for j in range(m) if i != j]
        return float(np.sum(terms)) / (m * (m - 1))

    cross = np.mean([[(a @ b / d + 1) ** 3 for b in y] for a in x])
    return mean_off_diagonal(x) + mean_off_diagonal(y) - 2 * float(cross)


def test_kid_is_the_mean_of_unbiased_estimates_over_subsets_of_half() -> None:
    ours, theirs = random_features(9, 5, 0), random_features(8, 5, 1)
    found = kernel_distance(ours, theirs)
    assert (found["kid_subset_size"], found["kid_subsets"]) == (4, 100)
    random = np.random.RandomState(2020)
    a, b = ours.double().numpy(), theirs.double().numpy()
    expected = [
        polynomial_mmd(a[random.choice(9, 4, replace=False)], b[random.choice(8, 4, replace=False)])
        for _ in range(100)
    ]
    assert found["kid"] == pytest.approx(np.mean(expected), rel=1e-9)
    assert found["kid_deviation"] == pytest.approx(np.std(expected), rel=1e-9)
    assert kernel_distance(ours, theirs) == found


def test_too_few_images_are_named() -> None:
    with pytest.raises(UsageError, match="2 images"):
        frechet_distance(random_features(1, 3, 0), random_features(5, 3, 0))
    with pytest.raises(UsageError, match="4 images"):
        kernel_distance(random_features(3, 3, 0), random_features(5, 3, 0))


@pytest.mark.slow
def test_lpips_is_a_distance_and_uses_the_files_weights(alexnet_file: Path, tmp_path: Path) -> None:
    network = load_lpips(alexnet_file, CPU)
    random = np.random.default_rng(0)
    one, other = torch.from_numpy(random.integers(0, 256, (2, 3, 64, 80), dtype=np.uint8))
    assert lpips_distance(network, one, one, CPU) == 0
    distance = lpips_distance(network, one, other, CPU)
    assert distance > 0
    assert lpips_distance(network, other, one, CPU) == pytest.approx(distance)
    first = torch.load(alexnet_file)["features.0.weight"]
    assert torch.equal(network.state_dict()["net.slice1.0.weight"], first)
    torch.manual_seed(1)
    torch.save(alexnet(weights=None).state_dict(), tmp_path / "other.pth")
    assert lpips_distance(load_lpips(tmp_path / "other.pth", CPU), one, other, CPU) != distance
    third = one.flip(-1)
    pairs = [(one, other), (one, third), (other, third)]
    expected = np.mean([lpips_distance(network, *pair, CPU) for pair in pairs])

    def distance_of(here: torch.Tensor, there: torch.Tensor) -> float:
        return lpips_distance(network, here, there, CPU)

    assert list(diversity([[one, other, third], [one, one]], distance_of)) == [
        pytest.approx(expected),
        0.0,
    ]


@pytest.mark.slow
def test_lpips_equals_its_formula(alexnet_file: Path) -> None:
    """Zhang et al., Eq. 1: unit-normalised features, squared differences, linear weights, means."""
    network = load_lpips(alexnet_file, CPU)
    trunk = alexnet(weights=None)
    trunk.load_state_dict(torch.load(alexnet_file))
    random = np.random.default_rng(1)
    images = torch.from_numpy(random.integers(0, 256, (2, 3, 64, 64), dtype=np.uint8))
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    x = (images / 127.5 - 1.0 - shift) / scale
    expected, stage = 0.0, 0
    with torch.no_grad():
        for n, layer in enumerate(trunk.features[:12]):
            x = layer(x)
            if n in (1, 4, 7, 9, 11):
                unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
                weight = network.state_dict()[f"lin{stage}.model.1.weight"].view(-1, 1, 1)
                expected += float((weight * (unit[0] - unit[1]).square()).sum(0).mean())
                stage += 1
    assert lpips_distance(network, images[0], images[1], CPU) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("load", "name", "option"),
    [
        (load_inception, INCEPTION_WEIGHTS, "--inception-weights"),
        (load_lpips, ALEXNET_WEIGHTS, "--lpips-weights"),
    ],
)
def test_a_missing_file_is_named_with_its_origin(
    load, name: str, option: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError) as error:
        load(tmp_path / "nowhere.pth", CPU)
    for fact in (str(tmp_path / "nowhere.pth"), name, option):
        assert fact in str(error.value)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=name):
        load(tmp_path / "list.pth", CPU)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "name"), [(load_inception, INCEPTION_WEIGHTS), (load_lpips, ALEXNET_WEIGHTS)]
)
def test_weights_of_another_network_are_refused(load, name: str, tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=name):
        load(tmp_path / "other.pth", CPU)


class _Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("load", [load_inception, load_lpips])
def test_no_code_in_a_weights_file_is_run(load, tmp_path: Path) -> None:
    for n, write in enumerate(
        (torch.save, lambda what, path: path.write_bytes(pickle.dumps(what)))
    ):
        write({"x": _Evil(str(tmp_path / "ran"))}, tmp_path / f"{n}.pth")
        with pytest.raises(CheckpointError, match=rf"{n}\.pth"):
            load(tmp_path / f"{n}.pth", CPU)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("load", "module"),
    [
        (load_inception, "torch_fidelity.feature_extractor_inceptionv3"),
        (load_lpips, "lpips"),
    ],
)
def test_a_missing_extra_is_named(
    load, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=r"pip install 'hdbench\[realism\]'"):
        load(tmp_path / "any.pth", CPU)


@pytest.mark.slow
def test_inception_features_are_the_extractors_and_fid_follows(tmp_path: Path) -> None:
    """The real network and code path on random weights of exactly its names and shapes."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr(torch, "load", lambda *_, **__: {})
        torch.manual_seed(0)
        untrained = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path="x")
    weights = tmp_path / INCEPTION_WEIGHTS
    torch.save(untrained.state_dict(), weights)
    extractor = load_inception(weights, CPU)
    random = np.random.default_rng(0)
    images = list(torch.from_numpy(random.integers(0, 256, (6, 3, 40, 60), dtype=np.uint8)))
    features = inception_features(extractor, images, 6, CPU, "test")
    assert features.shape == (6, 2048)
    with torch.no_grad():
        expected = untrained(torch.stack(images))[0]
    torch.testing.assert_close(features, expected)
    # With 3 images each the covariances have rank 2: the root's trace by their small Gram matrix.
    a, b = features[:3].double().numpy(), features[3:].double().numpy()
    x, y = (rows - rows.mean(0) for rows in (a, b))
    cross = np.linalg.svd(x @ y.T / 2, compute_uv=False).sum()
    expected_fid = np.sum((a.mean(0) - b.mean(0)) ** 2) + (x**2).sum() / 2 + (y**2).sum() / 2
    assert frechet_distance(features[:3], features[3:]) == pytest.approx(
        expected_fid - 2 * cross, rel=1e-4
    )
