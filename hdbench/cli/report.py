"""``report``: tables of measured scores beside the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, device_option, methods_option, seed_option
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.schema.preference_report import PreferenceReport
    from hdbench.workspace.bench import Bench


@click.command()
@click.argument("name", default="table1")
@bench_options
@seed_option
@device_option
@methods_option("A measured method to show first; may be repeated. The library's are always shown.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "csv", "latex"]),
    default="text",
    help="The printed format; all formats and the HTML page are written to the workspace.",
)
@click.option("--scenes", default=8, type=click.IntRange(min=1), help="Scenes shown on the page.")
@click.option(
    "--packet",
    "packets",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="For reports of preferences: a tallied packet; default: all studies of the workspace.",
)
@click.option(
    "--simulated",
    is_flag=True,
    help="For reports of preferences: show simulated answers, marked as such.",
)
def report(
    name: str,
    bench: Bench,
    seed: int,
    device: str,
    methods: tuple[str, ...],
    form: str,
    scenes: int,
    packets: tuple[Path, ...],
    simulated: bool,
) -> None:
    """Print a report (default: table1) and write it: text, Markdown, CSV, LaTeX, figure, HTML.

    A measured method without a row in the report gets one. Reports of preferences (table2, table4,
    figure7, ablations) show tallied studies beside published rates.

    \b
    Examples:
      hdbench report table1
      hdbench report table1 --format markdown > table1.md
      hdbench report table1 --method ./my-method.toml
      hdbench report table2 --packet hdbench-runs/studies/unlimited
    """
    from hdbench.schema.report import Report

    chosen = bench.library.any_report(name)
    if not isinstance(chosen, Report):
        if methods:
            raise UsageError(
                f"--method: report '{name}' shows pairs of methods; a comparison of its own is a "
                "[[comparisons]] entry of a report file"
            )
        _report_preferences(bench, chosen, packets, simulated, form)
        return
    if packets or simulated:
        option = "--packet" if packets else "--simulated"
        raise UsageError(f"{option}: report '{name}' shows scores, not preferences")
    from hdbench.runtime.devices import choose_device
    from hdbench.workflows.report import report_on
    from hdbench.workspace.segmenters import open_second, open_segmenter

    computing_on = choose_device(device)
    segmenter = open_segmenter(bench, None, computing_on)
    second = open_second(bench, computing_on)
    paths = report_on(bench, chosen, methods, seed, segmenter, scenes, second)
    click.echo(paths[form].read_text(encoding="utf-8").rstrip())
    for path in paths.values():
        click.echo(f"wrote {path}", err=True)


def _report_preferences(
    bench: Bench,
    report: PreferenceReport,
    packets: tuple[Path, ...],
    simulated: bool,
    form: str,
) -> None:
    from hdbench.reporting.preference_report import (
        summaries_in,
        tallied_packets,
        write_preference_report,
    )

    studies = bench.workspace.study("any").parent
    folders = packets or tallied_packets(studies, simulated=simulated)
    summaries = summaries_in(folders, simulated=simulated)
    paths = write_preference_report(bench.workspace.reports(), report, summaries)
    click.echo(paths[form].read_text(encoding="utf-8").rstrip())
    for path in paths.values():
        click.echo(f"wrote {path}", err=True)
