"""The files of a benchmark's dataset on this disk, and digests of what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hdbench.data.decoding import photograph_size
from hdbench.data.edges import with_edge_maps
from hdbench.data.edited import find_edited
from hdbench.data.inputs import input_digest
from hdbench.data.labels import label_space_of
from hdbench.data.layouts import SceneFiles, find_scenes
from hdbench.data.loading import COLOUR_CODED, ids_digest, photograph_digest
from hdbench.errors import UsageError
from hdbench.floors import TrainingSet
from hdbench.provenance import digest, file_digest
from hdbench.runtime.file_digests import FileDigests
from hdbench.schema.base import identity_of
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.scoring import parse_size
from hdbench.schema.split import Split
from hdbench.streets.files import SPLITS, folder_name, write_streets
from hdbench.workspace.paths import CONFIG_FILE, Workspace


@dataclass(frozen=True)
class Dataset:
    """The scenes of a benchmark; those that hdbench draws itself are drawn when first asked for."""

    benchmark: Benchmark
    workspace: Workspace
    #: Names of the test scenes that are scored, or None for all of them.
    subset: tuple[str, ...] | None
    #: Digests of files, remembered between commands.
    file_digests: FileDigests
    #: A folder of edited scenes that stand in for the test split, or None.
    edited: Path | None = None

    @cached_property
    def train_scenes(self) -> list[SceneFiles]:
        """The split that methods learn from."""
        return self.with_inputs(self.benchmark.data.train)

    @cached_property
    def test_scenes(self) -> list[SceneFiles]:
        """The split that is synthesized and scored, or what ``subset`` leaves of it."""
        if self.edited is not None:
            if self.benchmark.input is not None:
                raise UsageError(
                    f"{self.edited}: edited label maps, but '{self.benchmark.name}' makes images "
                    "of input images"
                )
            size, space = self.benchmark.size, self.benchmark.data.label_space
            return find_edited(self.edited, space.name, size.width, size.height)
        scenes = self.with_inputs(self.benchmark.data.test)
        if self.subset is None:
            return scenes
        chosen = set(self.subset)
        return [entry for entry in scenes if entry.name in chosen]

    def scenes(self, split: str) -> list[SceneFiles]:
        """Return the scenes of a split like ``train`` or ``train[:16]``, without input images.

        Networks that label pixels read these: they need photographs and labels alone.
        """
        return find_scenes(self.benchmark.data.layout, self.root(split), split)

    def count(self, split: str) -> int:
        """Return how many scenes a split like ``train[:16]`` has; none is drawn for it.

        Raises what ``scenes`` raises.
        """
        chosen = Split.parse(split)
        if self.benchmark.data.built_in:
            return SPLITS[chosen.name].scenes if chosen.count is None else chosen.count
        return len(self.scenes(split))

    def with_inputs(self, split: str) -> list[SceneFiles]:
        """Return the scenes of a split with the input images that the benchmark states, if any.

        Edge maps are made here, those that are missing or stale.

        Raises:
            DataError: photographs are damaged, or the dataset has no input images.
        """
        scenes, spec = self.scenes(split), self.benchmark.input
        if spec is None:
            return [replace(entry, input=None) for entry in scenes]
        if spec.edges is not None:
            folder = self.edge_folder(split)
            return with_edge_maps(scenes, spec, folder, self.file_digests, f"edges of {split}")
        return [replace(entry, input=entry.required_input, input_spec=spec) for entry in scenes]

    def edge_folder(self, split: str) -> Path:
        """Return where the edge maps of a split lie; each detector's settings have their own."""
        spec = self.benchmark.input
        assert spec is not None
        assert spec.edges is not None
        root = self.root(split)
        source = [self.benchmark.data.layout, str(root.resolve()), identity_of(spec.edges)]
        name = f"edges-{root.resolve().name}-{digest(source)[:8]}"
        return self.workspace.built_in_data(name) / Split.parse(split).name

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
        texts = set(self.file_digests.of(self.photographs, photograph_size))
        return sorted((width, height) for height, width in map(parse_size, texts))

    @cached_property
    def train_digests(self) -> list[list[str]]:
        """``digests`` of the split that methods learn from, and of its input images if any."""
        return _joined(self.digests(self.train_scenes), self._inputs(self.train_scenes))

    @cached_property
    def train_source_digests(self) -> list[list[str]]:
        """``source_digests`` of the split that methods learn from."""
        return self.source_digests(self.train_scenes)

    @cached_property
    def test_source_digests(self) -> list[list[str]]:
        """``source_digests`` of the test scenes."""
        return self.source_digests(self.test_scenes)

    @cached_property
    def test_map_digests(self) -> list[list[str]]:
        """``map_digests`` of the test scenes."""
        return self.map_digests(self.test_scenes)

    @cached_property
    def test_label_digests(self) -> list[str]:
        """SHA-256 of each test scene's label ids."""
        return self.label_digests(self.test_scenes)

    def forget_test_labels(self) -> None:
        """Read the test scenes' label and instance maps again for their digests, each of them."""
        self._maps(self.test_scenes, fresh=True)
        for name in ("test_map_digests", "test_source_digests", "test_label_digests"):
            self.__dict__.pop(name, None)

    def digests(self, scenes: Sequence[SceneFiles]) -> list[list[str]]:
        """Return the name of each scene, and SHA-256 of its decoded photograph and maps.

        How the files are compressed does not enter: the same pixels are the same data on any
        machine.

        Raises:
            DataError: a file is damaged.
        """
        names = [entry.name for entry in scenes]
        photographs = self.file_digests.of((entry.image for entry in scenes), photograph_digest)
        return _rows([names, photographs, *self._maps(scenes)])

    def label_digests(self, scenes: Sequence[SceneFiles], fresh: bool = False) -> list[str]:
        """Return SHA-256 of the ids of each scene's label map.

        For a map in several files it is that of their ids and contents; for a colour-coded map it
        depends on what the colours stand for. ``fresh`` reads every file again.

        Raises:
            DataError: a file is damaged.
        """
        paths = [path for entry in scenes for path in entry.label_files]
        found = iter(self.file_digests.of(paths, ids_digest, fresh))
        return [
            self._label_digest(entry, [next(found) for _ in entry.label_files]) for entry in scenes
        ]

    def _label_digest(self, entry: SceneFiles, found: list[str]) -> str:
        if entry.parts is not None:
            ids = [its_id for its_id, _ in entry.parts.files]
            return digest([entry.parts.kind, *zip(ids, found, strict=True)])
        if found[0].startswith(COLOUR_CODED):
            classes = self.benchmark.data.label_space.classes
            return digest([found[0], *([one.id, one.colour] for one in classes)])
        return found[0]

    def map_digests(self, scenes: Sequence[SceneFiles]) -> list[list[str]]:
        """Return SHA-256 of the ids of each scene's label and instance map, if there are any."""
        columns = self._maps(scenes)
        return _rows(columns) if columns else [[] for _ in scenes]

    def source_digests(self, scenes: Sequence[SceneFiles]) -> list[list[str]]:
        """Return digests of all that each scene's image is made from: maps, input image, styles."""
        rows = _joined(self.map_digests(scenes), self._inputs(scenes))
        paths = [entry.styles for entry in scenes if entry.styles is not None]
        if not paths:  # edited scenes have them, and no others
            return rows
        names = [[entry.seeded_as or entry.name] for entry in scenes]
        styles = [[found] for found in self.file_digests.of(paths, file_digest)]
        return _joined(_joined(rows, names), styles)

    @cached_property
    def training_set(self) -> TrainingSet:
        """The training split in memory, for the floors."""
        size = self.benchmark.size
        space = label_space_of(self.benchmark.data.label_space)
        return TrainingSet(self.train_scenes, space, size.height, size.width)

    def root(self, split: str) -> Path:
        """Return the dataset's folder, ready to be read for a split.

        Built-in scenes are drawn here, as many as the split asks for and only those that are not on
        disk yet; from then on they are files like any others. Raises UsageError if nothing says
        where the dataset is, or no such scenes can be drawn.
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
        size, chosen = self.benchmark.size, Split.parse(split)
        root = self.workspace.built_in_data(folder_name(size.width, size.height))
        write_streets(root, chosen.name, chosen.count, size.width, size.height)
        return root

    def _inputs(self, scenes: Sequence[SceneFiles]) -> list[list[str]]:
        paths = [entry.input for entry in scenes if entry.input is not None]
        if not paths:  # a benchmark has one for every scene, or none at all
            return [[] for _ in scenes]
        return [[found] for found in self.file_digests.of(paths, input_digest)]

    def _maps(self, scenes: Sequence[SceneFiles], fresh: bool = False) -> list[list[str]]:
        columns: list[list[str]] = []
        if self.benchmark.data.labelled:
            columns.append(self.label_digests(scenes, fresh))
        instances = [entry.instance for entry in scenes if entry.instance is not None]
        if instances:  # a layout has one for every scene, or none at all
            columns.append(self.file_digests.of(instances, ids_digest, fresh))
        return columns


def _joined(rows: list[list[str]], others: list[list[str]]) -> list[list[str]]:
    return [[*row, *other] for row, other in zip(rows, others, strict=True)]


def _rows(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    return [list(row) for row in zip(*columns, strict=True)]
