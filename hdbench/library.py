"""Finds methods, protocols and reports by name and checks what they say."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Any

from hdbench.errors import LibraryError, suggestion
from hdbench.schema.base import LibraryFile, parse
from hdbench.schema.benchmark import OWN, VGG19_IMAGENET, Benchmark
from hdbench.schema.generator import GENERATOR_CARD
from hdbench.schema.method import KINDS, Method
from hdbench.schema.perceptual import PERCEPTUAL_CARD
from hdbench.schema.preference_report import PreferenceReport
from hdbench.schema.report import Report
from hdbench.schema.scoring import Scoring
from hdbench.schema.study import StudyProtocol


@dataclass(frozen=True)
class Shelf:
    """One folder of the library and the kind of file on it."""

    kind: str
    folder: str
    #: Where its entries are folders of trained weights: the JSON file in each that says what it is.
    card: str | None = None


METHODS = Shelf("method", "models")
BENCHMARKS = Shelf("benchmark", "protocols/benchmarks")
SCORINGS = Shelf("scoring", "protocols/scoring")
STUDIES = Shelf("study", "protocols/studies")
REPORTS = Shelf("report", "reports")
SHELVES = (METHODS, BENCHMARKS, SCORINGS, STUDIES, REPORTS)
#: What a segmenter's folder says it is (``hdbench.segmentation.segmenter.SegmenterCard``).
CARD_FILE = "segmenter.json"
SEGMENTERS = Shelf("segmenter", "models/weights", CARD_FILE)
PERCEPTUALS = Shelf("perceptual network", "models/weights", PERCEPTUAL_CARD)
GENERATORS = Shelf("generator", "models/weights", GENERATOR_CARD)
#: What ships trained.
WEIGHTS = (SEGMENTERS, PERCEPTUALS, GENERATORS)


#: What ``hdbench list`` says of weights that ship, from their cards.
_TITLES = {
    SEGMENTERS: "{architecture} on {encoder}, trained on {trained_on}",
    PERCEPTUALS: "{architecture} network, trained on {trained_on}",
    GENERATORS: "{method} of benchmark {benchmark}, seed {seed}, {steps} steps",
}


def library_root() -> Path:
    """Return the folder that holds the library: inside the wheel, else the repository's root.

    Raises:
        LibraryError: neither place has one.
    """
    here = Path(__file__).resolve().parent
    for root in (here / "_library", here.parent):
        if (root / METHODS.folder).is_dir():
            return root
    raise LibraryError(f"{here}: this installation carries no library; install hdbench again")


class Library:
    """All files under one root, looked up by name; a path is read from where it points.

    Args:
        root: a folder with ``models/``, ``protocols/`` and ``reports/``; None means hdbench's own.
        methods: a folder with further methods, those of a workspace; it need not exist.
    """

    def __init__(self, root: Path | None = None, methods: Path | None = None) -> None:
        """Remember the folders; files are read when asked for."""
        self.root = root or library_root()
        self._methods = methods

    @cached_property
    def files(self) -> dict[Shelf, dict[str, Path]]:
        """Every file by shelf and name.

        Raises:
            LibraryError: two files of one shelf share a name.
        """
        found: dict[Shelf, dict[str, Path]] = {}
        for shelf in SHELVES:
            names: dict[str, Path] = {}
            paths = sorted((self.root / shelf.folder).rglob("*.toml"))
            if shelf == METHODS and self._methods is not None:
                paths += sorted(self._methods.glob("*.toml"))
            for path in paths:
                if path.stem in names:
                    raise LibraryError(
                        f"{self._where(path)}: the {shelf.kind} '{path.stem}' is also in "
                        f"{self._where(names[path.stem])}; rename one of them"
                    )
                names[path.stem] = path
            found[shelf] = names
        return found

    def method(self, name: str) -> Method:
        """Return a method by name or path.

        Raises:
            LibraryError: there is none, or its file says something it may not say.
        """
        content, where = self._content(METHODS, name)
        kind = content.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise LibraryError(f"{where}: kind = {kind!r}{suggestion(str(kind), KINDS)}")
        return parse(KINDS[kind], content, where)

    def benchmark(self, name: str) -> Benchmark:
        """Return a benchmark by name or path; raises LibraryError like ``method``."""
        content, where = self._content(BENCHMARKS, name)
        return parse(Benchmark, content, where)

    def scoring(self, name: str) -> Scoring:
        """Return a scoring convention by name or path; raises LibraryError like ``method``."""
        content, where = self._content(SCORINGS, name)
        return parse(Scoring, content, where)

    def study(self, name: str) -> StudyProtocol:
        """Return a study's protocol by name or path; raises LibraryError like ``method``."""
        content, where = self._content(STUDIES, name)
        return parse(StudyProtocol, content, where)

    def report(self, name: str) -> Report:
        """Return a report of scores by name or path; raises LibraryError like ``method``."""
        found = self.any_report(name)
        if isinstance(found, Report):
            return found
        raise LibraryError(f"report '{found.name}' shows what people preferred, not scores")

    def any_report(self, name: str) -> Report | PreferenceReport:
        """Return a report by name or path: one of preferences has ``comparisons``, not ``rows``.

        Raises LibraryError like ``method``.
        """
        content, where = self._content(REPORTS, name)
        if "comparisons" in content:
            return parse(PreferenceReport, content, where)
        return parse(Report, content, where)

    @cached_property
    def shipped(self) -> dict[Shelf, dict[str, Path]]:
        """The folder of all trained weights that ship, by shelf and name."""
        return {
            shelf: {
                card.parent.name: card.parent
                for card in sorted((self.root / shelf.folder).glob(f"[!.]*/{shelf.card}"))
            }
            for shelf in WEIGHTS
        }

    def segmenter(self, name: str) -> Path:
        """Return the folder of a segmenter that ships, by name or path.

        Raises:
            LibraryError: there is none.
        """
        return self._weights(SEGMENTERS, name)

    def perceptual(self, name: str) -> Path:
        """Return the folder of a perceptual network that ships, by name or path.

        A segmenter's folder is returned too, for the reader of its card to refuse with the reason.

        Raises:
            LibraryError: there is none.
        """
        return self._weights(SEGMENTERS if self._has(SEGMENTERS, name) else PERCEPTUALS, name)

    def _weights(self, shelf: Shelf, name: str) -> Path:
        if not self._has(shelf, name):
            if _is_path(name):
                raise LibraryError(
                    f"{name}: no {shelf.kind} here; expected a folder with {shelf.card}"
                )
            hint = suggestion(name, self.shipped[shelf])
            raise LibraryError(f"no {shelf.kind} '{name}' in {shelf.folder}/{hint}")
        return Path(name) if _is_path(name) else self.shipped[shelf][name]

    def title(self, shelf: Shelf, name: str) -> str:
        """Return what an entry of any shelf is called; raises LibraryError like ``method``."""
        if shelf.card is None:
            return self.load(shelf, name).title
        return _TITLES[shelf].format_map(self._card(shelf, name))

    def resolved(self, shelf: Shelf, name: str) -> str:
        """Return an entry of any shelf as it is used, as JSON; raises LibraryError like ``method``.

        What a file extends is in it; the card of trained weights is JSON already.
        """
        if shelf.card is None:
            return self.load(shelf, name).model_dump_json(indent=2)
        return json.dumps(self._card(shelf, name), indent=2)

    def find(self, name: str) -> tuple[Shelf, Path]:
        """Return the shelf and file of a name or path, whatever its kind.

        The file of trained weights is their card. A file outside the library shows its kind by what
        it extends, else by its content: a ``kind`` makes it a method, ``[data]`` a benchmark,
        ``[counting]`` a scoring convention, ``[question]`` a study, ``rows`` or
        ``comparisons`` a report.

        Raises:
            LibraryError: no shelf has it, or the file's kind cannot be told.
        """
        if _is_path(name):
            return self._shelf_of(Path(name)), Path(name)
        for shelf, names in self.files.items():
            if name in names:
                return shelf, names[name]
        for shelf, folders in self.shipped.items():
            if name in folders:
                assert shelf.card is not None
                return shelf, folders[name] / shelf.card
        shelves = (*self.files.values(), *self.shipped.values())
        known = [known for names in shelves for known in names]
        raise LibraryError(f"nothing in the library is named '{name}'{suggestion(name, known)}")

    def load(self, shelf: Shelf, name: str) -> LibraryFile:
        """Return a file of any shelf; raises LibraryError like ``method``."""
        loaders = {
            METHODS: self.method,
            BENCHMARKS: self.benchmark,
            SCORINGS: self.scoring,
            STUDIES: self.study,
            REPORTS: self.any_report,
        }
        return loaders[shelf](name)

    def problems(self) -> list[str]:
        """Return everything that is wrong in the library, one line each, all at once."""
        lines: list[str] = []
        for shelf, names in self.files.items():
            for name, path in names.items():
                try:
                    loaded = self.load(shelf, name)
                    lines += self._dangling(loaded, self._where(path))
                except LibraryError as error:
                    lines += str(error).splitlines()
        for shelf, folders in self.shipped.items():
            for name in folders:
                try:
                    self._card(shelf, name)
                except LibraryError as error:
                    lines.append(str(error))
        return lines

    def problems_in(self, paths: Iterable[Path]) -> list[str]:
        """Return everything that is wrong in files outside the library, one line each."""
        lines: list[str] = []
        for path in paths:
            name = str(path) if _is_path(str(path)) else f"./{path}"
            try:
                shelf, _ = self.find(name)
                lines += self._dangling(self.load(shelf, name), str(path))
            except LibraryError as error:
                lines += str(error).splitlines()
        return lines

    def _shelf_of(self, path: Path) -> Shelf:
        if not path.is_file():
            raise LibraryError(f"{path}: no such file")
        content = self._tables(path)
        if "extends" in content:
            return self.find(self._extended(content, path))[0]
        for key, shelf in (
            ("kind", METHODS),
            ("data", BENCHMARKS),
            ("counting", SCORINGS),
            ("question", STUDIES),
            ("rows", REPORTS),
            ("comparisons", REPORTS),
        ):
            if key in content:
                return shelf
        raise LibraryError(
            f"{path}: not recognisable; a method says kind, a benchmark [data], "
            "a scoring convention [counting], a study [question], a report [[rows]] or "
            "[[comparisons]]"
        )

    def _dangling(self, loaded: LibraryFile, where: str) -> list[str]:
        """Return a line for each name that a file refers to and the library lacks."""
        match loaded:
            case Benchmark():
                references = [("scoring", loaded.scoring, SCORINGS)]
                if loaded.beside is not None:
                    references.append(("beside", loaded.beside, BENCHMARKS))
                if loaded.perceptual.name not in (OWN, VGG19_IMAGENET):
                    references.append(("[perceptual] name", loaded.perceptual.name, PERCEPTUALS))
                named = [("judge", loaded.judge)]
                if loaded.second_segmenter is not None:
                    named.append(("[second_segmenter] name", loaded.second_segmenter.name))
                references += [(key, name, SEGMENTERS) for key, name in named if name != OWN]
            case Report():
                references = [
                    (f"row '{row.title}': method", row.method, METHODS)
                    for row in loaded.rows
                    if row.method is not None
                ]
            case PreferenceReport():  # its methods may be foreign, its studies may not
                references = [
                    (f"comparison '{entry.title}': study", entry.study, STUDIES)
                    for entry in loaded.comparisons
                    if entry.study is not None
                ]
            case _:
                references = []
        return [
            f"{where}: {key} = '{name}': no such {shelf.kind}"
            f"{suggestion(name, self._entries(shelf))}"
            for key, name, shelf in references
            if not self._has(shelf, name)
        ]

    def _entries(self, shelf: Shelf) -> dict[str, Path]:
        return self.files[shelf] if shelf.card is None else self.shipped[shelf]

    def _has(self, shelf: Shelf, name: str) -> bool:
        """Return whether a name is on a shelf, or a path leads to what the shelf holds."""
        if not _is_path(name):
            return name in self._entries(shelf)
        return (Path(name) / (shelf.card or "")).is_file()

    def _card(self, shelf: Shelf, name: str) -> dict[str, Any]:
        """Return what the card of weights that ship says; their tensors are not looked at."""
        assert shelf.card is not None
        path = self._weights(shelf, name) / shelf.card
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise LibraryError(f"{self._where(path)}: not readable as JSON: {error}") from None
        expected = {field for _, field, _, _ in Formatter().parse(_TITLES[shelf]) if field}
        if not isinstance(card, dict) or not expected <= card.keys():
            raise LibraryError(
                f"{self._where(path)}: not a {shelf.kind}'s card; expected a table with "
                f"{', '.join(sorted(expected))}"
            )
        return card

    def _content(self, shelf: Shelf, name: str) -> tuple[dict[str, Any], str]:
        """Return a file's tables, with those that it extends below them, and its display name."""
        path = self._path(shelf, name)
        content = self._tables(path)
        if "extends" in content:
            base_name = self._extended(content, path)
            del content["extends"]
            base = self._tables(self._path(shelf, base_name, needed_by=self._where(path)))
            if "extends" in base:
                raise LibraryError(
                    f"{self._where(path)}: extends '{base_name}', which extends "
                    f"'{base['extends']}'; one level only, so extend '{base['extends']}' itself"
                )
            content = _merged(base, content)
        if content.get("name") != path.stem:
            raise LibraryError(
                f"{self._where(path)}: name = {content.get('name')!r}; "
                f"expected the file's own name, '{path.stem}'"
            )
        return content, self._where(path)

    def _path(self, shelf: Shelf, name: str, needed_by: str = "") -> Path:
        if _is_path(name):
            path = Path(name)
            if not path.is_file():
                raise LibraryError(f"{name}: no such file; expected a {shelf.kind}'s TOML file")
            return path
        if name not in self.files[shelf]:
            prefix = f"{needed_by}: " if needed_by else ""
            hint = suggestion(name, self.files[shelf])
            raise LibraryError(
                f"{prefix}no {shelf.kind} is named '{name}'{hint}; "
                f"'hdbench list' shows all, and a path to a TOML file works too"
            )
        return self.files[shelf][name]

    def _extended(self, content: dict[str, Any], path: Path) -> str:
        name = content["extends"]
        if not isinstance(name, str):
            raise LibraryError(
                f"{self._where(path)}: extends = {name!r}; expected a name in quotes"
            )
        return name

    def _tables(self, path: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise LibraryError(f"{self._where(path)}: not readable as TOML: {error}") from None

    def _where(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith(".toml")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the keys of ``over`` laid over it, table by table."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result
