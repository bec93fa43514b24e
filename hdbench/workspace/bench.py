"""A benchmark on this disk: its library files, its workspace, the files of its dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hdbench.data.labels import LABEL_SPACES, LabelSpace
from hdbench.data.layouts import SceneFiles, find_scenes
from hdbench.data.loading import ids_digest, photograph_digest, photograph_size
from hdbench.errors import LibraryError, UsageError
from hdbench.floors import TrainingSet
from hdbench.library import CARD_FILE, Library
from hdbench.provenance import FileDigests, digest
from hdbench.schema.benchmark import OWN, Benchmark, SecondSegmenter
from hdbench.schema.scoring import Scoring, parse_size
from hdbench.schema.split import Split
from hdbench.streets.files import folder_name, write_streets
from hdbench.workspace.paths import CONFIG_FILE, Workspace


@dataclass(frozen=True)
class Bench:
    """A benchmark on this disk: library, workspace, and the files of its dataset."""

    library: Library
    workspace: Workspace
    benchmark: Benchmark
    #: The names of the test scenes that are scored, or None for all of them.
    subset: tuple[str, ...] | None = None

    @cached_property
    def space(self) -> LabelSpace:
        """The label space of the benchmark's data."""
        return LABEL_SPACES[self.benchmark.data.label_space]

    @cached_property
    def scoring(self) -> Scoring:
        """The benchmark's scoring convention; raises what ``require_scoring`` raises."""
        return self.require_scoring()

    def require_scoring(self, name: str | None = None) -> Scoring:
        """Check that a scoring convention exists and fits, and return it.

        Args:
            name: its name or path; None means the benchmark's own.

        Raises:
            LibraryError: there is no such convention, or its file is wrong.
            UsageError: it scores another label space.
        """
        scoring = self.library.scoring(name or self.benchmark.scoring)
        if scoring.label_space != self.space.name:
            raise UsageError(
                f"benchmark '{self.benchmark.name}' has labels of '{self.space.name}', "
                f"scoring '{scoring.name}' counts classes of '{scoring.label_space}'"
            )
        return scoring

    def scored_under(self, scoring: str) -> Bench:
        """Return the benchmark with another scoring convention, by name or path; all else is kept.

        Raises what ``require_scoring`` raises.
        """
        benchmark = self.benchmark.model_copy(update={"scoring": scoring})
        other = replace(self, benchmark=benchmark)
        other.require_scoring()  # a wrong one is found now, not after minutes of synthesis
        return other

    @cached_property
    def train_scenes(self) -> list[SceneFiles]:
        """The split that methods learn from."""
        return self._scenes(self.benchmark.data.train)

    @cached_property
    def test_scenes(self) -> list[SceneFiles]:
        """The split that is synthesized and scored, or what ``subset`` leaves of it."""
        scenes = self._scenes(self.benchmark.data.test)
        if self.subset is None:
            return scenes
        wanted = set(self.subset)
        return [entry for entry in scenes if entry.name in wanted]

    @property
    def photographs(self) -> list[Path]:
        """The photograph of each test scene."""
        return [entry.image for entry in self.test_scenes]

    @cached_property
    def photograph_sizes(self) -> list[tuple[int, int]]:
        """Width and height that photographs of the test split have, each once, in order.

        Raises:
            DataError: a file is damaged.
        """
        found = {
            parse_size(text) for text in self.file_digests.of(self.photographs, photograph_size)
        }
        return sorted((width, height) for height, width in found)

    @cached_property
    def judge_scenes(self) -> list[SceneFiles]:
        """The split that the benchmark's segmenter learns from."""
        return self._scenes(self.benchmark.segmenter.split)

    @cached_property
    def perceptual_scenes(self) -> list[SceneFiles]:
        """The split that the benchmark's perceptual network learns from; none without a recipe."""
        training = self.benchmark.perceptual.training
        return [] if training is None else self._scenes(training.split)

    @cached_property
    def train_data(self) -> list[list[str]]:
        """Name of each training scene, and SHA-256 of what is learnt from it, once decoded.

        Photograph, label ids and, where the dataset has them, instance ids. How their files are
        compressed does not enter: the same pixels are the same data on any machine.

        Raises:
            DataError: a file is damaged.
        """
        return self._data(self.train_scenes)

    @cached_property
    def judge_data(self) -> list[list[str]]:
        """The like of ``train_data`` for the scenes that the segmenter learns from."""
        return self._data(self.judge_scenes)

    @cached_property
    def perceptual_data(self) -> list[list[str]]:
        """The like of ``train_data`` for the scenes that the perceptual network learns from."""
        return self._data(self.perceptual_scenes)

    @cached_property
    def test_label_digests(self) -> list[str]:
        """SHA-256 of each test scene's label ids, however their file is compressed."""
        return self.file_digests.of((entry.label for entry in self.test_scenes), ids_digest)

    @cached_property
    def test_map_digests(self) -> list[list[str]]:
        """SHA-256 of the ids of each test scene's label map, and of its instance map if any."""
        return _rows(self._maps(self.test_scenes))

    @cached_property
    def train_map_digests(self) -> list[list[str]]:
        """The like of ``test_map_digests`` for the scenes that methods learn from."""
        return _rows(self._maps(self.train_scenes))

    @cached_property
    def training_set(self) -> TrainingSet:
        """The training split in memory, for the floors."""
        size = self.benchmark.size
        return TrainingSet(self.train_scenes, self.space, size.height, size.width)

    def data_root(self, split: str) -> Path:
        """Return the dataset's folder, ready to be read for a split.

        Built-in scenes are drawn here, as many as the split asks for and only those that are not
        on disk yet; from then on they are files like any others.

        Args:
            split: ``train``, or ``train[:16]`` for its first scenes.

        Raises:
            UsageError: nothing says where the dataset is, or no such scenes can be drawn.
        """
        if not self.benchmark.data.built_in:
            if self.workspace.data_root is None:
                raise UsageError(
                    f"benchmark '{self.benchmark.name}' reads a dataset from disk, and neither "
                    f"--data-root nor {CONFIG_FILE} says where it is.\n"
                    f"Next: 'hdbench init --benchmark {self.workspace.benchmark} --data-root DIR' "
                    "remembers it; 'hdbench quickstart --benchmark streets' needs none"
                )
            return self.workspace.data_root
        size, wanted = self.benchmark.size, Split.parse(split)
        root = self.workspace.built_in_data(folder_name(size.width, size.height))
        write_streets(root, wanted.name, wanted.count, size.width, size.height)
        return root

    def run_folder(self, method: str, seed: int) -> Path:
        """Return where a method's run on this benchmark lies."""
        return self.workspace.run(self.benchmark.name, method, seed)

    def segmenter_folder(self, second: bool = False) -> Path:
        """Return where ``segmenter train`` puts its outcome; the seed is always 0.

        Args:
            second: of the second segmenter, not of the judge.
        """
        return self.workspace.segmenter(self.benchmark.name, 0, second)

    def perceptual_folder(self) -> Path:
        """Return where ``perceptual train`` puts its outcome; the seed is always 0."""
        return self.workspace.perceptual(self.benchmark.name, 0)

    def judge_folder(self, second: bool = False) -> Path:
        """Return where the segmenter that judges lies: in the workspace, or in the library.

        Args:
            second: the second segmenter, not the judge.

        Raises:
            LibraryError: the benchmark names one that the library lacks.
            UsageError: it has no second one.
        """
        name = self.judge_name(second)
        return self.segmenter_folder(second) if name == OWN else self.library.segmenter(name)

    def judge_name(self, second: bool = False) -> str:
        """Return which segmenter judges, or is the second one, as the benchmark says it.

        Raises:
            UsageError: it has no second one.
        """
        return self.require_second().name if second else self.benchmark.judge

    def require_second(self) -> SecondSegmenter:
        """Return what the benchmark says of its second segmenter.

        Raises:
            UsageError: it has none.
        """
        found = self.benchmark.second_segmenter
        if found is None:
            raise UsageError(
                f"benchmark '{self.benchmark.name}' has no second segmenter; its file has no table "
                "[second_segmenter].\nNext: name the folder of another one with --segmenter, or "
                "write the table as 'hdbench show streets' has it"
            )
        return found

    def foreign_judge(self, weights: str) -> str | None:
        """Return a short name of a segmenter that is not the benchmark's judge, or None if it is.

        Args:
            weights: the digest on its card.
        """
        try:
            judge = json.loads((self.judge_folder() / CARD_FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, LibraryError):
            judge = {}
        return None if judge.get("weights") == weights else weights[:8]

    def trains_judge(self, weights: str) -> bool:
        """Return whether a segmenter is the one that this workspace trains for the benchmark.

        Args:
            weights: the digest on its card.
        """
        return self.benchmark.judge == OWN and self.foreign_judge(weights) is None

    def result_path(
        self, method: str, seed: int, judge: str | None = None, scoring: str | None = None
    ) -> Path:
        """Return where a method's result lies.

        Args:
            method: its name.
            seed: the run's.
            judge: short name of another judge than the benchmark's, or None.
            scoring: name of another convention than the benchmark's, or None.
        """
        scored = scoring or self.scoring.name
        if judge is not None:
            scored += f".judge-{judge}"
        return self.record_path(method, seed, scored)

    def record_path(self, method: str, seed: int, kind: str) -> Path:
        """Return where a record of any kind lies; those of a subset of scenes stand apart."""
        if self.subset is not None:
            kind += f".subset-{digest(sorted(self.subset))[:8]}"
        return self.workspace.result(self.benchmark.name, method, seed, kind)

    def image_folder(self, method: str, seed: int, training: bool = False) -> Path:
        """Return where a method's images of the test split lie, or of the training split."""
        split = self.benchmark.data.train if training else self.benchmark.data.test
        return self.run_folder(method, seed) / "images" / Split.parse(split).name

    @cached_property
    def file_digests(self) -> FileDigests:
        """Digests of the files of this workspace and its data, remembered between commands."""
        return FileDigests(self.workspace.file_digests())

    def _scenes(self, split: str) -> list[SceneFiles]:
        return find_scenes(self.benchmark.data.layout, self.data_root(split), split)

    def _data(self, scenes: Sequence[SceneFiles]) -> list[list[str]]:
        names = [entry.name for entry in scenes]
        photographs = self.file_digests.of((entry.image for entry in scenes), photograph_digest)
        return _rows([names, photographs, *self._maps(scenes)])

    def _maps(self, scenes: Sequence[SceneFiles]) -> list[list[str]]:
        """Return the digests of label maps and, if the layout has them, of instance maps."""
        columns = [self.file_digests.of((entry.label for entry in scenes), ids_digest)]
        instances = [entry.instance for entry in scenes if entry.instance is not None]
        if instances:  # a layout has one for every scene, or none at all
            columns.append(self.file_digests.of(instances, ids_digest))
        return columns


def _rows(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    return [list(row) for row in zip(*columns, strict=True)]


def open_bench(workspace: Workspace) -> Bench:
    """Return the benchmark of a workspace, resolved.

    Raises:
        LibraryError: there is no such benchmark, or its file is wrong.
    """
    library = Library(methods=workspace.methods())
    return Bench(library, workspace, library.benchmark(workspace.benchmark))
