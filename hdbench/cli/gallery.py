"""``gallery``: every image of a method, worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from hdbench.cli.options import (
    bench_options,
    device_option,
    seed_option,
    segmenter_option,
    trust_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from hdbench.workspace.bench import Bench


@click.command()
@click.argument("method")
@bench_options
@seed_option
@device_option
@segmenter_option
@click.option("--scoring", metavar="NAME", help="A scoring convention; default: the benchmark's.")
@trust_option
def gallery(
    method: str,
    bench: Bench,
    seed: int,
    device: str,
    which: Path | Literal["second"] | None,
    scoring: str | None,
    trust: bool,
) -> None:
    """Draw every test image of a scored METHOD on one page, worst score first.

    Each number leads to image, photograph, labels, the segmenter's prediction and its errors. The
    page needs no network; its pictures are in files beside it. The same command resumes a stopped
    drawing.

    \b
    Example:
      hdbench gallery ours-no-vgg
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.gallery import draw_gallery
    from hdbench.workspace.segmenters import open_segmenter

    if scoring is not None:
        bench = bench.scored_under(scoring)
    chosen = choose_device(device)
    segmenter = open_segmenter(bench, which, chosen, trust)
    click.echo(draw_gallery(bench, method, seed, segmenter, chosen))
