"""Fine-tuning: from a run's name or a generator's folder to a method that starts from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit
import torch
from pydantic import ValidationError

from hdbench.data.labels import LabelSpace, identified_space
from hdbench.errors import CheckpointError, LibraryError, UsageError, suggestion
from hdbench.library import GENERATORS, METHODS
from hdbench.networks.builder import (
    build_discriminator,
    build_encoder,
    build_generator,
    conditioning,
    limits_of,
)
from hdbench.provenance import digest
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.weights import read_weights, require_digest, state_digest
from hdbench.schema.base import from_identity
from hdbench.schema.generator import (
    ENCODER_WEIGHTS,
    GENERATOR_CARD,
    GENERATOR_WEIGHTS,
    GeneratorCard,
)
from hdbench.schema.image_input import ImageInput
from hdbench.schema.method import Input, Start, TrainedMethod
from hdbench.storage import write_atomically
from hdbench.text import first_of, joined
from hdbench.training.keeping import read_generator_card
from hdbench.training.stages import at_stage, stages_of
from hdbench.training.start import Matching, StartingWeights, channels_of, enhancers_of
from hdbench.workspace.bench import Bench

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class FineTuned:
    """A method that starts from other weights, and what it takes over, in words."""

    method: TrainedMethod
    notes: list[str]


def has_checkpoints(run: Path) -> bool:
    """Return whether a run has begun, so that it needs no starting weights any more."""
    return bool(Checkpoints(run / CHECKPOINTS).paths())


def fine_tuned(
    bench: Bench, method: TrainedMethod, source: str, name: str | None, renamed: Sequence[str]
) -> FineTuned:
    """Return a method like another that starts from a run's weights, after trying it.

    Args:
        bench: the benchmark that it will be trained on.
        method: the method without these weights.
        source: a method, ``METHOD/seedN``, ``BENCHMARK/METHOD/seedN``, a shipped generator, or the
            folder of a generator.
        name: the new method's; None is ``METHOD-from-SOURCE``.
        renamed: entries like ``pavement=sidewalk`` for classes of different names.

    Raises:
        UsageError: there is no such run or class, or the name is taken.
        CheckpointError: it is not trained to its end, damaged, or of another architecture; what
            differs is listed.
    """
    folder = find_generator(bench, source)
    card = read_generator_card(folder)
    name = name or f"{method.name}-from-{card.method}"
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is None or name == method.name:
        raise UsageError(
            f"--as {name}: expected a name of letters, digits, '.', '_' and '-' that is not the "
            "method's own"
        )
    table = Start(
        folder=str(folder.resolve()),
        weights=card.weights,
        encoder=None if method.encoder is None else card.encoder,
        discriminator=None,
        label_space=_label_space(folder, card).name,
        classes=_renamed(renamed),
    )
    weights = starting_weights(table, last_discriminator(folder, card))
    unfit = weights.discriminator_fits(method, bench.benchmark, bench.space)
    if unfit is None:
        assert weights.discriminator is not None
        found = state_digest(weights.discriminator)
        table = table.model_copy(update={"discriminator": found})
    else:
        weights = StartingWeights(**{**vars(weights), "discriminator": None})
    limits = limits_of(bench.benchmark)
    first = at_stage(method, stages_of(method, bench.benchmark.budget)[0])
    channels = conditioning(method, bench.space.channels, bench.benchmark.input).channels
    with torch.random.fork_rng(devices=[]):
        networks = (
            build_generator(first, channels, limits),
            build_encoder(method, limits),
            build_discriminator(first, channels + 3, limits) if first.discriminator else None,
        )
        matched = weights.into(method, bench.benchmark, bench.space, *networks)
    update = {
        "name": name,
        "title": f"{method.title}, from {card.method}",
        "source": f"{method.source}; starts from {card.method} on {card.benchmark}, "
        f"seed {card.seed}",
        "start": table,
    }
    tuned = method.model_copy(update=update)
    more = first.generator.enhancers - enhancers_of(weights.generator)
    return FineTuned(tuned, _notes(folder, card, matched, unfit, more))


def write_fine_tuned(bench: Bench, method: TrainedMethod) -> Path:
    """Write a method into the workspace's ``methods/``, where every verb finds it.

    Raises:
        UsageError: another method has its name.
    """
    known = bench.library.entries(METHODS).get(method.name)
    path = bench.workspace.methods() / f"{method.name}.toml"
    if known is not None:
        if known.resolve() != path.resolve() or bench.library.method(method.name) != method:
            raise UsageError(
                f"{known}: another method has the name '{method.name}'.\n"
                "Next: choose one with --as, or delete that file if nothing needs it"
            )
        return path
    document = tomlkit.document()
    document.add(tomlkit.comment("Written by 'hdbench train --from'."))
    content = method.model_dump(exclude_none=True)
    document.update({key: value for key, value in content.items() if value != []})
    write_atomically(path, tomlkit.dumps(document).encode())
    return path


def find_generator(bench: Bench, source: str) -> Path:
    """Return the folder of a generator by the name of its run, its own name, or its path.

    Raises:
        UsageError: there is none.
        CheckpointError: the run is not trained to its end.
    """
    path = Path(source)
    shipped = bench.library.entries(GENERATORS)
    if (path / GENERATOR_CARD).is_file():
        return path
    if source in shipped:
        return shipped[source]
    runs = bench.workspace.root / "runs"
    here = bench.run_folder("METHOD", 0).parents[1]
    candidates = [runs / source, here / source, here / source / "seed0"]
    for folder in candidates:
        if (folder / GENERATOR_CARD).is_file() and (folder / GENERATOR_WEIGHTS).is_file():
            return folder
        if has_checkpoints(folder):
            raise CheckpointError(
                f"{folder}: the training has not reached its end.\n"
                "Next: 'hdbench train' goes on where it stopped; 'best' in that folder, if it is "
                "there, is the best generator so far"
            )
    known = [
        str(card.parent.relative_to(runs)) for card in runs.glob(f"*/*/seed*/{GENERATOR_CARD}")
    ]
    raise UsageError(
        f"--from {source}: no trained generator has this name, and no folder with "
        f"{GENERATOR_CARD} is there{suggestion(source, [*known, *shipped])}"
    )


def starting_weights(
    table: Start, discriminator: dict[str, torch.Tensor] | None = None
) -> StartingWeights:
    """Return the weights that a ``[start]`` table names.

    Args:
        table: the table.
        discriminator: weights that are there already; the table's own are read where it has any.

    Raises:
        CheckpointError: a file is missing, damaged, or holds other weights than the table says.
    """
    folder = Path(table.folder)
    card = read_generator_card(folder)
    generator = _read(folder / GENERATOR_WEIGHTS, table.weights)
    encoder = None
    if table.encoder is not None:
        encoder = _read(folder / ENCODER_WEIGHTS, table.encoder)
    if table.discriminator is not None:
        discriminator = last_discriminator(folder, card)
        if discriminator is None:
            raise CheckpointError(
                f"{folder / CHECKPOINTS}: no checkpoint of the last step any more, which held the "
                "discriminators of [start].\nNext: 'hdbench train --from' again, under another "
                "name, starts with fresh ones"
            )
        require_digest(folder / CHECKPOINTS, state_digest(discriminator), table.discriminator)
    space = _label_space(folder, card)
    given = _input(folder, card)
    styles = (card.identity["method"].get("encoder") or {}).get("style_channels", 0)
    channels = channels_of(space, given, styles, _image_input(folder, card))
    return StartingWeights(
        str(folder), generator, encoder, discriminator, channels, dict(table.classes)
    )


def last_discriminator(folder: Path, card: GeneratorCard) -> dict[str, torch.Tensor] | None:
    """Return the discriminators of a run's last step, if its checkpoint is beside the generator."""
    if not has_checkpoints(folder):
        return None
    state = Checkpoints(folder / CHECKPOINTS).load_latest()
    if state is None or state["step"] != card.steps or state["identity"] != digest(card.identity):
        return None
    return state["trainee"]["discriminator"]


