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
    metavar="NAME",
    help="Benchmark (see 'hdbench list'); default: streets.",
)
@path_option("--data-root", "DIR", "The dataset's folder; built-in scenes (Streets) have none.")
@path_option(
    "--from-folder",
    "DIR",
    "Your own data: a folder with photographs/, inputs/ (label maps), optional instances/.",
)
@click.option("--overwrite", is_flag=True, help="With --from-folder: replace files of earlier.")
@path_option("--workspace", "DIR", "Folder of runs and results.", default=Path("hdbench-runs"))
def init(
    benchmark: str | None,
    data_root: Path | None,
    from_folder: Path | None,
    overwrite: bool,
    workspace: Path,
) -> None:
    """Write hdbench.toml here, so that no later command needs a path.

    With --from-folder, inspect a folder and write its benchmark, label space and scoring
    convention too. The folder itself is only read.

    \b
    Examples:
      hdbench init --benchmark streets-large
      hdbench init --benchmark camvid --data-root ~/data/camvid
      hdbench init --from-folder ~/data/birds
    """
    if from_folder is not None:
        if benchmark is not None or data_root is not None:
            raise UsageError("--from-folder writes a benchmark; leave --benchmark, --data-root out")
        _init_from_folder(from_folder, workspace, overwrite)
        return
    if overwrite:
        raise UsageError("--overwrite is for --from-folder; else delete hdbench.toml first")
    benchmark = benchmark or "streets"
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


def _init_from_folder(folder: Path, workspace: Path, overwrite: bool) -> None:
    from hdbench.workflows.from_folder import init_from_folder

    found = init_from_folder(folder, Path.cwd(), workspace, overwrite)
    for line in found.facts:
        click.echo(line)
    click.echo(f"wrote {', '.join(path.name for path in found.written)}")
    click.echo("Next:")
    if found.unnamed is not None:
        click.echo(f"  name the classes in {found.unnamed.name}")
    for command, what in (
        ("data check", "decodes every file"),
        ("segmenter train", "trains the network that scores images"),
        ("perceptual train", "trains the network of the perceptual loss"),
        ("train ours", "trains the generator"),
        ("evaluate --method ours", "prints the table"),
    ):
        click.echo(f"  {'hdbench ' + command:<31} # {what}")


@click.command(name="list")
@json_option
def list_library(as_json: bool) -> None:
    """List the library: methods, benchmarks, label spaces, scorings, studies, reports, weights."""
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
    """Print a library file (method, benchmark, label space, ...), or the card of weights.

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
