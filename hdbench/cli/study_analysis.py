"""``study plan``, ``study tally`` and ``study simulate``: the numbers of a study."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from hdbench.cli.options import json_option, print_json, study_option
from hdbench.errors import UsageError, counted

_PACKET = click.Path(path_type=Path)
_MOST_SD = 20  # logit units; far beyond, every answer is certain


class _Finite(click.FloatRange):
    """A range that refuses ``nan`` and ``inf``, unlike click's."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not finite.", param, ctx)
        return number


_worker_sd_option = click.option(
    "--worker-sd",
    default=0.6,
    type=_Finite(0, _MOST_SD),
    help="How much participants differ (SD, logit units).",
)
_image_sd_option = click.option(
    "--image-sd",
    default=1.0,
    type=_Finite(0, _MOST_SD),
    help="How much images differ (SD, logit units).",
)


@click.command()
@study_option
@click.option(
    "--methods",
    default=2,
    type=click.IntRange(min=2),
    help="How many methods; all pairs of them are compared.",
)
@click.option(
    "--scenes",
    default=500,
    type=click.IntRange(min=1),
    help="How many scenes are shown.",
)
@click.option(
    "--judgments",
    type=click.IntRange(min=1),
    metavar="R",
    help="Judgments of each pair on each scene; default: the protocol's.",
)
@click.option(
    "--preference",
    default=55.0,
    type=_Finite(50, 100, min_open=True, max_open=True),
    metavar="PERCENT",
    help="The true preference to be detected; 50 is chance.",
)
@click.option(
    "--power",
    default=0.8,
    type=_Finite(0, 1, min_open=True, max_open=True),
    help="Probability of detecting it.",
)
@click.option("--alpha", default=0.05, type=_Finite(1e-9, 0.5), help="Level of the tests.")
@_worker_sd_option
@_image_sd_option
@click.option(
    "--design-effect",
    type=_Finite(min=1),
    metavar="X",
    help="A design effect known from a pilot, instead of the two SDs.",
)
@click.option(
    "--fee",
    default=0.0,
    type=_Finite(min=0),
    help="The venue's fee on top of wages, 0.2 for a fifth.",
)
@json_option
def plan(
    name: str,
    methods: int,
    scenes: int,
    judgments: int | None,
    preference: float,
    power: float,
    alpha: float,
    worker_sd: float,
    image_sd: float,
    design_effect: float | None,
    fee: float,
    as_json: bool,
) -> None:
    """Print how many judgments a study needs, their cost, and what stays unbalanced.

    Judgments of one participant are correlated, and so are judgments of one image. The design
    effect is the factor by which a study needs more judgments for this reason.

    \b
    Examples:
      hdbench study plan --methods 3 --scenes 500
      hdbench study plan --study limited --judgments 10
      hdbench study plan --preference 60 --power 0.9 --design-effect 4
    """
    from dataclasses import asdict

    from hdbench.library import Library
    from hdbench.study.design.planning import described, planned

    outcome = planned(
        Library().study(name),
        methods=methods,
        scenes=scenes,
        judgments=judgments,
        preference=preference / 100,
        power=power,
        alpha=alpha,
        worker_sd=worker_sd,
        image_sd=image_sd,
        design_effect=design_effect,
        fee=fee,
    )
    if as_json:
        print_json(asdict(outcome))
    else:
        click.echo(described(outcome))


@click.command()
@click.argument("packet", type=_PACKET)
@click.argument("results", nargs=-1, type=_PACKET)
@click.option(
    "--simulated", is_flag=True, help="Tally the answers of 'study simulate' instead of people's."
)
@click.option(
    "--scores",
    multiple=True,
    type=_PACKET,
    metavar="RESULT.json",
    help="A stored result of a method, to correlate its scores with preferences; one for each "
    "method.",
)
@click.option(
    "--output",
    type=_PACKET,
    metavar="DIR",
    help="Output folder; default: the packet's results/tally.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole analysis as JSON.")
