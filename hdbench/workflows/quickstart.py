"""The whole way from data to report in one call."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hdbench.library import GENERATORS
from hdbench.reporting.training_page import TRAINING_PAGE
from hdbench.runtime.devices import Machine, machine_facts
from hdbench.schema.benchmark import OWN
from hdbench.schema.method import TrainedMethod, require_trained
from hdbench.schema.result import ORACLE
from hdbench.schema.timing import QuickstartTimes
from hdbench.segmentation.segmenter import Segmenter
from hdbench.storage import write_atomically
from hdbench.text import duration
from hdbench.training.config import require_fitting_size
from hdbench.workflows.evaluate import evaluate, score_methods
from hdbench.workflows.oracle_gate import gate_notes
from hdbench.workflows.phases import open_segmenters
from hdbench.workflows.report import Shown, report_on
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method, train_own_perceptual
from hdbench.workflows.train_segmenter import train_own_segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.perceptual import perceptual_of
from hdbench.workspace.runs import images_identity, read_generator_card, shipped_generator

_SCENES = 8  # on the page


def quickstart(
    bench: Bench,
    method_name: str,
    machine: Machine,
    vgg_weights: Path | None,
    announce: Callable[[str], None],
    show: Callable[[Path], None],
) -> dict[str, Path]:
    """Go the whole way: scenes, segmenter, method, images, scores, report.

    Where a generator of the method ships for the benchmark beside this one, it is scored and shown
    first, before the minutes of training. Every stage goes on where it stopped, and one that has
    been finished computes nothing. What can be known to be wrong before the first of them is an
    error then.

    Args:
        bench: the benchmark.
        method_name: name or path of a method that learns.
        machine: device, decoding workers, time between checkpoints.
        vgg_weights: torchvision's VGG-19 weights, where the method needs them.
        announce: told each stage as it begins: ``2 of 5: train ours``.
        show: given a page as soon as there is something to look at.

    Returns:
        The files of report ``table1`` by format.

    Raises:
        UsageError: the method learns nothing, or does not fit the benchmark's size; the scoring
            convention, or a segmenter or perceptual network that should ship, does not exist or
            does not fit.
        CheckpointError: such a network's files are damaged.
        HdbenchError: what the stages raise.
    """
    method = require_trained(bench.library.method(method_name))
    require_fitting_size(method, bench.benchmark)
    bench.require_scoring()
    root = bench.workspace.root
    clock = Clock() if not root.exists() or not any(root.iterdir()) else None

    def show_first(page: Path) -> None:
        if clock is not None and clock.first_page is None:
            clock.first_page = clock.seconds()
        show(page)

    way = Quickstart(bench, method, method_name, machine, vgg_weights, announce, show_first)
    stages = way.stages()
    for n, (title, stage) in enumerate(stages, start=1):
        announce(f"{n} of {len(stages)}: {title}")
        before = clock.seconds() if clock is not None else 0.0
        stage()
        if clock is not None:
            clock.stages[title] = round(clock.seconds() - before, 1)
    if clock is not None:
        announce(record_times(bench, method, machine, clock))
    return way.report([method_name])


class Clock:
    """How long a quickstart takes."""

    def __init__(self) -> None:
        """Start."""
        #: Seconds of each stage that has ended.
        self.stages: dict[str, float] = {}
        #: Seconds until the first page was shown.
        self.first_page: float | None = None
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return round(time.monotonic() - self._began, 1)


def record_times(bench: Bench, method: TrainedMethod, machine: Machine, clock: Clock) -> str:
    """Write the times of a quickstart that began in an empty workspace.

    Returns:
        The times in words.
    """
    total = clock.seconds()
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    times = QuickstartTimes(
        benchmark=bench.benchmark.name,
        method=method.name,
        stages=clock.stages,
        first_page=total if clock.first_page is None else clock.first_page,
        total=total,
        memory=round(max(resource.getrusage(one).ru_maxrss for one in who) * unit / 1e9, 2),
        machine=machine_facts(machine.device),
    )
    path = bench.workspace.reports() / f"quickstart.{bench.benchmark.name}.json"
    write_atomically(path, times.model_dump_json(indent=1).encode() + b"\n")
    return (
        f"took {duration(times.total)}, {duration(times.first_page)} to the first page; the "
        f"largest process used {times.memory:.1f} GB ({path})"
    )


class Quickstart:
    """The stages of one quickstart, and what they hand on."""

    def __init__(
        self,
        bench: Bench,
        method: TrainedMethod,
        method_name: str,
        machine: Machine,
        vgg_weights: Path | None,
        announce: Callable[[str], None],
        show: Callable[[Path], None],
    ) -> None:
        """Open what ships, so that damaged files are found before anything is drawn."""
        self.bench, self.method, self.name = bench, method, method_name
        self.machine, self.vgg_weights = machine, vgg_weights
        self.announce, self.show = announce, show
        self.segmenters: list[Segmenter] = []
        if bench.benchmark.required_segmenter.name != OWN:
            self._open_segmenters()
        self.learns_perceptual = (
            method.loss.perceptual > 0 and bench.benchmark.perceptual.name == OWN
        )
        if not self.learns_perceptual:
            perceptual = perceptual_of(bench, method, vgg_weights)
            if perceptual is not None:
                perceptual.load()
        self.beside = _beside_with_generator(bench, method)

    def stages(self) -> list[tuple[str, Callable[[], object]]]:
        """Return what is to be done, in order: what to call it, and the function that does it."""
        name = self.method.name
        drawn = ", drawing what is missing" if self.bench.benchmark.data.built_in else ""
        stages: list[tuple[str, Callable[[], object]]] = [
            (f"find the scenes{drawn}", self.find_scenes)
        ]
        if not self.segmenters:
            stages.append(("train the segmenter that scores", self.train_segmenter))
        if self.beside is not None:
            title = f"score {name} as it ships, beside the oracle and the floors"
            stages.append((title, self.score_shipped))
        if self.learns_perceptual:
            stages.append(("train the perceptual network", self.train_perceptual))
        return [
            *stages,
            (f"train {name}", self.train),
            ("synthesize the test images", self.synthesize),
            ("score them beside the oracle and the floors", self.score),
            ("write tables and page", self.write),
        ]

    def find_scenes(self) -> None:
        """Find the scenes of both splits."""
        bench = self.bench
        train, test = len(bench.dataset.train_scenes), len(bench.dataset.test_scenes)
        self.announce(f"  {bench.benchmark.title}: {train} scenes to learn from, {test} to score")

    def train_segmenter(self) -> None:
        """Train the benchmark's own segmenter."""
        train_own_segmenter(self.bench, self.machine)
        self._open_segmenters()

    def score_shipped(self) -> None:
        """Score the generator that ships, and show it before a longer one is trained."""
        assert self.beside is not None
        device = self.machine.device
        identity = images_identity(self.beside, self.method, 0)
        ships = shipped_generator(self.bench.library, identity) is not None
        if not ships:
            name = self.beside.benchmark.name
            self.announce(f"  none ships for '{self.method.name}' on '{name}' as they are now")
        for segmenter in self.segmenters:
            if ships:
                score_methods(self.beside, [self.method], 0, segmenter, device)
            evaluate(self.bench, [], 0, segmenter, device)
        files = self.report([])
        self.announce(f"{files['text'].read_text(encoding='utf-8')}\nThe page: {files['page']}")
        self.show(files["page"])

    def train_perceptual(self) -> None:
        """Train the benchmark's own perceptual network."""
        train_own_perceptual(self.bench, self.machine, restart=False)

    def train(self) -> None:
        """Train the method."""
        page = self.bench.run_folder(self.method.name, 0) / TRAINING_PAGE
        self.announce(f"  what it has learnt after each epoch: {page}")
        train_method(self.bench, self.method, 0, self.machine, self.vgg_weights)

    def synthesize(self) -> None:
        """Make the test images."""
        synthesize_method(self.bench, self.method, 0, self.machine.device)

    def score(self) -> None:
        """Score them under both segmenters."""
        for segmenter in self.segmenters:
            [found] = evaluate(self.bench, [self.name], 0, segmenter, self.machine.device)
            oracles = [result for result in found.results if result.method == ORACLE]
            for note in gate_notes(self.bench, oracles, segmenter):
                self.announce(note)

    def write(self) -> None:
        """Write the report and show it."""
        self.show(self.report([self.name])["page"])

    def report(self, methods: list[str]) -> dict[str, Path]:
        """Write the report ``table1`` and return its files by format."""
        first, *others = self.segmenters
        report, second = self.bench.library.report("table1"), others[0] if others else None
        return report_on(self.bench, report, first, second, Shown(methods, scenes=_SCENES))

    def _open_segmenters(self) -> None:
        self.segmenters = open_segmenters(self.bench, self.machine)


def _beside_with_generator(bench: Bench, method: TrainedMethod) -> Bench | None:
    """Return the benchmark beside this one, if a generator of the method ships for it."""
    if bench.benchmark.beside is None:
        return None
    beside = bench.library.benchmark(bench.benchmark.beside)
    if (
        beside.perceptual.name == OWN
    ):  # each workspace trains one, so nothing ships that learnt by it
        return None
    for folder in bench.library.entries(GENERATORS).values():
        card = read_generator_card(folder)
        if (card.method, card.benchmark, card.seed) == (method.name, beside.name, 0):
            return bench.with_benchmark(beside)
    return None
