"""``hdbench styles``: the training set's instances encoded, and the centres of their styles."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import ValidationError

from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.networks.builder import build_encoder, limits_of
from hdbench.provenance import digest, versions
from hdbench.runtime.claims import held_by_first
from hdbench.runtime.progress import progress
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.runtime.weights import load_weights
from hdbench.schema.method import GeneratorMethod
from hdbench.schema.styles import EncodedInstance, EncodedScene, Styles
from hdbench.storage import append_line
from hdbench.styles import (
    CLUSTERING,
    DEFAULT_STYLE,
    Style,
    Styling,
    centre_styling,
    cluster_classes,
    encoded_instances,
    encoder_styling,
)
from hdbench.workspace.bench import Bench
from hdbench.workspace.runs import run_digest
from hdbench.workspace.stale import Stale
from hdbench.workspace.styles import (
    load_styles,
    require_encoder,
    require_one_space,
    save_styles,
    styles_command,
    styles_path,
    trained_encoder,
)

_VERSION = 1  # of how instances are encoded


def make_styles(
    bench: Bench,
    method: GeneratorMethod,
    seed: int,
    device: torch.device,
    clusters: int = CLUSTERING.clusters,
    source: Bench | None = None,
    ranks: Ranks = ALONE,
) -> Styles:
    """Return the centres of a run's styles: the stored ones if current, else new ones.

    ``source`` is another benchmark, whose training photographs are encoded instead of those that
    the run was trained on. Stopped or killed, the same call goes on with the scenes that are left.
    ``ranks`` share the scenes.

    Raises:
        CheckpointError: the method is not trained to its end, or another process is at work here.
        DataError: a scene is damaged.
        UsageError: the method has no encoder; the label space of ``source`` is another.
    """
    method, spec = require_encoder(method)
    clustering = CLUSTERING.model_copy(update={"clusters": clusters})
    if source is not None:
        require_one_space(bench, source)
    name = None if source is None else source.benchmark.name
    photographs = bench if source is None else source
    known = load_styles(bench, method, seed, name)
    with ranks.first_alone():  # built-in scenes are drawn once
        digests = photographs.dataset.train_digests
    if (
        isinstance(known, Styles)
        and known.clustering == clustering
        and known.scenes_digest == digest(digests)
    ):
        return known
    weights, encoder = trained_encoder(bench, method, seed)
    path = styles_path(bench, method, seed, name)
    run = run_digest(bench, method, seed)
    assert run is not None
    size = bench.benchmark.size
    with held_by_first(path.parent, ranks):
        parts = path.with_suffix(".parts.jsonl")
        instances = _encode(
            bench,
            photographs.dataset.train_scenes,
            [digest([_VERSION, encoder, size.width, size.height, *row]) for row in digests],
            lambda: _encoder_styling(bench, method, weights, device),
            parts,
            f"encoding {photographs.benchmark.name} for {method.name}",
            ranks,
        )
        styles = Styles(
            method=method.name,
            benchmark=bench.benchmark.name,
            seed=seed,
            run=run,
            encoder=encoder,
            photographs=photographs.benchmark.name,
            scenes=len(digests),
            size=(size.width, size.height),
            scenes_digest=digest(digests),
            clustering=clustering,
            classes=cluster_classes(
                instances, size.width * size.height, spec.style_channels, bench.space, clustering
            ),
            command=styles_command(method, seed, name)
            + ("" if clusters == CLUSTERING.clusters else f" --k {clusters}"),
            versions=versions(),
        )

        def keep() -> None:
            save_styles(path, styles)
            parts.unlink(missing_ok=True)

        ranks.from_first(keep)
    return styles


def require_styles(
    bench: Bench,
    method: GeneratorMethod,
    seed: int,
    device: torch.device,
    style: Style,
    ranks: Ranks = ALONE,
) -> Styles:
    """Return the centres that a style takes; those of the run are made if there are none yet.

    Raises:
        HdbenchError: they are of another run or encoder, or those of ``style.source`` are missing.
    """
    known = ranks.from_first(lambda: load_styles(bench, method, seed, style.source))
    if isinstance(known, Styles):
        return known
    if isinstance(known, Stale) and not (known.missing and style.source is None):
        raise known.error(styles_command(method, seed, style.source))
    if ranks.first:
        print(f"{known.path}: not made yet, so the training set is encoded first", file=sys.stderr)
    return make_styles(bench, method, seed, device, ranks=ranks)


def refuse_foreign_styles(bench: Bench, method: GeneratorMethod, seed: int) -> None:
    """Raise HdbenchError if a run has centres, and they are of another run or encoder."""
    known = load_styles(bench, method, seed)
    if isinstance(known, Stale) and not known.missing:
        raise known.error(styles_command(method, seed))


def styling_of(
    bench: Bench,
    method: GeneratorMethod,
    seed: int,
    device: torch.device,
    style: Style,
    ranks: Ranks = ALONE,
) -> tuple[Styling, list[str]]:
    """Return what gives scenes the styles that a method's generator needs, and digests of it.

    Raises:
        HdbenchError: the centres are of another run, or do not have the one that is asked for.
    """
    weights, encoder = trained_encoder(bench, method, seed)
    if style.kind == "encode":
        return _encoder_styling(bench, method, weights, device), [encoder, str(style)]
    styles = require_styles(bench, method, seed, device, style, ranks)
    return centre_styling(styles, style), [encoder, str(style), styles.digest]


def style_words(bench: Bench, method: GeneratorMethod, seed: int) -> str | None:
    """Return what a result says about the styles of its images; None: the method has none."""
    if method.encoder is None:
        return None
    styles = load_styles(bench, method, seed)
    centres = styles.digest[:8] if isinstance(styles, Styles) else "unknown"
    return f"{DEFAULT_STYLE} (centres {centres})"


def _encoder_styling(
    bench: Bench, method: GeneratorMethod, weights: Path, device: torch.device
) -> Styling:
    encoder = build_encoder(method, limits_of(bench.benchmark))
    assert encoder is not None
    load_weights(weights, encoder)
    return encoder_styling(encoder, device)


def _encode(
    bench: Bench,
    scenes: Sequence[SceneFiles],
    sources: Sequence[str],
    make: Callable[[], Styling],
    parts: Path,
    title: str,
    ranks: Ranks,
) -> list[EncodedInstance]:
    """Return the instances of all scenes; those that ``parts`` has are not encoded again."""
    known = ranks.from_first(lambda: _read_parts(parts))
    size, styling = bench.benchmark.size, None
    found = {n: known[source] for n, source in enumerate(sources) if source in known}
    missing = [n for n in range(len(scenes)) if n not in found]
    mine = ranks.share(missing)
    for n in progress(mine, desc=title, unit="scene", delay=2, disable=not ranks.first):
        styling = styling or make()
        scene = read_scene(scenes[n], bench.space).resized(size.height, size.width)
        found[n] = EncodedScene(
            scene=scenes[n].name,
            source=sources[n],
            instances=encoded_instances(scene, styling(scene)),
        )
        append_line(parts, found[n].model_dump_json())
    found = ranks.merged(found)
    return [instance for n in range(len(scenes)) for instance in found[n].instances]


def _read_parts(path: Path) -> dict[str, EncodedScene]:
    """Return the scenes that were encoded before a stop, by their sources."""
    found: dict[str, EncodedScene] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValidationError):  # cut short by a kill: it is made again
                encoded = EncodedScene.model_validate_json(line)
                found[encoded.source] = encoded
    return found
