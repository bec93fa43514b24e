"""Synthesized images side by side, with a part of each enlarged."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from hdbench.data.layouts import SceneFiles, spread
from hdbench.data.loading import read_scene
from hdbench.data.sheets import Cell, contact_sheet, encode_png
from hdbench.errors import UsageError, counted, suggestion
from hdbench.reporting.document import Picture, SceneStrip, Section
from hdbench.reporting.insets import inset_of
from hdbench.schema.report import Box, Pictures, Report
from hdbench.segmentation.passes import prepared_image
from hdbench.segmentation.segmenter import Segmenter
from hdbench.workflows.report_scores import Entry, entries_of, reproduce_command
from hdbench.workspace.bench import Bench


def picture_section(
    bench: Bench, report: Report, seeds: Sequence[int] | None, segmenter: Segmenter
) -> tuple[Section | None, dict[str, bytes]]:
    """Return scenes in rows and methods in columns, and the same as a PNG file by its name.

    Methods are shown whose images are scored, so that they are known to be those of the run; None
    if there is none.

    Raises:
        HdbenchError: a result is stale.
        UsageError: the report names a scene that the test split lacks.
    """
    pictures = report.pictures
    assert pictures is not None
    entries = entries_of(bench, pictures.methods, seeds, segmenter, None)
    if not entries:
        return None, {}
    chosen = _scenes(bench, pictures)
    strips = [_strip(bench, n, files, entries, pictures.inset) for n, files in chosen]
    missing = [name for name in pictures.methods if bench.library.method(name).name not in entries]
    seeds_shown = ", ".join(
        f"{name} {next(iter(entry.runs))}" for name, entry in entries.items() if entry.is_made
    )
    commands = {name: reproduce_command(bench, report, name) for name in missing}
    section = Section(
        "",
        notes=[
            *([f"Seeds shown: {seeds_shown}."] if seeds_shown else []),
            *(f"{name}: not measured yet; '{commands[name]}'" for name in missing),
        ],
        remarks=[_about(bench, pictures, len(strips))],
        strips=strips,
        legend=bench.space.legend(strip.label for strip in strips),
    )
    return section, {"pictures.png": encode_png(_sheet(strips), optimize=True)}


def _about(bench: Bench, pictures: Pictures, count: int) -> str:
    how = "named in the report's file" if pictures.scenes else "spread evenly over the test split"
    if isinstance(pictures.inset, Box):
        part = "the same part of every scene"
    elif bench.dataset.test_scenes[0].instance is None:
        part = "the part with most edges between labels"
    else:
        part = "the surroundings of each scene's largest instance"
    return (
        f"{counted(count, 'scene')} {how}, not chosen by eye. Enlarged below each picture: {part}, "
        "the same in all pictures of a scene."
    )


def _scenes(bench: Bench, pictures: Pictures) -> list[tuple[int, SceneFiles]]:
    """Return the scenes that are shown, with their numbers among the test scenes."""
    numbered = list(enumerate(bench.dataset.test_scenes))
    if pictures.count is not None:
        return spread(numbered, pictures.count)
    by_name = {files.name: (n, files) for n, files in numbered}
    for name in pictures.scenes or ():
        if name not in by_name:
            raise UsageError(
                f"[pictures] scenes: the test split of '{bench.benchmark.name}' has no scene "
                f"'{name}'{suggestion(name, list(by_name))}"
            )
    return [by_name[name] for name in pictures.scenes or ()]


def _strip(
    bench: Bench, n: int, files: SceneFiles, entries: dict[str, Entry], wanted: Box | str
) -> SceneStrip:
    size = bench.benchmark.size
    scene = read_scene(files, bench.space).resized(size.height, size.width)
    assert scene.image is not None
    columns: list[tuple[str, Tensor, bool]] = [
        ("labels", bench.space.paint(scene.label), False),
        *(
            (entry.method.title, prepared_image(entry.images[n], bench.benchmark, False), True)
            for entry in entries.values()
        ),
        ("photograph", scene.image, True),
    ]
    inset = inset_of(scene, wanted)
    factor = f"{size.height / inset.height:.1f} times"
    return SceneStrip(
        files.name,
        scene.label,
        [
            [Picture(title, inset.outlined(pixels), smooth) for title, pixels, smooth in columns],
            [
                Picture(f"{title}, {factor}", inset.enlarged(pixels, smooth), smooth)
                for title, pixels, smooth in columns
            ],
        ],
    )


def _sheet(strips: Sequence[SceneStrip]) -> Image.Image:
    return contact_sheet(
        [
            [Cell(picture.caption, picture.pixels) for picture in row]
            for strip in strips
            for row in strip.rows
        ]
    )
