"""``perceptual train`` and ``fetch``: the network whose features the perceptual loss compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, machine_options, restart_option

if TYPE_CHECKING:
    from hdbench.runtime.devices import Machine
    from hdbench.workspace.bench import Bench


@click.group()
def perceptual() -> None:
    """The network whose features the perceptual loss compares."""


@perceptual.command()
@bench_options
@machine_options
@restart_option
def train(bench: Bench, machine: Machine, restart: bool) -> None:
    """Train the benchmark's perceptual network; the same command resumes it.

    A small VGG-like network learns to segment the photographs of the split in the benchmark's
    [perceptual.training]. Benchmarks with [perceptual] name = "own" need this before 'hdbench train
    ours'; if the network ships with hdbench, this repeats its training.

    \b
    Examples:
      hdbench perceptual train
      hdbench perceptual train --benchmark camvid --data-root ~/data/camvid
    """
    from hdbench.perceptual.files import read_perceptual_card
    from hdbench.schema.benchmark import OWN
    from hdbench.text import ACCURACY, percent
    from hdbench.workflows.train import train_own_perceptual

    folder = train_own_perceptual(bench, machine, restart)
    if not machine.ranks.first:
        return
    card = read_perceptual_card(folder)
    click.echo(f"trained: {folder}")
    click.echo(
        f"pixel accuracy on the photographs of '{bench.benchmark.data.test}': "
        f"{percent(card.test_accuracy, ACCURACY)}"
    )
    used = bench.benchmark.perceptual.name
    if used != OWN:
        click.echo(
            f"'{bench.benchmark.name}' still uses '{used}'; to use this one, set "
            f'[perceptual] name = "{folder}" in a benchmark of your own',
            err=True,
        )


@click.command()
@click.argument("what", type=click.Choice(["vgg19"]))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file; default: in torchvision's cache, where 'train' finds it.",
)
def fetch(what: str, output: Path | None) -> None:
    """Download published weights: vgg19, torchvision's VGG-19 trained on ImageNet (548 MB).

    No other verb downloads anything. The file's SHA-256 is checked.

    \b
    Examples:
      hdbench fetch vgg19
      hdbench fetch vgg19 --output ~/weights/vgg19-dcbb9e9d.pth
    """
    from hdbench.perceptual.files import fetch_vgg19

    path = fetch_vgg19(output)
    click.echo(f"{what}: {path}")
    if output is not None:
        click.echo(f"Next: 'hdbench train ours --vgg-weights {path}'", err=True)
