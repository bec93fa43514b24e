"""A benchmark opened in a workspace: what every workflow is handed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hdbench.data.labels import LabelSpace, label_space_of
from hdbench.errors import UsageError
from hdbench.library import Library
from hdbench.provenance import digest
from hdbench.runtime.file_digests import FileDigests
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import Scoring
from hdbench.schema.split import Split
from hdbench.workspace.dataset import Dataset
from hdbench.workspace.paths import Workspace


@dataclass(frozen=True)
class Bench:
    """A benchmark opened in a workspace."""

    library: Library
    workspace: Workspace
    benchmark: Benchmark
    #: Names of the test scenes that are scored, or None for all of them.
    subset: tuple[str, ...] | None = None
    #: A folder of edited scenes that stand in for the test split, or None.
    edited: Path | None = None

    @cached_property
    def dataset(self) -> Dataset:
        """The benchmark's scenes on disk."""
        return Dataset(self.benchmark, self.workspace, self.subset, self.file_digests, self.edited)

    @cached_property
    def space(self) -> LabelSpace:
        """The label space of the benchmark's data."""
        return label_space_of(self.benchmark.data.label_space)

    @cached_property
    def scoring(self) -> Scoring:
        """The benchmark's scoring convention; raises what ``require_scoring`` raises."""
        return self.require_scoring()

    @cached_property
    def file_digests(self) -> FileDigests:
        """Digests of the files of this workspace and its data, remembered between commands."""
        return FileDigests(self.workspace.file_digests())

    def require_scoring(self, name: str | None = None) -> Scoring:
        """Return the convention of a name or path, or the benchmark's own; UsageError if unfit."""
        name = name or self.benchmark.scoring
        if name is None or not self.benchmark.data.labelled:
            raise self.benchmark.needs_labels("scores compare predicted labels with them")
        scoring = self.library.scoring(name)
        if scoring.label_space != self.space.name:
            raise UsageError(
                f"benchmark '{self.benchmark.name}' has labels of '{self.space.name}', "
                f"scoring '{scoring.name}' counts classes of '{scoring.label_space}'"
            )
        return scoring

    def scored_under(self, scoring: str) -> Bench:
        """Return the benchmark with another scoring convention, by name or path."""
        other = self.with_benchmark(self.benchmark.model_copy(update={"scoring": scoring}))
        other.require_scoring()  # a wrong one is found now, not after minutes of synthesis
        return other

    def with_benchmark(self, benchmark: Benchmark) -> Bench:
        """Return another benchmark, or a variant of this one, in the same workspace."""
        return replace(self, benchmark=benchmark)

    def with_edited(self, folder: Path | None) -> Bench:
        """Return the benchmark with scenes that ``hdbench edit`` exported for its test split."""
        return replace(self, edited=folder)

    def run_folder(self, method: str, seed: int) -> Path:
        """Return where a method's run on this benchmark lies."""
        return self.workspace.run(self.benchmark.name, method, seed)

    def image_folder(
        self, method: str, seed: int, training: bool = False, suffix: str = ""
    ) -> Path:
        """Return where a method's images of the test split lie, or of the training split.

        ``suffix`` is that of images in another style than those that are scored.
        """
        split = self.benchmark.data.train if training else self.benchmark.data.test
        name = Split.parse(split).name + suffix
        if self.edited is not None and not training:
            place = digest(str(self.edited.resolve()))[:8]
            name = f"edited-{self.edited.resolve().name}-{place}{suffix}"
        return self.run_folder(method, seed) / "images" / name

    def record_path(self, method: str, seed: int, kind: str) -> Path:
        """Return where a record of any kind lies; those of a subset of scenes stand apart."""
        if self.subset is not None:
            kind += f".subset-{digest(sorted(self.subset))[:8]}"
        return self.workspace.result(self.benchmark.name, method, seed, kind)

    def segmenter_folder(self, second: bool = False) -> Path:
        """Return where ``segmenter train`` puts its outcome; the seed is always 0."""
        return self.workspace.segmenter(self.benchmark.name, 0, second)

    def perceptual_folder(self) -> Path:
        """Return where ``perceptual train`` puts its outcome; the seed is always 0."""
        return self.workspace.perceptual(self.benchmark.name, 0)


def open_bench(workspace: Workspace) -> Bench:
    """Return the benchmark of a workspace, resolved.

    Raises:
        LibraryError: there is no such benchmark, or its file is wrong.
    """
    library = Library(methods=workspace.methods())
    return Bench(library, workspace, library.benchmark(workspace.benchmark))
