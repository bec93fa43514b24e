"""What a method was trained on, from the card that belongs to its result."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from hdbench.errors import DataError, counted
from hdbench.schema.benchmark import VGG19_IMAGENET
from hdbench.schema.bundle import TrainedOn
from hdbench.schema.generator import GeneratorCard
from hdbench.schema.method import Method
from hdbench.schema.record import first_problem


class _Part(BaseModel):
    """Those keys of an identity that are shown; others are only hashed."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Data(_Part):
    layout: str
    train: str


class _Budget(_Part):
    batch_size: int


class _Size(_Part):
    width: int
    height: int


class _Perceptual(_Part):
    name: str


class _Start(_Part):
    weights: str
    label_space: str


class _Method(_Part):
    start: _Start | None = None


class _Identity(_Part):
    data: _Data
    budget: _Budget
    size: _Size
    scenes: int
    perceptual: _Perceptual | None
    method: _Method


def only_the_lab_knows(method: Method) -> bool:
    """Return whether a method was made elsewhere, so that no card says what it was trained on."""
    return method.images_from in ("import", "weights")


def trained_on(method: Method, card: GeneratorCard | None, statement: str | None) -> TrainedOn:
    """Return what a method was trained on.

    ``card`` is that of its generator, whose identity is the run of the result; ``statement`` the
    words of who packed the bundle.

    Raises:
        DataError: the card's identity is not of this version.
    """
    if method.images_from == "dataset":
        return TrainedOn(said_by="card", words="nothing: the dataset's own photographs")
    if method.images_from == "floor":
        return TrainedOn(said_by="card", words="nothing: a trivial baseline, which learns nothing")
    if card is None:
        if statement:
            return TrainedOn(said_by="lab", words=statement)
        return TrainedOn(said_by="nobody", words="not stated")
    try:
        identity = _Identity.model_validate(card.identity)
    except ValidationError as error:
        raise DataError(f"identity: {first_problem(error)}") from None
    network = None if identity.perceptual is None else identity.perceptual.name
    facts: dict[str, Any] = {
        "dataset": f"{identity.data.layout}/{identity.data.train}",
        "scenes": identity.scenes,
        "steps": card.steps,
        "images_seen": card.steps * identity.budget.batch_size,
        "perceptual": network,
        "device": _device(card),
        "extra": _extra(identity),
    }
    size = f"{identity.size.width}x{identity.size.height}"
    words = "; ".join(
        (
            f"{counted(identity.scenes, 'scene')} of {facts['dataset']} at {size}",
            f"{counted(card.steps, 'step')}, {counted(facts['images_seen'], 'image')} seen",
            f"perceptual network: {network or 'none'}",
            f"further data: {facts['extra']}",
            f"on {facts['device']}",
        )
    )
    return TrainedOn(said_by="card", words=words, **facts)


def _extra(identity: _Identity) -> str:
    """Return in words what else weights have learnt from; ``none`` if the identity rules it out."""
    extra = []
    if identity.perceptual is not None and identity.perceptual.name == VGG19_IMAGENET:
        extra.append("ImageNet, by the perceptual network")
    start = identity.method.start
    if start is not None:
        extra.append(
            f"whatever the weights {start.weights[:8]} had learnt that it started from, with "
            f"labels of '{start.label_space}'"
        )
    return "; ".join(extra) or "none"


def _device(card: GeneratorCard) -> str:
    device, processor = (card.machine.get(key) for key in ("device", "processor"))
    return f"{device} ({processor})" if processor else str(device)
