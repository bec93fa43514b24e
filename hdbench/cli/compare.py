"""``compare``: what makes two results differ, or whether two methods differ."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdbench.cli.options import bench_options, json_option, print_json, seed_option
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.evaluation.comparing import Comparison
    from hdbench.schema.result import Result
    from hdbench.workspace.bench import Bench


@click.command()
@click.argument("results", nargs=-1, metavar="A B [C]...")
@bench_options
@seed_option
@json_option
def compare(results: tuple[str, ...], bench: Bench, seed: int, as_json: bool) -> None:
    """Explain the differences between the scores of stored results.

    A, B, ... are methods that 'hdbench evaluate' has scored, METHOD:SCORING for a method under
    another convention than the benchmark's, or result files of any workspace.

    If their fingerprints agree, methods are compared image by image: the difference, its interval
    (paired bootstrap) and p-value (permutation test), corrected by Holm's method over all lines.
    Otherwise nothing is ranked: each choice that differs is named, and its effect is recomputed
    where the stored matrices allow it, one choice at a time.

    \b
    Examples:
      hdbench compare ours-no-vgg floor-patchwork
      hdbench compare ours-no-vgg ours-no-vgg:streets-edges-v1
      hdbench compare mine/results/camvid/ours/seed0.camvid-std-v1.json theirs.json --json
    """
    from hdbench.evaluation.comparing import compare as compare_two
    from hdbench.evaluation.comparing import compare_all
    from hdbench.schema.result import NATIVE_ORACLE
    from hdbench.workspace.imports import scenes_of
    from hdbench.workspace.results import load_result

    if len(results) < 2:
        raise UsageError(
            f"compare needs at least two results, not {len(results)}.\n"
            "Next: 'hdbench compare A B' with methods that 'hdbench evaluate' has scored, or files"
        )
    named = [words for words in results if not _is_file(words)]
    names = [words.partition(":")[0] for words in named]
    methods = [bench.library.method(name) for name in names if name != NATIVE_ORACLE]
    bench = scenes_of(bench, methods)
    found = [
        load_result(Path(words)) if _is_file(words) else _loaded(bench, words, seed)
        for words in results
    ]
    letters = [_letter(n) for n in range(len(found))]
    if len({result.fingerprint for result in found}) == 1:
        pairs = compare_all(found, letters)
        if as_json:
            _print_json(letters, found, {"pairs": [asdict(pair) for pair in pairs]})
            return
        _print_results(letters, found)
        _print_pairs(pairs, len(found[0].scenes))
        return
    others = [
        (letter, compare_two(found[0], result, letter))
        for letter, result in zip(letters[1:], found[1:], strict=True)
    ]
    if as_json:
        compared = {letter: asdict(comparison) for letter, comparison in others}
        _print_json(letters, found, {"compared_with_A": compared})
        return
    _print_results(letters, found)
    click.echo("The fingerprints differ, so these scores may not be ranked.")
    for letter, comparison in others:
        _print_comparison(letter, comparison)


def _is_file(words: str) -> bool:
    return words.endswith(".json")


def _loaded(bench: Bench, words: str, seed: int) -> Result:
    """Return the current result of METHOD, METHOD:SCORING or the oracle at native size."""
    from hdbench.schema.result import NATIVE_ORACLE, ORACLE, Result
    from hdbench.workspace.fingerprint import native_scoring
    from hdbench.workspace.results import load_if_current, result_path
    from hdbench.workspace.runs import seed_of
    from hdbench.workspace.segmenters import segmenter_card
    from hdbench.workspace.stale import Stale

    name, _, under = words.partition(":")
    native = name == NATIVE_ORACLE
    method = bench.library.method(ORACLE if native else name)
    scoring = bench.require_scoring(under or None)
    command = "hdbench evaluate" + ("" if native else f" --method {name}")
    command += f" --scoring {under}" if under else ""
    recorded = NATIVE_ORACLE if native else method.name
    path = result_path(bench, recorded, seed_of(method, seed), scoring.name)
    if not path.is_file():  # before its segmenter is asked for
        raise Stale(path).error(command)
    card = segmenter_card(bench)
    if native:
        adapted = native_scoring(bench, scoring, card)
        if isinstance(adapted, str):
            raise UsageError(f"'{NATIVE_ORACLE}' has no score here: {adapted}")
        scoring = adapted
    found = load_if_current(bench, method, seed, scoring, card)
    if isinstance(found, Result):
        return found
    raise found.error(command)


def _letter(n: int) -> str:
    return chr(ord("A") + n) if n < 26 else f"result {n + 1}"


def _print_json(letters: list[str], results: list[Result], more: dict[str, Any]) -> None:
    from hdbench.cli.scores import result_record
    from hdbench.evaluation.uncertainty import NOTE, intervals_of

    records = {
        letter: {**result_record(result, intervals_of([result])), "benchmark": result.benchmark}
        for letter, result in zip(letters, results, strict=True)
    }
    print_json({"results": records, **more, "intervals": NOTE})


def _print_results(letters: list[str], results: list[Result]) -> None:
    from hdbench.evaluation.uncertainty import NOTE
    from hdbench.reporting.comparisons import side_by_side
    from hdbench.reporting.tables import render

    for letter, result in zip(letters, results, strict=True):
        click.echo(
            f"{letter}: {result.method} on {result.benchmark}, seed {result.seed}, "
            f"{len(result.scenes)} images, scoring {result.scoring}, "
            f"fingerprint {result.fingerprint[:16]}"
        )
    click.echo("")
    click.echo(render(side_by_side(letters, results), "text"))
    click.echo(f"\n{NOTE}\n")


def _print_pairs(pairs: list[Any], images: int) -> None:
    from hdbench.reporting.comparisons import pairs_table
    from hdbench.reporting.tables import render

    click.echo(f"The fingerprints agree. Image by image, over {images} images:\n")
    click.echo(render(pairs_table(pairs), "text"))
    click.echo(
        f"\np: two-sided sign-flip permutation test, images of a scene swapped; Holm's correction "
        f"over these {len(pairs)} tests."
    )


def _print_comparison(letter: str, comparison: Comparison) -> None:
    from hdbench.reporting.comparisons import steps_table
    from hdbench.reporting.tables import render

    if not comparison.differences:
        click.echo(f"\nA and {letter} share a fingerprint; compare these two by themselves.")
        return
    click.echo(f"\nWhat differs between A and {letter}:")
    for sentence in comparison.differences:
        click.echo(f"  {sentence}")
    if comparison.steps:
        click.echo("\nThe effect of each choice, recomputed from A's matrices:\n")
        click.echo(render(steps_table(comparison, letter), "text"))
    if comparison.not_recomputed:
        click.echo(
            "\nThe effect of these needs other predictions or pixels than the stored matrices;"
        )
        click.echo("score both under one convention to see it:")
        for sentence in comparison.not_recomputed:
            click.echo(f"  {sentence}")
