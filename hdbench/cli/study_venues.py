"""``study mturk``: a packet's files for Mechanical Turk, Turkle and one's own server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("packet", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--url",
    "address",
    required=True,
    metavar="ADDRESS",
    help="The address that serves the content of the packet's web/ folder.",
)
def mturk(packet: Path, address: str) -> None:
    """Write PACKET/mturk again, for the address that serves the images.

    batch.csv and layout.html are for Turkle, question.xml and external.xml for programs that create
    HITs; README.md has the steps. The formats are those of Mechanical Turk, which Amazon has
    announced to close on 30 September 2026.

    \b
    Examples:
      hdbench study mturk studies/unlimited --url https://my-bucket.example/study/
      hdbench study mturk studies/unlimited --url http://localhost:8000/
    """
    from hdbench.errors import counted
    from hdbench.study.packet.mturk import write_mturk

    written = write_mturk(packet, address=address)
    click.echo(f"{counted(written.rows, 'task')} in {written.folder}; read README.md there")
    for note in written.notes:
        click.echo(note, err=True)
