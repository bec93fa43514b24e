"""A method's networks, written for others: in the official layout, or for the model hub."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hdbench.errors import CheckpointError, HdbenchError, StorageError, UsageError
from hdbench.networks.builder import (
    AS_STATED,
    build_discriminator,
    build_encoder,
    build_generator,
    conditioning,
    has_boundaries,
    limits_of,
    scaled,
    stated_encoder,
    stated_generator,
)
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.official import (
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    GENERATOR_FILE,
    to_official,
)
from hdbench.provenance import digest
from hdbench.reporting.model_card import CardFacts, model_card
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.weights import (
    load_weights,
    require_digest,
    require_same_shapes,
    save_weights,
    stored_digest,
    weights_digest,
)
from hdbench.schema.generator import DISCRIMINATOR_WEIGHTS, ENCODER_WEIGHTS
from hdbench.schema.hub import HUB_CARD, HUB_CONFIG, HUB_WEIGHTS, HubConfig
from hdbench.schema.method import (
    Digests,
    GeneratorMethod,
    Method,
    Weights,
    require_generator,
)
from hdbench.schema.result import Result
from hdbench.storage import folder_atomically, write_atomically
from hdbench.workspace.bench import Bench
from hdbench.workspace.hub_folder import classes_of
from hdbench.workspace.results import load_if_current
from hdbench.workspace.runs import generator_file, images_identity, read_generator_card
from hdbench.workspace.segmenters import segmenter_card
from hdbench.workspace.weights import imported_networks


@dataclass(frozen=True)
class Networks:
    """A method's networks with their weights, and the files of those that are published as such."""

    method: GeneratorMethod
    generator: nn.Module
    discriminator: MultiscaleDiscriminator | None
    encoder: nn.Module | None
    generator_path: Path
    encoder_path: Path | None
    #: Why there is no discriminator, or "".
    note: str


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: list[Path]
    #: What the user should know of them.
    notes: list[str]


def export_official(bench: Bench, method: Method, seed: int, out: Path) -> Exported:
    """Write a method's networks as files of the official implementation, into a new folder.

    Raises:
        UsageError: the method has no generator, the official layout has no such network, or the
            folder is not empty.
        CheckpointError: the method is not trained to its end, or a file is damaged.
    """
    _require_new(out)
    found = method_networks(bench, method, seed)
    states = {GENERATOR_FILE: to_official(found.generator)}
    if found.discriminator is not None:
        states[DISCRIMINATOR_FILE] = to_official(found.discriminator)
    if found.encoder is not None:
        states[ENCODER_FILE] = to_official(found.encoder)
    with folder_atomically(out) as staging:
        for name, state in states.items():
            _save(staging / name, state)
    notes = [note for note in (found.note, _official_options(bench, found)) if note]
    return Exported([out / name for name in states], notes)


def _save(path: Path, state: dict[str, Tensor]) -> None:
    try:  # into the file itself: an archive carries its file's name
        torch.save(state, path)
    except RuntimeError as error:
        raise StorageError(f"{path}: cannot be written ({str(error).splitlines()[0]})") from None


def export_hub(bench: Bench, method: Method, seed: int, out: Path) -> Exported:
    """Write a method's networks, configuration and card for the model hub, into a new folder.

    The weights are those of the run, byte for byte. Errors are those of ``export_official``, but
    any generator that reads label maps can be written.
    """
    _require_new(out)
    bench.benchmark.require_label_input("a generator in a folder for the hub")
    found = method_networks(bench, method, seed)
    discriminators = found.discriminator
    digests = Digests(
        generator=stored_digest(found.generator_path),
        discriminator=None if discriminators is None else weights_digest(discriminators),
        encoder=None if found.encoder_path is None else stored_digest(found.encoder_path),
    )
    size = bench.benchmark.size
    config = HubConfig(
        library="hdbench",
        version=1,
        method=_as_stated(bench, found, seed, digests),
        label_channels=bench.space.channels,
        classes=classes_of(bench.space),
        size=[size.width, size.height],
    )
    content = config.model_dump(exclude_none=True)
    card = model_card(_card_facts(bench, found.method, seed, config))
    files = [HUB_WEIGHTS, HUB_CONFIG, HUB_CARD]
    with folder_atomically(out) as staging:
        write_atomically(staging / HUB_WEIGHTS, found.generator_path.read_bytes())
        if found.encoder_path is not None:
            write_atomically(staging / ENCODER_WEIGHTS, found.encoder_path.read_bytes())
            files.append(ENCODER_WEIGHTS)
        if discriminators is not None:
            facts = {"weights": weights_digest(discriminators)}
            save_weights(staging / DISCRIMINATOR_WEIGHTS, discriminators, facts)
            files.append(DISCRIMINATOR_WEIGHTS)
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomically(staging / HUB_CONFIG, text.encode())
        write_atomically(staging / HUB_CARD, card.encode())
    card_note = f"fill in the licence in {out / HUB_CARD} before you publish it"
    return Exported([out / name for name in files], [*([found.note] * bool(found.note)), card_note])


