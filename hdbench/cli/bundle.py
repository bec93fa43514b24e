"""``bundle``: measured results that labs exchange."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdbench.cli.options import (
    bench_options,
    device_option,
    json_option,
    methods_option,
    path_option,
    print_json,
)
from hdbench.errors import HdbenchError, UsageError, counted
from hdbench.text import inert

if TYPE_CHECKING:
    from hdbench.schema.bundle import Check
    from hdbench.workspace.bench import Bench

_benchmark_option = click.option(
    "--benchmark",
    metavar="NAME",
    help="The bundle's benchmark, where the library lacks it; default: the one of its name.",
)
_data_option = path_option(
    "--data-root", "DIR", "The dataset's folder; default: the one in hdbench.toml."
)
_workspace_option = path_option(
    "--workspace",
    "DIR",
    "Workspace with scenes and segmenters; default: the one of hdbench.toml, else a temporary one.",
)
_tolerance_option = click.option(
    "--tolerance",
    default=0.0,
    type=click.FloatRange(0, 0.01),
    help="Share of an image's pixels that may be predicted otherwise: another processor may round "
    "otherwise.",
)


@click.group()
def bundle() -> None:
    """Exchange measured results with other labs, and rank them together.

    \b
    Example:
      hdbench bundle pack --method ours --out lab.zip --contact 'A. Lab, a@lab.example'
      hdbench bundle verify theirs.zip
      hdbench report table1 --with theirs.zip
      hdbench bundle leaderboard bundles --out leaderboard.html
    """


def _seeds(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        raise click.BadParameter(f"'{text}'; expected numbers like 0,1,2")
    return list(dict.fromkeys(map(int, text.split(","))))


def _statements(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    for text in texts:
        if not all(text.partition("=")[::2]):
            raise click.BadParameter(f"'{text}'; expected NAME=TEXT")
    return dict(text.split("=", 1) for text in texts)


@bundle.command()
@methods_option(
    "A measured method; may be repeated. Oracle and floors are always packed.", required=True
)
@bench_options
@path_option("--out", "FILE", "The archive to write, like lab.zip.", required=True)
@click.option("--seeds", default="0", callback=_seeds, metavar="LIST", help="Such as 0,1,2.")
@click.option(
    "--images", default=8, type=click.IntRange(0, 100), help="Scenes whose images are packed."
)
@click.option("--contact", default="", metavar="TEXT", help="Who you are and how to reach you.")
@click.option(
    "--trained-on",
    "statements",
    multiple=True,
    metavar="NAME=TEXT",
    callback=_statements,
    help="What an imported method was trained on, in your words; may be repeated.",
)
def pack(
    methods: tuple[str, ...],
    bench: Bench,
    out: Path,
    seeds: list[int],
    images: int,
    contact: str,
    statements: dict[str, str],
) -> None:
    """Pack measured results into one archive that others can verify and rank beside theirs.

    It holds the results under both segmenters as 'hdbench evaluate' wrote them, the files of
    methods, benchmark and convention, the cards of generators and segmenters, and images of a few
    scenes, which follow from the results. Photographs of a dataset are left out. Stale results are
    refused. The same workspace gives the same archive. Files travel as they are, also the paths of
    folders that an import noted.

    \b
    Examples:
      hdbench bundle pack --method ours --out lab.zip --contact 'A. Lab, a@lab.example'
      hdbench bundle pack --method ours --method ours-no-vgg --seeds 0,1,2 --out lab.zip
      hdbench bundle pack --method spade --out spade.zip --trained-on 'spade=Cityscapes, 200 epochs'
    """
    from hdbench.workflows.bundle import pack as packed

    made = packed(bench, methods, seeds, out, images, contact, statements)
    content = out.read_bytes()
    click.echo(
        f"{out}: {counted(len(made.results), 'run')} on '{made.benchmark}', images of "
        f"{counted(len(made.sample), 'scene')}, {len(content):,} bytes"
    )
    click.echo(f"SHA-256 {hashlib.sha256(content).hexdigest()}")
    click.echo(f"Next: 'hdbench bundle verify {out}', as others will", err=True)


@bundle.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="BUNDLE")
@_benchmark_option
@_data_option
@_workspace_option
@device_option
@_tolerance_option
@json_option
def verify(
    path: Path,
    benchmark: str | None,
    data_root: Path | None,
    workspace: Path | None,
    device: str,
    tolerance: float,
    as_json: bool,
) -> None:
    """Verify a BUNDLE of another lab; nothing in it is believed.

    Every score is computed again from its matrices, and every fingerprint from its choices; every
    file must be the one that others in it name. Where benchmark, label maps and segmenter are at
    hand, the images that travel are scored again and their matrices compared. What could not be
    checked is printed, and why. The exit status is 1 if anything is wrong.

    \b
    Examples:
      hdbench bundle verify theirs.zip
      hdbench bundle verify theirs.zip --data-root ~/data/camvid --workspace hdbench-runs
      hdbench bundle verify theirs.zip --json
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.check_bundle import Here
    from hdbench.workflows.check_bundle import verify as verified

    here = Here(Path.cwd(), benchmark, data_root, workspace)
    found = verified(path, here, choose_device(device), tolerance=tolerance)
    if as_json:
        facts: dict[str, Any] = {
            "bundle": str(path),
            "sha256": found.bundle and found.bundle.sha256,
            "holds": not found.wrong,
            "rescored": found.rescored,
            "checks": [check.model_dump() for check in found.checks],
        }
        print_json(facts)
    else:
        click.echo(_table(found.checks))
        for check in found.checks:
            for line in check.unchecked:
                click.echo(f"not checked: {line}")
        if found.bundle is not None:
            click.echo(f"SHA-256 {found.bundle.sha256}")
    if found.wrong:
        problems = counted(len(found.wrong), "problem")
        raise HdbenchError("\n".join([f"{inert(str(path))}: {problems}", *found.wrong]))


