"""Options that several verbs share, and the objects that they open."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.library import Library
    from hdbench.schema.benchmark import Benchmark

Verb = TypeVar("Verb", bound=Callable[..., Any])


def path_option(name: str, metavar: str, help: str, **more: Any) -> Callable[[Verb], Verb]:
    """Return an option whose value is a path."""
    return click.option(name, type=click.Path(path_type=Path), metavar=metavar, help=help, **more)


def methods_option(help: str, **more: Any) -> Callable[[Verb], Verb]:
    """Return the option ``--method``, which may be repeated."""
    return click.option("--method", "methods", multiple=True, metavar="NAME", help=help, **more)


def print_json(value: Any) -> None:
    """Print a value as JSON, for scripts."""
    click.echo(json.dumps(value, indent=2))


seed_option = click.option("--seed", default=0, help="Seed of the run.")
device_option = click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
study_option = click.option(
    "--study",
    "name",
    default="unlimited",
    metavar="NAME",
    help="Protocol: a name from 'hdbench list', or a path.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
vgg_option = path_option(
    "--vgg-weights", "FILE", "torchvision's VGG-19 weights, for methods that need them."
)
trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Run code in a segmenter's file; only for files from a source that you trust.",
)
#: Values of ``--segmenter`` for the benchmark's own two; ``./own`` is a folder of that name.
OWN_SEGMENTER = "own"
SECOND_SEGMENTER: Literal["second"] = "second"  # hdbench.schema.benchmark.SECOND


def named_segmenter(name: str) -> Path | Literal["second"] | None:
    """Return what ``open_segmenter`` opens for a value of ``--segmenter``."""
    if name == OWN_SEGMENTER:
        return None
    return SECOND_SEGMENTER if name == SECOND_SEGMENTER else Path(name)


segmenter_option = click.option(
    "--segmenter",
    "which",
    default=OWN_SEGMENTER,
    metavar="DIR",
    callback=lambda _, __, name: named_segmenter(name),
    help="Another segmenter than the benchmark's own; 'second' is the benchmark's second one.",
)
edited_option = path_option(
    "--edited",
    "DIR",
    "Scenes that 'hdbench edit' exported, in the place of test scenes.",
)
restart_option = click.option(
    "--restart", is_flag=True, help="Move the existing files aside and start again."
)


def bench_options(verb: Verb, default: str = "streets") -> Verb:
    """Give a verb ``--benchmark``, ``--data-root`` and ``--workspace``, and pass it a ``bench``."""

    @click.option(
        "--benchmark",
        metavar="NAME",
        help=f"Benchmark; default: the one in hdbench.toml, else {default}.",
    )
    @path_option(
        "--data-root",
        "DIR",
        "The dataset's folder; default: the one in hdbench.toml; built-in scenes need none.",
    )
    @path_option(
        "--workspace",
        "DIR",
        "Folder of runs and results; default: the one in hdbench.toml, else ./hdbench-runs.",
    )
    @functools.wraps(verb)
    def opened(
        *args: Any,
        benchmark: str | None,
        data_root: Path | None,
        workspace: Path | None,
        **options: Any,
    ) -> Any:
        from hdbench.workspace.bench import open_bench
        from hdbench.workspace.paths import open_workspace

        bench = open_bench(open_workspace(Path.cwd(), benchmark, data_root, workspace, default))
        refuse_needless_data_root(data_root, bench.benchmark)
        return verb(*args, bench=bench, **options)

    return opened  # pyright: ignore[reportReturnType]


def image_size(
    ctx: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Return width and height of an option such as ``1024x512``."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise click.BadParameter(f"'{text}'; expected WIDTHxHEIGHT in pixels, such as 1024x512")
    return int(match[1]), int(match[2])


def library_here() -> Library:
    """Return the library, with the methods of the workspace that this folder belongs to."""
    from hdbench.library import Library
    from hdbench.workspace.paths import open_workspace

    return Library(methods=open_workspace(Path.cwd()).methods())


def refuse_needless_data_root(data_root: Path | None, benchmark: Benchmark) -> None:
    """Raise UsageError if the option ``--data-root`` is used with built-in scenes.

    The key in hdbench.toml is allowed: it may belong to another benchmark.
    """
    if benchmark.data.built_in and data_root is not None:
        raise UsageError(
            f"--data-root {data_root}: hdbench draws the scenes of benchmark "
            f"'{benchmark.name}' in the workspace; leave the option out"
        )


def machine_options(verb: Verb) -> Verb:
    """Give a verb ``--device``, ``--workers`` and ``--checkpoint-minutes``, as a ``machine``."""

    @device_option
    @click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=1,
        help="Processes that decode ahead of the network.",
    )
    @click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(min=0),
        default=5.0,
        help="Minutes between checkpoints; ctrl-C always saves one.",
    )
    @functools.wraps(verb)
    def opened(
        *args: Any, device: str, workers: int, checkpoint_minutes: float, **options: Any
    ) -> Any:
        from hdbench.runtime.devices import Execution, Machine, choose_device
        from hdbench.runtime.ranks import joined_ranks

        chosen = choose_device(device)
        with joined_ranks(chosen) as ranks:
            machine = Machine(chosen, workers, checkpoint_minutes, Execution(ranks))
            return verb(*args, machine=machine, **options)

    return opened  # pyright: ignore[reportReturnType]
