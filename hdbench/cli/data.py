"""``data``: look at a dataset before hours are spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options
from hdbench.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from hdbench.bench import Bench


@click.group()
def data() -> None:
    """The benchmark's dataset: check and preview."""


@data.command()
@bench_options
def check(bench: Bench) -> None:
    r"""Decode every file and report everything that is wrong at once, with counts.

    \b
    Example:
      hdbench data check
    """
    from hdbench.data.inspection import check_split, shared_photographs

    root, spec = bench.workspace.data_root, bench.benchmark.data
    splits = (spec.train, spec.test)
    reports = [check_split(bench.benchmark, root, split) for split in splits]
    for found in reports:
        click.echo(found.text())
    shared = shared_photographs(root, spec.layout, splits)
    for line in shared:
        click.echo(f"between splits: {line}")
    count = sum(len(found.problems) for found in reports) + len(shared)
    if count:
        raise DataError(f"{bench.workspace.data_root}: {counted(count, 'problem')}, listed above")
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
    r"""Draw a contact sheet: photographs, labels and boundaries of scenes, evenly spread.

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
    write_sheet(preview_sheet(bench.benchmark, bench.workspace.data_root, split, count), path)
    click.echo(path)