def _answer(check: Check) -> str:
    if check.wrong:
        return "NO "
    return "yes" if check.checked else "-  "


def _table(checks: list[Check]) -> str:
    width = max(len(check.claim) for check in checks)
    lines = (
        f"{_answer(check)}  {check.claim:<{width}}  {inert(check.measured)}" for check in checks
    )
    return "\n".join(line.rstrip() for line in lines)


@bundle.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@path_option("--out", "FILE", "The page to write, like leaderboard.html.", required=True)
@click.option("--title", default="Leaderboard", metavar="TEXT", help="The page's heading.")
@click.option(
    "--rescore/--no-rescore",
    default=True,
    help="Score images again where benchmark, labels and segmenter are at hand.",
)
@_benchmark_option
@_data_option
@_workspace_option
@device_option
@_tolerance_option
def leaderboard(
    folder: Path,
    out: Path,
    title: str,
    rescore: bool,
    benchmark: str | None,
    data_root: Path | None,
    workspace: Path | None,
    device: str,
    tolerance: float,
) -> None:
    """Write one HTML page that ranks the bundles in folder DIR; it needs no other file.

    Each bundle is verified first, as by 'hdbench bundle verify'; those that do not hold are listed
    with the reason. Results share a table only if their fingerprints agree.

    \b
    Examples:
      hdbench bundle leaderboard bundles --out leaderboard.html
      hdbench bundle leaderboard bundles --out leaderboard.html --no-rescore
    """
    from hdbench.runtime.devices import choose_device
    from hdbench.storage import write_atomically
    from hdbench.workflows.check_bundle import Here
    from hdbench.workflows.leaderboard import leaderboard_page

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected one with bundles")
    here = Here(Path.cwd(), benchmark, data_root, workspace)
    page = leaderboard_page(folder, title, here, choose_device(device), rescore, tolerance)
    write_atomically(out, page.html.encode())
    click.echo(
        f"{out}: {counted(page.methods, 'method')} of {counted(page.bundles, 'bundle')} in "
        f"{counted(page.tables, 'table')}"
    )
    for line in page.refused:
        click.echo(f"not ranked: {line}", err=True)
