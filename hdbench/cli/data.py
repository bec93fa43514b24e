"""``data``: look at a dataset before hours are spent on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options
from hdbench.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from hdbench.workspace.bench import Bench


@click.group()
def data() -> None:
    """Datasets: check, preview, export the built-in one."""


@data.command()
@bench_options
def check(bench: Bench) -> None:
    """Decode every file and report everything that is wrong at once, with counts.

    \b
    Example:
      hdbench data check
    """
    from hdbench.data.inspection import check_split, leaked_photographs
    from hdbench.schema.benchmark import OWN

    spec = bench.benchmark.data
    second = bench.benchmark.second_segmenter
    learnt = [spec.train]
    if bench.benchmark.judge == OWN:
        learnt.append(bench.benchmark.segmenter.split)
    if second is not None and second.name == OWN:
        learnt.append(second.training.split)
    learnt = list(dict.fromkeys(learnt))
    roots = {split: bench.dataset.root(split) for split in (*learnt, spec.test)}
    reports = [check_split(bench.benchmark, root, split) for split, root in roots.items()]
    for found in reports:
        click.echo(found.text())
    root = roots[spec.test]
    leaked = leaked_photographs(root, spec.layout, learnt, spec.test)
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
@click.option("--count", default=8, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="PNG; else in the workspace.",
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
    show_default=True,
    metavar="WxH",
    help="Pixels, twice as wide as high; 2048x1024 is that of Cityscapes (a second a scene).",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    default=("train", "val"),
    show_default=True,
    metavar="NAME",
    help="train, val or judge; may be repeated.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Only the first N scenes of each."
)
def export(name: str, output: Path, size: str, splits: tuple[str, ...], count: int | None) -> None:
    """Write Streets, the built-in scenes, as files in Cityscapes' official layout.

    Labels, 16-bit instances, colours and images, for hdbench or any other program; the same
    command goes on where it stopped.

    \b
    Examples:
      hdbench data export streets --output streets
      hdbench data export streets --output big --size 2048x1024 --split val --count 10
    """
    from hdbench.streets.files import require_drawable, write_streets

    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
    if match is None:
        raise UsageError(f"--size {size}: expected WIDTHxHEIGHT in pixels, like 512x256")
    width, height = int(match[1]), int(match[2])
    require_drawable(splits, count, width, height)
    counts = {split: write_streets(output, split, count, width, height) for split in splits}
    click.echo(output)
    for split, number in counts.items():
        click.echo(f"{split}: {counted(number, 'scene')}")
