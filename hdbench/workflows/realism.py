"""FID, KID and LPIPS of methods beside the floors; the diversity of styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import photograph_digest
from hdbench.data.matching import match_names
from hdbench.errors import DataError, UsageError, counted, listing
from hdbench.evaluation.realism import KID_SUBSETS, diversity, frechet_distance, kernel_distance
from hdbench.networks.realism import (
    FEATURES,
    inception_features,
    load_inception,
    load_lpips,
    lpips_distance,
)
from hdbench.provenance import digest, file_digest, versions
from hdbench.schema.metric import Metric, images_digest
from hdbench.schema.result import Computed
from hdbench.segmentation.passes import prepared_image
from hdbench.workflows.evaluate import with_floors
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import scenes_of
from hdbench.workspace.metrics import load_if_current, metric_path, save_metric
from hdbench.workspace.runs import seed_of
from hdbench.workspace.stale import Stale


def measure_realism(
    bench: Bench,
    methods: Sequence[str],
    seed: int,
    *,
    inception: Path | None,
    lpips: Path | None,
    reference: str,
    device: torch.device,
) -> list[Metric]:
    """Measure methods and floors against photographs, and store it; methods come first.

    Images and photographs are at the benchmark's size. The oracle would be compared with itself, so
    it has no row. A record that is current is not computed again, images that are missing are
    synthesized. ``inception`` are torch-fidelity's weights for FID and KID, ``lpips`` torchvision's
    AlexNet weights for LPIPS to each scene's own photograph; None leaves them out. ``reference``
    names the photographs that FID and KID compare with: ``test`` or ``train``.

    Raises UsageError if no weights are given, there are too few images, or the oracle is asked for.
    """
    if inception is None and lpips is None:
        raise UsageError(
            "neither --inception-weights (FID, KID) nor --lpips-weights (LPIPS) is given, and "
            "nothing is downloaded.\nNext: 'hdbench measure realism --help' names both files"
        )
    chosen = list(with_floors(bench, methods).values())
    if any(method.shows_photographs for method in chosen):
        raise UsageError("the oracle's images are the photographs: all distances would be 0")
    bench = scenes_of(bench, chosen)
    networks = _Networks(bench, inception, lpips, reference, device)
    measures: list[Metric] = []
    for method in chosen:
        its_seed = seed_of(method, seed)
        images = synthesize_method(bench, method, its_seed, device)
        hashes = images_digest(bench.file_digests.of(images))
        path = metric_path(bench, "realism", method.name, its_seed, None)
        known = load_if_current(path, hashes, networks.choices)
        if isinstance(known, Stale):
            scores, distances = networks.compare(images, method.name)
            known = Metric(
                kind="realism",
                method=method.name,
                benchmark=bench.benchmark.name,
                seed=its_seed,
                choices=networks.choices,
                images=hashes,
                scores=scores,
                per_image=distances,
                provenance=Computed(versions=versions(), device=str(device)),
            )
            save_metric(path, known)
        measures.append(known)
    return measures


@dataclass(frozen=True)
class _Networks:
    """Networks and photographs that images are compared with; read when they are needed."""

    bench: Bench
    inception: Path | None
    lpips: Path | None
    reference: str
    device: torch.device

    @cached_property
    def choices(self) -> dict[str, Any]:
        """Every choice that changes a number, networks and photographs included."""
        benchmark = self.bench.benchmark
        chosen: dict[str, Any] = {
            "kind": "realism",
            "dataset": benchmark.data.layout,
            "scenes": digest([entry.name for entry in self.bench.dataset.test_scenes]),
            "images": len(self.bench.dataset.test_scenes),
            "image_size": [benchmark.size.width, benchmark.size.height],
            "photograph_resize": "bicubic, antialias, 8 bit",
        }
        if self.inception is not None:
            chosen["inception"] = {
                "network": "torch-fidelity inception-v3-compat",
                "weights": file_digest(self.inception),
                "features": FEATURES,
                "reference": getattr(benchmark.data, self.reference),
                "reference_images": len(self._compared),
                "reference_photographs": self._digest(self._compared),
                "kid": f"cubic kernel, unbiased, {KID_SUBSETS} subsets of at most half",
            }
        if self.lpips is not None:
            chosen["lpips"] = {
                "network": "lpips 0.1, alex",
                "weights": file_digest(self.lpips),
                "photographs": self._digest(self.bench.dataset.test_scenes),
            }
        return chosen

    def compare(self, images: Sequence[Path], title: str) -> tuple[dict[str, Any], list[float]]:
        """Return the scores of images, and the LPIPS distance of each if it was asked for."""
        scores: dict[str, Any] = {"images": len(images)}
        distances: list[float] = []
        if self.inception is not None:
            features = self._features(self._read(images), len(images), title)
            scores |= {
                "reference_images": len(self._compared),
                "fid": frechet_distance(features, self._reference_features),
                **kernel_distance(features, self._reference_features),
            }
        if self.lpips is not None:
            photographs = self._photographs(self.bench.dataset.test_scenes)
            pairs = zip(self._read(images), photographs, strict=True)
            distances = [lpips_distance(self._lpips, *pair, self.device) for pair in pairs]
            scores["lpips"] = sum(distances) / len(distances)
        return scores, distances

    @cached_property
    def _compared(self) -> list[SceneFiles]:
        dataset = self.bench.dataset
        return dataset.test_scenes if self.reference == "test" else dataset.train_scenes

    @cached_property
    def _extractor(self) -> nn.Module:
        assert self.inception is not None
        return load_inception(self.inception, self.device)

    @cached_property
    def _lpips(self) -> nn.Module:
        assert self.lpips is not None
        return load_lpips(self.lpips, self.device)

    @cached_property
    def _reference_features(self) -> Tensor:
        photographs = self._photographs(self._compared)
        return self._features(photographs, len(self._compared), "photographs")

    def _features(self, images: Iterator[Tensor], count: int, title: str) -> Tensor:
        return inception_features(self._extractor, images, count, self.device, title)

    def _read(self, images: Sequence[Path]) -> Iterator[Tensor]:
        return (prepared_image(path, self.bench.benchmark, photograph=False) for path in images)

    def _photographs(self, scenes: Sequence[SceneFiles]) -> Iterator[Tensor]:
        benchmark = self.bench.benchmark
        return (prepared_image(entry.image, benchmark, photograph=True) for entry in scenes)

    def _digest(self, scenes: Sequence[SceneFiles]) -> str:
        paths = [entry.image for entry in scenes]
        return digest(self.bench.file_digests.of(paths, photograph_digest))


def measure_diversity(
    bench: Bench, folders: Sequence[Path], lpips: Path, device: torch.device
) -> dict[str, Any]:
    """Return the LPIPS diversity of several folders of images of the same scenes.

    The mean over test scenes of the mean distance between all pairs of a scene's images (Zhu et
    al., "Toward multimodal image-to-image translation", NeurIPS 2017). At least two folders have
    one image of every test scene, named like imported ones; ``lpips`` is torchvision's AlexNet
    weights.

    Raises:
        UsageError: fewer than two folders, or no such folder.
        DataError: a scene has no image in a folder or several, or an image has another size.
    """
    if len(folders) < 2:
        raise UsageError("diversity is between images of one scene; give at least two folders")
    names = [entry.name for entry in bench.dataset.test_scenes]
    found: list[dict[str, Path]] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder")
        matching = match_names(folder, names)
        lacking = [name for name in names if name not in matching.files]
        if lacking:
            raise DataError(
                f"{folder}: {len(lacking)} of {counted(len(names), 'scene')} have no image, or "
                f"several:\n{listing(lacking)}"
            )
        found.append(matching.files)
    network = load_lpips(lpips, device)
    styles = (
        [prepared_image(files[name], bench.benchmark, photograph=False) for files in found]
        for name in names
    )
    distances = list(
        diversity(styles, lambda one, other: lpips_distance(network, one, other, device))
    )
    return {
        "lpips_diversity": sum(distances) / len(distances),
        "scenes": len(names),
        "styles": len(folders),
        "network": "lpips 0.1, alex",
        "weights": file_digest(lpips),
        "per_scene": dict(zip(names, distances, strict=True)),
    }
