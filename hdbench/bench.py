"""A benchmark on this disk: its library files, its workspace, the files of its dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hdbench.data.labels import LABEL_SPACES, LabelSpace
from hdbench.data.layouts import SceneFiles, find_scenes
from hdbench.data.loading import ids_digest
from hdbench.errors import UsageError
from hdbench.floors import TrainingSet
from hdbench.library import Library
from hdbench.provenance import FileDigests
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Scoring
from hdbench.schema.split import Split
from hdbench.workspace import Workspace


@dataclass(frozen=True)
class Bench:
    """A benchmark on this disk: library, workspace, and the files of its dataset."""

    library: Library
    workspace: Workspace
    benchmark: Benchmark

    @cached_property
    def space(self) -> LabelSpace:
        """The label space of the benchmark's data."""
        return LABEL_SPACES[self.benchmark.data.label_space]

    @cached_property
    def scoring(self) -> Scoring:
        """The benchmark's scoring convention.

        Raises:
            UsageError: it scores another label space.
        """
        scoring = self.library.scoring(self.benchmark.scoring)
        if scoring.label_space != self.space.name:
            raise UsageError(
                f"benchmark '{self.benchmark.name}' has labels of '{self.space.name}', "
                f"scoring '{scoring.name}' counts classes of '{scoring.label_space}'"
            )
        return scoring

    def scored_under(self, scoring: str) -> Bench:
        """Return the benchmark with another scoring convention, by name or path; all else is kept.

        Raises:
            LibraryError: there is no such convention, or its file is wrong.
            UsageError: it scores another label space.
        """
        benchmark = self.benchmark.model_copy(update={"scoring": scoring})
        other = replace(self, benchmark=benchmark)
        assert other.scoring  # a wrong one is found now, not after minutes of synthesis
        return other

    @cached_property
    def train_scenes(self) -> list[SceneFiles]:
        """The training split."""
        return self._scenes(self.benchmark.data.train)

    @cached_property
    def test_scenes(self) -> list[SceneFiles]:
        """The split that is synthesized and scored."""
        return self._scenes(self.benchmark.data.test)

    @cached_property
    def train_data(self) -> list[list[str]]:
        """Name, label digest and photograph digest (and instance digest) of training scenes."""
        return self._digests(self.train_scenes)

    @cached_property
    def test_label_digests(self) -> list[str]:
        """SHA-256 of each test scene's label ids, however their file is compressed."""
        return self.file_digests.of((entry.label for entry in self.test_scenes), ids_digest)

    @cached_property
    def test_map_digests(self) -> list[list[str]]:
        """SHA-256 of the ids of each test scene's label map, and of its instance map if any."""
        columns = [self.test_label_digests]
        instances = _instances(self.test_scenes)
        if instances:
            columns.append(self.file_digests.of(instances, ids_digest))
        return _rows(columns)

    @cached_property
    def training_set(self) -> TrainingSet:
        """The training split in memory, for the floors."""
        size = self.benchmark.size
        return TrainingSet(self.train_scenes, self.space, size.height, size.width)

    def run_folder(self, method: str, seed: int) -> Path:
        """Return where a method's run on this benchmark lies."""
        return self.workspace.run(self.benchmark.name, method, seed)

    def segmenter_folder(self) -> Path:
        """Return where this benchmark's segmenter lies; it is always trained with seed 0."""
        return self.workspace.segmenter(self.benchmark.name, 0)

    def result_path(self, method: str, seed: int, judge: str | None = None) -> Path:
        """Return where a method's result lies; ``judge`` names another than the benchmark's."""
        scored = self.scoring.name if judge is None else f"{self.scoring.name}.judge-{judge}"
        return self.workspace.result(self.benchmark.name, method, seed, scored)

    def image_folder(self, method: str, seed: int) -> Path:
        """Return where a method's images of the test split lie."""
        return self.run_folder(method, seed) / "images" / Split.parse(self.benchmark.data.test).name

    @cached_property
    def file_digests(self) -> FileDigests:
        """Digests of the files of this workspace and its data, remembered between commands."""
        return FileDigests(self.workspace.file_digests())

    def _scenes(self, split: str) -> list[SceneFiles]:
        return find_scenes(self.benchmark.data.layout, self.workspace.data_root, split)

    def _digests(self, scenes: Sequence[SceneFiles]) -> list[list[str]]:
        columns = [
            [entry.name for entry in scenes],
            self.file_digests.of(entry.label for entry in scenes),
            self.file_digests.of(entry.image for entry in scenes),
        ]
        instances = _instances(scenes)
        if instances:
            columns.append(self.file_digests.of(instances))
        return _rows(columns)


def _instances(scenes: Sequence[SceneFiles]) -> list[Path]:
    """Return the instance maps; a layout has one for every scene, or none at all."""
    return [entry.instance for entry in scenes if entry.instance is not None]


def _rows(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    return [list(row) for row in zip(*columns, strict=True)]


def open_bench(workspace: Workspace) -> Bench:
    """Return the benchmark of a workspace, resolved.

    Raises:
        LibraryError: there is no such benchmark, or its file is wrong.
    """
    library = Library()
    return Bench(library, workspace, library.benchmark(workspace.benchmark))