def method_networks(bench: Bench, of: Method, seed: int) -> Networks:
    """Return a method's networks with the weights that make its images.

    Raises:
        UsageError: the method has no generator.
        CheckpointError: it is not trained to its end, or a file is damaged.
    """
    method = require_generator(of)
    path = generator_file(bench, method, seed)
    limits, channels = limits_of(bench.benchmark), bench.space.channels
    condition = conditioning(method, channels, bench.benchmark.input).channels
    generator = build_generator(method, condition, limits)
    load_weights(path, generator)
    spec, discriminator, note = method.discriminator, None, ""
    if method.images_from == "weights":
        stored = imported_networks(bench, method)
        encoder_path = stored.encoder
        if stored.discriminator is not None and spec is not None:
            discriminator = build_discriminator(method, condition + 3, limits)
            load_weights(stored.discriminator, discriminator)
    else:
        encoder_path = _trained_encoder(path)
        if spec is None:
            note = "no discriminators: the method has none"
        elif path.parent == bench.run_folder(method.name, seed):
            discriminator = build_discriminator(method, condition + 3, limits)
            note = _load_from_checkpoint(bench, method, seed, discriminator)
        else:
            note = f"no discriminators: the generator is that of {path.parent}, which has none"
        discriminator = None if note else discriminator
    encoder = build_encoder(method, limits) if encoder_path is not None else None
    if encoder is not None and encoder_path is not None:
        load_weights(encoder_path, encoder)
    return Networks(method, generator, discriminator, encoder, path, encoder_path, note)


def _trained_encoder(generator: Path) -> Path | None:
    """Return the encoder that was trained with a generator, checked; None if it has none."""
    expected = read_generator_card(generator.parent).encoder
    if expected is None:
        return None
    path = generator.with_name(ENCODER_WEIGHTS)
    require_digest(path, stored_digest(path), expected)
    return path


def _load_from_checkpoint(
    bench: Bench, method: GeneratorMethod, seed: int, discriminator: MultiscaleDiscriminator
) -> str:
    """Load a finished run's discriminators; return why there are none, or ""."""
    folder = bench.run_folder(method.name, seed) / "checkpoints"
    state = Checkpoints(folder).load_latest()
    if state is None:
        return f"no discriminators: {folder} has no checkpoint"
    if state["identity"] != digest(images_identity(bench, method, seed)):
        raise CheckpointError(
            f"{folder}: checkpoints of another run than the generator's.\n"
            f"Next: move the folder away; the discriminators are then left out"
        )
    weights = state["trainee"]["discriminator"]
    require_same_shapes(f"{folder}: discriminator", weights, discriminator)
    discriminator.load_state_dict(weights)
    return ""


def _as_stated(bench: Bench, found: Networks, seed: int, digests: Digests) -> Weights:
    """Return the method as one of imported weights: its channels as they are in the files."""
    method, limits = found.method, limits_of(bench.benchmark)
    if method.images_from == "weights":
        return method.model_copy(update={"digests": digests})
    encoder, discriminator = method.encoder, None
    if encoder is not None:
        encoder = stated_encoder(encoder, limits)
    if digests.discriminator is not None and method.discriminator is not None:
        base = scaled(method.discriminator.base_channels, limits.width)
        discriminator = method.discriminator.model_copy(update={"base_channels": base})
    return Weights(
        name=method.name,
        title=method.title,
        kind="weights",
        source=f"'hdbench train {method.name} --benchmark {bench.benchmark.name} --seed {seed}'",
        label_space=bench.space.name,
        input=method.input,
        generator=stated_generator(method, limits),
        discriminator=discriminator,
        encoder=encoder,
        digests=digests,
    )


def _card_facts(bench: Bench, method: GeneratorMethod, seed: int, config: HubConfig) -> CardFacts:
    with torch.device("meta"):
        condition = conditioning(config.method, bench.space.channels).channels
        network = build_generator(config.method, condition, AS_STATED)
    facts = CardFacts(
        config=config,
        parameters=sum(one.numel() for one in network.parameters()),
        benchmark=bench.benchmark.title,
        training=None,
        result=_result(bench, method, seed),
    )
    if method.images_from == "weights":
        return facts
    card = read_generator_card(generator_file(bench, method, seed).parent)
    scenes = card.identity["scenes"]
    return replace(facts, training=(card.command, card.steps, scenes))


def _result(bench: Bench, method: GeneratorMethod, seed: int) -> Result | None:
    """Return the method's current result under the benchmark's convention, if there is one."""
    with contextlib.suppress(HdbenchError):
        found = load_if_current(bench, method, seed, bench.scoring, segmenter_card(bench))
        return found if isinstance(found, Result) else None
    return None


def _official_options(bench: Bench, found: Networks) -> str:
    """Return the options with which the official implementation reads the files."""
    method, spec = found.method, stated_generator(found.method, limits_of(bench.benchmark))
    image = bench.benchmark.input
    words = [
        f"--label_nc {bench.space.channels}"
        if image is None
        else f"--label_nc 0 --input_nc {image.channels}",
        f"--netG {'local' if spec.enhancers else 'global'}",
        f"--ngf {spec.base_channels // 2**spec.enhancers}",
        f"--n_downsample_global {spec.downsamplings}",
        f"--n_blocks_global {spec.residual_blocks}",
    ]
    if spec.enhancers:
        words += [f"--n_local_enhancers {spec.enhancers}"]
        words += [f"--n_blocks_local {spec.enhancer_blocks}"]
    if not has_boundaries(method.input, image):
        words.append("--no_instance")
    if method.encoder is not None:
        words.append("--instance_feat")
    return f"the official implementation reads these with {' '.join(words)}"


def _require_new(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out}: exists already; name a new or an empty folder")
