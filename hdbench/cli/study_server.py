"""``study serve``, ``study backup`` and ``study export``: one's own server and its answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import path_option
from hdbench.errors import counted

if TYPE_CHECKING:
    from hdbench.study.packet.files import Packet

_PACKET = click.Path(path_type=Path)


@click.command()
@click.argument("packet", type=_PACKET)
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0: all of them.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--url",
    "address",
    metavar="ADDRESS",
    help="The public https address that a reverse proxy passes on to this server.",
)
@click.option(
    "--lease-minutes",
    default=30.0,
    type=click.FloatRange(min=1, max=24 * 60),
    help="How long a silent session holds its packet.",
)
@click.option(
    "--unblind",
    is_flag=True,
    help="Show preference rates before all packets are filled; recorded in the database.",
)
def serve(
    packet: Path, host: str, port: int, address: str | None, lease_minutes: float, unblind: bool
) -> None:
    """Serve PACKET to participants and keep each answer as it is given.

    Everybody gets the least-filled packet; a page that is loaded again goes on at the next pair.
    Answers are in results/judgments.sqlite before a browser hears that they have arrived, so a
    server that was killed is started again by the same command and goes on. Participants are kept
    only as keyed hashes, and no addresses.

    Two links are printed: the participants', which needs no token, and the researcher's, which
    shows progress, balance and exclusions, and preference rates only when all packets are filled.
    A link of Prolific ends in ?PROLIFIC_PID=...&STUDY_ID=...&SESSION_ID=...; elsewhere each person
    may have a link with ?participant=NAME, without which nobody knows who took part twice.

    \b
    Examples:
      hdbench study serve hdbench-runs/studies/unlimited
      hdbench study serve PACKET --url https://study.example.org/
      hdbench study serve PACKET --host 0.0.0.0 --port 80
    """
    from contextlib import closing
    from dataclasses import replace
    from datetime import timedelta

    from hdbench.study.answers.database import database_path, now, open_database
    from hdbench.study.packet.files import open_packet
    from hdbench.study.server.running import public_address, researcher_token
    from hdbench.web.serving import listen, require_web
    from hdbench.web.serving import serve as answer

    require_web()
    from hdbench.study.server.application import RESEARCHER, Settings, application
    from hdbench.study.server.progress import unblind as unblinded

    opened = open_packet(packet)
    link = public_address(address) if address else None
    path = database_path(packet)
    with closing(open_database(path, opened.study, simulated=False)) as connection:
        if unblind:
            unblinded(connection, now())
        settings = Settings(
            token=researcher_token(packet),
            lease=timedelta(minutes=lease_minutes),
            secure=link is not None and link.startswith("https:"),
        )
        app = application(opened, connection, settings)
        bound = replace(listen(host, port, lambda: settings.token), token=None)
        first = link or bound.link
        click.echo(f"answers: {path}", err=True)
        click.echo(f"researcher: {first}{RESEARCHER[1:]}?token={settings.token}")
        if link:
            click.echo(f"participants: {link}")
        answer(app, bound, "this machine" if link else "participants", open_browser=False)


@click.command()
@click.argument("packet", type=_PACKET)
@click.argument("copy", type=_PACKET)
def backup(packet: Path, copy: Path) -> None:
    """Copy the database of PACKET's server to COPY, also while it runs.

    'study tally' reads the copy as it reads the database, together with those of other servers.

    \b
    Examples:
      hdbench study backup hdbench-runs/studies/unlimited monday.sqlite
      hdbench study tally PACKET server-2.sqlite
    """
    from hdbench.study.answers.database import backup as backed_up
    from hdbench.study.answers.database import database_path

    opened = _opened(packet)
    count = backed_up(database_path(packet), opened.study, copy)
    click.echo(f"wrote {copy}: {counted(count, 'answer')}")


@click.command()
@click.argument("packet", type=_PACKET)
@path_option("--output", "FILE", "A .jsonl; default: stdout.")
def export(packet: Path, output: Path | None) -> None:
    """Write the answers of PACKET's server as text, one session a line, also while it runs.

    This is the form that 'study tally' reads beside databases and results CSVs; it names nobody.

    \b
    Examples:
      hdbench study export hdbench-runs/studies/unlimited --output answers.jsonl
      hdbench study tally PACKET answers.jsonl
    """
    from hdbench.storage import write_atomically
    from hdbench.study.answers.database import database_path, exported

    opened = _opened(packet)
    lines = exported(database_path(packet), opened.study)
    if output is None:
        click.echo("".join(lines), nl=False)
        return
    write_atomically(output, "".join(lines).encode())
    click.echo(f"wrote {output}: {counted(len(lines), 'session')}")


def _opened(packet: Path) -> Packet:
    from hdbench.study.packet.files import open_packet

    return open_packet(packet)


@click.command()
@click.argument("packet", type=_PACKET)
@click.option("--attentive", default=3, type=click.IntRange(0, 1000), help="People who look.")
@click.option("--hasty", default=1, type=click.IntRange(0, 1000), help="People who do not.")
@click.option("--bots", default=1, type=click.IntRange(0, 1000), help="Always the left image.")
@click.option(
    "--closing", default=1, type=click.IntRange(0, 1000), help="Close the tab and come back."
)
@click.option("--seed", default=0, help="Seed of what they choose.")
@path_option("--browser", "FILE", "Chromium; default: the system's, else playwright's.")
def rehearse(
    packet: Path,
    attentive: int,
    hasty: int,
    bots: int,
    closing: int,
    seed: int,
    browser: Path | None,
) -> None:
    """Let simulated people answer PACKET in the real page, through the server, to the tally.

    Chromium opens the page that participants get; each answer that it sends must be found in the
    database as it was sent, and the tally must read them. Every row is marked as simulated: they
    are in results/rehearsal.sqlite and results/simulated.jsonl, which 'study tally --simulated'
    reads. Hasty people and bots should be excluded by the quality rules, the others not.

    \b
    Examples:
      hdbench study rehearse hdbench-runs/studies/pilot
      hdbench study rehearse PACKET --attentive 20 --hasty 2 --bots 2 --closing 3
    """
    from hdbench.study.rehearsal.people import crowd
    from hdbench.study.rehearsal.rehearse import rehearse as rehearsed

    opened = _opened(packet)
    counts = {"attentive": attentive, "hasty": hasty, "bot": bots, "closing": closing}
    people = crowd(opened.study, counts, seed)  # pyright: ignore[reportArgumentType]
    done = rehearsed(opened, people, browser)
    click.echo(
        f"simulated: {counted(len(people), 'person')} in the real page, "
        f"{counted(done.answers, 'answer')} kept as they were sent"
    )
    for line in done.lines():
        click.echo(line)
    click.echo(f"Next: 'hdbench study tally {packet} --simulated'", err=True)
