"""Finds the files of the library by name and validates them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Any

from hdbench.errors import LibraryError, suggestion
from hdbench.library.kinds import (
    BENCHMARKS,
    FILES,
    KINDS,
    LABEL_SPACES,
    METHODS,
    PERCEPTUALS,
    REPORTS,
    SCORINGS,
    SEGMENTERS,
    STUDIES,
    File,
    FileKind,
    Kind,
    WeightsKind,
)
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.label_space import LabelSpaceFile, OwnLabelSpace
from hdbench.schema.method import BEST_SUFFIX, Method
from hdbench.schema.report import Report
from hdbench.schema.scoring import Scoring
from hdbench.schema.study import StudyProtocol


def library_root() -> Path:
    """Return the folder that holds the library: inside the wheel, else the repository's root.

    Raises:
        LibraryError: neither place has one.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "_library", package.parent):
        if (root / METHODS.folder).is_dir():
            return root
    raise LibraryError(f"{package}: this installation carries no library; install hdbench again")


class Library:
    """All files under one root, found by name; an argument that is a path is read from there.

    ``root`` has ``models/``, ``protocols/`` and ``reports/``; None means hdbench's own. ``methods``
    is a folder with further methods, those of a workspace; it need not exist.
    """

    def __init__(self, root: Path | None = None, methods: Path | None = None) -> None:
        self.root = root or library_root()
        self._methods = methods

    def entries(self, kind: Kind) -> dict[str, Path]:
        """Return all of one kind by name: files or folders; LibraryError if two share a name."""
        return self._entries[kind]

    def load(self, kind: FileKind[File], name: str) -> File:
        """Return the content of a file by its name or path; LibraryError says what is wrong."""
        return kind.parse(*self._content(kind, name))

    def method(self, name: str) -> Method:
        """Return a method; raises LibraryError like ``load``.

        ``ours@best`` is the method ``ours`` with the best generator of its run.
        """
        if not name.endswith(BEST_SUFFIX):
            return self.load(METHODS, name)
        found = self.load(METHODS, name.removesuffix(BEST_SUFFIX))
        if found.images_from != "generator":
            raise LibraryError(f"'{name}': '{found.name}' is not trained, so it has no best")
        return found.at_best()

    def benchmark(self, name: str) -> Benchmark:
        """Return a benchmark; raises LibraryError like ``load``."""
        return self.load(BENCHMARKS, name)

    def label_space(self, name: str) -> LabelSpaceFile:
        """Return a label space; raises LibraryError like ``load``."""
        return self._label_space(name)

    def scoring(self, name: str) -> Scoring:
        """Return a scoring convention; raises LibraryError like ``load``."""
        return self.load(SCORINGS, name)

    def study(self, name: str) -> StudyProtocol:
        """Return a study's protocol; raises LibraryError like ``load``."""
        return self.load(STUDIES, name)

    def report(self, name: str) -> Report:
        """Return a report; raises LibraryError like ``load``."""
        return self.load(REPORTS, name)

    def weights(self, kind: WeightsKind, name: str) -> Path:
        """Return the folder of weights by its name or path; LibraryError if there is none."""
        if self._has(kind, name):
            return Path(name) if _is_path(name) else self._entries[kind][name]
        if _is_path(name):
            raise LibraryError(f"{name}: no {kind.name} here; expected a folder with {kind.card}")
        hint = suggestion(name, self._entries[kind])
        raise LibraryError(f"no {kind.name} '{name}' in {kind.folder}/{hint}")

    def segmenter(self, name: str) -> Path:
        """Return the folder of a shipped segmenter; raises LibraryError like ``weights``."""
        return self.weights(SEGMENTERS, name)

    def perceptual(self, name: str) -> Path:
        """Return the folder of a shipped perceptual network; raises LibraryError like ``weights``.

        A segmenter's folder is returned too; the reader of its card explains why it cannot be used.
        """
        return self.weights(SEGMENTERS if self._has(SEGMENTERS, name) else PERCEPTUALS, name)

    def title(self, kind: Kind, name: str) -> str:
        """Return an entry's title; raises LibraryError like ``load``."""
        if isinstance(kind, WeightsKind):
            return kind.title.format_map(self._card(kind, name))
        return self.load(kind, name).title

    def resolved(self, kind: Kind, name: str) -> str:
        """Return an entry as JSON, with what it extends; raises LibraryError like ``load``."""
        if isinstance(kind, WeightsKind):
            return json.dumps(self._card(kind, name), indent=2)
        return self.load(kind, name).model_dump_json(indent=2)

    def find(self, name: str) -> tuple[Kind, Path]:
        """Return the kind and the file of a name or path; the file of weights is their card.

        The kind of a file outside the library follows from what it extends, else from its top-level
        keys. Raises LibraryError if nothing has this name, or the kind is not recognisable.
        """
        if _is_path(name):
            return self._kind_of(Path(name)), Path(name)
        for kind, found in self._entries.items():
            if name in found:
                card = isinstance(kind, WeightsKind)
                return kind, found[name] / kind.card if card else found[name]
        known = [known for found in self._entries.values() for known in found]
        raise LibraryError(f"nothing in the library is named '{name}'{suggestion(name, known)}")

    def problems(self) -> list[str]:
        """Return all problems of the library, one line each."""
        return [
            line
            for kind, found in self._entries.items()
            for name, path in found.items()
            for line in self._problems_of(kind, name, self._where(path))
        ]

    def problems_in(self, paths: Iterable[Path]) -> list[str]:
        """Return all problems of files outside the library, one line each."""
        lines: list[str] = []
        for path in paths:
            name = str(path) if _is_path(str(path)) else f"./{path}"
            try:
                kind, _ = self.find(name)
            except LibraryError as error:
                lines += str(error).splitlines()
            else:
                lines += self._problems_of(kind, name, str(path))
        return lines

    @cached_property
    def _entries(self) -> dict[Kind, dict[str, Path]]:
        found: dict[Kind, dict[str, Path]] = {}
        for kind in KINDS:
            paths = kind.paths(self.root)
            if kind is METHODS and self._methods is not None:
                paths += sorted(self._methods.glob("*.toml"))
            names: dict[str, Path] = {}
            for path in paths:
                name = path.stem if isinstance(kind, FileKind) else path.name
                if name in names:
                    raise LibraryError(
                        f"{self._where(path)}: the {kind.name} '{name}' is also in "
                        f"{self._where(names[name])}; rename one of them"
                    )
                names[name] = path
            found[kind] = names
        return found

    def _has(self, kind: Kind, name: str) -> bool:
        return kind.is_at(Path(name)) if _is_path(name) else name in self._entries[kind]

    def _kind_of(self, path: Path) -> Kind:
        if not path.is_file():
            raise LibraryError(f"{path}: no such file")
        content = self._tables(path)
        if "extends" in content:
            return self.find(self._extended(content, path))[0]
        for kind in FILES:
            if not content.keys().isdisjoint(kind.keys):
                return kind
        expected = "; ".join(f"a {kind.name}: {' or '.join(kind.keys)}" for kind in FILES)
        raise LibraryError(
            f"{path}: not recognisable; expected a key of one kind of file ({expected})"
        )

    def _problems_of(self, kind: Kind, name: str, where: str) -> list[str]:
        """Return the problems of an entry, and each name in it that the library lacks."""
        try:
            if isinstance(kind, WeightsKind):
                self._card(kind, name)
                return []
            references = list(kind.references(self.load(kind, name)))
        except LibraryError as error:
            return str(error).splitlines()
        return [
            f"{where}: {key} = '{named}': no such {other.name}"
            f"{suggestion(named, self._entries[other])}"
            for key, named, other in references
            if not self._has(other, named)
        ]

    def _card(self, kind: WeightsKind, name: str) -> dict[str, Any]:
        """Return the card of shipped weights; the tensors are not read."""
        path = self.weights(kind, name) / kind.card
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise LibraryError(f"{self._where(path)}: not readable as JSON: {error}") from None
        expected = {field for _, field, _, _ in Formatter().parse(kind.title) if field}
        if not isinstance(card, dict) or not expected <= card.keys():
            raise LibraryError(
                f"{self._where(path)}: not a {kind.name}'s card; expected a table with "
                f"{', '.join(sorted(expected))}"
            )
        return card

    def _content(self, kind: FileKind[Any], name: str) -> tuple[dict[str, Any], str]:
        """Return a file's tables merged over those it extends, and its name for messages."""
        path = self._path(kind, name)
        content = _from_its_folder(self._tables(path), path, kind)
        if "extends" in content:
            base_name = self._extended(content, path)
            del content["extends"]
            base_path = self._path(kind, base_name, needed_by=self._where(path))
            base = _from_its_folder(self._tables(base_path), base_path, kind)
            if "extends" in base:
                raise LibraryError(
                    f"{self._where(path)}: extends '{base_name}', which extends "
                    f"'{base['extends']}'; one level only, so extend '{base['extends']}' itself"
                )
            content = _merged(base, content)
        own = kind.free_name and not path.is_relative_to(self.root)
        if content.get("name") != path.stem and not (own and content.get("name")):
            raise LibraryError(
                f"{self._where(path)}: name = {content.get('name')!r}; "
                f"expected the file's own name, '{path.stem}'"
            )
        return self._with_label_space(kind, content, self._where(path)), self._where(path)

    def _with_label_space(
        self, kind: FileKind[Any], content: dict[str, Any], where: str
    ) -> dict[str, Any]:
        """Return tables with the label space in the place of its name: all of it, or its own name.

        A benchmark has all of it, because classes are part of what it is; a convention names it.
        """
        tables = content.get("data") if kind is BENCHMARKS else content
        named = tables.get("label_space") if isinstance(tables, dict) else None
        if kind not in (BENCHMARKS, SCORINGS) or not isinstance(named, str):
            return content
        space = self._label_space(named, needed_by=where)
        if kind is SCORINGS:
            return {**content, "label_space": space.name}
        return {**content, "data": {**content["data"], "label_space": space}}

    def _label_space(self, name: str, needed_by: str = "") -> LabelSpaceFile:
        path = self._path(LABEL_SPACES, name, needed_by)
        space = self.load(LABEL_SPACES, name)
        if path.is_relative_to(self.root):
            return space
        content = space.model_dump()
        return OwnLabelSpace.model_validate({**content, "path": str(path)})

    def _path(self, kind: FileKind[Any], name: str, needed_by: str = "") -> Path:
        prefix = f"{needed_by}: " if needed_by else ""
        if _is_path(name):
            path = Path(name)
            if not path.is_file():
                raise LibraryError(
                    f"{prefix}{name}: no such file; expected a {kind.name}'s TOML file"
                )
            return path
        if name not in self._entries[kind]:
            hint = suggestion(name, self._entries[kind])
            raise LibraryError(
                f"{prefix}no {kind.name} is named '{name}'{hint}; "
                f"'hdbench list' shows all, and a path to a TOML file works too"
            )
        return self._entries[kind][name]

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


def _from_its_folder(content: dict[str, Any], path: Path, kind: FileKind[Any]) -> dict[str, Any]:
    """Return a file's tables with the relative paths in them taken from its own folder."""
    for *tables, key in (*kind.paths_in, ("extends",)):
        place: Any = content
        for table in tables:
            place = place.get(table) if isinstance(place, dict) else None
        value = place.get(key) if isinstance(place, dict) else None
        if isinstance(value, str) and _is_path(value):
            place[key] = str(path.parent / value)
    return content


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the keys of ``over`` replaced or added, table by table.

    A table that names another ``network`` replaces the whole table, since its other keys are those
    of the network.
    """
    result = dict(base)
    for key, value in over.items():
        other = result.get(key)
        if isinstance(value, dict) and isinstance(other, dict) and _one_network(other, value):
            result[key] = _merged(other, value)
        else:
            result[key] = value
    return result


def _one_network(base: dict[str, Any], over: dict[str, Any]) -> bool:
    return over.get("network", base.get("network")) == base.get("network")
