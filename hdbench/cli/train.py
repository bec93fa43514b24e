"""``train`` and ``synthesize``: a method on a benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import (
    bench_options,
    device_option,
    machine_options,
    restart_option,
    seed_option,
)
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.runtime.devices import Machine
    from hdbench.workspace.bench import Bench


@click.command()
@click.argument("method", default="ours")
@bench_options
@seed_option
@machine_options
@click.option(
    "--vgg-weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="torchvision's VGG-19 weights, where a method needs them.",
)
@restart_option
@click.option("--dry-run", is_flag=True, help="Print what would be trained, as JSON, and stop.")
def train(
    method: str,
    bench: Bench,
    seed: int,
    machine: Machine,
    vgg_weights: Path | None,
    restart: bool,
    dry_run: bool,
) -> None:
    """Train METHOD (default: ours); the same command goes on where it stopped.

    \b
    Examples:
      hdbench train ours-no-vgg
      hdbench train ours --vgg-weights vgg19-dcbb9e9d.pth
      hdbench train ./my-method.toml --seed 1
    """
    from hdbench.networks.builder import halvings
    from hdbench.schema.method import Pix2PixHD
    from hdbench.training.config import RunConfig, planned_steps, run_identity
    from hdbench.workflows.train import train_method
    from hdbench.workspace.perceptual import perceptual_of

    resolved = bench.library.method(method)
    if not isinstance(resolved, Pix2PixHD):
        raise UsageError(f"'{method}' is of kind '{resolved.kind}' and learns nothing")
    if dry_run:
        perceptual = perceptual_of(bench, resolved, vgg_weights)
        config = RunConfig(resolved, bench.benchmark, seed, perceptual)
        identity = run_identity(config, bench.dataset.train_digests)
        plan = {
            "steps": sum(planned_steps(bench.benchmark, len(bench.dataset.train_scenes))),
            "halvings": halvings(resolved, bench.benchmark.budget),
            "generator_peak_rate": resolved.optimizer.learning_rate
            * bench.benchmark.budget.generator_rate,
        }
        click.echo(json.dumps({**identity, **plan}, indent=2))
        return
    output = train_method(bench, resolved, seed, machine, vgg_weights, restart)
    click.echo(f"trained: {output}")
    click.echo(f"sample sheets: {output.parent / 'samples'}")
    click.echo(f"Next: 'hdbench evaluate --method {method}'", err=True)


@click.command()
@click.option("--method", "methods", multiple=True, required=True, metavar="NAME")
@bench_options
@seed_option
@device_option
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also draw a sheet of the images beside the photographs: FILE.png or FILE.jpg.",
)
@click.option(
    "--scenes",
    default=8,
    show_default=True,
    type=click.IntRange(min=1),
    help="Scenes on the sheet, spread evenly over the test split.",
)
def synthesize(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    sheet: Path | None,
    scenes: int,
) -> None:
    """Make the test images of trained methods or floors that are missing.

    Of a method that the workspace has not trained, the generator that ships makes them, if one
    ships for this benchmark and seed.

    \b
    Examples:
      hdbench synthesize --method ours --sheet ours.png
      hdbench synthesize --method ours-no-vgg --method floor-patchwork
    """
    from hdbench.data.sheets import write_sheet
    from hdbench.reporting.image_sheet import image_sheet
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.synthesize import synthesize_method
    from hdbench.workspace.imports import scenes_of
    from hdbench.workspace.runs import seed_of

    if sheet is not None and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"--sheet {sheet}: expected a name that ends in .png or .jpg")
    chosen = [bench.library.method(name) for name in methods]
    bench = scenes_of(bench, chosen)
    images = {}
    for method in chosen:
        paths = synthesize_method(bench, method, seed_of(method, seed), choose_device(device))
        images[method.name] = paths
        click.echo(f"{method.name}: {len(paths)} images in {paths[0].parent}")
    if sheet is not None:
        benchmark, space = bench.benchmark, bench.space
        write_sheet(image_sheet(bench.dataset.test_scenes, images, space, benchmark, scenes), sheet)
        click.echo(f"sheet: {sheet}")
