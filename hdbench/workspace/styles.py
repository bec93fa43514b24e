"""The styles of a run on disk: its encoder, its centres, and whether these are still its own."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from hdbench.errors import CheckpointError, UsageError
from hdbench.provenance import digest
from hdbench.runtime.weights import require_digest, stored_digest
from hdbench.schema.generator import ENCODER_WEIGHTS, GENERATOR_CARD
from hdbench.schema.method import Encoder, GeneratorMethod, Method, require_generator
from hdbench.schema.record import first_problem
from hdbench.schema.styles import STYLES_FILE, Styles
from hdbench.storage import write_atomically
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import read_generator_card, run_digest, trained_generator
from hdbench.workspace.stale import Stale
from hdbench.workspace.weights import imported_networks

_SCHEMA = 1


def require_encoder(method: Method) -> tuple[GeneratorMethod, Encoder]:
    """Return a method and its encoder's table.

    Raises:
        UsageError: the method has no encoder, or has no generator at all.
    """
    method = require_generator(method)
    if method.encoder is None:
        raise UsageError(
            f"'{method.name}' has no styles, since its file has no [encoder]; 'ours-styles' has"
        )
    return method, method.encoder


def trained_encoder(bench: Bench, method: GeneratorMethod, seed: int) -> tuple[Path, str]:
    """Return the weights of the encoder that was trained with a method's generator; their digest.

    Raises:
        CheckpointError: the method is not trained to its end, or the encoder's file is missing,
            damaged or replaced.
    """
    if method.images_from == "weights":
        path = imported_networks(bench, method).encoder
        assert path is not None
        assert method.digests.encoder is not None
        return path, method.digests.encoder
    folder = trained_generator(bench, method, seed).parent
    card, path = read_generator_card(folder), folder / ENCODER_WEIGHTS
    if card.encoder is None or not path.is_file():
        raise CheckpointError(
            f"{path}: the encoder that was trained with '{method.name}' is missing, or is not on "
            f"{GENERATOR_CARD}.\nNext: 'hdbench train {method.name} --seed {seed} --restart'"
        )
    [found] = bench.file_digests.of([path], stored_digest)
    require_digest(path, found, card.encoder)
    return path, card.encoder


def styles_path(bench: Bench, method: Method, seed: int, source: str | None = None) -> Path:
    """Return where the centres of a run lie: those of its benchmark, or of another (``source``)."""
    path = bench.run_folder(method.name, seed) / STYLES_FILE
    return path if source is None else path.with_stem(f"{path.stem}.from-{source}")


def styles_command(method: Method, seed: int, source: str | None = None) -> str:
    """Return the command that makes the centres."""
    command = f"hdbench styles {method.name}" + (f" --seed {seed}" if seed else "")
    return command if source is None else f"{command} --from {source}"


def save_styles(path: Path, styles: Styles) -> None:
    """Write centres, whole or not at all."""
    content = styles.model_dump(mode="json")
    record = {"schema": _SCHEMA, "digest": digest(content), **content}
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def read_styles(path: Path) -> Styles | Stale:
    """Return what a file of styles holds, if it is what ``hdbench styles`` wrote."""
    if not path.is_file():
        return Stale(path)
    try:
        record = json.loads(path.read_bytes())
        schema, stored = record.pop("schema"), record.pop("digest")
        styles = Styles(**record)
    except ValidationError as error:
        return Stale(path, (f"not a readable file of styles: {first_problem(error)}",))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Stale(path, (f"not a readable file of styles: {error}",))
    if schema != _SCHEMA or stored != digest(styles.model_dump(mode="json")):
        return Stale(path, ("it is not what was written; a centre or a fact was edited",))
    return styles


def load_styles(
    bench: Bench, method: GeneratorMethod, seed: int, source: str | None = None
) -> Styles | Stale:
    """Return the centres of a run if they are of its encoder as it is now.

    Raises:
        CheckpointError: the method is not trained to its end.
    """
    path = styles_path(bench, method, seed, source)
    if not path.is_file() and source is None and method.images_from == "generator":
        # A generator that ships brings its centres.
        shipped = trained_generator(bench, method, seed).parent / STYLES_FILE
        path = shipped if shipped.is_file() else path
    styles = read_styles(path)
    if isinstance(styles, Stale):
        return styles
    _, encoder = trained_encoder(bench, method, seed)
    its = f"'{styles.method}' on '{styles.benchmark}', seed {styles.seed}"
    now = f"'{method.name}' on '{bench.benchmark.name}', seed {seed}"
    reasons = []
    if styles.run != run_digest(bench, method, seed):
        reasons.append(f"run: {its} ({styles.run[:12]}) -> {now}")
    if styles.encoder != encoder:
        reasons.append(f"encoder: {styles.encoder[:12]} -> {encoder[:12]}")
    ids = {entry.id for entry in styles.classes}
    lacking = [entry.name for entry in bench.space.classes if entry.id not in ids]
    if lacking:
        reasons.append(f"classes: {', '.join(lacking)} have no centres")
    return Stale(path, tuple(reasons)) if reasons else styles


def require_one_space(bench: Bench, other: Bench) -> None:
    """Check that two benchmarks call the same label ids the same classes.

    Raises:
        UsageError: they do not; the ids that differ are named.
    """
    ours, theirs = ({entry.id: entry.name for entry in one.space.classes} for one in (bench, other))
    differing = [
        f"id {label}: {theirs.get(label, 'none')} -> {ours.get(label, 'none')}"
        for label in sorted({*ours, *theirs})
        if ours.get(label) != theirs.get(label)
    ]
    if differing:
        shown = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
        raise UsageError(
            f"styles of '{other.benchmark.name}' have classes of '{other.space.name}', scenes of "
            f"'{bench.benchmark.name}' those of '{bench.space.name}' ({shown}); expected one label "
            "space"
        )
