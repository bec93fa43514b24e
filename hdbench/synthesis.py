"""From a run to images: one PNG per scene, each whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hdbench.data.labels import LabelSpace
from hdbench.data.layouts import SceneFiles
from hdbench.data.loading import read_scene
from hdbench.data.scene import Scene, collate, from_network_range
from hdbench.data.sheets import png_bytes
from hdbench.floors import FLOORS, TrainingSet
from hdbench.networks.builder import (
    Conditioning,
    Limits,
    build_generator,
    conditioning,
    side_divisor,
)
from hdbench.networks.cascaded_refinement import images_of
from hdbench.networks.noise import noise_of
from hdbench.runtime.devices import Precision, in_precision
from hdbench.runtime.overlap import Background, overlapped
from hdbench.runtime.progress import progress
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.runtime.shortage import lower, shortage_explained
from hdbench.runtime.weights import load_weights
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.image_input import ImageInput
from hdbench.schema.method import Floor, GeneratorMethod
from hdbench.schema.record import Record
from hdbench.storage import append_line, write_atomically

#: In a folder of images, a line for each that was synthesized; the last one of an image counts.
_RECORD = "images.jsonl"


class MadeImage(Record):
    """One image that was synthesized."""

    #: Its file's name.
    image: str
    #: Digest of all that it was made from: run, weights, maps, input image.
    source: str
    #: SHA-256 of the file.
    sha256: str


#: Threads that encode and write images behind the network.
_WRITERS = min(4, os.cpu_count() or 1)
_LOWER = lower("end other programs that hold memory", "--device cpu", "[size] of the benchmark")
#: From a scene without photograph, at the benchmark's size, to a uint8 3 x H x W image.
Synthesizer = Callable[[Scene], Tensor]


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator with its weights, in fp32 or bf16."""

    method: GeneratorMethod
    #: The labels that it reads.
    space: LabelSpace
    #: What else it is told about a scene.
    condition: Conditioning
    #: What both sides of an image must divide by.
    divisor: int
    network: nn.Module
    device: torch.device

    @torch.no_grad()
    def __call__(self, scene: Scene, styles: Tensor | None = None) -> Tensor:
        """Return the uint8 3 x H x W image of a scene, whose photograph is not needed.

        Noise, where the method has any, is that of the scene's name. Of several images that the
        generator makes, this is the first.

        ``styles`` are float S x H x W (``hdbench.styles``); None where the method has none.
        """
        assert (styles is None) == (self.method.encoder is None)
        maps = [self.condition(collate([scene]).to(self.device))]
        if styles is not None:
            maps.append(styles[None].to(self.device))
        given = torch.cat(maps, dim=1).to(next(self.network.parameters()).dtype)
        with noise_of(scene.name):
            images = images_of(self.network(given))
        return from_network_range(images[0, 0]).cpu()


def load_generator(
    method: GeneratorMethod,
    limits: Limits,
    space: LabelSpace,
    weights: Path,
    device: torch.device,
    image: ImageInput | None = None,
    precision: Precision = "fp32",
) -> LoadedGenerator:
    """Return a generator whose weights are in a file.

    ``image`` says what its input images are; None: it reads label maps. ``precision`` is that of
    its arithmetic.

    Raises:
        CheckpointError: the file is missing, damaged, or of another architecture or width.
    """
    condition = conditioning(method, space.channels, image)
    network = build_generator(method, condition.channels, limits)
    load_weights(weights, network)
    divisor = side_divisor(method, limits)
    network = in_precision(network.to(device).eval(), precision)
    return LoadedGenerator(method, space, condition, divisor, network, device)


def floor_synthesizer(method: Floor, training: TrainingSet) -> Synthesizer:
    """Return the synthesizer of a floor."""
    floor = FLOORS[method.floor]
    return lambda scene: floor(scene.label, training)


def image_paths(folder: Path, files: Sequence[SceneFiles]) -> list[Path]:
    """Return where the image of each scene lies."""
    return [folder / f"{entry.name}.png" for entry in files]


def write_images(
    make: Callable[[], Synthesizer],
    files: Sequence[SceneFiles],
    space: LabelSpace,
    benchmark: Benchmark,
    folder: Path,
    sources: Sequence[str],
    title: str,
    photographs: bool = False,
    ranks: Ranks = ALONE,
) -> list[Path]:
    """Synthesize the images that are missing or out of date and return the paths of all.

    ``make`` returns the synthesizer; it is called only if an image is missing. ``sources`` have,
    for each scene, a digest of all that its image depends on; images made from another one are made
    anew. ``photographs`` gives the synthesizer scenes with their photographs. ``ranks`` share the
    images; when this returns, all are there.

    Scenes are read ahead of the synthesizer and images written behind it. After an error, or
    ctrl-C, every image that was made is on disk, and is not made again.

    Raises:
        DataError: a scene's file is damaged.
        MemoryShortage: memory does not suffice for an image.
        StorageError: an image cannot be written.
    """
    missing = ranks.from_first(lambda: missing_images(files, folder, sources))
    mine = ranks.share(missing)
    if mine:
        synthesize = make()
        height, width = benchmark.size.height, benchmark.size.width

        def read(one: tuple[SceneFiles, Path, str]) -> Scene:
            return read_scene(one[0], space, photographs).resized(height, width)

        scenes = overlapped(read, mine, 1)
        bar = progress(mine, desc=title, unit="image", disable=not ranks.first)
        with Background(_WRITERS) as behind, contextlib.closing(scenes):
            for _, path, source in bar:
                scene = next(scenes)
                with shortage_explained(f"{title} at {width}x{height}", _LOWER):
                    pixels = synthesize(scene)
                behind.submit(_write, path, source, pixels)
    ranks.merged({})  # waits for all
    return image_paths(folder, files)


def _write(path: Path, source: str, pixels: Tensor) -> None:
    """Write an image, then the line that says so: without it the image is made again."""
    content = png_bytes(pixels)
    write_atomically(path, content)
    made = MadeImage(image=path.name, source=source, sha256=hashlib.sha256(content).hexdigest())
    append_line(path.parent / _RECORD, made.model_dump_json())


def missing_images(
    files: Sequence[SceneFiles], folder: Path, sources: Sequence[str]
) -> list[tuple[SceneFiles, Path, str]]:
    """Return scene, path and source of the images that are missing or out of date.

    Arguments are those of ``write_images``.
    """
    known = made_images(folder)
    return [
        (entry, path, source)
        for entry, path, source in zip(files, image_paths(folder, files), sources, strict=True)
        if not (path.is_file() and path.name in known and known[path.name].source == source)
    ]


def made_images(folder: Path) -> dict[str, MadeImage]:
    """Return what is recorded of the images that were synthesized into a folder, by file name.

    A line that a crash cut short is left out: its image is made again.
    """
    try:
        lines = (folder / _RECORD).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, MadeImage] = {}
    for line in lines:
        with contextlib.suppress(ValidationError):
            made = MadeImage.model_validate_json(line)
            found[made.image] = made
    return found
