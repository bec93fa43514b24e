"""The sheet of ``hdbench styles``: one scene in every style, or one instance of it."""

from __future__ import annotations

from pathlib import Path

import torch

from hdbench.data.labels import LabelClass, LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.data.scene import Scene
from hdbench.data.sheets import Cell, write_sheet
from hdbench.errors import UsageError, suggestion
from hdbench.networks.builder import limits_of
from hdbench.reporting.style_sheet import cropped, outlined, style_sheet
from hdbench.runtime.progress import progress
from hdbench.schema.method import GeneratorMethod
from hdbench.schema.styles import Styles
from hdbench.styles import Instance, Style, choose, instances_of, style_map
from hdbench.synthesis import load_generator
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import generator_file


def draw_styles(
    bench: Bench,
    method: GeneratorMethod,
    seed: int,
    styles: Styles,
    device: torch.device,
    path: Path,
    scene: str | None = None,
    only: str | None = None,
) -> None:
    """Draw one test scene with each centre.

    With ``only``, the name of a class, the largest instance of that class alone changes, and the
    other instances keep the random style that is scored. ``scene`` is a name; None is the first
    test scene, or the one with the largest instance of the class.

    Raises:
        UsageError: there is no such scene or class, or no instance of the class.
    """
    wanted = None if only is None else class_named(bench.space, only)
    chosen = _scene(bench, scene, wanted)
    view = _read(bench, chosen, photograph=True)
    assert view.image is not None
    target = None if wanted is None else largest(view, wanted.id)
    if wanted is not None and target is None:
        raise UsageError(f"scene '{view.name}' has no instance of class '{wanted.name}'")
    weights = generator_file(bench, method, seed)
    benchmark = bench.benchmark
    synthesize = load_generator(
        method, limits_of(benchmark), bench.space, weights, device, benchmark.input
    )
    count = styles.most
    mask = None
    if target is not None:
        count = len(styles.by_id[target.label].centres)
        mask = view.regions == target.region
    heading = [Cell(f"labels of {view.name}", bench.space.paint(view.label))]
    heading.append(Cell("photograph", view.image))
    if mask is not None:
        heading = [Cell(one.caption, outlined(one.pixels, mask)) for one in heading]
        heading.append(Cell("photograph", cropped(view.image, mask)))
    cells: list[list[Cell]] = []
    for number in progress(range(count), desc="drawing styles", unit="style", delay=2):
        if target is None or mask is None:
            numbers = choose(view, styles, Style("center", number))
            image = synthesize(view, style_map(view, styles, numbers))
            cells.append([Cell(f"centre {number}", image)])
            continue
        numbers = choose(view, styles, changed={target.region: number})
        image = synthesize(view, style_map(view, styles, numbers))
        name = f"{styles.by_id[target.label].name}: centre {number}"
        cells.append([Cell(name, outlined(image, mask)), Cell(name, cropped(image, mask))])
    write_sheet(style_sheet(heading, cells), path)


def class_named(space: LabelSpace, name: str) -> LabelClass:
    """Return the class of a name; UsageError, with the nearest one, if there is none."""
    known = {entry.name: entry for entry in space.classes}
    if name not in known:
        raise UsageError(
            f"label space '{space.name}' has no class '{name}'{suggestion(name, known)}"
        )
    return known[name]


def largest(scene: Scene, label: int) -> Instance | None:
    """Return the instance of a class with most pixels, or None if there is none."""
    its = [entry for entry in instances_of(scene) if entry.label == label]
    return max(its, key=lambda entry: entry.pixels, default=None)


def _scene(bench: Bench, name: str | None, wanted: LabelClass | None) -> SceneFiles:
    scenes = bench.dataset.test_scenes
    if name is not None:
        known = {entry.name: entry for entry in scenes}
        if name not in known:
            raise UsageError(
                f"split '{bench.benchmark.data.test}' has no scene '{name}'"
                f"{suggestion(name, known)}"
            )
        return known[name]
    if wanted is None:
        return scenes[0]

    def pixels(files: SceneFiles) -> int:
        found = largest(_read(bench, files, photograph=False), wanted.id)
        return 0 if found is None else found.pixels

    bar = progress(scenes, desc=f"looking for the largest {wanted.name}", unit="scene", delay=2)
    return max([(pixels(files), -n, files) for n, files in enumerate(bar)])[2]


def _read(bench: Bench, files: SceneFiles, photograph: bool) -> Scene:
    size = bench.benchmark.size
    return read_scene(files, bench.space, photograph).resized(size.height, size.width)
