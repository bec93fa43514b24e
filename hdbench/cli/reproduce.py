"""``reproduce``: every run of a report, from nothing but data."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import (
    bench_options,
    json_option,
    machine_options,
    methods_option,
    path_option,
    print_json,
    vgg_option,
)
from hdbench.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from hdbench.runtime.devices import Machine
    from hdbench.schema.report import Report
    from hdbench.workflows.cluster import Cluster
    from hdbench.workflows.dry_run import DryRun
    from hdbench.workflows.orders import Resources
    from hdbench.workflows.queue import Queue
    from hdbench.workflows.reproduce import Outcome
    from hdbench.workspace.bench import Bench

#: Options that say nothing of what is made or where.
_NOT_REPEATED = ("report", "methods", "seeds", "dry_run", "as_json")


def _seeds(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> list[int]:
    """Return the seeds of ``--seeds 0,1 --seeds 2``, each once."""
    words = [word.strip() for text in given for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise click.BadParameter(f"'{','.join(given)}'; expected numbers such as 0,1,2")
    return list(dict.fromkeys(int(word) for word in words))


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command()
@click.argument("report")
@bench_options
@click.option(
    "--seeds",
    multiple=True,
    default=("0",),
    metavar="0,1,...",
    callback=_seeds,
    help="Seeds of each method that is trained; may be repeated.",
)
@methods_option("Only the rows of this method; may be repeated.")
@click.option(
    "--scale",
    type=click.Choice(["smoke", "quick", "full"]),
    default="full",
    help="The benchmark NAME-smoke (minutes; its scores mean nothing), NAME-quick, or NAME itself.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    help="Processes at a time: job n computes on GPU n; on a CPU they divide the threads.",
)
@machine_options
@vgg_option
@click.option(
    "--dry-run", is_flag=True, help="Only print what is to be done and how long it takes."
)
@json_option
@click.option("--submitit", is_flag=True, help="Hand each method and seed to a cluster as a job.")
@click.option(
    "--cluster",
    "kind",
    type=click.Choice(["slurm", "local"]),
    default="slurm",
    help="With --submitit: SLURM, or processes of this machine, to try it.",
)
@click.option("--partition", metavar="NAME", help="With --submitit: SLURM's partition.")
@click.option("--account", metavar="NAME", help="With --submitit: SLURM's account.")
@click.option(
    "--gpus", type=click.IntRange(min=0), default=1, help="With --submitit: GPUs of each job."
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=24.0,
    help="With --submitit: the longest time of a job, which goes on in another one after it.",
)
@click.option(
    "--array",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --submitit: at most N jobs at the same time.",
)
@path_option("--log-dir", "DIR", "With --submitit: logs; default: logs/cluster in the workspace.")
@click.option("--no-wait", is_flag=True, help="With --submitit: return when all are submitted.")
@click.pass_context
def reproduce(
    ctx: click.Context,
    report: str,
    bench: Bench,
    seeds: list[int],
    methods: tuple[str, ...],
    scale: str,
    jobs: int,
    machine: Machine,
    vgg_weights: Path | None,
    dry_run: bool,
    as_json: bool,
    submitit: bool,
    kind: str,
    partition: str | None,
    account: str | None,
    gpus: int,
    hours: float,
    array: int | None,
    log_dir: Path | None,
    no_wait: bool,
) -> None:
    """Make every run of REPORT, a table of scores or of preferences, and write it.

    Networks that the benchmark has to train come first; then each method is trained, synthesizes
    the test images and is scored beside the oracle and the floors. What is done already is not done
    again, so the same command goes on after ctrl-C, a crash or a failure. A method that fails does
    not stop the others; the end names it, with the command that repeats it alone.

    For a report of preferences, images are made and not scored: a study asks people.

    \b
    Examples:
      hdbench reproduce table1 --scale smoke
      hdbench reproduce table1 --dry-run
      hdbench reproduce table1 --seeds 0,1,2 && hdbench report table1
      hdbench reproduce table1 --method ours --seeds 1
      hdbench reproduce variants --jobs 4
      hdbench reproduce table2 --benchmark camvid --data-root ~/data/camvid
      hdbench reproduce table1 --benchmark cityscapes --submitit --partition gpu --array 8
    """
    from hdbench.runtime.ranks import require_alone
    from hdbench.runtime.stopping import stoppable
    from hdbench.workflows.orders import Resources
    from hdbench.workflows.queue import queue_of
    from hdbench.workflows.reproduce import prepared, scaled

    require_alone("'hdbench reproduce', which has --jobs and --submitit,")
    _refuse_stray_options(ctx, submitit, dry_run, as_json)
    chosen = bench.library.report(report)
    bench = scaled(bench, scale)
    queue = queue_of(chosen, bench.library, bench.benchmark, seeds, methods)
    bench = prepared(bench, queue, machine)
    device = ctx.params["device"]  # "auto" is chosen where a job runs
    resources = Resources(device, machine.workers, machine.checkpoint_minutes, vgg_weights)
    if dry_run:
        plan = _dry_run(bench, queue, chosen, machine, vgg_weights)
        if as_json:
            print_json(plan.as_json)
        else:
            click.echo(plan.text)
        return
    for title, reason in queue.absent:
        _say(f"not reproducible here: {title}: {reason}")
    words = _words(ctx, report)
    command = shlex.join([*words, *_chosen(methods, seeds)])
    try:
        with stoppable():
            if submitit:
                logs = log_dir or bench.workspace.root / "logs" / "cluster"
                cluster = _cluster(kind, partition, account, gpus, hours, array, logs)
                outcome = _on_cluster(bench, queue, machine, resources, cluster, no_wait)
            elif jobs > 1:
                from hdbench.workflows.parallel import reproduce_in_processes

                outcome = reproduce_in_processes(bench, queue, machine, resources, jobs, _say)
            else:
                from hdbench.workflows.reproduce import reproduce as carry_out

                outcome = carry_out(bench, queue, machine, vgg_weights, _say)
            if outcome is None:
                _say(f"Next, when the jobs have ended: '{command}' does what is left and reports")
                return
            _finish(ctx, bench, queue, chosen, machine, outcome, words)
    except (Interrupted, KeyboardInterrupt) as error:
        from hdbench.workflows.reproduce import stopped

        raise stopped(error, command) from None


def _refuse_stray_options(ctx: click.Context, submitit: bool, dry_run: bool, as_json: bool) -> None:
    given = {name for name in ctx.params if _is_given(ctx, name)}
    of_cluster = {"kind", "partition", "account", "gpus", "hours", "array", "log_dir", "no_wait"}
    stray = sorted(given & of_cluster)
    if stray and not submitit:
        raise UsageError(f"{_option(ctx, stray[0])} goes with --submitit")
    if as_json and not dry_run:
        raise UsageError("--json goes with --dry-run; 'hdbench evaluate --json' prints scores")
    if submitit and "jobs" in given:
        raise UsageError("--jobs are processes of this machine; with --submitit, use --array N")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _option(ctx: click.Context, name: str) -> str:
    return next(one.opts[0] for one in ctx.command.params if one.name == name)


def _words(ctx: click.Context, report: str) -> list[str]:
    """Return this command without its rows and seeds."""
    words = ["hdbench", "reproduce", report]
    for one in ctx.command.params:
        name = one.name or ""
        if name in _NOT_REPEATED or not _is_given(ctx, name):
            continue
        words.append(one.opts[0])
        if not (isinstance(one, click.Option) and one.is_flag):
            words.append(str(ctx.params[name]))
    return words


def _chosen(methods: tuple[str, ...], seeds: list[int]) -> list[str]:
    rows = [word for method in methods for word in ("--method", method)]
    return [*rows, *([] if seeds == [0] else ["--seeds", ",".join(map(str, seeds))])]


def _cluster(
    kind: str,
    partition: str | None,
    account: str | None,
    gpus: int,
    hours: float,
    array: int | None,
    logs: Path,
) -> Cluster:
    from hdbench.workflows.cluster import Cluster

    where = "local" if kind == "local" else "slurm"
    return Cluster(where, partition, account, gpus, hours, array, logs)


def _on_cluster(
    bench: Bench,
    queue: Queue,
    machine: Machine,
    resources: Resources,
    cluster: Cluster,
    no_wait: bool,
) -> Outcome | None:
    from hdbench.workflows.cluster import submit, wait_for

    submitted = submit(bench, queue, machine, resources, cluster, _say)
    if no_wait:
        click.echo("\n".join(submitted.lines(queue)))
        return None
    return wait_for(queue, submitted, cluster, _say)


def _dry_run(
    bench: Bench,
    queue: Queue,
    report: Report,
    machine: Machine,
    vgg_weights: Path | None,
) -> DryRun:
    from hdbench.workflows.dry_run import DryRun
    from hdbench.workflows.rehearsal import rehearse
    from hdbench.workflows.reproduce import Outcome, write_report
    from hdbench.workflows.standing import standings

    standing = {work.key: standings(bench, work, machine) for work in queue.works}

    def finish(small: Bench) -> None:
        write_report(small, replace(queue, imports=()), report, machine, Outcome())

    estimate = rehearse(bench, queue, standing, machine, vgg_weights, finish, _say)
    return DryRun(bench, queue, standing, estimate, machine)


def _finish(
    ctx: click.Context,
    bench: Bench,
    queue: Queue,
    report: Report,
    machine: Machine,
    outcome: Outcome,
    words: list[str],
) -> None:
    """Write the report, and say what failed."""
    from hdbench.workflows.reproduce import write_report

    write_report(bench, queue, report, machine, outcome)
    if outcome.files:
        if "text" in outcome.files:
            click.echo(outcome.files["text"].read_text(encoding="utf-8").rstrip())
        for path in outcome.files.values():
            _say(f"wrote {path}")
    elif not queue.scored:
        names = dict.fromkeys(work.name for work in queue.works if work.kind == "run")
        click.echo(f"images: {', '.join(names)}")
        _say(f"Next: 'hdbench study build --methods {','.join(names)}' asks people")
    for work, reason in outcome.failures:
        again = [*words, *_chosen((work.method,), [work.seed])] if work.kind == "run" else words
        _say(f"failed: {work.title}: {reason}\n  alone again: '{shlex.join(again)}'")
    if outcome.unwritten is not None:
        _say(f"no report: {outcome.unwritten}")
    if not outcome.succeeded:
        ctx.exit(1)
