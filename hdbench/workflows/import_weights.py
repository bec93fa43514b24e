"""Generators that were trained elsewhere, brought in as methods of the workspace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from torch import nn

from hdbench.data.labels import LabelSpace, shipped_space
from hdbench.errors import CheckpointError, LibraryError, UsageError, listing
from hdbench.library import LABEL_SPACES, Library
from hdbench.networks.builder import (
    AS_STATED,
    build_encoder,
    build_generator,
    conditioning,
    generator_words,
)
from hdbench.networks.official import (
    DiscriminatorFacts,
    EncoderFacts,
    Facts,
    GeneratorFacts,
    read_official,
)
from hdbench.provenance import differing_fields, file_digest
from hdbench.runtime.claims import held, move_aside
from hdbench.runtime.hub import repository_folder
from hdbench.runtime.weights import read_weights, require_same_shapes, save_weights, state_digest
from hdbench.schema.base import identity_of
from hdbench.schema.generator import DISCRIMINATOR_WEIGHTS, ENCODER_WEIGHTS, GENERATOR_WEIGHTS
from hdbench.schema.hub import HUB_WEIGHTS
from hdbench.schema.method import CoarseToFine, Digests, Discriminator, Encoder, Pix2PixHD, Weights
from hdbench.storage import cannot_write, folder_atomically, write_atomically
from hdbench.training.config import require_fitting_size
from hdbench.workflows.import_images import require_name
from hdbench.workspace.bench import Bench
from hdbench.workspace.hub_folder import HUB_FILES, read_hub_folder, require_same_labels
from hdbench.workspace.weights import stored_files

#: The method whose file states what the official implementation leaves unsaid.
_OFFICIAL_METHOD = "ours"


@dataclass(frozen=True)
class OfficialFiles:
    """Weights in the official layout."""

    generator: Path
    discriminator: Path | None = None
    encoder: Path | None = None


def import_official(
    bench: Bench,
    name: str,
    files: OfficialFiles,
    *,
    title: str | None = None,
    restart: bool = False,
) -> Weights:
    """Bring weights in the official layout into the workspace as method ``name``.

    The architecture is read from names and shapes, each of which is checked. The number of input
    channels says whether the generator reads a boundary map beside the benchmark's labels. The same
    weights again are a success that changes nothing; ``restart`` moves other ones aside.

    Raises:
        UsageError: the name is taken, or the channels do not fit the benchmark's labels, or it has
            input images instead.
        CheckpointError: a file is missing or damaged, holds more than tensors or other networks
            than stated, or other weights were imported under this name.
    """
    require_name(bench, name)
    bench.benchmark.require_label_input("an imported generator")
    facts, state = _read(files.generator, "generator")
    assert isinstance(facts, GeneratorFacts)
    networks: dict[str, tuple[Facts, dict[str, Any]]] = {GENERATOR_WEIGHTS: (facts, state)}
    encoder = discriminator = None
    if files.encoder is not None:
        found, state = _read(files.encoder, "encoder")
        assert isinstance(found, EncoderFacts)
        networks[ENCODER_WEIGHTS] = found, state
        encoder = Encoder(
            base_channels=found.base_channels,
            downsamplings=found.downsamplings,
            style_channels=found.style_channels,
        )
    styles = 0 if encoder is None else encoder.style_channels
    boundaries = _boundaries(str(files.generator), facts.in_channels, styles, bench.space)
    if files.discriminator is not None:
        found, state = _read(files.discriminator, "discriminator")
        assert isinstance(found, DiscriminatorFacts)
        _require_its_condition(files.discriminator, found, facts.in_channels - styles)
        networks[DISCRIMINATOR_WEIGHTS] = found, state
        discriminator = Discriminator(
            scales=found.scales,
            base_channels=found.base_channels,
            layers=found.layers,
            padding=2,
            norm="instance",
        )
    digests = {file: state_digest(state) for file, (_, state) in networks.items()}
    usual = bench.library.method(_OFFICIAL_METHOD)
    assert isinstance(usual, Pix2PixHD)
    assert isinstance(usual.generator, CoarseToFine)
    method = Weights(
        name=name,
        title=title or name,
        kind="weights",
        source=f"{files.generator.name} (official layout, SHA-256 "
        f"{file_digest(files.generator)[:12]})",
        label_space=bench.space.name,
        input=usual.input.model_copy(
            update={"boundaries": "instances-or-labels" if boundaries else "none"}
        ),
        generator=_generator_table(usual.generator, facts),
        discriminator=discriminator,
        encoder=encoder,
        digests=Digests(
            generator=digests[GENERATOR_WEIGHTS],
            discriminator=digests.get(DISCRIMINATOR_WEIGHTS),
            encoder=digests.get(ENCODER_WEIGHTS),
        ),
    )
    _require_channels(files.generator, facts.base_channels)
    _require_size(bench, method)

    def write(folder: Path) -> None:
        for file, (found, state) in networks.items():
            network: nn.Module = found.build()
            network.load_state_dict(state)
            save_weights(folder / file, network, {"weights": digests[file]})

    _keep(bench, method, write, restart)
    return method


def import_hub(
    bench: Bench,
    name: str,
    source: str,
    *,
    title: str | None = None,
    download: bool = False,
    restart: bool = False,
) -> Weights:
    """Bring a folder for the model hub, or a repository of the hub, in as method ``name``.

    Without ``download`` only this machine's cache is asked for a repository.

    Raises:
        UsageError: the name is taken, ``source`` is neither a folder nor an id, or its generator
            reads other labels.
        CheckpointError: a file is missing, damaged, or of another architecture than stated.
    """
    require_name(bench, name)
    bench.benchmark.require_label_input("an imported generator")
    folder = repository_folder(source, HUB_FILES, download)
    config = read_hub_folder(folder)
    require_same_labels(source, config, bench.space)
    method = config.method.model_copy(
        update={
            "name": name,
            "title": title or name,
            "label_space": bench.space.name,
            "source": f"{source} ({config.method.source})",
        }
    )
    channels = conditioning(method, bench.space.channels).channels
    state = read_weights(folder / HUB_WEIGHTS)
    generator = build_generator(method, channels, AS_STATED)
    require_same_shapes(str(folder / HUB_WEIGHTS), state, generator)
    encoder = build_encoder(method, AS_STATED)
    if encoder is not None and method.digests.encoder is not None:
        path = folder / ENCODER_WEIGHTS
        require_same_shapes(str(path), read_weights(path), encoder)
    _require_size(bench, method)

    def write(target: Path) -> None:
        for file in stored_files(method):
            here = HUB_WEIGHTS if file == GENERATOR_WEIGHTS else file
            write_atomically(target / file, (folder / here).read_bytes())

    _keep(bench, method, write, restart)
    return method


def _read(path: Path, part: str) -> tuple[Facts, dict[str, Any]]:
    return read_official(str(path), part, read_weights(path))


def _generator_table(usual: CoarseToFine, facts: GeneratorFacts) -> CoarseToFine:
    """Return the ``[generator]`` table of official weights."""
    return usual.model_copy(
        update={
            "base_channels": facts.base_channels,
            "downsamplings": facts.downsamplings,
            "residual_blocks": facts.residual_blocks,
            "enhancers": facts.enhancers,
            "enhancer_blocks": facts.enhancer_blocks,
            "upsample": "transposed",
            "output_padding": "reflection",
            "resampling_padding": "zeros",
        }
    )


def _boundaries(where: str, channels: int, styles: int, space: LabelSpace) -> bool:
    """Return whether a boundary map is among the input channels; UsageError if they do not fit."""
    condition = channels - styles
    if condition in (space.channels, space.channels + 1):
        return condition > space.channels
    if not styles and condition - 3 in (space.channels, space.channels + 1):
        raise UsageError(
            f"{where}: reads {channels} channels, which are labels of '{space.name}' and 3 of a "
            "style.\nNext: give its feature encoder too, with --encoder latest_net_E.pth"
        )
    beside = f" and {styles} of a style" if styles else ""
    raise UsageError(
        f"{where}: reads {channels} channels; labels of '{space.name}' are {space.channels}, or "
        f"{space.channels + 1} with the boundary map{beside}.\n{_advice(condition)}"
    )


def _advice(condition: int) -> str:
    fitting = [
        f"'{other.name}' {'with' if condition > other.channels else 'without'} boundaries"
        for other in map(shipped_space, Library().entries(LABEL_SPACES))
        if condition in (other.channels, other.channels + 1)
    ]
    if fitting:
        return f"Next: --benchmark with one whose labels fit: {', '.join(fitting)}"
    return (
        f"Next: --benchmark with one whose label space has {condition} channels, or "
        f"{condition - 1} and the boundary map"
    )


def _require_its_condition(path: Path, found: DiscriminatorFacts, condition: int) -> None:
    if found.in_channels != condition + 3:
        raise CheckpointError(
            f"{path}: reads {found.in_channels} channels; beside this generator a discriminator "
            f"reads {condition + 3}: its {condition} of labels and boundaries, and the image's 3"
        )


def _require_channels(path: Path, channels: int) -> None:
    if channels % 4:
        raise CheckpointError(
            f"{path}: a global generator of {channels} channels; hdbench's networks have "
            "multiples of 4"
        )


def _require_size(bench: Bench, method: Weights) -> None:
    try:
        require_fitting_size(method, bench.benchmark)
    except UsageError as error:
        raise UsageError(
            f"{error}\nNext: import it with --benchmark of a size that divides"
        ) from None


def _keep(bench: Bench, method: Weights, write: Any, restart: bool) -> None:
    """Write the networks, then the method's file, unless they are there already."""
    folder = bench.workspace.imported_weights(method.name)
    path = folder.with_name(f"{method.name}.toml")
    with held(folder):
        if path.exists() and not restart:
            _require_same(bench, method, path)
            if all((folder / file).is_file() for file in stored_files(method)):
                return
        try:
            if folder.exists():
                move_aside(folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        with folder_atomically(folder) as staging:
            write(staging)
        write_atomically(path, _text(method).encode())


def _require_same(bench: Bench, method: Weights, path: Path) -> None:
    try:
        known = bench.library.method(str(path))
        lines = differing_fields(_content(known), _content(method))
    except LibraryError as error:
        lines = [str(error)]
    if lines:
        raise CheckpointError(
            f"{path}: '{method.name}' is another method; what differs (there -> here):\n"
            f"{listing(lines)}\n"
            "Next: --restart replaces it, and its results become stale; another --as keeps both"
        )


def _content(method: Any) -> dict[str, Any]:
    return identity_of(method, exclude={"title", "source"})


def _text(method: Weights) -> str:
    document = tomlkit.document()
    document.add(tomlkit.comment("Written by 'hdbench import-weights'."))
    document.update(method.model_dump(exclude_none=True))
    return tomlkit.dumps(document)


def imported_words(method: Weights) -> Iterable[str]:
    """Yield lines that say what was imported, for people."""
    reads = "labels and boundaries" if method.input.boundaries != "none" else "labels"
    yield (
        f"  generator: {generator_words(method, AS_STATED)}; reads {reads} of "
        f"'{method.label_space}'" + ("" if method.encoder is None else " and styles")
    )
    for file, digest in stored_files(method).items():
        yield f"  {file}: {digest[:12]}"
