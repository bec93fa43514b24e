"""``evaluate``: scores of methods, oracle and floors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, device_option, seed_option
from hdbench.errors import UsageError

if TYPE_CHECKING:
    import torch

    from hdbench.bench import Bench
    from hdbench.results import Result
    from hdbench.schema.scoring import Scoring
    from hdbench.segmentation.segmenter import Segmenter


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
    "--scoring",
    "scorings",
    multiple=True,
    metavar="NAME",
    help="Another scoring convention than the benchmark's own; may be repeated. Conventions that "
    "give the segmenter the same share its passes.",
)
@click.option(
    "--policies",
    is_flag=True,
    help="Print what each counting policy is worth, from the same stored matrices.",
)
@click.option(
    "--recheck",
    type=click.IntRange(min=1),
    metavar="N",
    help="Synthesize and score N images of each method again; fail if a stored matrix differs.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Threads that decode ahead of the segmenter and count behind it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    segmenter_folder: Path | None,
    scorings: tuple[str, ...],
    policies: bool,
    recheck: int | None,
    workers: int,
    as_json: bool,
) -> None:
    """Score methods beside the oracle and the floors; synthesizes what is missing.

    Stopped or killed, the same command goes on with the images that are missing. Started by
    torchrun, its processes share the images.

    \b
    Examples:
      hdbench evaluate --method ours-no-vgg
      hdbench evaluate --method ours --method ours-no-vgg --json
      hdbench evaluate --method ours --scoring streets-std-v1 --scoring streets-edges-v1
      hdbench evaluate --method ours --policies
      hdbench evaluate --method ours --recheck 3
      torchrun --nproc-per-node 4 -m hdbench evaluate --method ours
    """
    from hdbench import pipeline
    from hdbench.runtime.devices import choose_device
    from hdbench.runtime.ranks import joined_ranks

    chosen = choose_device(device)
    with joined_ranks() as ranks:
        with ranks.first_alone():  # built-in scenes are drawn once
            conventions = _conventions(bench, scorings)
            if scorings:
                bench = bench.scored_under(scorings[0])
            segmenter = pipeline.open_segmenter(bench, segmenter_folder, chosen)
        tables = pipeline.evaluate_under(
            bench, conventions, methods, seed, segmenter, chosen, ranks, workers
        )
        if ranks.rank > 0:
            return
        if recheck is not None:
            _recheck(bench, conventions, methods, tables, recheck, segmenter, chosen, as_json)
    if policies:
        _print_policies(bench, conventions, methods, tables, as_json)
    elif as_json:
        _print_records([result for results in tables for result in results])
    else:
        _print_tables(bench, tables)


def _conventions(bench: Bench, names: tuple[str, ...]) -> list[Scoring]:
    """Return the conventions that are asked for, else the benchmark's own."""
    conventions = [bench.require_scoring(name) for name in names] or [bench.require_scoring()]
    doubled = {one.name for one in conventions if [o.name for o in conventions].count(one.name) > 1}
    if doubled:
        raise UsageError(f"--scoring {', '.join(sorted(doubled))} is given twice; name each once")
    return conventions


def _recheck(
    bench: Bench,
    conventions: list[Scoring],
    methods: tuple[str, ...],
    tables: list[list[Result]],
    count: int,
    segmenter: Segmenter,
    device: torch.device,
    as_json: bool,
) -> None:
    """Print what was made again; on stderr where stdout is for JSON."""
    from hdbench.recheck import recheck, require_reproduced

    given = [bench.library.method(name) for name in methods]
    for scoring, results in zip(conventions, tables, strict=True):
        for n, result in enumerate(results):
            method = given[n] if n < len(given) else bench.library.method(result.method)
            found = recheck(bench, method, result, scoring, count, segmenter, device)
            require_reproduced(result, found)
            click.echo(
                f"{result.method} under {scoring.name}: {len(found)} of {len(found)} images made "
                "and scored again give their stored matrices, each pixel counted once",
                err=as_json,
            )


def _print_records(results: list[Result]) -> None:
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


def _print_tables(bench: Bench, tables: list[list[Result]]) -> None:
    from hdbench.reporting.readings import readings_table
    from hdbench.reporting.tables import render, score_tables

    for n, results in enumerate(tables):
        if n:
            click.echo("")
        readings = readings_table(results)
        for table in [*score_tables(results), *([] if readings is None else [readings])]:
            click.echo(render(table, "text"))
            click.echo("")
        first = results[0]
        click.echo(
            f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}, "
            f"fingerprint {first.fingerprint[:16]}"
        )


def _print_policies(
    bench: Bench,
    conventions: list[Scoring],
    methods: tuple[str, ...],
    tables: list[list[Result]],
    as_json: bool,
) -> None:
    """Print the effect of counting policies on the methods that were named and on the oracle."""
    from hdbench.evaluation.policies import variants
    from hdbench.library import SCORINGS
    from hdbench.reporting.readings import policy_record, policy_table
    from hdbench.reporting.tables import render
    from hdbench.results import ORACLE

    known = [bench.library.scoring(name) for name in bench.library.files[SCORINGS]]
    others = [one for one in known if one.label_space == bench.space.name]
    records = []
    for scoring, results in zip(conventions, tables, strict=True):
        ways = variants(scoring, others)
        named = {bench.library.method(name).name for name in methods} | {ORACLE}
        shown = [result for result in results if result.method in named]
        if as_json:
            records += policy_record(shown, ways)
            continue
        click.echo(render(policy_table(shown, ways), "text"))
        click.echo(
            f"\nAll from the matrices of {len(shown[0].scenes)} images under {scoring.name}: "
            "sizes and windows are that convention's, only the counting differs.\n"
            "In parentheses: the difference to its own way."
        )
    if as_json:
        click.echo(json.dumps(records, indent=2))
