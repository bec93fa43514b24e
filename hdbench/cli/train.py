"""``train`` and ``synthesize``: a method on a benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import (
    bench_options,
    device_option,
    edited_option,
    machine_options,
    path_option,
    restart_option,
    seed_option,
    vgg_option,
)
from hdbench.cli.plan import plan_options
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.runtime.devices import Machine, Precision
    from hdbench.workspace.bench import Bench


@click.command()
@click.argument("method", default="ours")
@bench_options
@seed_option
@machine_options
@click.option(
    "--accumulate",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Divide each batch into N parts, one after another: less memory, the same gradients.",
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Compute the residual blocks again for their gradients: less memory, the same weights.",
)
@vgg_option
@restart_option
@click.option(
    "--validate-every",
    type=click.IntRange(min=0),
    metavar="EPOCHS",
    help="Epochs from one validation to the next; 0: never; default: what the benchmark says.",
)
@click.option(
    "--tensorboard", is_flag=True, help="Write TensorBoard's files into the run's folder too."
)
@click.option(
    "--from",
    "source",
    metavar="RUN",
    help="Start from the weights of another training: METHOD, METHOD/seedN, "
    "BENCHMARK/METHOD/seedN, or the folder of a generator.",
)
@click.option(
    "--as",
    "name",
    metavar="NAME",
    help="With --from: the name of the new method; default: METHOD-from-SOURCE.",
)
@click.option(
    "--class",
    "renamed",
    multiple=True,
    metavar="NEW=OLD",
    help="With --from: a class whose partner in the source's label space has another name.",
)
@plan_options
def train(
    method: str,
    bench: Bench,
    seed: int,
    machine: Machine,
    accumulate: int,
    recompute: bool,
    vgg_weights: Path | None,
    restart: bool,
    validate_every: int | None,
    tensorboard: bool,
    source: str | None,
    name: str | None,
    renamed: tuple[str, ...],
) -> None:
    """Train METHOD (default: ours); the same command resumes it.

    The page training.html in the run's folder shows curves, validation scores and samples while it
    is trained. The folder best/ keeps the generator with the highest validation score.

    Started by torchrun, its processes share each batch, whose size stays the benchmark's.

    \b
    Examples:
      hdbench train ours-no-vgg
      hdbench train ours --vgg-weights vgg19-dcbb9e9d.pth
      hdbench train ./my-method.toml --seed 1
      hdbench train ours --from streets/ours/seed0 --as ours-tuned --class pavement=sidewalk
      hdbench train ours-full --benchmark cityscapes --plan --size 2048x1024
      torchrun --nproc-per-node 8 -m hdbench train ours --benchmark ./cityscapes-batch-8.toml
    """
    from hdbench.runtime.devices import Execution
    from hdbench.schema.method import require_trained
    from hdbench.workflows.train import train_method

    execution = Execution(machine.ranks, accumulate, recompute)
    machine = replace(machine, execution=execution)
    resolved = require_trained(bench.library.method(method))
    if resolved.is_best:
        last = resolved.at_last().name
        raise UsageError(
            f"'{method}' is a generator of the run of '{last}', not a method to train.\n"
            f"Next: 'hdbench train {last}', or 'hdbench train {last} --from {last}/seed0/best'"
        )
    if source is not None:
        from hdbench.workspace.start import fine_tuned, write_fine_tuned

        tuned = fine_tuned(bench, resolved, source, name, renamed)
        resolved, method = tuned.method, tuned.method.name
        if machine.ranks.first:
            click.echo("\n".join(tuned.notes), err=True)
            click.echo(f"method: {write_fine_tuned(bench, resolved)}", err=True)
    elif name is not None or renamed:
        raise UsageError("--as and --class go with --from, which says what to start from")
    output = train_method(
        bench, resolved, seed, machine, vgg_weights, restart, validate_every, tensorboard
    )
    if not machine.ranks.first:
        return
    click.echo(f"trained: {output}")
    click.echo(f"page: {output.parent / 'training.html'}")
    click.echo(f"Next: 'hdbench evaluate --method {method}'", err=True)


@click.command()
@click.option("--method", "methods", multiple=True, required=True, metavar="NAME")
@bench_options
@seed_option
@device_option
@click.option(
    "--style",
    metavar="STYLE",
    help="For methods with an encoder: random, random:SEED, center:K or encode; default: random, "
    "which is scored. Images of other styles get a folder of their own.",
)
@click.option(
    "--styles-from",
    metavar="BENCHMARK",
    help="Take the centres that 'hdbench styles --from BENCHMARK' made.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    help="bf16 is quicker and rounds; its images get a folder of their own and are never scored.",
)
@edited_option
@path_option(
    "--sheet",
    "FILE",
    "Also draw a sheet of the images beside the photographs: FILE.png or FILE.jpg.",
)
@click.option(
    "--scenes",
    default=8,
    type=click.IntRange(min=1),
    help="Scenes on the sheet, spread evenly over the test split.",
)
def synthesize(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    style: str | None,
    styles_from: str | None,
    precision: Precision,
    edited: Path | None,
    sheet: Path | None,
    scenes: int,
) -> None:
    """Synthesize missing test images of trained methods or floors.

    For a method that the workspace has not trained, the shipped generator for this benchmark and
    seed is used, if there is one. A name like ours@best means the generator of the run of 'ours'
    with the highest validation score, instead of the last; 'evaluate', 'report' and 'compare' know
    such names too.

    A method with an encoder gives each instance a style. 'random' draws one of the centres of its
    class (other seeds: random:1, random:2, ...), 'center:K' takes centre K. 'encode' takes the
    style of the scene's own photograph; such images are never scored.

    Images are scored in fp32, and bit for bit the same when they are made again. '--precision bf16'
    makes them several times as fast on a processor with instructions for it, in a folder whose name
    ends in .bf16; 'import-images NAME FOLDER' scores them, under a name of their own. Started by
    torchrun, its processes share the images.

    \b
    Examples:
      hdbench synthesize --method ours --sheet ours.png
      hdbench synthesize --method ours-no-vgg --method floor-patchwork
      hdbench synthesize --method ours --precision bf16
      hdbench synthesize --method ours-styles --style center:3
      hdbench synthesize --method ours-styles --styles-from streets-large
      hdbench synthesize --method ours-styles --edited hdbench-runs/edited/mine
      torchrun --nproc-per-node 4 -m hdbench synthesize --method ours
    """
    from hdbench.data.sheets import write_sheet
    from hdbench.reporting.image_sheet import image_sheet
    from hdbench.runtime.devices import choose_device
    from hdbench.runtime.ranks import joined_ranks
    from hdbench.styles import Style
    from hdbench.workflows.synthesize import synthesize_method
    from hdbench.workspace.imports import scenes_of
    from hdbench.workspace.runs import seed_of
    from hdbench.workspace.styles import require_encoder

    if sheet is not None and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"--sheet {sheet}: expected a name that ends in .png or .jpg")
    bench = bench.with_edited(edited)
    chosen = [bench.library.method(name) for name in methods]
    source = None if styles_from is None else bench.library.benchmark(styles_from).name
    wanted = Style.parse(style or "random", source)
    if style is not None or source is not None:
        for method in chosen:
            require_encoder(method)
    place, images = choose_device(device), {}
    with joined_ranks(place) as ranks:
        with ranks.first_alone():  # built-in scenes are drawn once
            bench = scenes_of(bench, chosen)
        for method in chosen:
            its_seed = seed_of(method, seed)
            images[method.name] = paths = synthesize_method(
                bench, method, its_seed, place, style=wanted, precision=precision, ranks=ranks
            )
            if ranks.first:
                click.echo(f"{method.name}: {len(paths)} images in {paths[0].parent}")
        if not ranks.first:
            return
    if sheet is not None:
        benchmark, space = bench.benchmark, bench.space
        write_sheet(image_sheet(bench.dataset.test_scenes, images, space, benchmark, scenes), sheet)
        click.echo(f"sheet: {sheet}")
