"""The kinds of library file, one row each: folder, schema, and references to other files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from hdbench.errors import LibraryError, suggestion
from hdbench.schema import method
from hdbench.schema.base import LibraryFile, parse
from hdbench.schema.benchmark import OWN, VGG19_IMAGENET, Benchmark, SegmenterChoice
from hdbench.schema.generator import GENERATOR_CARD
from hdbench.schema.label_space import LabelSpaceFile
from hdbench.schema.method import Method
from hdbench.schema.perceptual import PERCEPTUAL_CARD
from hdbench.schema.report import Report
from hdbench.schema.scoring import Scoring
from hdbench.schema.study import StudyProtocol

#: The card of a segmenter's folder (``hdbench.segmentation.segmenter.SegmenterCard``).
CARD_FILE = "segmenter.json"

File = TypeVar("File", bound=LibraryFile)
#: A key of a file, for messages; the name that is its value; the kind of the named file.
Reference = tuple[str, str, "FileKind | WeightsKind"]


def _no_references(_: Any) -> Iterable[Reference]:
    return ()


@dataclass(frozen=True, eq=False)
class FileKind(Generic[File]):
    """A kind of TOML file."""

    name: str
    plural: str
    #: Its folder in the library.
    folder: str
    #: Top-level keys that no other kind has; they tell the kind of a file outside the library.
    keys: tuple[str, ...]
    #: Validates a file's tables, after ``extends``; the second argument names it in messages.
    parse: Callable[[dict[str, Any], str], File]
    #: The names of other library files in a file.
    references: Callable[[File], Iterable[Reference]] = _no_references
    #: Keys whose values are names or paths; relative paths are those from the file's own folder.
    paths_in: tuple[tuple[str, ...], ...] = ()
    #: Whether a file outside the library may have another name than its ``name``.
    free_name: bool = False

    def paths(self, root: Path) -> list[Path]:
        """Return all files of this kind."""
        return sorted((root / self.folder).rglob("*.toml"))

    def is_at(self, path: Path) -> bool:
        """Return whether a path may be a file of this kind."""
        return path.is_file()


@dataclass(frozen=True, eq=False)
class WeightsKind:
    """A kind of shipped weights: a folder with the weights and their card."""

    name: str
    plural: str
    #: The file name of the card (JSON).
    card: str
    #: The title of an entry in ``hdbench list``, from fields of its card.
    title: str
    #: Where the folders are in the library.
    folder: str = "models/weights"

    def paths(self, root: Path) -> list[Path]:
        """Return all folders of this kind."""
        return [card.parent for card in sorted((root / self.folder).glob(f"[!.]*/{self.card}"))]

    def is_at(self, path: Path) -> bool:
        """Return whether a path is a folder of this kind."""
        return (path / self.card).is_file()


Kind = FileKind[Any] | WeightsKind


def _parse_method(content: dict[str, Any], where: str) -> Method:
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in method.KINDS:
        raise LibraryError(f"{where}: kind = {kind!r}{suggestion(str(kind), method.KINDS)}")
    return parse(method.KINDS[kind], content, where)


def _references_of_benchmark(benchmark: Benchmark) -> Iterator[Reference]:
    if benchmark.scoring is not None:
        yield "scoring", benchmark.scoring, SCORINGS
    if benchmark.beside is not None:
        yield "beside", benchmark.beside, BENCHMARKS
    if benchmark.perceptual.name not in (OWN, VGG19_IMAGENET):
        yield "[perceptual] name", benchmark.perceptual.name, PERCEPTUALS
    for table in ("segmenter", "second_segmenter"):
        segmenter: SegmenterChoice | None = getattr(benchmark, table)
        if segmenter is not None and segmenter.name != OWN:
            yield f"[{table}] name", segmenter.name, SEGMENTERS


def _references_of_report(report: Report) -> Iterator[Reference]:
    for row in report.rows:
        if row.method is not None:
            yield f"row '{row.title}': method", row.method, METHODS
    for entry in report.comparisons:  # its methods may be foreign, its study may not
        for study in entry.study:
            yield f"comparison '{entry.title}': study", study, STUDIES
    for name in report.pictures.methods if report.pictures else ():
        yield "[pictures] methods", name, METHODS
    for name in report.reports:
        yield "reports", name, REPORTS


METHODS = FileKind("method", "methods", "models", ("kind",), _parse_method)
BENCHMARKS = FileKind(
    "benchmark",
    "benchmarks",
    "protocols/benchmarks",
    ("data",),
    partial(parse, Benchmark),
    _references_of_benchmark,
    (("scoring",), ("beside",), ("data", "label_space")),
)
LABEL_SPACES = FileKind(
    "label space",
    "label spaces",
    "protocols/label-spaces",
    ("classes",),
    partial(parse, LabelSpaceFile),
    free_name=True,  # classes.toml in a dataset's folder has the dataset's name
)
SCORINGS = FileKind(
    "scoring",
    "scorings",
    "protocols/scoring",
    ("counting",),
    partial(parse, Scoring),
    paths_in=(("label_space",),),
)
STUDIES = FileKind(
    "study", "studies", "protocols/studies", ("question",), partial(parse, StudyProtocol)
)
REPORTS = FileKind(
    "report",
    "reports",
    "reports",
    ("rows", "comparisons", "every_pair", "pictures", "segmenters", "edits", "reports"),
    partial(parse, Report),
    _references_of_report,
)
SEGMENTERS = WeightsKind(
    "segmenter",
    "segmenters",
    CARD_FILE,
    "{architecture} on {encoder}, trained on {trained_on}",
)
PERCEPTUALS = WeightsKind(
    "perceptual network",
    "perceptual networks",
    PERCEPTUAL_CARD,
    "{architecture} network, trained on {trained_on}",
)
GENERATORS = WeightsKind(
    "generator",
    "generators",
    GENERATOR_CARD,
    "{method} of benchmark {benchmark}, seed {seed}, {steps} steps",
)

FILES: tuple[FileKind[Any], ...] = (
    METHODS,
    BENCHMARKS,
    LABEL_SPACES,
    SCORINGS,
    STUDIES,
    REPORTS,
)
WEIGHTS = (SEGMENTERS, PERCEPTUALS, GENERATORS)
KINDS: tuple[Kind, ...] = (*FILES, *WEIGHTS)
