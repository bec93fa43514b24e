"""Where the time of training, synthesis and scoring goes: in the networks, or waiting for others.

Each verb works on drawn streets, with the generator and the segmenter that ship. Seconds are those
that the main thread spent in a stage, without the stages inside it; what threads do ahead of it or
behind it is listed apart, and costs time only where the main thread waits. Synthesis is measured
twice: one stage after the other, and as hdbench does it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from unittest import mock

import torch

from hdbench import synthesis
from hdbench.data.labels import LabelSpace, shipped_space
from hdbench.data.layouts import SceneFiles, find_scenes
from hdbench.data.loading import ResizeAndFlip, training_batches
from hdbench.evaluation.truth import Truth
from hdbench.library import GENERATORS, Library
from hdbench.networks.builder import limits_of
from hdbench.perceptual.files import load_perceptual
from hdbench.runtime.devices import machine_facts
from hdbench.runtime.file_digests import FileDigests
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.method import Pix2PixHD
from hdbench.segmentation import passes
from hdbench.segmentation.segmenter import load_segmenter
from hdbench.streets.files import write_streets
from hdbench.training.trainer import Pix2PixHDTrainer

SHIPPED = Library().entries(GENERATORS)["streets-ours-v1"]
CPU = torch.device("cpu")
NETWORKS = ("network", "segmenter")


class Stages:
    """Seconds of each stage, in the main thread and in others."""

    def __init__(self) -> None:
        """Start at zero."""
        self.main: dict[str, float] = collections.defaultdict(float)
        self.others: dict[str, float] = collections.defaultdict(float)
        self._inner = threading.local()

    @contextlib.contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add what the block takes, without the stages inside it."""
        outer = getattr(self._inner, "seconds", 0.0)
        self._inner.seconds = 0.0
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            mine = threading.current_thread() is threading.main_thread()
            (self.main if mine else self.others)[stage] += spent - self._inner.seconds
            self._inner.seconds = outer + spent

    def called(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return a function whose calls are a stage."""

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.of(stage):
                return function(*arguments, **named)

        return timed

    def drawn(self, items: Iterator[Any], stage: str) -> Iterator[Any]:
        """Yield items; waiting for the next one is a stage."""
        with contextlib.closing(items) as left:  # pyright: ignore[reportArgumentType]
            while True:
                with self.of(stage):
                    item = next(left, None)
                if item is None:
                    return
                yield item

    def print(self, title: str, wall: float) -> None:
        """Print the shares of a verb's time."""
        print(f"{title}: {wall:.2f} s")
        rest = wall - sum(self.main.values())
        rows = [*sorted(self.main.items(), key=lambda row: -row[1]), ("all else", rest)]
        for stage, seconds in rows:
            over = seconds > 0.1 * wall and stage not in NETWORKS
            print(f"  {stage:22} {seconds:7.2f} s {seconds / wall:6.1%}{'  over 10 %' * over}")
        beside = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.others.items())
        print(f"  in other threads: {beside or 'nothing'}", flush=True)


