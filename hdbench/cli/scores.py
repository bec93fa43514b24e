"""How ``evaluate`` prints scores, choices, policies and judges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hdbench.evaluation.uncertainty import Intervals
    from hdbench.schema.scoring import Scoring
    from hdbench.segmentation.segmenter import Segmenter
    from hdbench.workspace.bench import Bench
    from hdbench.workspace.results import Result


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
    from hdbench.workflows.scoring import choices_under, native_scoring, why_no_native

    records = []
    for scoring in conventions:
        for name, judge in zip(names, opened, strict=True):
            choices = choices_under(bench, scoring, judge)
            native: dict[str, Any] = {"absent": why_no_native(bench, scoring, judge)}
            adapted = native_scoring(bench, scoring, judge)
            if adapted is not None:
                beside = choices_under(bench, adapted, judge, native=True)
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
        click.echo(json.dumps(records if len(records) > 1 else records[0], indent=2))
        return
    for record in records:
        click.echo(f"fingerprint {record['fingerprint']}")
        click.echo(
            f"of what benchmark '{bench.benchmark.name}' scores under {record['scoring']} "
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


def print_results(
    bench: Bench,
    tables: Sequence[Sequence[Result]],
    natives: Sequence[Result | None],
    as_json: bool,
) -> None:
    """Print the scores under each convention, with their intervals.

    Args:
        bench: the benchmark.
        tables: for each convention, results that share a fingerprint.
        natives: for each convention, the oracle at native size or None.
        as_json: print JSON.
    """
    from hdbench.evaluation.uncertainty import NOTE, intervals_of
    from hdbench.reporting.footnotes import footnotes, native_line
    from hdbench.reporting.readings import readings_table
    from hdbench.reporting.tables import render, score_tables

    if as_json:
        pairs = zip(tables, natives, strict=True)
        records = [entry for one, native in pairs for entry in _records(bench, one, native)]
        click.echo(json.dumps(records, indent=2))
        return
    for n, (results, native) in enumerate(zip(tables, natives, strict=True)):
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
        for note in [*([NOTE] if intervals else []), *footnotes(results)]:
            click.echo(note)
        first = results[0]
        click.echo(
            f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}, "
            f"fingerprint {first.fingerprint[:16]}"
        )


def print_policies(
    bench: Bench,
    conventions: Sequence[Scoring],
    methods: Sequence[str],
    tables: Sequence[Sequence[Result]],
    as_json: bool,
) -> None:
    """Print the effect of counting policies on the methods that were named and on the oracle."""
    from hdbench.evaluation.policies import variants
    from hdbench.library import SCORINGS
    from hdbench.reporting.readings import policy_record, policy_table
    from hdbench.reporting.tables import render
    from hdbench.workspace.results import ORACLE

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


def print_judgments(
    bench: Bench,
    names: Sequence[str],
    opened: Sequence[Segmenter],
    tables: Sequence[Sequence[Result]],
    natives: Sequence[Result | None],
    as_json: bool,
) -> None:
    """Print scores and ranks under each segmenter, and how well these agree.

    Args:
        bench: the benchmark.
        names: what each segmenter is called.
        opened: the segmenters.
        tables: for each of them, the results.
        natives: for each of them, the oracle at native size or None.
        as_json: print JSON.
    """
    from dataclasses import asdict

    from hdbench.evaluation.agreement import Judgment, agreements
    from hdbench.evaluation.uncertainty import NOTE, intervals_of
    from hdbench.reporting.comparisons import agreement_table, judges_table
    from hdbench.reporting.footnotes import native_line
    from hdbench.reporting.tables import render

    judgments = [
        Judgment(name, judge.card.weights, list(results))
        for name, judge, results in zip(names, opened, tables, strict=True)
    ]
    found = agreements(judgments)
    if as_json:
        judges = [
            {
                "segmenter": judgment.judge,
                "weights": judgment.weights,
                "results": _records(bench, judgment.results, native),
            }
            for judgment, native in zip(judgments, natives, strict=True)
        ]
        record = {"judges": judges, "agreement": [asdict(entry) for entry in found]}
        click.echo(json.dumps(record, indent=2))
        return
    click.echo(render(judges_table(judgments), "text"))
    click.echo("")
    click.echo(render(agreement_table(found), "text"))
    click.echo("")
    for judgment, native in zip(judgments, natives, strict=True):
        if native is not None:
            click.echo(f"{judgment.judge}: {native_line(native, bench.benchmark.size)}")
    if intervals_of(judgments[0].results):
        click.echo(NOTE)
    click.echo("The oracle is not ranked, and not in Kendall's tau-b.")
    first = judgments[0].results[0]
    click.echo(
        f"{len(first.scenes)} images of {bench.benchmark.title}, scoring {first.scoring}; each "
        "segmenter has a fingerprint of its own, so compare ranks across them, not scores"
    )


def _records(
    bench: Bench, results: Sequence[Result], native: Result | None
) -> list[dict[str, Any]]:
    """Return results as JSON values; the oracle's holds the one at native size, if there is any."""
    from hdbench.evaluation.uncertainty import intervals_of
    from hdbench.reporting.footnotes import native_words
    from hdbench.workspace.results import ORACLE

    intervals = intervals_of(results)
    records = [_record(result, intervals) for result in results]
    for record in records:
        if native is not None and record["method"] == ORACLE:
            what = native_words(native, bench.benchmark.size)
            record["native_oracle"] = {**_record(native, intervals_of([native])), "what": what}
    return records


def _record(result: Result, intervals: Mapping[str, Intervals]) -> dict[str, Any]:
    from hdbench.evaluation.uncertainty import interval_records

    return {
        "method": result.method,
        "seed": result.seed,
        "scoring": result.scoring,
        "fingerprint": result.fingerprint,
        **result.scores,
        "intervals": interval_records(intervals, result.method),
    }
