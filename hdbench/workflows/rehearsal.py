"""How long a queue will take, found by carrying it out on a few scenes in a folder of its own.

The rehearsal calls what the queue calls, at the benchmark's size. Its times are those that the
training loop logs and those of whole calls, so that data, sample sheets, validation and pages count
too.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hdbench.data.loading import steps_per_epoch
from hdbench.errors import HdbenchError
from hdbench.perceptual.training import recipe_of
from hdbench.runtime.devices import Machine
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.benchmark import OWN, Benchmark, PixelTraining
from hdbench.schema.method import Method, TrainedMethod
from hdbench.schema.result import ORACLE
from hdbench.schema.split import Split
from hdbench.segmentation.segmenter import Segmenter
from hdbench.training.stages import StagePlan, planned_stages
from hdbench.workflows.estimates import (
    Estimate,
    Line,
    line_between,
    line_through,
    training_times,
)
from hdbench.workflows.evaluate import FLOOR_METHODS, score_methods, score_photographs
from hdbench.workflows.phases import open_segmenters, splits_of, trained_of
from hdbench.workflows.queue import Phase, Queue, Work
from hdbench.workflows.standing import Standing, scenes_to_draw
from hdbench.workflows.styles import make_styles
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method, train_own_perceptual
from hdbench.workflows.train_segmenter import train_own_segmenter
from hdbench.workspace.bench import Bench
from hdbench.workspace.segmenters import require_second

#: Epochs of a rehearsed training, of which the last alone is validated.
_EPOCHS = 3
#: Batches of an epoch; the steps of the first and the last have more to do.
_BATCHES, _MOST_BATCHES = 4, 64
#: Steps of each stage, at least.
_OF_A_STAGE = 3
#: Floors are made from so many times the training scenes too, to see what that changes.
_MORE = 4
#: Steps of networks that label pixels.
_SHORT, _LONGER = 2, 6
#: Test images: a few, then as many as take some seconds.
_FEW, _MOST, _SECONDS = 2, 16, 2.0


def rehearse(
    bench: Bench,
    queue: Queue,
    standing: Mapping[str, Mapping[Phase, Standing]],
    machine: Machine,
    vgg_weights: Path | None,
    finish: Callable[[Bench], None],
    announce: Callable[[str], None],
) -> Estimate:
    """Return how long what is not done of a queue will take.

    Args:
        bench: the benchmark.
        queue: all work.
        standing: how far each piece of work is, by its key.
        machine: what computes.
        vgg_weights: torchvision's VGG-19 file, where methods need it.
        finish: writes the report of what was scored.
        announce: told what is tried.
    """
    found = Estimate()
    with tempfile.TemporaryDirectory(prefix="hdbench-rehearsal-") as folder:
        rehearsal = _Rehearsal(bench, queue, machine, vgg_weights, Path(folder))
        for work in queue.works:
            its = standing[work.key]
            todo: list[Phase] = [phase for phase in work.phases if its[phase].state != "done"]
            network = work.kind in ("segmenter", "second-segmenter", "perceptual")
            if not todo and not network:  # networks of its own are needed by the rest
                continue
            announce(f"timing {work.name or work.title}")
            try:
                with _quiet():
                    seconds = rehearsal.seconds(work, todo)
            except HdbenchError as error:
                found.problems.append(f"{work.title}: {str(error).splitlines()[0]}")
                continue
            for phase in todo:
                part = its[phase]
                found.seconds[work.key, phase] = seconds[phase] * rehearsal.left(work, phase, part)
        if queue.scored and not found.problems:
            with _quiet(), contextlib.suppress(HdbenchError):
                found.report = _timed(lambda: finish(rehearsal.tested(rehearsal.most)))
    return found


class _Rehearsal:
    """The work of a queue on a few scenes."""

    def __init__(
        self,
        bench: Bench,
        queue: Queue,
        machine: Machine,
        vgg_weights: Path | None,
        folder: Path,
    ) -> None:
        self.real, self.machine, self.vgg_weights = bench, machine, vgg_weights
        self.folder = folder
        #: Test scenes of the longer calls.
        self.most = min(_MOST, self._count("test"))
        trained = [work for work in queue.works if work.kind == "run" and "train" in work.phases]
        #: Batches of an epoch, so many that each stage of each method has some steps.
        self.batches = max([_BATCHES, *(self._batches(trained_of(bench, one)) for one in trained)])
        self._trainings: dict[str, float] = {}  # by method
        self._images: dict[str, Line] = {}
        self._scores: list[Line] = []  # one for each segmenter

    def seconds(self, work: Work, todo: Sequence[Phase]) -> dict[Phase, float]:
        """Return the seconds of all phases of a piece of work, as if nothing were done yet."""
        if work.kind == "scenes":
            return {"draw": self._draw()}
        if work.kind == "perceptual":
            return {"train": self._perceptual()}
        if work.kind in ("segmenter", "second-segmenter"):
            return {"train": self._segmenter(work.kind)}
        if work.kind == "references":
            return {"score": self._references()}
        method, found = self.real.library.method(work.method), dict[Phase, float]()
        if "train" in todo or ("synthesize" in todo and method.is_trained):
            name = trained_of(self.real, work).name
            if name not in self._trainings:
                self._trainings[name] = self._train(trained_of(self.real, work))
            found["train"] = self._trainings[name]
        if "synthesize" in todo:
            if method.name not in self._images:
                self._images[method.name] = self._synthesize(method)
            found["synthesize"] = self._images[method.name].at(self._count("test"))
        if "score" in todo:
            found["score"] = sum(line.at(self._count("test")) for line in self._scoring())
            if method.images_from == "generator":  # so that the report has something to show
                for segmenter in self.segmenters:
                    score_methods(self.tested(self.most), [method], 0, segmenter, self.device)
        return found

    def left(self, work: Work, phase: Phase, standing: Standing) -> float:
        """Return the share of a phase that is left."""
        if standing.there == 0:
            return 1.0
        if phase == "train" and work.kind == "run":
            whole = self._stages(self.real, trained_of(self.real, work))[-1].stop
        elif phase == "train":
            whole = self._pixel_steps(self._recipe(work.kind), self.real)
        else:
            whole = self._count("test")
        return max(0.0, 1 - standing.there / whole)

    @property
    def device(self) -> Any:
        """What computes."""
        return self.machine.device

    @property
    def segmenters(self) -> list[Segmenter]:
        """The segmenters that score here."""
        return open_segmenters(self.tested(_FEW), self.machine)

    def tested(self, count: int, more: int = 1, short: bool = False) -> Bench:
        """Return the benchmark with a few scenes to learn from, of which ``count`` are scored.

        ``more`` multiplies those to learn from. Networks of its own learn for a few steps, in a
        folder apart for even fewer (``short``).
        """
        workspace = replace(self.real.workspace, root=self.folder / ("short" if short else "long"))
        benchmark = self._sliced(more * self.batches, _SHORT if short else _LONGER)
        bench = replace(self.real, workspace=workspace, benchmark=benchmark, subset=None)
        if count >= self.most:
            return bench
        names = [entry.name for entry in bench.dataset.test_scenes[:count]]
        return replace(bench, subset=tuple(names))

    def _sliced(self, batches: int, pixel_steps: int) -> Benchmark:
        real = self.real.benchmark
        budget = {"epochs": _EPOCHS - 1, "decay_epochs": 1}
        data = {
            "train": self._first(real.data.train, batches * real.budget.batch_size),
            "test": self._first(real.data.test, self.most),
        }
        changes: dict[str, Any] = {
            "data": real.data.model_copy(update=data),
            "budget": real.budget.model_copy(update=budget),
        }
        if real.validation is not None:
            changes["validation"] = real.validation.model_copy(update={"epochs": _EPOCHS})
        for key in ("segmenter", "second_segmenter", "perceptual"):
            choice = getattr(real, key)
            if choice is not None and choice.name == OWN and choice.training is not None:
                recipe = choice.training
                split = self._first(recipe.split, pixel_steps * recipe.batch_size)
                recipe = recipe.model_copy(update={"split": split, "epochs": 1})
                changes[key] = choice.model_copy(update={"training": recipe})
        return real.model_copy(update=changes)

    def _first(self, split: str, count: int) -> str:
        return f"{Split.parse(split).name}[:{min(count, self.real.dataset.count(split))}]"

    def _count(self, split: str) -> int:
        return self.real.dataset.count(getattr(self.real.benchmark.data, split))

    def _draw(self) -> float:
        bench = self.tested(self.most, _MORE)
        missing = sum(scenes_to_draw(bench).values())
        seconds = _timed(lambda: _find_scenes(bench))
        return seconds / max(1, missing) * sum(scenes_to_draw(self.real).values())

    def _recipe(self, kind: str) -> PixelTraining:
        benchmark = self.real.benchmark
        if kind == "perceptual":
            return recipe_of(benchmark)
        if kind == "segmenter":
            return benchmark.required_segmenter.training
        return require_second(self.real).training

    def _pixel_steps(self, recipe: PixelTraining, bench: Bench) -> int:
        return steps_per_epoch(bench.dataset.count(recipe.split), recipe.batch_size) * recipe.epochs

    def _pixel_training(self, kind: str, train: Callable[[Bench], Any]) -> float:
        """Return the seconds of a training of a network that labels pixels."""
        measured = []
        for short in (True, False):
            bench = self.tested(_FEW, short=short)
            _find_scenes(bench)
            seconds = _timed(lambda bench=bench: train(bench))
            measured.append((_SHORT if short else _LONGER, seconds))
        recipe = self._recipe(kind)
        return line_through(*measured).at(self._pixel_steps(recipe, self.real))

    def _perceptual(self) -> float:
        return self._pixel_training(
            "perceptual", lambda bench: train_own_perceptual(bench, self.machine)
        )

    def _segmenter(self, kind: str) -> float:
        opened: list[Segmenter] = []
        second = kind == "second-segmenter"
        seconds = self._pixel_training(
            kind,
            lambda bench: opened.append(train_own_segmenter(bench, self.machine, second=second)),
        )
        bench = self.tested(self.most)
        oracle = _timed(lambda: score_photographs(bench, opened[-1])) / self.most
        return seconds + oracle * max(0, self._count("test") - _FEW)

    def _stages(self, bench: Bench, method: TrainedMethod) -> list[StagePlan]:
        scenes = bench.dataset.count(bench.benchmark.data.train)
        per_epoch = steps_per_epoch(scenes, bench.benchmark.budget.batch_size)
        return planned_stages(method, bench.benchmark, per_epoch)

    def _batches(self, method: TrainedMethod) -> int:
        """Return the batches of an epoch that give each stage of a method some steps."""
        scenes = self._count("train") // self.real.benchmark.budget.batch_size
        most = max(1, min(scenes, _MOST_BATCHES))
        for batches in range(min(_BATCHES, most), most):
            stages = planned_stages(method, self._sliced(batches, _SHORT), batches)
            if all(stage.stop - stage.start >= _OF_A_STAGE for stage in stages):
                return batches
        return most

    def _train(self, method: TrainedMethod) -> float:
        bench = self.tested(_FEW)
        _find_scenes(bench)
        hashed = _timed(lambda: bench.dataset.train_digests)
        wall = _timed(lambda: train_method(bench, method, 0, self.machine, self.vgg_weights))
        rows = read_metrics(bench.run_folder(method.name, 0) / "metrics.jsonl")
        times = training_times(rows, self._stages(bench, method), wall)
        budget, validation = self.real.benchmark.budget, self.real.benchmark.validation
        epochs = budget.epochs + budget.decay_epochs
        every = epochs if validation is None else validation.epochs
        return times.seconds(
            self._stages(self.real, method), epochs, -(-epochs // every)
        ) + hashed / len(bench.dataset.train_scenes) * self._count("train")

    def _synthesize(self, method: Method) -> Line:
        few = self.tested(_FEW)
        _find_scenes(few)
        extra = 0.0
        if method.images_from == "generator" and method.encoder is not None:
            seconds = _timed(lambda: make_styles(few, method, 0, self.device))
            extra = seconds * self._count("train") / len(few.dataset.train_scenes)
        first = _timed(lambda: synthesize_method(few, method, 0, self.device))
        count = min(self.most, _FEW + max(_FEW, round(_SECONDS / (first / _FEW))))
        many = self.tested(count)
        _find_scenes(many)
        second = _timed(lambda: synthesize_method(many, method, 0, self.device))
        line = line_through((_FEW, first), (max(1, count - _FEW), second))
        return Line(line.base + extra, line.slope)

    def _scoring(self) -> list[Line]:
        """Return what scoring a method's images takes, under each segmenter."""
        if not self._scores:
            floor = self.real.library.method(FLOOR_METHODS[-1])
            self._scores = self._scores_of(floor)
        return self._scores

    def _scores_of(self, method: Method) -> list[Line]:
        found = []
        for n in range(len(self.segmenters)):
            measured = []
            for count in (_FEW, self.most):
                bench = self.tested(count)
                _find_scenes(bench)
                synthesize_method(bench, method, 0, self.device)
                began = time.monotonic()
                segmenter = open_segmenters(bench, self.machine)[n]
                score_methods(bench, [method], 0, segmenter, self.device)
                measured.append((count, time.monotonic() - began))
            found.append(line_through(*measured))
        return found

    def _references(self) -> float:
        """Return the seconds of the oracle and the floors."""
        tested, learnt = self._count("test"), self._count("train")
        floors = [self.real.library.method(name) for name in FLOOR_METHODS]
        lines = []
        for more in (1, _MORE):
            measured = []
            for count in (_FEW, self.most):
                bench = self.tested(count, more)
                _find_scenes(bench)

                def make(bench: Bench = bench) -> None:
                    for floor in floors:
                        synthesize_method(bench, floor, 0, self.device)

                measured.append((count, _timed(make)))
            made = max(1, self.most - _FEW)  # the first ones are there
            line = line_through(measured[0], (made, measured[1][1]))
            lines.append((len(bench.dataset.train_scenes), line))
        synthesis = line_between(lines[0], lines[1], learnt).at(tested)
        scored = sum(line.at(tested) for line in self._scoring()) * len(floors)
        oracle = self._scores_of(self.real.library.method(ORACLE))
        for floor in floors:  # so that the report has something to show
            for segmenter in self.segmenters:
                score_methods(self.tested(self.most), [floor], 0, segmenter, self.device)
        return synthesis + scored + sum(line.at(tested) for line in oracle)


def _find_scenes(bench: Bench) -> None:
    """Draw what is missing of built-in scenes, so that it is not timed."""
    for split in splits_of(bench.benchmark):
        bench.dataset.scenes(split)


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the rehearsed verbs say from standard error."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
