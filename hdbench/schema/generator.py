"""The card of a trained generator: ``generator.json`` beside its weights."""

from __future__ import annotations

from typing import Any

from hdbench.schema.base import Positive, Table

GENERATOR_CARD = "generator.json"
GENERATOR_WEIGHTS = "generator.safetensors"
ENCODER_WEIGHTS = "encoder.safetensors"
#: Of imported networks alone; a run keeps its discriminators in its checkpoints.
DISCRIMINATOR_WEIGHTS = "discriminator.safetensors"
#: The folder in a run's folder of the generator with the best validation score.
BEST = "best"


class ValidationScore(Table):
    """What a generator scored while it was trained."""

    mean_iou: float
    #: None where no pixel is scored.
    pixel_accuracy: float | None
    #: Segmenter, scoring convention and scenes; scores of one way can be compared.
    setup: dict[str, Any]


class GeneratorCard(Table):
    """What a generator was trained on, and its weights' digest; ``hdbench train`` writes it."""

    #: Method, benchmark and seed, for people; hdbench compares ``identity``.
    method: str
    benchmark: str
    seed: int
    #: Everything that the training depended on (``hdbench.training.config.run_identity``).
    identity: dict[str, Any]
    #: SHA-256 over all tensors as fp32, the precision in which images are computed.
    weights: str
    #: The same of the feature encoder that was trained with it; None: the method has none.
    encoder: str | None = None
    #: Steps of the training.
    steps: Positive
    #: Seconds that they took.
    seconds: float
    #: The command that trains it again.
    command: str
    #: Threads, processor and versions; the last bits of the weights depend on them.
    machine: dict[str, Any]
    #: What it scored, if it is a run's best generator; None for the last, and for those that ship.
    validation: ValidationScore | None = None
