"""``train --plan``: what a training needs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hdbench.cli.options import image_size, json_option, print_json
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.runtime.devices import Machine
    from hdbench.workspace.bench import Bench

Verb = TypeVar("Verb", bound=Callable[..., Any])


def plan_options(verb: Verb) -> Verb:
    """Give ``train`` the option ``--plan`` and those that go with it; with it nothing is trained.

    It stands below ``bench_options`` and ``machine_options``, whose bench and machine it uses.
    """

    @click.option(
        "--plan",
        is_flag=True,
        help="Train nothing; print stages, parameters, FLOPs, memory, time, and what fits.",
    )
    @click.option(
        "--size",
        metavar="WxH",
        callback=image_size,
        help="With --plan: another image size than the benchmark's.",
    )
    @click.option(
        "--batch",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --plan: another batch size than the benchmark's.",
    )
    @json_option
    @functools.wraps(verb)
    def planned(
        method: str,
        bench: Bench,
        seed: int,
        machine: Machine,
        plan: bool,
        size: tuple[int, int] | None,
        batch: int | None,
        as_json: bool,
        **options: Any,
    ) -> Any:
        if plan:
            print_plan(bench, method, seed, machine, size, batch, as_json)
            return None
        if size is not None or batch is not None or as_json:
            raise UsageError(
                "--size, --batch and --json go with --plan; a training has the size and the batch "
                "of its benchmark: set [size] and [budget] batch_size in a benchmark file"
            )
        return verb(method=method, bench=bench, seed=seed, machine=machine, **options)

    return planned  # pyright: ignore[reportReturnType]


def print_plan(
    bench: Bench,
    name: str,
    seed: int,
    machine: Machine,
    size: tuple[int, int] | None,
    batch: int | None,
    as_json: bool,
) -> None:
    """Print what a training needs, for people or as JSON."""
    from hdbench.reporting.training_plan import plan_text
    from hdbench.schema.method import require_trained
    from hdbench.workflows.plan import plan_method, resolved_run

    method = require_trained(bench.library.method(name))
    plan = plan_method(bench, method, machine.device, size, batch)
    if as_json:
        print_json({**plan.as_json, "run": resolved_run(bench, method, seed)})
    else:
        click.echo(plan_text(plan))
