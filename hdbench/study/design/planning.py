"""The plan of a study: its power, cost and balance, before it is built."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hdbench.errors import counted
from hdbench.schema.study import StudyProtocol
from hdbench.study.design.power import (
    Cost,
    balance_notes,
    cost_of,
    exact_judgments,
    exact_power,
    heterogeneity,
    images_needed,
    judgments_on_images,
    normal_judgments,
)


@dataclass(frozen=True)
class IndependentJudgments:
    """The number of independent judgments of a pair that detect the preference."""

    exact: int
    #: With the level divided by the number of pairs (Bonferroni).
    exact_for_all_pairs: int
    normal_approximation: int


@dataclass(frozen=True)
class Plan:
    """The output of ``study plan``; the fields are the keys of its JSON."""

    study: str
    methods: int
    pairs: int
    scenes: int
    #: R.
    judgments_per_pair_and_scene: int
    judgments_per_pair: int
    #: The true share of the better method, in (0.5, 1).
    preference: float
    power: float
    alpha: float
    independent_judgments: IndependentJudgments
    #: Standard deviations of participants and images, logit units; None with a known design effect.
    worker_sd: float | None
    image_sd: float | None
    judgments_per_participant_and_pair: float
    design_effect: float
    #: None if no number suffices on these scenes.
    judgments_needed_per_pair: int | None
    #: The fewest scenes on which some number suffices; None where these are enough.
    scenes_needed: int | None
    power_of_this_plan: float
    cost: Cost
    hourly_wage: float
    fee: float
    #: The balance of the design, in sentences.
    balance: list[str]


def planned(
    protocol: StudyProtocol,
    *,
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
) -> Plan:
    """Return the plan of a study, in which all pairs of methods are compared.

    ``judgments`` is R of each (pair, scene); None takes the protocol's. ``preference`` is the share
    to be detected, in (0.5, 1), with probability ``power`` by two-sided tests of level ``alpha``.
    ``worker_sd`` and ``image_sd`` say how much participants and images differ, in logit units; a
    known ``design_effect`` replaces them. ``fee`` is the venue's share on top of wages.

    Raises:
        UsageError: the difference is too small for any study.
    """
    design = protocol.design
    pairs = methods * (methods - 1) // 2
    each = judgments or design.judgments_per_pair
    per_pair = scenes * each
    # A packet shows all pairs equally often, and at most all judgments of a pair.
    per_participant = min(per_pair, design.packet_length / pairs)
    exact = exact_judgments(preference, power, alpha)
    likeness = heterogeneity(preference, worker_sd, image_sd)
    if design_effect is None:
        effect = likeness.design_effect(per_participant, each)
        needed = judgments_on_images(exact, scenes, per_participant, likeness)
    else:
        effect, needed = design_effect, math.ceil(exact * design_effect)
    independent = int(per_pair / effect)
    anchors = 0 if protocol.anchor is None else protocol.anchor.count
    extra = protocol.practice.count + protocol.checks.count + anchors
    cost = cost_of(
        pairs * per_pair,
        design.packet_length,
        extra,
        protocol.venue.seconds_per_trial,
        protocol.venue.hourly_wage,
        fee,
    )
    return Plan(
        study=protocol.name,
        methods=methods,
        pairs=pairs,
        scenes=scenes,
        judgments_per_pair_and_scene=each,
        judgments_per_pair=per_pair,
        preference=preference,
        power=power,
        alpha=alpha,
        independent_judgments=IndependentJudgments(
            exact=exact,
            exact_for_all_pairs=exact_judgments(preference, power, alpha / pairs),
            normal_approximation=normal_judgments(preference, power, alpha),
        ),
        worker_sd=None if design_effect else worker_sd,
        image_sd=None if design_effect else image_sd,
        judgments_per_participant_and_pair=round(per_participant, 1),
        design_effect=round(effect, 2),
        judgments_needed_per_pair=needed,
        scenes_needed=images_needed(exact, likeness) if needed is None else None,
        power_of_this_plan=round(float(exact_power(independent, preference, alpha)), 3),
        cost=replace(cost, hours=round(cost.hours, 1), money=round(cost.money, 2)),
        hourly_wage=protocol.venue.hourly_wage,
        fee=fee,
        balance=balance_notes(scenes, each, len(design.durations_ms)),
    )


def described(plan: Plan) -> str:
    """Return a plan in words."""
    number, cost, pairs = plan.independent_judgments, plan.cost, plan.pairs
    lines = [
        f"{plan.study}: {counted(plan.methods, 'method')}, {counted(pairs, 'pair')}, "
        f"{counted(plan.scenes, 'scene')}, R = {plan.judgments_per_pair_and_scene}: "
        f"{plan.judgments_per_pair:,} judgments of each pair",
        "",
        f"to detect a preference of {100 * plan.preference:g} % with power {plan.power:g} "
        f"at level {plan.alpha:g}, two-sided",
        f"  independent judgments, exact test      {number.exact:>9,}",
        f"  by the normal approximation            {number.normal_approximation:>9,}",
    ]
    if pairs > 1:
        corrected = f"exact, corrected for {pairs} pairs"
        lines.append(f"  {corrected:<38} {number.exact_for_all_pairs:>9,}")
    why = (
        "given"
        if plan.worker_sd is None
        else f"worker SD {plan.worker_sd:g}, image SD {plan.image_sd:g}; "
        f"{plan.judgments_per_participant_and_pair:g} judgments of a pair by a participant, "
        f"{plan.judgments_per_pair_and_scene} on a scene"
    )
    lines.append(f"  design effect                          {plan.design_effect:>9.2f}  ({why})")
    if plan.judgments_needed_per_pair is None:
        lines.append(
            f"  no number of judgments on {counted(plan.scenes, 'scene')} suffices, because images "
            f"differ too much; show at least {plan.scenes_needed} scenes"
        )
    else:
        lines.append(
            f"  judgments needed of each pair          {plan.judgments_needed_per_pair:>9,}"
        )
    fee = f", fee {100 * plan.fee:g} %" if plan.fee else ""
    lines += [
        f"  this plan has {plan.judgments_per_pair:,}: power {plan.power_of_this_plan:.2f}",
        "",
        f"cost: {cost.judgments:,} judgments in {counted(cost.sessions, 'session')} "
        f"({cost.trials:,} trials, all kinds together): {cost.hours:,.1f} hours, "
        f"{cost.money:,.0f} at {plan.hourly_wage:g} an hour{fee}",
        *plan.balance,
    ]
    return "\n".join(lines)
