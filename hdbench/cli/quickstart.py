"""``quickstart``: the whole way in one command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options_with, machine_options

if TYPE_CHECKING:
    from hdbench.bench import Bench
    from hdbench.runtime.devices import Machine


@click.command()
@bench_options_with(default="streets-quick")
@machine_options
@click.option(
    "--vgg-weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="torchvision's VGG-19 weights, where a method needs them.",
)
@click.option("--method", default="ours-no-vgg", show_default=True, metavar="NAME")
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Open the page in the browser; if not given, where there is a terminal and a desktop.",
)
def quickstart(
    bench: Bench, machine: Machine, method: str, vgg_weights: Path | None, opens: bool | None
) -> None:
    """Go the whole way: train, synthesize, score, write the page.

    Without options it needs no data: it runs on Streets, scenes that hdbench draws itself, judged
    by a segmenter that ships, with the short training of benchmark streets-quick. Where none
    ships, it trains the segmenter first. Stopped at any stage, the same command goes on.

    \b
    Examples:
      hdbench quickstart
      hdbench quickstart --benchmark streets
      hdbench quickstart --benchmark streets-smoke
      hdbench quickstart --benchmark camvid-quick --data-root ~/data/camvid
    """
    from hdbench.evaluation.uncertainty import NOTE, intervals_of
    from hdbench.quickstart import quickstart as whole_way
    from hdbench.reporting.tables import render, score_tables

    results, paths = whole_way(
        bench, method, machine, vgg_weights, lambda line: click.echo(line, err=True)
    )
    intervals = intervals_of(results)
    click.echo(render(score_tables(results, intervals)[0], "text"))
    if intervals:
        click.echo(NOTE)
    page = paths["page"].resolve()
    click.echo(f"\nThe page: {page}")
    if _is_seen() if opens is None else opens:
        click.launch(str(page))


def _is_seen() -> bool:
    """Return whether somebody sits before a terminal on a desktop."""
    desktop = sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    return sys.stdout.isatty() and bool(desktop)
