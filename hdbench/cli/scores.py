"""How ``evaluate`` prints scores, choices, policies and segmenters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hdbench.cli.options import print_json

if TYPE_CHECKING:
    from hdbench.evaluation.uncertainty import Intervals
    from hdbench.schema.result import Result
    from hdbench.schema.scoring import Scoring
    from hdbench.segmentation.segmenter import Segmenter
    from hdbench.workflows.evaluate import Evaluation
    from hdbench.workspace.bench import Bench


def print_choices(
    bench: Bench,
    conventions: Sequence[Scoring],
    names: Sequence[str],
    opened: Sequence[Segmenter],
    as_json: bool,
) -> None:
    """Print the fingerprint under each convention and segmenter, and the choices behind it."""
    from hdbench.evaluation.explain import differences, explain
    from hdbench.provenance import digest
    from hdbench.reporting.footnotes import NATIVE_TITLE
    from hdbench.workspace.fingerprint import choices_under, native_scoring

    records = []
    for scoring in conventions:
        for name, segmenter in zip(names, opened, strict=True):
            choices = choices_under(bench, scoring, segmenter.card)
            adapted = native_scoring(bench, scoring, segmenter.card)
            if isinstance(adapted, str):
                native: dict[str, Any] = {"absent": adapted}
            else:
                beside = choices_under(bench, adapted, segmenter.card)
                others = differences(choices, beside)
                native = {
                    "fingerprint": digest(beside),
                    "words": [f"{other.title}: {other.theirs}" for other in others],
                    "choices": beside,
                }
            records.append(
                {
                    "scoring": scoring.name,
                    "segmenter": name,
                    "fingerprint": digest(choices),
                    "words": [choice.sentence() for choice in explain(choices)],
                    "choices": choices,
                    "native_oracle": native,
                }
            )
    if as_json:
        print_json(records if len(records) > 1 else records[0])
        return
    for record in records:
        click.echo(f"fingerprint {record['fingerprint']}")
        click.echo(
            f"of scores on benchmark '{bench.benchmark.name}' under {record['scoring']} "
            f"by {record['segmenter']}"
        )
        for sentence in record["words"]:
            click.echo(f"  {sentence}")
        click.echo("Device, time, library versions and the images themselves are not in it.")
        native = record["native_oracle"]
        if "absent" in native:
            click.echo(f"No {NATIVE_TITLE}: {native['absent']}.")
            continue
        click.echo(f"{NATIVE_TITLE}, beside the table: fingerprint {native['fingerprint']}, with")
        for sentence in native["words"]:
            click.echo(f"  {sentence}")


def print_results(bench: Bench, evaluations: Sequence[Evaluation], as_json: bool) -> None:
    """Print the scores under each convention, with their intervals."""
    from hdbench.evaluation.uncertainty import NOTE, intervals_of
    from hdbench.reporting.footnotes import footnotes, native_line
    from hdbench.reporting.readings import readings_table
    from hdbench.reporting.tables import render, score_tables

    if as_json:
        records = [record for one in evaluations for record in _records(bench, one)]
        print_json(records)
        return
    for n, evaluation in enumerate(evaluations):
        results, native = evaluation.results, evaluation.native
        if n:
            click.echo("")
        intervals = intervals_of(results)
        readings = readings_table(results)
        for table in [
            *score_tables(results, intervals),
            *([] if readings is None else [readings]),
        ]:
            click.echo(render(table, "text"))
            click.echo("")
        if native is not None:
            click.echo(native_line(native, bench.benchmark.size))
        for note in [
            *([NOTE] if intervals else []),
            *footnotes({one.method: [one] for one in results}),
        ]:
            click.echo(note)
        first = results[0]
        click.echo(
            f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}, "
            f"fingerprint {first.fingerprint[:16]}"
        )


def print_policies(
    bench: Bench, methods: Sequence[str], evaluations: Sequence[Evaluation], as_json: bool
) -> None:
    """Print the effect of counting policies on the methods that were named and on the oracle."""
    from hdbench.evaluation.policies import variants
    from hdbench.library import SCORINGS
    from hdbench.reporting.readings import policy_record, policy_table
    from hdbench.reporting.tables import render
    from hdbench.schema.result import ORACLE

    known = [bench.library.scoring(name) for name in bench.library.entries(SCORINGS)]
    others = [one for one in known if one.label_space == bench.space.name]
    records = []
    named = {bench.library.method(name).name for name in methods} | {ORACLE}
    for evaluation in evaluations:
        scoring = evaluation.scoring
        ways = variants(scoring, others)
        shown = [result for result in evaluation.results if result.method in named]
        if as_json:
            records += policy_record(shown, ways)
            continue
        click.echo(render(policy_table(shown, ways), "text"))
        click.echo(
            f"\nAll from the matrices of {len(shown[0].scenes)} images under {scoring.name}: "
            "sizes and windows are that convention's, only the counting differs.\n"
            "In parentheses: the difference to the convention's own counting."
        )
    if as_json:
        print_json(records)


def print_segmenters(
    bench: Bench,
    names: Sequence[str],
    opened: Sequence[Segmenter],
    evaluations: Sequence[Evaluation],
    as_json: bool,
) -> None:
    """Print scores and ranks under each segmenter, and how well the ranks agree."""
    from dataclasses import asdict

    from hdbench.evaluation.agreement import UnderSegmenter, agreements
    from hdbench.evaluation.uncertainty import NOTE, intervals_of
    from hdbench.reporting.comparisons import agreement_table, segmenters_table
    from hdbench.reporting.footnotes import native_line
    from hdbench.reporting.tables import render

    scored = [
        UnderSegmenter(name, segmenter.card.weights, one.results)
        for name, segmenter, one in zip(names, opened, evaluations, strict=True)
    ]
    found = agreements(scored)
    if as_json:
        records = [
            {
                "segmenter": one.segmenter,
                "weights": one.weights,
                "results": _records(bench, evaluation),
            }
            for one, evaluation in zip(scored, evaluations, strict=True)
        ]
        record = {"judges": records, "agreement": [asdict(entry) for entry in found]}
        print_json(record)
        return
    click.echo(render(segmenters_table(scored), "text"))
    click.echo("")
    click.echo(render(agreement_table(found), "text"))
    click.echo("")
    for name, one in zip(names, evaluations, strict=True):
        if one.native is not None:
            click.echo(f"{name}: {native_line(one.native, bench.benchmark.size)}")
    if intervals_of(scored[0].results):
        click.echo(NOTE)
    click.echo("The oracle is not ranked, and not in Kendall's tau-b.")
    first = scored[0].results[0]
    click.echo(
        f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}; each "
        "segmenter has a fingerprint of its own, so compare ranks across them, not scores"
    )


def _records(bench: Bench, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return results as JSON values; the oracle's contains the one at native size, if any."""
    from hdbench.evaluation.uncertainty import intervals_of
    from hdbench.reporting.footnotes import native_words
    from hdbench.schema.result import ORACLE

    results, native = evaluation.results, evaluation.native
    intervals = intervals_of(results)
    records = [result_record(result, intervals) for result in results]
    for record in records:
        if native is not None and record["method"] == ORACLE:
            what = native_words(native, bench.benchmark.size)
            record["native_oracle"] = {
                **result_record(native, intervals_of([native])),
                "what": what,
            }
    return records


def result_record(result: Result, intervals: Mapping[str, Intervals]) -> dict[str, Any]:
    """Return a result's scores and intervals as JSON values."""
    from hdbench.evaluation.uncertainty import interval_records

    return {
        "method": result.method,
        "seed": result.seed,
        "scoring": result.scoring,
        "fingerprint": result.fingerprint,
        **result.scores.model_dump(),
        "intervals": interval_records(intervals, result.method),
    }