class Inline:
    """Takes the place of ``Background``: what is handed over is done at once."""

    def __init__(self, workers: int) -> None:
        """Start nothing."""

    def submit(self, function: Callable[..., None], *arguments: object) -> None:
        """Call it."""
        function(*arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def watched(stages: Stages, *places: tuple[Any, str, str]) -> Iterator[None]:
    """Time calls of functions, by what holds them, their name there and their stage."""
    with contextlib.ExitStack() as stack:
        for holder, name, stage in places:
            timed = stages.called(getattr(holder, name), stage)
            stack.enter_context(mock.patch.object(holder, name, timed))
        yield


@dataclass(frozen=True)
class Drawn:
    """Scenes on disk, and what they are synthesized and scored with."""

    benchmark: Benchmark
    method: Pix2PixHD
    space: LabelSpace
    scenes: list[SceneFiles]
    #: Where images and caches go.
    folder: Path


def synthesize(drawn: Drawn, overlap: bool) -> list[Path]:
    """Print where the time of a synthesis goes, and return the images."""
    stages, overlapped = Stages(), synthesis.overlapped

    def ahead(function: Any, items: Any, workers: int) -> Iterator[Any]:
        made = overlapped(function, items, workers if overlap else 0)
        return stages.drawn(made, "waiting for scenes")

    def make() -> synthesis.LoadedGenerator:
        limits, weights = limits_of(drawn.benchmark), SHIPPED / "generator.safetensors"
        return synthesis.load_generator(drawn.method, limits, drawn.space, weights, CPU)

    with (
        mock.patch.object(synthesis, "overlapped", ahead),
        mock.patch.object(synthesis, "Background", synthesis.Background if overlap else Inline),
        watched(
            stages,
            (synthesis, "read_scene", "decode"),
            (synthesis, "png_bytes", "PNG"),
            (synthesis, "write_atomically", "write"),
            (synthesis, "append_line", "record"),
            (synthesis.LoadedGenerator, "__call__", "network"),
            (synthesis, "load_generator", "weights"),
            (synthesis.Background, "submit", "waiting for writers"),
        ),
    ):
        began = time.perf_counter()
        folder = drawn.folder / f"images-{overlap}"
        sources = [one.name for one in drawn.scenes]
        paths = synthesis.write_images(
            make, drawn.scenes, drawn.space, drawn.benchmark, folder, sources, "making"
        )
    way = "as hdbench does it" if overlap else "one stage after the other"
    stages.print(f"synthesis of {len(paths)} images, {way}", time.perf_counter() - began)
    return paths


def score(drawn: Drawn, images: list[Path]) -> None:
    """Print where the time of scoring goes."""
    stages, overlapped = Stages(), passes.overlapped
    library = Library()
    assert drawn.benchmark.segmenter is not None
    name = drawn.benchmark.segmenter.name
    assert name is not None
    segmenter = load_segmenter(library.segmenter(name), CPU)

    def ahead(function: Any, items: Any, workers: int) -> Iterator[Any]:
        return stages.drawn(overlapped(function, items, workers), "waiting for threads")

    with (
        mock.patch.object(passes, "overlapped", ahead),
        watched(
            stages,
            (passes, "read_photograph", "decode"),
            (passes, "read_truths", "decode labels"),
            (passes, "as_seen", "resize"),
            (passes, "predict", "segmenter"),
            (Truth, "matrix", "counting"),
            (FileDigests, "of", "hashing"),
        ),
    ):
        began = time.perf_counter()
        FileDigests(drawn.folder / "digests.json").of(images)
        counted = passes.count_images(
            segmenter,
            drawn.scenes,
            images,
            range(len(images)),
            drawn.space,
            drawn.benchmark,
            [library.scoring(str(drawn.benchmark.scoring))],
            photographs=False,
            workers=1,
        )
        collections.deque(counted, maxlen=0)
    stages.print("scoring of these images", time.perf_counter() - began)


def train(drawn: Drawn, steps: int) -> None:
    """Print where the time of training steps goes."""
    benchmark = drawn.benchmark
    perceptual = load_perceptual(Library().perceptual(str(benchmark.perceptual.name)))
    trainer = Pix2PixHDTrainer(drawn.method, benchmark, 0, perceptual, CPU)
    augment = ResizeAndFlip(benchmark.size.height, benchmark.size.width, flip=True)
    batches = training_batches(
        drawn.scenes,
        drawn.space,
        augment,
        start=0,
        stop=steps,
        batch_size=benchmark.budget.batch_size,
        seed=0,
        workers=1,
    )
    stages = Stages()
    optimizers = (trainer.generator_optimizer, trainer.discriminator_optimizer)
    places = [(one, "step", "optimizer") for one in optimizers if one is not None]
    began = time.perf_counter()
    with watched(stages, *places):
        for batch in stages.drawn(batches, "waiting for batches"):
            with stages.of("network"):
                trainer.step(batch, 2e-4)
    stages.print(f"{steps} training steps", time.perf_counter() - began)


def main() -> None:
    """Measure the verbs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=24, help="that are made (default: 24)")
    parser.add_argument("--steps", type=int, default=20, help="of training (default: 20)")
    options = parser.parse_args()
    facts = machine_facts(CPU)
    print(f"{facts['processor']}, {facts['threads']} threads, PyTorch {torch.__version__}")
    library = Library()
    benchmark, method = library.benchmark("streets"), library.method("ours")
    assert isinstance(method, Pix2PixHD)
    size = benchmark.size
    print(f"streets at {size.width}x{size.height}; network: with losses and gradients in training")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_streets(folder, "val", options.images, size.width, size.height)
        scenes = find_scenes("streets", folder, "val")
        drawn = Drawn(benchmark, method, shipped_space("cityscapes"), scenes, folder / "made")
        synthesize(drawn, overlap=False)
        score(drawn, synthesize(drawn, overlap=True))
        train(drawn, options.steps)


if __name__ == "__main__":
    main()
