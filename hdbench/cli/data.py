"""``data``: check, preview and export datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, image_size
from hdbench.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from hdbench.workspace.bench import Bench


@click.group()
def data() -> None:
    """Datasets: check, preview, export the built-in one."""


@data.command()
@bench_options
def check(bench: Bench) -> None:
    """Decode every file and report all problems at once, with counts.

    \b
    Example:
      hdbench data check
    """
    from hdbench.data.inspection import check_split, leaked_photographs
    from hdbench.schema.benchmark import OWN

    spec = bench.benchmark.data
    training = [spec.train]
    for segmenter in (bench.benchmark.segmenter, bench.benchmark.second_segmenter):
        if segmenter is not None and segmenter.name == OWN:
            training.append(segmenter.training.split)
    training = list(dict.fromkeys(training))
    roots = {split: bench.dataset.root(split) for split in (*training, spec.test)}
    reports = [check_split(bench.benchmark, root, split) for split, root in roots.items()]
    for found in reports:
        click.echo(found.text())
    root = roots[spec.test]
    leaked = leaked_photographs(root, spec.layout, training, spec.test)
    for line in leaked:
        click.echo(f"between splits: {line}")
    count = sum(len(found.problems) for found in reports) + len(leaked)
    if count:
        raise DataError(f"{root}: {counted(count, 'problem')}, listed above")
    click.echo("no problems")


@data.command()
@bench_options
@click.option(
    "--split", metavar="NAME", help="Split, or 'train[:16]'; the training split if not given."
)
@click.option("--count", default=8, type=click.IntRange(min=1))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="PNG file; default: in the workspace.",
)
def preview(bench: Bench, split: str | None, count: int, output: Path | None) -> None:
    """Draw a contact sheet: photographs, labels and boundaries of scenes, evenly spread.

    \b
    Example:
      hdbench data preview --split val --count 12
    """
    from hdbench.data.inspection import preview_sheet
    from hdbench.data.sheets import write_sheet
    from hdbench.schema.split import Split

    split = split or bench.benchmark.data.train
    try:
        name = Split.parse(split).name
    except ValueError as error:
        raise UsageError(f"--split: {error}") from None
    path = output or bench.workspace.root / "previews" / f"{bench.benchmark.name}-{name}.png"
    write_sheet(preview_sheet(bench.benchmark, bench.dataset.root(split), split, count), path)
    click.echo(path)


@data.command()
@click.argument("name", type=click.Choice(["streets"]))
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A new or empty folder, or one that an earlier export began.",
)
@click.option(
    "--size",
    default="512x256",
    metavar="WxH",
    callback=image_size,
    help="Pixels, twice as wide as high; 2048x1024 is Cityscapes' size (one second per scene).",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    default=("train", "val"),
    metavar="NAME",
    help="train, val or judge; may be repeated.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Only the first N scenes of each."
)
def export(
    name: str, output: Path, size: tuple[int, int], splits: tuple[str, ...], count: int | None
) -> None:
    """Write Streets, the built-in scenes, as files in Cityscapes' official layout.

    These are labels, 16-bit instances, colours and images, for hdbench or other programs; the same
    command resumes a stopped export.

    \b
    Examples:
      hdbench data export streets --output streets
      hdbench data export streets --output big --size 2048x1024 --split val --count 10
    """
    from hdbench.streets.files import require_drawable, write_streets

    width, height = size
    require_drawable(splits, count, width, height)
    counts = {split: write_streets(output, split, count, width, height) for split in splits}
    click.echo(output)
    for split, number in counts.items():
        click.echo(f"{split}: {counted(number, 'scene')}")