def tally(
    packet: Path,
    results: tuple[Path, ...],
    simulated: bool,
    scores: tuple[Path, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Compute preference rates with intervals; write files, figures and a methods paragraph.

    Reads the PACKET's own answers (results/judgments.jsonl) and the RESULTS named: a results CSV of
    Mechanical Turk or Turkle, submissions in a .jsonl, .json files that participants saved, or a
    folder of .csv and .json files. The rules that exclude sessions are fixed in the packet; rates
    are printed with and without these exclusions.

    \b
    Examples:
      hdbench study tally hdbench-runs/studies/unlimited
      hdbench study tally PACKET Batch_123_results.csv --json
      hdbench study tally PACKET saved-answers/
      hdbench study tally PACKET --scores ours.json --scores crn.json
    """
    from hdbench.reporting.preference_figures import write_tally_figures
    from hdbench.reporting.preferences import tally_text
    from hdbench.study.analysis.export import tally_folder, write_tally
    from hdbench.study.analysis.metrics import image_scores
    from hdbench.study.analysis.prose import methods_paragraph
    from hdbench.study.analysis.summary import analyse
    from hdbench.study.analysis.tally import answer_files
    from hdbench.study.analysis.tally import tally as tallied
    from hdbench.study.packet.files import open_packet

    opened = open_packet(packet)
    files = answer_files(opened, results, simulated=simulated)
    metrics = image_scores(scores, opened.study.methods) if scores else {}
    found = tallied(opened, files, simulated=simulated)
    for place in found.blanks:
        click.echo(f"warning: {place}: holds no answer", err=True)
    analysis = analyse(found, metrics)
    folder = output or tally_folder(packet, simulated=simulated)
    paths = write_tally(folder, found.table, analysis, methods_paragraph(found, analysis))
    paths |= write_tally_figures(folder, analysis)
    if as_json:
        print_json(analysis.content())
    else:
        click.echo(tally_text(analysis))
    for path in paths.values():
        click.echo(f"wrote {path}", err=True)


@click.command()
@click.argument("packet", type=_PACKET)
@click.option(
    "--participants",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of participants; default: one for each packet.",
)
@click.option("--seed", default=0, help="Seed of the answers.")
@click.option(
    "--careless",
    default=0.0,
    type=_Finite(0, 1),
    help="Share of participants who answer at random.",
)
@click.option(
    "--side-bias",
    default=0.0,
    type=_Finite(),
    help="Preference of all participants for the left side (logit units).",
)
@_worker_sd_option
@_image_sd_option
@click.option(
    "--ability",
    "abilities",
    multiple=True,
    metavar="METHOD=LOGIT",
    help="Ability of a method (logit units); default: random.",
)
def simulate(
    packet: Path,
    participants: int | None,
    seed: int,
    careless: float,
    side_bias: float,
    worker_sd: float,
    image_sd: float,
    abilities: tuple[str, ...],
) -> None:
    """Simulate answers to a PACKET, to rehearse its analysis before anybody is paid.

    Answers go to results/simulated.jsonl, and every row is marked as simulated; 'study tally' and
    reports read them only with --simulated.

    \b
    Examples:
      hdbench study simulate PACKET --seed 1
      hdbench study simulate PACKET --participants 50 --careless 0.1 --side-bias 0.3
      hdbench study tally PACKET --simulated
    """
    from hdbench.study.analysis.simulate import Participants, description, write_simulated
    from hdbench.study.analysis.simulate import simulate as simulated
    from hdbench.study.packet.files import open_packet

    opened = open_packet(packet)
    packets = opened.study.packets
    people = Participants(
        participants or packets,
        careless,
        side_bias,
        worker_sd,
        image_sd,
        abilities=dict(map(_ability, abilities)),
    )
    submissions = simulated(opened, people, seed)
    path = write_simulated(opened, submissions)
    click.echo(f"{description(people, submissions)}\nwrote {path}")
    if people.count < packets:
        click.echo(f"{people.count} of {counted(packets, 'packet')} answered", err=True)
    click.echo(f"Next: 'hdbench study tally {packet} --simulated'", err=True)


def _ability(text: str) -> tuple[str, float]:
    method, _, value = text.rpartition("=")
    try:
        logit = float(value)
    except ValueError:
        logit = math.nan
    if not math.isfinite(logit):
        raise UsageError(f"--ability {text}: expected METHOD=LOGIT, such as ours=0.5")
    return method, logit
