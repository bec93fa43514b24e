"""``quickstart``: the whole way in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, machine_options

if TYPE_CHECKING:
    from hdbench.bench import Bench
    from hdbench.runtime.devices import Machine


@click.command()
@bench_options
@machine_options
@click.option(
    "--vgg-weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="torchvision's VGG-19 weights, where a method needs them.",
)
@click.option("--method", default="ours-no-vgg", show_default=True, metavar="NAME")
def quickstart(bench: Bench, machine: Machine, method: str, vgg_weights: Path | None) -> None:
    r"""Train segmenter and method, synthesize, score, and write the page; goes on where it stopped.

    \b
    Example:
      hdbench quickstart --benchmark camvid-quick --data-root ~/data/camvid
    """
    from hdbench.pipeline import quickstart as whole_way
    from hdbench.reporting.tables import render, score_tables

    results, paths = whole_way(bench, method, machine, vgg_weights)
    click.echo(render(score_tables(results)[0], "text"))
    click.echo(f"\nOpen the page: {paths['page'].resolve()}")
