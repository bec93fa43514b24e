"""``evaluate``: scores of methods, oracle and floors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, device_option, seed_option, trust_option

if TYPE_CHECKING:
    from hdbench.bench import Bench


@click.command()
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="A trained method; may be repeated. Oracle and floors are always scored.",
)
@bench_options
@seed_option
@device_option
@click.option(
    "--segmenter",
    "segmenter_folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Another segmenter than the benchmark's judge.",
)
@click.option(
    "--scoring", metavar="NAME", help="Another scoring convention than the benchmark's own."
)
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    segmenter_folder: Path | None,
    scoring: str | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Score methods beside the oracle and the floors; synthesizes what is missing.

    \b
    Examples:
      hdbench evaluate --method ours-no-vgg
      hdbench evaluate --method ours --method ours-no-vgg --json
      hdbench evaluate --method ours --scoring streets-edges-v1
    """
    from hdbench import pipeline
    from hdbench.reporting.tables import render, score_tables
    from hdbench.runtime.devices import choose_device

    if scoring is not None:
        bench = bench.scored_under(scoring)
    chosen = choose_device(device)
    segmenter = pipeline.open_segmenter(bench, segmenter_folder, chosen, trust)
    results = pipeline.evaluate(bench, methods, seed, segmenter, chosen)
    if as_json:
        records = [
            {
                "method": result.method,
                "seed": result.seed,
                "scoring": result.scoring,
                "fingerprint": result.fingerprint,
                **result.scores,
            }
            for result in results
        ]
        click.echo(json.dumps(records, indent=2))
        return
    for table in score_tables(results):
        click.echo(render(table, "text"))
        click.echo("")
    first = results[0]
    click.echo(
        f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}, "
        f"fingerprint {first.fingerprint[:16]}"
    )
