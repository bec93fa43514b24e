"""``hdbench measure styles``: how far a style reaches, and what the encoder's style is worth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hdbench.data.loading import read_photograph, read_scene
from hdbench.data.scene import resize_photograph
from hdbench.evaluation.styles import Encoded, Mean, Repainted
from hdbench.networks.builder import limits_of
from hdbench.provenance import derived_seed
from hdbench.runtime.progress import progress
from hdbench.schema.method import GeneratorMethod
from hdbench.styles import DEFAULT_STYLE, Style, choose, style_map
from hdbench.synthesis import load_generator
from hdbench.workflows.style_sheets import class_named, largest
from hdbench.workflows.styles import require_styles
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import generator_file

#: Instances smaller than the image's area divided by this number are not repainted.
SMALLEST = 1024


def measure_repainting(
    bench: Bench,
    method: GeneratorMethod,
    seed: int,
    device: torch.device,
    only: Sequence[str] = (),
) -> list[Repainted]:
    """Repaint the largest instance of each class in each test scene; return the changes by class.

    The centre is another than that of the random style, drawn from the name of the scene. ``only``
    are names of classes; without any, all that have more than one centre are measured.

    Raises:
        UsageError: there is no such class.
    """
    wanted = [class_named(bench.space, name) for name in only] or list(bench.space.classes)
    styles = require_styles(bench, method, seed, device, DEFAULT_STYLE)
    weights = generator_file(bench, method, seed)
    benchmark = bench.benchmark
    synthesize = load_generator(
        method, limits_of(benchmark), bench.space, weights, device, benchmark.input
    )
    size = bench.benchmark.size
    changes: dict[str, list[tuple[float, float]]] = {entry.name: [] for entry in wanted}
    scenes = bench.dataset.test_scenes
    for files in progress(scenes, desc="repainting instances", unit="scene", delay=2):
        scene = read_scene(files, bench.space, photograph=False).resized(size.height, size.width)
        chosen = choose(scene, styles)
        before = None
        for entry in wanted:
            target, centres = largest(scene, entry.id), len(styles.by_id[entry.id].centres)
            if target is None or centres < 2 or target.pixels * SMALLEST < scene.label.numel():
                continue
            if before is None:
                before = synthesize(scene, style_map(scene, styles, chosen))
            step = 1 + derived_seed("repaint", scene.name, target.region) % (centres - 1)
            other = (chosen[target.region] + step) % centres
            after = synthesize(scene, style_map(scene, styles, {**chosen, target.region: other}))
            changed = (after.float() - before.float()).abs().mean(dim=0)
            mask = scene.regions == target.region
            if not mask.all():
                inside, outside = changed[mask].mean(), changed[~mask].mean()
                changes[entry.name].append((float(inside), float(outside)))
    return [
        Repainted(name, len(its), *(Mean.of(column) for column in zip(*its, strict=True)))
        for name, its in changes.items()
        if its
    ]


def measure_encoding(
    bench: Bench, method: GeneratorMethod, seed: int, device: torch.device
) -> Encoded:
    """Compare images in the style of their photographs, and in random ones, to the photographs."""
    size = bench.benchmark.size
    random, encoded = (
        synthesize_method(bench, method, seed, device, style=style)
        for style in (DEFAULT_STYLE, Style("encode"))
    )
    rows = []
    paths = list(zip(bench.dataset.photographs, random, encoded, strict=True))
    for photograph, *images in progress(paths, desc="comparing images", unit="scene", delay=2):
        real = resize_photograph(read_photograph(photograph), size.height, size.width)
        rows.append([_distance(read_photograph(image), real) for image in images])
    return Encoded(
        len(rows),
        Mean.of([its for _, its in rows]),
        Mean.of([its for its, _ in rows]),
        Mean.of([its - other for its, other in rows]),
    )


def _distance(image: Tensor, other: Tensor) -> float:
    return float((image.float() - other.float()).abs().mean())
