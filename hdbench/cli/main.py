"""The ``hdbench`` command."""

from __future__ import annotations

import os
from typing import Any

import click

from hdbench import __version__
from hdbench.cli.bundle import bundle
from hdbench.cli.compare import compare
from hdbench.cli.data import data
from hdbench.cli.edit import edit
from hdbench.cli.evaluate import evaluate
from hdbench.cli.gallery import gallery
from hdbench.cli.imports import import_images
from hdbench.cli.library import check, init, list_library, show
from hdbench.cli.measure import measure
from hdbench.cli.perceptual import fetch, perceptual
from hdbench.cli.quickstart import quickstart
from hdbench.cli.report import report
from hdbench.cli.reproduce import reproduce
from hdbench.cli.segmenter import segmenter
from hdbench.cli.study import study
from hdbench.cli.styles import styles
from hdbench.cli.train import synthesize, train
from hdbench.cli.weights import export_weights, import_weights
from hdbench.errors import HdbenchError


class _Commands(click.Group):
    """Turns hdbench's errors into a message on stderr and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HdbenchError as error:
            click.echo(f"{_speaker()}: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\nhdbench: stopped; the same command resumes", err=True)
            ctx.exit(130)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet


def _speaker() -> str:
    """Return who reports an error: of torchrun's processes, all but the first by their rank."""
    rank = os.environ.get("RANK", "0")
    return "hdbench" if rank == "0" else f"hdbench, rank {rank}"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="hdbench")
def cli() -> None:
    """Train, score and compare methods of semantic image synthesis.

    \b
    Everything in one command, on Streets, scenes that hdbench draws itself:
      hdbench quickstart

    \b
    The same, step by step:
      hdbench train ours
      hdbench evaluate --method ours
      hdbench report table1

    \b
    Every method of a table, one after the other:
      hdbench reproduce table1

    \b
    On a dataset of your own, before these:
      hdbench init --benchmark camvid --data-root DIR
      hdbench data check
      hdbench segmenter train
      hdbench perceptual train
    """


for command in (
    quickstart,
    init,
    list_library,
    show,
    check,
    data,
    train,
    styles,
    synthesize,
    perceptual,
    fetch,
    segmenter,
    import_images,
    import_weights,
    export_weights,
    evaluate,
    compare,
    measure,
    gallery,
    edit,
    study,
    report,
    bundle,
    reproduce,
):
    cli.add_command(command)
