"""``quickstart``: everything in one command."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, machine_options, vgg_option

if TYPE_CHECKING:
    from hdbench.runtime.devices import Machine
    from hdbench.workspace.bench import Bench


@click.command()
@functools.partial(bench_options, default="streets-quick")
@machine_options
@vgg_option
@click.option("--method", default="ours", metavar="NAME")
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Open the page in the browser; default: on a desktop with a terminal.",
)
def quickstart(
    bench: Bench, machine: Machine, method: str, vgg_weights: Path | None, opens: bool | None
) -> None:
    """Score what ships with hdbench, then train, synthesize, score, and write the page.

    Without options it needs no data: it runs on Streets, scenes that hdbench draws itself, scored
    by shipped segmenters. It scores and shows the shipped generator, then trains one from scratch
    with the short training of benchmark streets-quick. On a benchmark whose segmenter or perceptual
    network does not ship, it trains them first. The same command resumes a stopped run.

    \b
    Examples:
      hdbench quickstart
      hdbench quickstart --benchmark streets-smoke --method ours-no-vgg
      hdbench quickstart --benchmark camvid-quick --data-root ~/data/camvid
    """
    from hdbench.runtime.ranks import require_alone
    from hdbench.workflows.quickstart import quickstart as whole_way

    require_alone("'hdbench quickstart'")

    opened: list[Path] = []

    def show(page: Path) -> None:
        """Open a page once."""
        if page not in opened and (on_a_desktop() if opens is None else opens):
            click.launch(str(page.resolve()))
        opened.append(page)

    paths = whole_way(
        bench, method, machine, vgg_weights, lambda line: click.echo(line, err=True), show
    )
    click.echo(paths["text"].read_text(encoding="utf-8"))
    click.echo(f"The page: {paths['page'].resolve()}")


def on_a_desktop() -> bool:
    """Return whether this is a terminal on a desktop."""
    desktop = sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    return sys.stdout.isatty() and bool(desktop)
