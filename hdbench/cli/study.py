"""``study``: human studies; this module builds, verifies and hosts packets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdbench.cli.options import (
    bench_options,
    edited_option,
    json_option,
    path_option,
    print_json,
    study_option,
)
from hdbench.cli.study_analysis import plan, simulate, tally
from hdbench.cli.study_prolific import prolific
from hdbench.cli.study_server import backup, export, rehearse, serve
from hdbench.errors import HdbenchError, UsageError, counted

if TYPE_CHECKING:
    from hdbench.study.design.balance import Finding
    from hdbench.workspace.bench import Bench


@click.group()
def study() -> None:
    """Ask people which images they prefer."""


for command in (plan, rehearse, serve, prolific, backup, export, tally, simulate):
    study.add_command(command)


@study.command()
@study_option
@click.option(
    "--methods",
    required=True,
    metavar="A,B,...",
    help="Methods with images in the workspace, separated by commas.",
)
@click.option(
    "--reference",
    metavar="NAME",
    help="One more method to compare all others with; 'oracle' shows the photographs.",
)
@bench_options
@click.option("--seed", default=0, help="Seed of the design.")
@click.option("--run-seed", default=0, help="Seed of the runs that are shown.")
@click.option(
    "--scenes",
    "most_scenes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show N scenes, spread over the split; default: all.",
)
@click.option("--intersect", is_flag=True, help="Leave out scenes that a method has no image of.")
@edited_option
@path_option("--output", "DIR", "The packet's folder; default: studies/NAME in the workspace.")
@path_option(
    "--key",
    "FILE",
    "The secret.key of a packet, to make it again with the same names; default: a random one.",
)
@json_option
def build(
    name: str,
    methods: str,
    reference: str | None,
    bench: Bench,
    seed: int,
    run_seed: int,
    most_scenes: int | None,
    intersect: bool,
    edited: Path | None,
    output: Path | None,
    key: Path | None,
    as_json: bool,
) -> None:
    """Write the packet of a study: images, trials, the participants' page, a private preview.

    Ask people with 'hdbench study serve', on your own server, with participants from Prolific. A
    plain file server and Turkle, which reads Mechanical Turk's file formats, work too; the packet's
    mturk/README.md has the steps for each. The
    same inputs give the same packet but for the names of its images and trials, which a random key
    hides (secret.key in the packet, never to be published); an existing packet is never changed.

    \b
    Examples:
      hdbench study build --study pilot --methods ours,floor-patchwork
      hdbench study build --study limited --methods ours,crn --reference oracle
      hdbench study build --study regions --methods ours,ours-labels-only --output cars
    """
    from hdbench.study.packet.build import Flags
    from hdbench.study.packet.build import build as build_packet
    from hdbench.study.packet.files import PREVIEW_FILE, read_key
    from hdbench.study.packet.gathering import gather

    bench = bench.with_edited(edited)
    protocol = bench.library.study(name)
    chosen = [method.strip() for method in methods.split(",")]
    if not all(chosen):
        raise UsageError(f"--methods {methods!r}: expected names separated by commas")
    flags = Flags(seed, run_seed, intersect, most_scenes)
    own_key = None if key is None else read_key(key)
    material = gather(bench, protocol, chosen, reference, run_seed, intersect, most_scenes)
    folder = output or bench.workspace.study(protocol.name)
    built = build_packet(bench, protocol, material, reference, flags, folder, own_key)
    for warning in built.warnings:
        click.echo(f"warning: {warning}", err=True)
    record = built.study
    if as_json:
        facts = {
            "folder": str(folder),
            "written": built.written,
            "packets": record.packets,
            "scenes": len(record.scenes),
            "methods": record.methods,
            "protocol_hash": record.protocol_hash,
            "design_hash": record.design_hash,
            "warnings": built.warnings,
        }
        print_json(facts)
        return
    done = "wrote" if built.written else "exists already, with the same inputs:"
    click.echo(f"{done} {folder}")
    click.echo(
        f"{counted(len(record.pairs), 'pair')} of {', '.join(record.methods)} on "
        f"{counted(len(record.scenes), 'scene')} in {counted(record.packets, 'packet')}; "
        f"design {record.design_hash[:16]}"
    )
    click.echo(f"look at {folder / PREVIEW_FILE}")
    click.echo(
        f"Next: 'hdbench study rehearse {folder}', then 'hdbench study serve {folder}'; "
        f"other ways to ask people: {folder / 'mturk' / 'README.md'}",
        err=True,
    )


@study.command()
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
    HITs; README.md has the steps. The formats are those of Mechanical Turk, which closed on
    30 September 2026.

    \b
    Examples:
      hdbench study mturk studies/unlimited --url https://my-bucket.example/study/
      hdbench study mturk studies/unlimited --url http://localhost:8000/
    """
    from hdbench.study.packet.mturk import write_mturk

    written = write_mturk(packet, address=address)
    click.echo(f"{counted(written.rows, 'task')} in {written.folder}; read README.md there")
    for note in written.notes:
        click.echo(note, err=True)


@study.command()
@click.argument("packet", type=click.Path(path_type=Path))
@json_option
def verify(packet: Path, as_json: bool) -> None:
    """Verify that PACKET is balanced, anonymous and unchanged; only its own files are read.

    \b
    Example:
      hdbench study verify hdbench-runs/studies/unlimited
    """
    from dataclasses import asdict

    from hdbench.study.packet.verify import verify as verified

    findings = verified(packet)
    problems = [line for finding in findings for line in finding.violations]
    if as_json:
        claims = [asdict(finding) for finding in findings]
        print_json({"holds": not problems, "claims": claims})
    else:
        click.echo(_table(findings))
    if problems:
        raise HdbenchError("\n".join([f"{packet}: {counted(len(problems), 'problem')}", *problems]))


def _table(findings: list[Finding]) -> str:
    width = max(len(finding.claim) for finding in findings)
    return "\n".join(
        f"{'NO ' if finding.violations else 'yes'}  {finding.claim:<{width}}  {finding.measured}"
        for finding in findings
    )
