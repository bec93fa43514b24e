"""``study``: human studies, from the plan to the numbers."""

from __future__ import annotations

import click

from hdbench.cli.study_analysis import plan, simulate, tally


@click.group()
def study() -> None:
    """Ask people which image looks more natural, and say what they answered."""


for command in (plan, tally, simulate):
    study.add_command(command)
