"""``python -m hdbench`` is ``hdbench``."""

from hdbench.cli.main import cli

cli(prog_name="hdbench")
