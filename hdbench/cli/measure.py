"""``measure``: boundary scores, realism and diversity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hdbench.cli.options import (
    bench_options,
    device_option,
    json_option,
    methods_option,
    path_option,
    print_json,
    seed_option,
    segmenter_option,
    trust_option,
)

if TYPE_CHECKING:
    from hdbench.schema.metric import Metric
    from hdbench.workspace.bench import Bench

_methods = methods_option("A method; may be repeated. The floors are always measured beside it.")
_lpips_help = "torchvision's AlexNet weights, for LPIPS: alexnet-owt-7be5be79.pth."


@click.group()
def measure() -> None:
    """Boundaries, realism and diversity: metrics beside segmentation scores."""


@measure.command()
@_methods
@bench_options
@seed_option
@device_option
@segmenter_option
@trust_option
@json_option
def boundaries(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    which: Path | Literal["second"] | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Boundary F-score: distance between predicted edges and the labels' edges.

    For methods that 'evaluate' has scored, the oracle and the floors; the tolerance is 2 pixels at
    1024 rows. Reports include it from then on.

    \b
    Example:
      hdbench measure boundaries --method ours-no-vgg
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.boundaries import measure_boundaries
    from hdbench.workspace.segmenters import open_segmenter

    chosen = choose_device(device)
    segmenter = open_segmenter(bench, which, chosen, trust)
    _print(measure_boundaries(bench, methods, seed, segmenter, chosen), as_json)


@measure.command()
@_methods
@bench_options
@seed_option
@device_option
@path_option(
    "--inception-weights",
    "FILE",
    "torch-fidelity's weights, for FID and KID: weights-inception-2015-12-05-6726825d.pth.",
)
@path_option("--lpips-weights", "FILE", _lpips_help)
@click.option(
    "--reference",
    type=click.Choice(["test", "train"]),
    default="test",
    help="The photographs that FID and KID compare with.",
)
@json_option
def realism(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    inception_weights: Path | None,
    lpips_weights: Path | None,
    reference: str,
    as_json: bool,
) -> None:
    """FID and KID to photographs, LPIPS to each scene's own; needs the extra 'realism'.

    Weights are local files; nothing is downloaded. Reports include the numbers from then on.

    \b
    Example:
      hdbench measure realism --method ours --lpips-weights alexnet-owt-7be5be79.pth
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.realism import measure_realism

    metrics = measure_realism(
        bench,
        methods,
        seed,
        inception=inception_weights,
        lpips=lpips_weights,
        reference=reference,
        device=choose_device(device),
    )
    _print(metrics, as_json)


@measure.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@bench_options
@device_option
@path_option("--lpips-weights", "FILE", _lpips_help, required=True)
@json_option
def diversity(
    folders: tuple[Path, ...], bench: Bench, device: str, lpips_weights: Path, as_json: bool
) -> None:
    """LPIPS between images of the same scenes in several styles, one folder for each style.

    \b
    Example:
      hdbench measure diversity style1 style2 style3 --lpips-weights alexnet-owt-7be5be79.pth
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.text import LPIPS
    from hdbench.workflows.realism import measure_diversity

    found = measure_diversity(bench, folders, lpips_weights, choose_device(device))
    if as_json:
        print_json(found)
        return
    click.echo(
        f"LPIPS diversity {LPIPS.text(found['lpips_diversity'])}: "
        f"{found['styles']} styles of {found['scenes']} scenes"
    )


@measure.command("styles")
@click.argument("method", default="ours-styles")
@bench_options
@seed_option
@device_option
@click.option(
    "--only",
    multiple=True,
    metavar="CLASS",
    help="Repaint instances of this class only; may be repeated.",
)
@json_option
def measure_styles(
    method: str, bench: Bench, seed: int, device: str, only: tuple[str, ...], as_json: bool
) -> None:
    """How far the style of one instance reaches, and what the encoder's style is worth.

    In each test scene, the largest instance of each class gets another centre: the mean absolute
    change of its pixels and of all others. Then images in the style of their photographs and in
    random styles are compared with the photographs.

    \b
    Examples:
      hdbench measure styles
      hdbench measure styles ours-styles --only car --json
    """
    from dataclasses import asdict

    from hdbench.reporting.style_tables import style_lines
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.measure_styles import measure_encoding, measure_repainting
    from hdbench.workspace.styles import require_encoder

    resolved, _ = require_encoder(bench.library.method(method))
    chosen = choose_device(device)
    repainted = measure_repainting(bench, resolved, seed, chosen, only)
    encoded = measure_encoding(bench, resolved, seed, chosen)
    if as_json:
        rows = [asdict(one) for one in repainted]
        print_json({"repainted": rows, "encoded": asdict(encoded)})
        return
    for line in style_lines(repainted, encoded):
        click.echo(line)


def _print(metrics: list[Metric], as_json: bool) -> None:
    from hdbench.reporting.metric_tables import metric_tables
    from hdbench.reporting.tables import render

    if as_json:
        records = [
            {
                "method": one.method,
                "seed": one.seed,
                "measure": one.kind,
                "fingerprint": one.fingerprint,
                **one.scores,
            }
            for one in metrics
        ]
        print_json(records)
        return
    for part in metric_tables(metrics):
        click.echo(render(part.table, "text"))
        for note in part.notes:
            click.echo(note)
