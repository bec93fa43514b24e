"""From a run to images: one PNG per scene, each whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.data.scene import Scene, collate, from_network_range
from hdbench.data.sheets import png_bytes
from hdbench.floors import FLOORS, TrainingSet
from hdbench.networks.builder import build_generator, conditioning
from hdbench.runtime.progress import progress
from hdbench.runtime.weights import load_weights
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.method import Floor, TrainedMethod
from hdbench.storage import write_atomically

_SOURCES = "sources.json"

#: From a scene without photograph, at the benchmark's size, to a uint8 3 x H x W image.
Synthesizer = Callable[[Scene], Tensor]


def generator_synthesizer(
    method: TrainedMethod,
    benchmark: Benchmark,
    space: LabelSpace,
    weights: Path,
    device: torch.device,
) -> Synthesizer:
    """Return the synthesizer of a trained generator.

    Args:
        method: the resolved method.
        benchmark: the resolved benchmark.
        space: what label ids mean.
        weights: the run's safetensors file.
        device: where to compute, in fp32.

    Raises:
        CheckpointError: the file is missing, damaged, or of another architecture or width.
    """
    condition = conditioning(method, space.channels)
    generator = build_generator(method, condition.channels, benchmark.budget)
    load_weights(weights, generator)
    generator.to(device).eval()

    @torch.no_grad()
    def synthesize(scene: Scene) -> Tensor:
        batch = collate([scene]).to(device)
        return from_network_range(generator(condition(batch)))[0].cpu()

    return synthesize


def floor_synthesizer(method: Floor, training: TrainingSet) -> Synthesizer:
    """Return the synthesizer of a floor."""
    floor = FLOORS[method.floor]
    return lambda scene: floor(scene.label, training)


def image_paths(folder: Path, files: Sequence[SceneFiles]) -> list[Path]:
    """Return where the image of each scene lies."""
    return [folder / f"{entry.name}.png" for entry in files]


def write_images(
    make: Callable[[], Synthesizer],
    files: Sequence[SceneFiles],
    space: LabelSpace,
    benchmark: Benchmark,
    folder: Path,
    sources: Sequence[str],
    title: str,
) -> list[Path]:
    """Synthesize the images that are missing or out of date and return the paths of all.

    Args:
        make: returns the synthesizer; called only if an image is missing.
        files: the scenes.
        space: what label ids mean.
        benchmark: the size of images.
        folder: where the images go.
        sources: for each scene, a digest of all that its image depends on; images made from
            another one are made anew.
        title: what the progress bar says.
    """
    paths = image_paths(folder, files)
    _forget_stale(folder, {path.name: source for path, source in zip(paths, sources, strict=True)})
    missing = [pair for pair in zip(files, paths, strict=True) if not pair[1].is_file()]
    if missing:
        synthesize = make()
        for entry, path in progress(missing, desc=title, unit="image"):
            scene = read_scene(entry, space, photograph=False)
            scene = scene.resized(benchmark.size.height, benchmark.size.width)
            write_atomically(path, png_bytes(synthesize(scene)))
    return paths


def _forget_stale(folder: Path, sources: dict[str, str]) -> None:
    """Delete images that were made from another source, then record the sources of all.

    The record says what images are made from before they are made, so that a crash in between
    leaves images missing, never wrong.
    """
    record = folder / _SOURCES
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    changed = {name for name, source in sources.items() if known.get(name) != source}
    if not changed:
        return
    for name in changed:
        (folder / name).unlink(missing_ok=True)
    # Scenes that were not asked for this time keep their images and what is known of them.
    write_atomically(record, json.dumps({**known, **sources}, indent=0).encode())
