"""``data``: look at a dataset before hours are spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options
from hdbench.errors import DataError

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
    from hdbench.data.inspection import check_split

    reports = [
        check_split(bench.benchmark, bench.workspace.data_root, split)
        for split in (bench.benchmark.data.train, bench.benchmark.data.test)
    ]
    for found in reports:
        click.echo(found.text())
    count = sum(len(found.problems) for found in reports)
    if count:
        raise DataError(f"{bench.workspace.data_root}: {count} problems, listed above")
    click.echo("no problems")


@data.command()
@bench_options
@click.option("--split", metavar="NAME", help="Split; the training split if not given.")
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

    split = split or bench.benchmark.data.train
    path = output or bench.workspace.root / "previews" / f"{bench.benchmark.name}-{split}.png"
    write_sheet(preview_sheet(bench.benchmark, bench.workspace.data_root, split, count), path)
    click.echo(path)
