"""``report``: the paper's tables from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, device_option, seed_option

if TYPE_CHECKING:
    from hdbench.bench import Bench


@click.command()
@click.argument("name", default="table1")
@bench_options
@seed_option
@device_option
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="A measured method to show first; may be repeated. The library's are always shown.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "csv"]),
    default="text",
    show_default=True,
    help="What is printed; all formats and the HTML page are written to the workspace.",
)
@click.option(
    "--scenes",
    default=8,
    show_default=True,
    type=click.IntRange(min=1),
    help="Scenes shown on the page.",
)
def report(
    name: str,
    bench: Bench,
    seed: int,
    device: str,
    methods: tuple[str, ...],
    form: str,
    scenes: int,
) -> None:
    """Print a report (default: table1) and write it: text, Markdown, CSV, figure, HTML page.

    A measured method that the report has no row for gets one of its own.

    \b
    Examples:
      hdbench report table1
      hdbench report table1 --format markdown > table1.md
      hdbench report table1 --method ./my-method.toml
    """
    from hdbench.pipeline import open_segmenter, report_on
    from hdbench.runtime.devices import choose_device

    chosen = bench.library.report(name)
    segmenter = open_segmenter(bench, None, choose_device(device))
    paths = report_on(bench, chosen, methods, seed, segmenter, scenes)
    click.echo(paths[form].read_text(encoding="utf-8").rstrip())
    for path in paths.values():
        click.echo(f"wrote {path}", err=True)
