"""``quickstart``: the whole way in one command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options_with, machine_options

if TYPE_CHECKING:
    from hdbench.runtime.devices import Machine
    from hdbench.workspace.bench import Bench


@click.command()
@bench_options_with(default="streets-quick")
@machine_options
@click.option(
    "--vgg-weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="torchvision's VGG-19 weights, where a method needs them.",
)
@click.option("--method", default="ours", show_default=True, metavar="NAME")
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Open the page in the browser; if not given, where there is a terminal and a desktop.",
)
def quickstart(
    bench: Bench, machine: Machine, method: str, vgg_weights: Path | None, opens: bool | None
) -> None:
    """Go the whole way: score what ships, then train, synthesize, score, write the page.

    Without options it needs no data: it runs on Streets, scenes that hdbench draws itself, scored
    by segmenters that ship. It scores and shows the generator that ships, then trains one from
    scratch with the short training of benchmark streets-quick. On a benchmark whose segmenter or
    perceptual network does not ship, it trains them first. Stopped at any stage, the same command
    goes on.

    \b
    Examples:
      hdbench quickstart
      hdbench quickstart --benchmark streets-smoke --method ours-no-vgg
      hdbench quickstart --benchmark camvid-quick --data-root ~/data/camvid
    """
    from hdbench.workflows.quickstart import quickstart as whole_way

    opened: list[Path] = []

    def show(page: Path) -> None:
        """Open a page once; a browser that shows it already is told nothing."""
        if page not in opened and (_is_seen() if opens is None else opens):
            click.launch(str(page.resolve()))
        opened.append(page)

    paths = whole_way(
        bench, method, machine, vgg_weights, lambda line: click.echo(line, err=True), show
    )
    click.echo(paths["text"].read_text(encoding="utf-8"))
    click.echo(f"The page: {paths['page'].resolve()}")


def _is_seen() -> bool:
    """Return whether somebody sits before a terminal on a desktop."""
    desktop = sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    return sys.stdout.isatty() and bool(desktop)
