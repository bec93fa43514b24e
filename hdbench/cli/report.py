"""``report``: what was measured beside what was published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import bench_options, device_option, edited_option, methods_option
from hdbench.errors import UsageError

if TYPE_CHECKING:
    from hdbench.schema.report import Report
    from hdbench.segmentation.segmenter import Segmenter
    from hdbench.workspace.bench import Bench


def _seeds(ctx: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    """Return the seeds of an option such as ``0,1,2``."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise click.BadParameter(f"'{text}'; expected numbers with commas between them, as 0,1,2")
    return list(dict.fromkeys(map(int, words)))


@click.command()
@click.argument("name", default="table1")
@bench_options
@click.option(
    "--seeds",
    callback=_seeds,
    metavar="N,...",
    help="Training seeds to show; default: all that are measured.",
)
@device_option
@methods_option("A measured method to show in any case; may be repeated.")
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
    help="For preferences: a tallied packet; default: all studies of the workspace.",
)
@click.option(
    "--with",
    "bundles",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="BUNDLE.zip",
    help="Rank the methods of another lab's bundle too; may be repeated.",
)
@edited_option
@click.option(
    "--simulated",
    is_flag=True,
    help="For preferences: show simulated answers, marked as such.",
)
def report(
    name: str,
    bench: Bench,
    seeds: list[int] | None,
    device: str,
    methods: tuple[str, ...],
    form: str,
    scenes: int,
    packets: tuple[Path, ...],
    bundles: tuple[Path, ...],
    edited: Path | None,
    simulated: bool,
) -> None:
    """Print a report (default: table1) and write it: text, Markdown, CSV, LaTeX, figures, HTML.

    Scores are shown for all training seeds that are measured, with the oracle and the floors.
    Reports of preferences (table2, figure7, loss-ablation) show tallied studies beside published
    rates. The report 'summary' is one page of all the others.

    \b
    Examples:
      hdbench report table1
      hdbench report table1 --format latex > table1.tex
      hdbench report table1 --method ./my-method.toml --seeds 0,1
      hdbench report table2 --packet hdbench-runs/studies/unlimited
      hdbench report table1 --with theirs.zip
      hdbench report editing
      hdbench report summary
    """
    from hdbench.workflows.report import Shown, report_on
    from hdbench.workflows.report_bundles import elsewhere

    chosen = bench.library.report(name)
    if methods and not chosen.rows:
        raise UsageError(
            f"--method: report '{name}' has no table of scores; a comparison of one's own is a "
            "[[comparisons]] entry of a report file"
        )
    if (packets or simulated) and not chosen.shows_preferences and not chosen.reports:
        option = "--packet" if packets else "--simulated"
        raise UsageError(f"{option}: report '{name}' shows no preferences")
    if bundles and not chosen.rows and not chosen.reports:
        raise UsageError(f"--with {bundles[0]}: report '{name}' has no table of scores")
    if edited is not None and chosen.edits is None:
        raise UsageError(
            f"--edited {edited}: report '{name}' shows no edited scenes; 'editing' does"
        )
    bench = bench.with_edited(edited)
    extra = elsewhere(bundles)
    segmenter, second = _segmenters(bench, chosen, device)
    shown = Shown(methods, seeds, scenes, packets, simulated, extra)
    paths = report_on(bench, chosen, segmenter, second, shown)
    if form in paths:
        click.echo(paths[form].read_text(encoding="utf-8").rstrip())
    elif form != "text":
        raise UsageError(f"--format {form}: report '{name}' has no single table")
    for path in paths.values():
        click.echo(f"wrote {path}", err=True)


def _segmenters(
    bench: Bench, report: Report, device: str
) -> tuple[Segmenter | None, Segmenter | None]:
    """Return what scores the benchmark, and its second segmenter, if the report needs them."""
    results = bench.workspace.root / "results" / bench.benchmark.name
    if not report.shows_scores and not (report.reports and results.is_dir()):
        return None, None
    from hdbench.runtime.devices import choose_device
    from hdbench.workspace.segmenters import open_second, open_segmenter

    computing_on = choose_device(device)
    return open_segmenter(bench, None, computing_on), open_second(bench, computing_on)
