"""``init``, ``list``, ``show``, ``check``: the workspace and the library."""

from __future__ import annotations

from pathlib import Path

import click

from hdbench.cli.options import (
    json_option,
    library_here,
    path_option,
    print_json,
    refuse_needless_data_root,
)
from hdbench.errors import LibraryError, UsageError, counted


@click.command()
@click.option(
    "--benchmark",
    default="streets",
    metavar="NAME",
    help="Benchmark (see 'hdbench list').",
)
@path_option("--data-root", "DIR", "The dataset's folder; built-in scenes (Streets) have none.")
@path_option("--workspace", "DIR", "Folder of runs and results.", default=Path("hdbench-runs"))
def init(benchmark: str, data_root: Path | None, workspace: Path) -> None:
    """Write hdbench.toml here, so that no later command needs a path.

    \b
    Examples:
      hdbench init --benchmark streets-large
      hdbench init --benchmark camvid --data-root ~/data/camvid
    """
    from hdbench.library import Library
    from hdbench.workspace.paths import write_config

    chosen = Library().benchmark(benchmark)
    refuse_needless_data_root(data_root, chosen)
    if not chosen.data.built_in and data_root is None:
        raise UsageError(f"benchmark '{benchmark}' needs its dataset; add --data-root DIR")
    if data_root is not None and not data_root.is_dir():
        raise UsageError(f"{data_root}: no such folder; --data-root is the dataset's own folder")
    if benchmark.endswith(".toml"):
        benchmark = str(Path(benchmark).resolve())
    path = write_config(Path.cwd(), benchmark, data_root and data_root.resolve(), workspace)
    click.echo(f"wrote {path}\nNext: 'hdbench data check'")


@click.command(name="list")
@json_option
def list_library(as_json: bool) -> None:
    """List the library: methods, benchmarks, scorings, studies, reports, shipped weights."""
    from hdbench.library import KINDS

    library = library_here()
    titles = {
        kind: {name: library.title(kind, name) for name in library.entries(kind)} for kind in KINDS
    }
    if as_json:
        entries = [
            {"kind": kind.name, "name": name, "title": title}
            for kind, found in titles.items()
            for name, title in found.items()
        ]
        print_json(entries)
        return
    width = max(len(name) for found in titles.values() for name in found)
    for kind, found in titles.items():
        if found:
            click.echo(kind.plural)
        for name, title in found.items():
            click.echo(f"  {name:<{width}}  {title}")


@click.command()
@click.argument("name")
@click.option(
    "--resolved", is_flag=True, help="Print it as JSON, merged with the file that it extends."
)
def show(name: str, resolved: bool) -> None:
    """Print the file of a method, benchmark, scoring, study or report, or the card of weights.

    \b
    Examples:
      hdbench show ours
      hdbench show ours-no-vgg --resolved
    """
    library = library_here()
    kind, path = library.find(name)
    text = library.resolved(kind, name)  # a wrong file is an error in any case
    if not resolved:
        text = f"# {kind.name}: {path}\n{path.read_text(encoding='utf-8').rstrip()}"
    click.echo(text)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
def check(paths: tuple[Path, ...]) -> None:
    """Check every file of the library, or the named files; report all problems at once.

    \b
    Examples:
      hdbench check
      hdbench check my-method.toml
    """
    from hdbench.library import KINDS

    library = library_here()
    problems = library.problems_in(paths) if paths else library.problems()
    if problems:
        raise LibraryError("\n".join([counted(len(problems), "problem"), *problems]))
    count = len(paths) or sum(len(library.entries(kind)) for kind in KINDS)
    click.echo(f"{counted(count, 'file')}, no problems")