def _read(path: Path, expected: str) -> dict[str, torch.Tensor]:
    state = read_weights(path)
    require_digest(path, state_digest(state), expected)
    return state


def _input(folder: Path, card: GeneratorCard) -> Input:
    try:
        return Input.model_validate(card.identity["method"]["input"])
    except (KeyError, TypeError, ValidationError):
        raise _unknown(folder, "identity.method.input") from None


def _image_input(folder: Path, card: GeneratorCard) -> ImageInput | None:
    stated = card.identity.get("input")
    try:
        return None if stated is None else from_identity(ImageInput, stated)
    except ValidationError:
        raise _unknown(folder, "identity.input") from None


def _label_space(folder: Path, card: GeneratorCard) -> LabelSpace:
    try:
        return identified_space(card.identity["data"]["label_space"])
    except (KeyError, TypeError, LibraryError):
        raise _unknown(folder, "identity.data.label_space") from None


def _unknown(folder: Path, key: str) -> CheckpointError:
    return CheckpointError(
        f"{folder / GENERATOR_CARD}: {key} is missing, so nothing says what the channels of the "
        "generator's input mean"
    )


def _renamed(entries: Sequence[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in entries]
    for entry, (mine, _, theirs) in zip(entries, pairs, strict=True):
        if not mine.strip() or not theirs.strip():
            raise UsageError(f"--class {entry}: expected NEW=OLD, such as pavement=sidewalk")
    return {mine.strip(): theirs.strip() for mine, _, theirs in pairs}


def _notes(
    folder: Path, card: GeneratorCard, matched: Matching, unfit: str | None, more: int
) -> list[str]:
    """Return what is taken over, in words."""
    count = len(matched.matched) + len(matched.unmatched)
    lines = [
        f"starts from {card.method} on {card.benchmark}, seed {card.seed}, {card.steps:,} steps "
        f"({folder}, {card.weights[:12]})",
        f"  classes with a partner: {len(matched.matched)} of {count}: "
        f"{joined(matched.matched) or 'none'}",
    ]
    if matched.unmatched:
        lines.append(
            "  without a partner, so they start as the mean of the source's scored classes: "
            f"{first_of(matched.unmatched, 40)}"
        )
    if more > 0:
        lines.append(f"  enhancers that are added with fresh weights: {more}")
    taken = "those of its last step" if unfit is None else f"fresh, since {unfit}"
    return [*lines, f"  discriminators: {taken}"]
