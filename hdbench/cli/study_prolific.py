"""``study prolific``: recruiting on Prolific through its API."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hdbench.cli.options import path_option
from hdbench.errors import UsageError, counted

if TYPE_CHECKING:
    from hdbench.study.packet.files import Packet
    from hdbench.study.prolific.calls import Prolific

Verb = TypeVar("Verb", bound=Callable[..., Any])
_API = "https://api.prolific.com"


@click.group()
def prolific() -> None:
    """Recruit participants on Prolific through its API.

    The token of your account is read from the environment variable PROLIFIC_TOKEN. With --dry-run
    every call that changes or pays anything is shown and not made. Calls are recorded in the
    packet's results/prolific.jsonl, where people are keyed hashes; repeating a command makes or
    pays nothing twice.

    \b
    Examples:
      hdbench study prolific create PACKET --url https://study.example.org/ --dry-run
      hdbench study prolific publish PACKET
      hdbench study prolific approve PACKET --dry-run
    """


def _call(reads: bool = True) -> Callable[[Verb], Verb]:
    """Return what gives a verb its packet, Prolific's API, ``--dry-run`` and ``--api``."""

    def with_options(verb: Verb) -> Verb:
        @click.argument("packet", type=click.Path(path_type=Path))
        @click.option("--dry-run", is_flag=True, help="Show the calls that change something.")
        @click.option("--api", "address", default=_API, help="Address of the API.")
        @functools.wraps(verb)
        def called(packet: Path, dry_run: bool, address: str, **options: Any) -> Any:
            from hdbench.study.packet.files import open_packet
            from hdbench.study.prolific.calls import prolific as opened_api

            opened = open_packet(packet)
            api = opened_api(
                packet,
                opened.study,
                address=address,
                dry_run=dry_run,
                show=lambda line: click.echo(line, err=not dry_run),
                reads=reads,
            )
            return verb(packet=opened, api=api, **options)

        return called  # pyright: ignore[reportReturnType]

    return with_options


@prolific.command()
@_call(reads=False)
@click.option("--url", required=True, metavar="ADDRESS", help="The public address of the server.")
@click.option("--places", type=click.IntRange(min=1), help="Default: one for each packet.")
@click.option("--minutes", type=click.IntRange(min=1), help="Default: from the protocol.")
@click.option(
    "--reward",
    type=click.FloatRange(min=0.01),
    help="In the account's currency; default: the protocol's hourly wage for these minutes.",
)
@click.option("--title", help="What participants read in the list of studies.")
@click.option("--description", help="What they read before they begin.")
@path_option("--filters", "FILE", "A JSON list of Prolific's filters: who may take part.")
def create(
    packet: Packet,
    api: Prolific,
    url: str,
    places: int | None,
    minutes: int | None,
    reward: float | None,
    title: str | None,
    description: str | None,
    filters: Path | None,
) -> None:
    """Make a draft of PACKET's study; nothing is published, and nobody is paid.

    \b
    Examples:
      hdbench study prolific create PACKET --url https://study.example.org/ --dry-run
      hdbench study prolific create PACKET --url https://study.example.org/ --places 60
    """
    from hdbench.study.prolific.recruiting import create as made
    from hdbench.study.prolific.recruiting import planned_draft
    from hdbench.study.server.running import public_address

    draft = planned_draft(
        packet,
        places=places,
        minutes=minutes,
        reward_cents=None if reward is None else round(100 * reward),
        title=title,
        description=description,
        filters=filters,
    )
    name = made(api, packet, draft, public_address(url))
    if name is not None:
        click.echo(f"draft {name}: {counted(draft.places, 'place')}")
        click.echo(
            f"Next: look at it on Prolific, then 'hdbench study prolific publish {packet.folder}'",
            err=True,
        )


@prolific.command()
@_call()
def publish(packet: Packet, api: Prolific) -> None:
    """Publish the draft: Prolific reserves the money and invites participants.

    \b
    Example:
      hdbench study prolific publish PACKET --dry-run
    """
    from hdbench.study.prolific.recruiting import publish as published

    click.echo(f"status: {published(api)}", err=api.dry_run)


@prolific.command("list")
@_call()
def list_submissions(packet: Packet, api: Prolific) -> None:
    """List the submissions on Prolific beside the sessions on PACKET's server.

    \b
    Example:
      hdbench study prolific list PACKET
    """
    from hdbench.study.prolific.recruiting import review, table_of

    for line in table_of(review(api, packet)):
        click.echo(line)


@prolific.command()
@_call()
def approve(packet: Packet, api: Prolific) -> None:
    """Approve all who completed PACKET within its quality rules, which pays them.

    The rules are those that were fixed when the packet was built. Nobody is rejected: whoever
    breaks a rule is left for you to decide.

    \b
    Example:
      hdbench study prolific approve PACKET --dry-run
    """
    from hdbench.study.prolific.recruiting import approve as approved
    from hdbench.study.prolific.recruiting import review

    found = review(api, packet)
    passed = approved(api, found)
    for one in found:
        if one.status == "AWAITING REVIEW" and not one.passes:
            click.echo(f"for you to decide: {one.submission}: {one.said}", err=True)
    would = "would approve" if api.dry_run else "approved"
    click.echo(f"{would} {counted(len(passed), 'submission')}", err=api.dry_run)


@prolific.command()
@_call()
@click.option(
    "--amount", required=True, metavar="DECIMAL", help="In the study's currency, such as 1.50."
)
def bonus(packet: Packet, api: Prolific, amount: str) -> None:
    """Pay a bonus, once, to all who were approved and are within the quality rules.

    \b
    Example:
      hdbench study prolific bonus PACKET --amount 0.50 --dry-run
    """
    import re

    from hdbench.study.prolific.recruiting import pay_bonus, review

    if not re.fullmatch(r"\d{1,3}\.\d\d", amount) or float(amount) == 0:
        raise UsageError(f"--amount {amount}: expected a number with two decimals, such as 1.50")
    due = pay_bonus(api, review(api, packet), amount)
    would = "would pay" if api.dry_run else "paid"
    click.echo(f"{would} {amount} to {counted(len(due), 'submission')}", err=api.dry_run)
