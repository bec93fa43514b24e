"""``evaluate``: scores of methods, oracle and floors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdbench.cli.options import bench_options, device_option, seed_option
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.bench import Bench
    from hdbench.evaluation.agreement import Judgment
    from hdbench.results import Result
    from hdbench.segmentation.segmenter import Segmenter

#: What ``--segmenter`` calls the benchmark's own.
_OWN = "own"


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
    "segmenters",
    multiple=True,
    metavar="DIR",
    help="Another segmenter than the benchmark's judge; several are compared. 'own' is the "
    "benchmark's judge, './own' a folder of that name.",
)
@click.option(
    "--scoring", metavar="NAME", help="Another scoring convention than the benchmark's own."
)
@click.option(
    "--explain",
    is_flag=True,
    help="Print the fingerprint and every choice behind it, in words; score nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    segmenters: tuple[str, ...],
    scoring: str | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Score methods beside the oracle and the floors; synthesizes what is missing.

    Scores bear 95 % intervals over the images. Under several segmenters, the table says how each
    of them ranks the methods, and Kendall's tau says how well they agree.

    \b
    Examples:
      hdbench evaluate --method ours-no-vgg
      hdbench evaluate --method ours --method ours-no-vgg --json
      hdbench evaluate --method ours --scoring streets-edges-v1
      hdbench evaluate --method ours --segmenter own --segmenter ./other-segmenter
      hdbench evaluate --explain
    """
    from hdbench import pipeline
    from hdbench.runtime.devices import choose_device

    if scoring is not None:
        bench = bench.scored_under(scoring)
    chosen = choose_device(device)
    opened = [
        pipeline.open_segmenter(bench, None if name == _OWN else Path(name), chosen)
        for name in segmenters or (_OWN,)
    ]
    names = _judge_names(segmenters or (_OWN,), opened)
    if explain:
        _explain(bench, names, opened, as_json)
        return
    results = [pipeline.evaluate(bench, methods, seed, judge, chosen) for judge in opened]
    if len(opened) > 1:
        from hdbench.evaluation.agreement import Judgment

        judgments = [
            Judgment(name, judge.card.weights, found)
            for name, judge, found in zip(names, opened, results, strict=True)
        ]
        _print_judgments(bench, judgments, as_json)
    else:
        _print_results(bench, results[0], as_json)


def _judge_names(given: Sequence[str], opened: Sequence[Segmenter]) -> list[str]:
    """Return what each segmenter is called in tables: its folder's name and its weights.

    Raises:
        UsageError: two of them are the same segmenter.
    """
    first: dict[str, str] = {}
    names = []
    for name, judge in zip(given, opened, strict=True):
        weights = judge.card.weights
        if weights in first:
            raise UsageError(
                f"--segmenter {name}: the same weights as --segmenter {first[weights]}; "
                "name each segmenter once"
            )
        first[weights] = name
        names.append(f"{Path(name).resolve().name if name != _OWN else name} {weights[:8]}")
    return names


def _explain(
    bench: Bench, names: Sequence[str], opened: Sequence[Segmenter], as_json: bool
) -> None:
    from hdbench.evaluation.explain import explain
    from hdbench.pipeline import choices_now
    from hdbench.provenance import digest

    records = []
    for name, judge in zip(names, opened, strict=True):
        choices = choices_now(bench, judge)
        sentences = [choice.sentence() for choice in explain(choices)]
        records.append(
            {
                "segmenter": name,
                "fingerprint": digest(choices),
                "words": sentences,
                "choices": choices,
            }
        )
    if as_json:
        click.echo(json.dumps(records if len(records) > 1 else records[0], indent=2))
        return
    for record in records:
        click.echo(f"fingerprint {record['fingerprint']}")
        click.echo(f"of what benchmark '{bench.benchmark.name}' scores under {record['segmenter']}")
        for sentence in record["words"]:
            click.echo(f"  {sentence}")
        click.echo("Device, time, library versions and the images themselves are not in it.")


def _records(results: Sequence[Result]) -> list[dict[str, Any]]:
    from hdbench.evaluation.uncertainty import interval_records, intervals_of

    intervals = intervals_of(results)
    return [
        {
            "method": result.method,
            "seed": result.seed,
            "scoring": result.scoring,
            "fingerprint": result.fingerprint,
            **result.scores,
            "intervals": interval_records(intervals, result.method),
        }
        for result in results
    ]


def _print_results(bench: Bench, results: Sequence[Result], as_json: bool) -> None:
    from hdbench.evaluation.uncertainty import NOTE, intervals_of
    from hdbench.reporting.tables import render, score_tables

    if as_json:
        click.echo(json.dumps(_records(results), indent=2))
        return
    intervals = intervals_of(results)
    for table in score_tables(results, intervals):
        click.echo(render(table, "text"))
        click.echo("")
    if intervals:
        click.echo(NOTE)
    first = results[0]
    click.echo(
        f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}, "
        f"fingerprint {first.fingerprint[:16]}"
    )


def _print_judgments(bench: Bench, judgments: Sequence[Judgment], as_json: bool) -> None:
    from dataclasses import asdict

    from hdbench.evaluation.agreement import agreements
    from hdbench.evaluation.uncertainty import NOTE, intervals_of
    from hdbench.reporting.comparisons import agreement_table, judges_table
    from hdbench.reporting.tables import render

    found = agreements(judgments)
    if as_json:
        judges = [
            {
                "segmenter": judgment.judge,
                "weights": judgment.weights,
                "results": _records(judgment.results),
            }
            for judgment in judgments
        ]
        record = {"judges": judges, "agreement": [asdict(entry) for entry in found]}
        click.echo(json.dumps(record, indent=2))
        return
    click.echo(render(judges_table(judgments), "text"))
    click.echo("")
    click.echo(render(agreement_table(found), "text"))
    click.echo("")
    if intervals_of(judgments[0].results):
        click.echo(NOTE)
    click.echo("The oracle is not ranked, and not in Kendall's tau-b.")
    first = judgments[0].results[0]
    click.echo(
        f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}; each "
        "segmenter has a fingerprint of its own, so compare ranks across them, not scores"
    )
