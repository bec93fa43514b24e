"""``evaluate``: scores of methods, the oracle and the floors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import (
    OWN_SEGMENTER,
    SECOND_SEGMENTER,
    bench_options,
    device_option,
    json_option,
    methods_option,
    named_segmenter,
    seed_option,
    trust_option,
)
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from hdbench.schema.scoring import Scoring
    from hdbench.segmentation.segmenter import Segmenter
    from hdbench.workflows.evaluate import Evaluation
    from hdbench.workspace.bench import Bench


@click.command()
@methods_option("A trained method; may be repeated. Oracle and floors are always scored.")
@bench_options
@seed_option
@device_option
@click.option(
    "--segmenter",
    "segmenters",
    multiple=True,
    metavar="DIR",
    help="A segmenter; several are compared. 'own' is the benchmark's (default), 'second' its "
    "second one, './own' a folder of that name.",
)
@click.option(
    "--scoring",
    "scorings",
    multiple=True,
    metavar="NAME",
    help="A scoring convention; may be repeated; default: the benchmark's. Those with the same "
    "segmenter input share its passes.",
)
@click.option(
    "--policies",
    is_flag=True,
    help="Print the effect of each counting policy, from the same stored matrices.",
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
    help="Threads that decode ahead of the segmenter and count behind it.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Print the fingerprint and every choice in it, in words; score nothing.",
)
@trust_option
@json_option
def evaluate(
    methods: tuple[str, ...],
    bench: Bench,
    seed: int,
    device: str,
    segmenters: tuple[str, ...],
    scorings: tuple[str, ...],
    policies: bool,
    recheck: int | None,
    workers: int,
    explain: bool,
    trust: bool,
    as_json: bool,
) -> None:
    """Score methods beside the oracle and the floors; missing images are synthesized.

    Scores have 95 % intervals over the images. If photographs are larger than the generator's
    images, the oracle at native size is printed below the table; it is not ranked. With several
    segmenters, the table shows each one's ranks, and Kendall's tau measures their agreement. The
    same command resumes a stopped evaluation. Started by torchrun, its processes share the images.

    \b
    Examples:
      hdbench evaluate --method ours-no-vgg
      hdbench evaluate --method ours --method ours-no-vgg --json
      hdbench evaluate --method ours --scoring streets-std-v1 --scoring streets-edges-v1
      hdbench evaluate --method ours --segmenter own --segmenter second
      hdbench evaluate --method ours --segmenter own --segmenter ./other-segmenter
      hdbench evaluate --method ours --policies
      hdbench evaluate --method ours --recheck 3
      hdbench evaluate --explain
      torchrun --nproc-per-node 4 -m hdbench evaluate --method ours
    """
    from hdbench.cli import scores
    from hdbench.runtime.devices import choose_device
    from hdbench.runtime.ranks import joined_ranks
    from hdbench.schema.result import ORACLE
    from hdbench.workflows.evaluate import evaluate as run
    from hdbench.workflows.oracle_gate import gate_notes
    from hdbench.workspace.imports import scenes_of
    from hdbench.workspace.segmenters import open_segmenter

    given = segmenters or (OWN_SEGMENTER,)
    if len(given) > 1 and (policies or recheck is not None or len(scorings) > 1):
        raise UsageError(
            "several --segmenter are compared under one --scoring, without --policies or "
            "--recheck; name one segmenter for these"
        )
    chosen = choose_device(device)
    with joined_ranks(chosen) as ranks:
        with ranks.first_alone():  # built-in scenes are drawn once
            conventions = _conventions(bench, scorings)
            if scorings:
                bench = bench.scored_under(scorings[0])
            bench = scenes_of(bench, [bench.library.method(name) for name in methods])
            opened = [open_segmenter(bench, named_segmenter(name), chosen, trust) for name in given]
        names = _segmenter_names(given, opened)
        if explain:
            if ranks.rank == 0:
                scores.print_choices(bench, conventions, names, opened, as_json)
            return
        found = [
            run(bench, methods, seed, segmenter, chosen, conventions, ranks, workers)
            for segmenter in opened
        ]
        if ranks.rank > 0:
            return
        for segmenter, evaluations in zip(opened, found, strict=True):
            rows = [row for one in evaluations for row in one.results]
            oracles = [row for row in rows if row.method == ORACLE]
            for note in gate_notes(bench, oracles, segmenter):
                click.echo(note, err=True)
        if recheck is not None:
            _recheck(bench, methods, found[0], recheck, opened[0], chosen, as_json)
    if len(opened) > 1:
        first = [evaluations[0] for evaluations in found]
        scores.print_segmenters(bench, names, opened, first, as_json)
    elif policies:
        scores.print_policies(bench, methods, found[0], as_json)
    else:
        scores.print_results(bench, found[0], as_json)


def _conventions(bench: Bench, names: tuple[str, ...]) -> list[Scoring]:
    """Return the requested conventions, else the benchmark's own."""
    conventions = [bench.require_scoring(name) for name in names] or [bench.require_scoring()]
    doubled = {one.name for one in conventions if [o.name for o in conventions].count(one.name) > 1}
    if doubled:
        raise UsageError(f"--scoring {', '.join(sorted(doubled))} is named twice; name each once")
    return conventions


def _segmenter_names(given: Sequence[str], opened: Sequence[Segmenter]) -> list[str]:
    """Return the segmenters' names in tables: folder and weights; raises UsageError for doubles."""
    first: dict[str, str] = {}
    names = []
    for name, segmenter in zip(given, opened, strict=True):
        short = segmenter.card.short_name
        if short in first:
            raise UsageError(
                f"--segmenter {name}: the same segmenter as --segmenter {first[short]}; "
                "name each segmenter once"
            )
        first[short] = name
        own = name in (OWN_SEGMENTER, SECOND_SEGMENTER)
        names.append(f"{name if own else Path(name).resolve().name} {short}")
    return names


def _recheck(
    bench: Bench,
    methods: Sequence[str],
    evaluations: Sequence[Evaluation],
    count: int,
    segmenter: Segmenter,
    device: torch.device,
    as_json: bool,
) -> None:
    """Print which images were synthesized and scored again; on stderr if stdout is JSON."""
    from hdbench.schema.result import ORACLE
    from hdbench.workflows.recheck import recheck, require_reproduced
    from hdbench.workspace.fingerprint import native_scoring

    given = [bench.library.method(name) for name in methods]
    for one in evaluations:
        stored = [
            (given[n] if n < len(given) else bench.library.method(result.method), result)
            for n, result in enumerate(one.results)
        ]
        pairs = [(method, result, one.scoring) for method, result in stored]
        native = native_scoring(bench, one.scoring, segmenter.card)
        if one.native is not None and not isinstance(native, str):
            pairs.append((bench.library.method(ORACLE), one.native, native))
        for method, result, scoring in pairs:
            found = recheck(bench, method, result, scoring, count, segmenter, device)
            require_reproduced(result, found)
            click.echo(
                f"{result.method} under {scoring.name}: {len(found)} of {len(found)} images made "
                "and scored again have their stored matrices, with each pixel counted once",
                err=as_json,
            )
