"""Inspection of a dataset: all of its problems at once, and a contact sheet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from hdbench.data.inputs import read_input, source_cell
from hdbench.data.label_maps import read_label_of
from hdbench.data.labels import LabelClass, LabelSpace, label_space_of
from hdbench.data.layouts import SceneFiles, spread, survey_split
from hdbench.data.loading import (
    photograph_digest,
    read_instance,
    read_photograph,
    read_scene,
    require_one_size,
)
from hdbench.data.scene import Scene, boundary_map
from hdbench.data.sheets import Cell, contact_sheet
from hdbench.errors import DataError, counted
from hdbench.runtime.progress import progress
from hdbench.schema.benchmark import Benchmark
from hdbench.text import percent


@dataclass(frozen=True)
class SplitReport:
    """What a split holds."""

    split: str
    #: Scenes with all of their files.
    scenes: int
    #: One line each.
    problems: list[str]
    #: Number of scenes by native size, ``WxH``.
    sizes: dict[str, int]
    #: Pixels by class name, over all scenes that could be read.
    pixels: dict[str, int]

    def text(self) -> str:
        """Return the report for a terminal."""
        sizes = ", ".join(f"{count} of {size}" for size, count in self.sizes.items()) or "none read"
        lines = [f"{self.split}: {counted(self.scenes, 'scene')} ({sizes})"]
        total = sum(self.pixels.values())
        if total:
            present = {name: count for name, count in self.pixels.items() if count}
            absent = [name for name in self.pixels if name not in present]
            shares = (f"{name} {percent(count / total)}" for name, count in present.items())
            lines.append("  " + ", ".join(shares))
            lines += [f"  nowhere: {', '.join(absent)}"] if absent else []
        lines += [f"  problem: {problem}" for problem in self.problems]
        return "\n".join(lines)


def check_split(benchmark: Benchmark, root: Path, split: str) -> SplitReport:
    """Decode every file of a split and collect everything that is wrong."""
    space = label_space_of(benchmark.data.label_space)
    survey = survey_split(benchmark.data.layout, root, split)
    problems = list(survey.problems)
    sizes: dict[str, int] = {}
    counts = torch.zeros(256, dtype=torch.long)
    spec = benchmark.input
    if spec is not None and spec.edges is not None:
        spec = None  # hdbench makes the input from the photograph, which is checked
    for files in progress(survey.scenes, desc=f"checking {split}", unit="scene"):
        files = replace(files, input_spec=spec)
        scene = _read_noting_faults(files, space, problems)
        if scene is None:
            continue
        height, width = scene.size
        sizes[f"{width}x{height}"] = sizes.get(f"{width}x{height}", 0) + 1
        counts += torch.bincount(scene.label.flatten(), minlength=256)
    pixels = {entry.name: int(counts[entry.id]) for entry in space.classes}
    return SplitReport(split, len(survey.scenes), problems, sizes, pixels)


def _read_noting_faults(files: SceneFiles, space: LabelSpace, problems: list[str]) -> Scene | None:
    """Return a scene, or None after noting the problem of each of its files."""

    def noted(read: Callable[[], Tensor | None]) -> Tensor | None:
        try:
            return read()
        except DataError as error:
            problems.append(str(error))
            return None

    known = len(problems)
    spec = files.input_spec
    given = noted(lambda: read_input(files.required_input, spec) if spec else None)
    image = noted(lambda: read_photograph(files.image))
    instance = noted(lambda: read_instance(files.instance) if files.instance else None)
    if space.classes:
        label = noted(lambda: read_label_of(files, space))
    else:
        label = None if image is None else torch.zeros(image.shape[-2:], dtype=torch.uint8)
    if label is None or len(problems) > known:
        return None
    scene = Scene(files.name, label, instance, image, given, spec)
    try:
        require_one_size(files, scene)
    except DataError as error:
        problems.append(str(error))
        return None
    return scene


def leaked_photographs(root: Path, layout: str, training: Sequence[str], test: str) -> list[str]:
    """Return a line for each test photograph whose pixels are in a training split too.

    A score on a photograph that a method was trained on means nothing.
    """
    seen: dict[str, Path] = {}
    for split in training:
        seen.update(_photographs(layout, root, split))
    return [
        f"{path}: the same photograph as {seen[content]} of another split"
        for content, path in _photographs(layout, root, test)
        if content in seen
    ]


def _photographs(layout: str, root: Path, split: str) -> Iterator[tuple[str, Path]]:
    """Yield photographs and the digests of their pixels; ``check_split`` reports damaged ones."""
    scenes = survey_split(layout, root, split).scenes
    for files in progress(scenes, desc=f"comparing {split}", unit="photograph", delay=2):
        with contextlib.suppress(DataError):
            yield photograph_digest(files.image), files.image


def preview_sheet(benchmark: Benchmark, files: Sequence[SceneFiles], count: int) -> Image.Image:
    """Return a contact sheet of scenes spread evenly over some, at the benchmark's size.

    Raises:
        DataError: a scene cannot be read.
    """
    space = label_space_of(benchmark.data.label_space)
    size = benchmark.size
    scenes = [
        read_scene(entry, space).resized(size.height, size.width) for entry in spread(files, count)
    ]
    rows = []
    for scene in scenes:
        assert scene.image is not None
        kind = "label" if scene.instance is None else "instance"
        row = [Cell(scene.name, scene.image)]
        if scene.input is not None:
            row.append(source_cell(scene, space))
        if benchmark.data.labelled:
            row.append(Cell("labels", space.paint(scene.label)))
            row.append(Cell(f"{kind} boundaries", paint_boundaries(scene.regions)))
        rows.append(row)
    legend = space.legend(scene.label for scene in scenes)
    return contact_sheet([*_in_two_columns(rows), *_swatches(legend, size.width)])


def paint_boundaries(ids: Tensor) -> Tensor:
    """Return a uint8 3 x H x W image, white where ``boundary_map`` is 1."""
    edges = (boundary_map(ids[None])[0] * 255).to(torch.uint8)
    return edges.expand(3, -1, -1).contiguous()


def _in_two_columns(rows: list[list[Cell]]) -> list[list[Cell]]:
    return [rows[n] + (rows[n + 1] if n + 1 < len(rows) else []) for n in range(0, len(rows), 2)]


def _swatches(classes: Sequence[LabelClass], width: int) -> list[list[Cell]]:
    """Return a swatch of each class's colour, six to a row as there are six pictures above."""
    swatches = [
        Cell(
            entry.name,
            torch.tensor(entry.colour, dtype=torch.uint8).view(3, 1, 1).repeat(1, 14, width // 2),
        )
        for entry in classes
    ]
    return [swatches[n : n + 6] for n in range(0, len(swatches), 6)]
