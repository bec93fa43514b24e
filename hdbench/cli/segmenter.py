"""``segmenter``: the judge of a benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, machine_options, restart_option

if TYPE_CHECKING:
    from hdbench.bench import Bench
    from hdbench.runtime.devices import Machine


@click.group()
def segmenter() -> None:
    """The PSPNet that scores images."""


@segmenter.command()
@bench_options
@machine_options
@restart_option
def train(bench: Bench, machine: Machine, restart: bool) -> None:
    """Train the benchmark's segmenter; the same command goes on where it stopped.

    At the end it scores the test split's photographs and writes that on its card. Where the
    benchmark's judge ships with hdbench, this repeats its training; the one that ships goes on
    judging.

    \b
    Example:
      hdbench segmenter train
    """
    from hdbench.pipeline import train_judge
    from hdbench.schema.benchmark import OWN

    card = train_judge(bench, machine, restart).card
    assert card.oracle is not None
    click.echo(f"trained: {bench.segmenter_folder()}")
    click.echo(
        f"oracle under {card.oracle['scoring']}: "
        f"pixel accuracy {card.oracle['pixel_accuracy']:.4f}, "
        f"mean IoU {card.oracle['mean_iou']:.4f}"
    )
    if bench.benchmark.judge != OWN:
        click.echo(
            f"'{bench.benchmark.name}' goes on being judged by '{bench.benchmark.judge}', which "
            "ships with hdbench.\nTo judge by the one just trained: "
            f"'hdbench evaluate --segmenter {bench.segmenter_folder()}'",
            err=True,
        )
