"""``styles``: the centres of a trained method's styles, and sheets of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, device_option, path_option, print_json, seed_option
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.schema.styles import Styles
    from hdbench.workspace.bench import Bench


@click.command()
@click.argument("method", default="ours-styles")
@bench_options
@seed_option
@device_option
@click.option(
    "--k", "clusters", default=10, type=click.IntRange(min=1), help="Centres of a class, at most."
)
@click.option(
    "--from",
    "other",
    metavar="BENCHMARK",
    help="Encode the training photographs of another benchmark with the same label space.",
)
@path_option("--from-data", "DIR", "The dataset of --from; built-in scenes need none.")
@path_option(
    "--sheet",
    "FILE",
    "Where the sheet is drawn, FILE.png or FILE.jpg; default: styles.png in the run's folder.",
)
@click.option(
    "--scene",
    metavar="NAME",
    help="The test scene on the sheet; default: the first, or that with the largest --only.",
)
@click.option(
    "--only", metavar="CLASS", help="Change one instance alone: the largest one of this class."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def styles(
    method: str,
    bench: Bench,
    seed: int,
    device: str,
    clusters: int,
    other: str | None,
    from_data: Path | None,
    sheet: Path | None,
    scene: str | None,
    only: str | None,
    as_json: bool,
) -> None:
    """Encode the training set with METHOD's encoder, cluster its styles, and draw a sheet.

    METHOD (default: ours-styles) is a trained method with an encoder. Each class gets up to K
    centres (k-means), which 'synthesize' and 'evaluate' choose from. The same command resumes;
    centres that are current are not made again. Started by torchrun, its processes share the
    photographs.

    \b
    Examples:
      hdbench styles
      hdbench styles ours-styles --only car --sheet cars.png
      hdbench styles ours-styles --scene frankfurt_000000_000294 --sheet scene.png
      hdbench styles ours-styles --from streets-large
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.runtime.ranks import joined_ranks
    from hdbench.workflows.style_sheets import class_named, draw_styles
    from hdbench.workflows.styles import make_styles
    from hdbench.workspace.styles import require_encoder, styles_path

    if sheet is not None and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"--sheet {sheet}: expected a name that ends in .png or .jpg")
    if only is not None:
        class_named(bench.space, only)
    resolved, _ = require_encoder(bench.library.method(method))
    source = None if other is None else _source(bench, other, from_data)
    if from_data is not None and source is None:
        raise UsageError(f"--from-data {from_data}: no --from says which benchmark it is for")
    chosen = choose_device(device)
    with joined_ranks(chosen) as ranks:
        found = make_styles(bench, resolved, seed, chosen, clusters, source, ranks)
        if not ranks.first:
            return
    path = styles_path(bench, resolved, seed, None if source is None else found.photographs)
    target = sheet or path.with_suffix(".png")
    draw_styles(bench, resolved, seed, found, chosen, target, scene, only)
    if as_json:
        print_json({"file": str(path), "sheet": str(target), **found.model_dump(mode="json")})
        return
    _print(found)
    click.echo(f"styles: {path}")
    click.echo(f"sheet: {target}")


def _source(bench: Bench, name: str, data_root: Path | None) -> Bench:
    from dataclasses import replace

    from hdbench.cli.options import refuse_needless_data_root

    benchmark = bench.library.benchmark(name)
    refuse_needless_data_root(data_root, benchmark)
    root = data_root or bench.workspace.data_root
    workspace = replace(bench.workspace, benchmark=name, data_root=root)
    return replace(bench, workspace=workspace, benchmark=benchmark, subset=None)


def _print(found: Styles) -> None:
    import pandas as pd

    from hdbench.reporting.tables import render

    rows = [
        [entry.name, entry.instances, entry.large, len(entry.centres), entry.counts[0]]
        for entry in found.classes
        if entry.instances
    ]
    columns = ["class", "instances", "large", "centres", "in centre 0"]
    click.echo(render(pd.DataFrame(rows, columns=columns).set_index("class"), "text"))
    never = sum(not entry.instances for entry in found.classes)
    divisor = found.clustering.area_divisor
    click.echo(
        f"large: more than 1/{divisor} of the image; these are clustered, or all instances where a "
        f"class has none. {never} classes are in none of the {found.scenes} scenes of "
        f"'{found.photographs}' and have the zero vector."
    )
