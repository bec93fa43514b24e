"""What a training keeps: its last generator, and the best one by the validation score."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from hdbench.errors import CheckpointError
from hdbench.provenance import digest
from hdbench.runtime.weights import halve_parameters, save_weights, stored_digest, weights_digest
from hdbench.schema.benchmark import Budget
from hdbench.schema.generator import (
    BEST,
    ENCODER_WEIGHTS,
    GENERATOR_CARD,
    GENERATOR_WEIGHTS,
    GeneratorCard,
    ValidationScore,
)
from hdbench.storage import write_atomically


@dataclass(frozen=True)
class Networks:
    """The networks that make images."""

    generator: nn.Module
    #: The feature encoder of a method with styles.
    encoder: nn.Module | None

    @property
    def finite(self) -> bool:
        """Whether all weights are finite."""
        parts = [part for part in (self.generator, self.encoder) if part is not None]
        return all(
            bool(torch.isfinite(value).all())
            for part in parts
            for value in part.state_dict().values()
            if value.is_floating_point()
        )

    def as_stored(self, budget: Budget) -> Networks:
        """Return copies with the weights that a file would hold, in fp32."""
        encoder = None if self.encoder is None else _rounded(self.encoder, budget.storage)
        return Networks(_rounded(self.generator, budget.storage), encoder)


def _rounded(network: nn.Module, storage: str) -> nn.Module:
    network = copy.deepcopy(network)
    if storage == "fp16":
        halve_parameters(network)
        network.float()
    return network


def store_networks(folder: Path, networks: Networks, budget: Budget, facts: dict[str, Any]) -> None:
    """Write a generator, its feature encoder where it has one, and their card.

    The generator comes last: a folder that has it is complete. ``facts`` are the keys of the card
    but the digests.
    """
    generator, encoder = copy.deepcopy(networks.generator).cpu(), None
    if networks.encoder is not None:
        encoder = copy.deepcopy(networks.encoder).cpu()
    for part in (generator, encoder):
        if part is not None and budget.storage == "fp16":
            halve_parameters(part)
    card = GeneratorCard(
        **facts,
        weights=weights_digest(generator),
        encoder=None if encoder is None else weights_digest(encoder),
    )
    header = {
        "identity": digest(card.identity),
        "weights": card.weights,
        "steps": str(card.steps),
    }
    if encoder is not None:
        assert card.encoder is not None
        save_weights(folder / ENCODER_WEIGHTS, encoder, {**header, "weights": card.encoder})
    content = (card.model_dump_json(indent=2) + "\n").encode()
    write_atomically(folder / GENERATOR_CARD, content)
    save_weights(folder / GENERATOR_WEIGHTS, generator, header)


class BestGenerator:
    """The folder ``best/`` of a run: the generator with the highest mean IoU in validation.

    It has the files of any generator's folder. The identity on its card is the run's with one more
    key, so that what is made with it never passes for what the last generator makes. A folder of
    another run or another way of validation does not count, nor one that a kill left unfinished.
    """

    def __init__(self, run: Path, identity: dict[str, Any], setup: dict[str, Any]) -> None:
        self._folder = run / BEST
        self._identity, self._setup = best_identity(identity), setup
        self.score = self._known()

    def offer(
        self, networks: Networks, budget: Budget, score: ValidationScore, facts: dict[str, Any]
    ) -> bool:
        """Keep the networks if they score higher than any before; return whether they did."""
        if self.score is not None and not score.mean_iou > self.score.mean_iou:
            return False
        if not networks.finite:
            return False
        facts = {**facts, "identity": self._identity, "validation": score}
        # The weights that go with a new card come after it; until then the folder does not count.
        store_networks(self._folder, networks, budget, facts)
        self.score = score
        return True

    def _known(self) -> ValidationScore | None:
        try:
            card = read_generator_card(self._folder)
            whole = stored_digest(self._folder / GENERATOR_WEIGHTS) == card.weights
            if card.encoder is not None:
                whole = whole and stored_digest(self._folder / ENCODER_WEIGHTS) == card.encoder
        except CheckpointError:
            return None
        if card.validation is None or not whole or card.identity != self._identity:
            return None
        return card.validation if card.validation.setup == self._setup else None


def best_identity(identity: dict[str, Any]) -> dict[str, Any]:
    """Return the identity of a run's best generator."""
    return {**identity, "checkpoint": BEST}


def read_generator_card(folder: Path) -> GeneratorCard:
    """Return the card of a trained generator's folder; CheckpointError if none, or damaged."""
    path = folder / GENERATOR_CARD
    try:
        return GeneratorCard.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: not a generator's card ({str(error).splitlines()[0]}).\n"
            "Next: install hdbench again, or train it again with 'hdbench train'"
        ) from None
