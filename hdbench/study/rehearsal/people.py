"""Simulated people for the real page: how long they look, what they choose, whether they stay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hdbench.errors import UsageError
from hdbench.provenance import derived_seed
from hdbench.schema.packet import Side, StudyRecord, TrialRecord
from hdbench.study.analysis.simulate import ANCHOR_ABILITY

Kind = Literal["attentive", "hasty", "bot", "closing"]
KINDS: tuple[Kind, ...] = ("attentive", "hasty", "bot", "closing")


@dataclass
class Person:
    """One simulated person."""

    name: str
    kind: Kind
    #: Logit units, by method.
    tastes: Mapping[str, float]
    random: np.random.Generator

    @property
    def looks(self) -> bool:
        """Whether the person looks at the images."""
        return self.kind in ("attentive", "closing")

    def pause_ms(self) -> float:
        """Return how long the person takes before an answer.

        Those who look are quicker than real people, but above what the quality rules ask for.
        """
        return float(self.random.uniform(450, 800)) if self.looks else 0.0

    def choice(self, trial: TrialRecord) -> Side:
        """Return the side that the person chooses: bots the left one, the hasty any."""
        if self.kind == "bot":
            return "left"
        logit = 0.0
        if self.looks and trial.left is not None and trial.right is not None:
            logit = self.tastes[trial.left] - self.tastes[trial.right]
        elif self.looks:
            logit = 6.0 if trial.expected == "left" else -6.0
        return "left" if self.random.random() < 1 / (1 + math.exp(-logit)) else "right"

    def uses_keys(self) -> bool:
        """Return whether the next answer is a key, not a click."""
        return bool(self.random.random() < 0.5)


def crowd(study: StudyRecord, counts: Mapping[Kind, int], seed: int) -> list[Person]:
    """Return simulated people, of all kinds in turn.

    Raises:
        UsageError: there is nobody.
    """
    kinds: list[Kind] = []
    left = dict(counts)
    while any(left.values()):
        for kind in KINDS:
            if left.get(kind, 0):
                left[kind] -= 1
                kinds.append(kind)
    if not kinds:
        raise UsageError("nobody takes part; expected at least one simulated person")
    random = np.random.default_rng(derived_seed("rehearse", study.design_hash, seed))
    methods = study.every_method
    worth = random.normal(0, 0.7, len(methods))
    if study.protocol.anchor is not None:
        worth[-1] = ANCHOR_ABILITY
    return [
        Person(
            name=f"simulated-{number}",
            kind=kind,
            tastes=_tastes(methods, worth + random.normal(0, 0.4, len(worth))),
            random=np.random.default_rng(derived_seed("person", seed, number)),
        )
        for number, kind in enumerate(kinds)
    ]


def _tastes(methods: Sequence[str], worth: np.ndarray) -> dict[str, float]:
    return dict(zip(methods, map(float, worth), strict=True))
