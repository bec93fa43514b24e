"""The base of all library files: strict tables, and errors that name file, table and key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from hdbench.errors import LibraryError, suggestion

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A table of a TOML file: every key is required unless its comment says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def as_identity(self) -> Any:
        """Return what stands for this table in the identity of what depends on it."""
        return identity_of(self)


AnyTable = TypeVar("AnyTable", bound=Table)


@dataclass(frozen=True)
class AddedLater:
    """Marks a key that was added after results were measured without it: ``Annotated[..., this]``.

    Identities leave the key out where it has the value ``before``, by which everything is as it was
    without the key; so runs and results from before stay current.
    """

    before: Any


@dataclass(frozen=True)
class NotCompared:
    """Marks a key that no identity has, such as the place of a file whose digest is another key."""


def identity_of(table: Table, exclude: set[str] | None = None) -> dict[str, Any]:
    """Return the keys and values of a table on which identities depend, as JSON values."""
    content: dict[str, Any] = {}
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        later = [mark for mark in field.metadata if isinstance(mark, AddedLater)]
        hidden = any(isinstance(mark, NotCompared) for mark in field.metadata)
        if hidden or name in (exclude or ()) or any(value == mark.before for mark in later):
            continue
        content[name] = _identity_value(value)
    return content


def from_identity(model: type[AnyTable], content: dict[str, Any], **more: Any) -> AnyTable:
    """Return the table whose ``identity_of`` is given: the opposite direction.

    ``more`` are keys that the identity leaves out, such as titles. Raises ValidationError if it is
    of another version of hdbench.
    """
    return model.model_validate({**_completed(model, content), **more})


def _completed(model: type[Table], content: dict[str, Any]) -> dict[str, Any]:
    """Return an identity with the keys that were added later, nested tables included."""
    whole = dict(content)
    for name, field in model.model_fields.items():
        value = whole.get(name)
        if name not in whole:
            for mark in field.metadata:
                if isinstance(mark, AddedLater):
                    whole[name] = mark.before
        elif isinstance(value, dict) and (inner := _table_in(field, value)):
            whole[name] = _completed(inner, value)
        elif isinstance(value, list) and (inner := _table_in(field, {})):
            whole[name] = [_completed(inner, entry) for entry in value]
    return whole


def _tables_in(field: FieldInfo) -> list[type[Table]]:
    """Return the tables that a key may hold; several where one of their keys says which it is."""
    candidates = (field.annotation, *get_args(field.annotation))
    return [part for part in candidates if isinstance(part, type) and issubclass(part, Table)]


def _table_in(field: FieldInfo, content: dict[str, Any]) -> type[Table] | None:
    """Return the table that a key holds; of several the one of this content."""
    tables = _tables_in(field)
    tag = field.discriminator
    if isinstance(tag, str) and tag in content:
        return next((one for one in tables if content[tag] in _choices(one, tag)), None)
    return tables[0] if tables else None


def _choices(table: type[Table], key: str) -> tuple[Any, ...]:
    return get_args(table.model_fields[key].annotation)


def _identity_value(value: Any) -> Any:
    if isinstance(value, Table):
        return value.as_identity()
    if isinstance(value, list | tuple):
        return [_identity_value(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _identity_value(entry) for key, entry in value.items()}
    return value


class LibraryFile(Table):
    """The keys that every file of the library has."""

    #: The file's own name without ``.toml``; what users type.
    name: str
    #: The name in tables and pages.
    title: str
    #: Where the content comes from: paper, section, or why it exists.
    source: str


Model = TypeVar("Model", bound=LibraryFile)


def parse(model: type[Model], content: dict[str, Any], where: str) -> Model:
    """Validate a library file's content, with what it extends, and return it.

    Raises:
        LibraryError: one line for each unknown or missing key, wrong type or impossible value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_line(model, problem, where) for problem in error.errors()]
        raise LibraryError("\n".join(lines)) from None


def _line(model: type[BaseModel], problem: Any, where: str) -> str:
    location, text = _without_tags(model, problem["loc"]), problem["msg"]
    if problem["type"].startswith("union_tag"):
        return f"{where}: {_place(location)}{_tag_problem(problem)}"
    if problem["type"] == "value_error":  # a rule about a whole table
        return f"{where}: {_place(location)}{text.removeprefix('Value error, ')}"
    *tables, key = location
    place = f"{where}: {_place(tables)}"
    match problem["type"]:
        case "extra_forbidden":
            known = _keys(model, tables)
            return f"{place}unknown key '{key}'{suggestion(str(key), known)}"
        case "missing":
            return f"{place}key '{key}' is missing; files have no hidden defaults, so state it"
        case "literal_error":
            expected = problem["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
            known = [choice.strip() for choice in expected.split(",")]
            hint = suggestion(str(problem["input"]), known)
            if key == "[key]":
                return f"{where}: {_place(tables[:-1])}unknown key '{problem['input']}'{hint}"
            return f"{place}{key} = {problem['input']!r} is not known{hint}"
        case _:
            return f"{place}{key} = {problem['input']!r}: {_lower(text)}"


def _without_tags(model: type[BaseModel], location: Sequence[Any]) -> list[Any]:
    """Return where a problem is in the file: pydantic also names which of several tables it is."""
    place: list[Any] = []
    inside: type[BaseModel] | None = model
    rest = list(location)
    while rest:
        place.append(rest.pop(0))
        field = inside.model_fields.get(place[-1]) if inside and place[-1] != "[key]" else None
        if field is None:
            continue
        tables = _tables_in(field)
        if isinstance(field.discriminator, str) and rest:
            tag = rest.pop(0)
            tables = [one for one in tables if tag in _choices(one, field.discriminator)]
        inside = tables[0] if tables else None
    return place


def _tag_problem(problem: Any) -> str:
    key = problem["ctx"]["discriminator"].strip("'")
    if problem["type"] == "union_tag_not_found":
        return f"key '{key}' is missing; files have no hidden defaults, so state it"
    known = [choice.strip(" '") for choice in problem["ctx"]["expected_tags"].split(",")]
    tag = problem["ctx"]["tag"]
    return f"{key} = '{tag}' is not known{suggestion(tag, known)}"


def _place(location: list[Any]) -> str:
    """Return ``[a.b] `` for the table ``b`` in ``a``, ``[a] entry 2 `` for the second of a list."""
    place = ""
    for is_entry, parts in groupby(location, lambda part: isinstance(part, int)):
        if is_entry:
            place += "".join(f"entry {part + 1} " for part in parts)
        else:
            place += f"[{'.'.join(parts)}] "
    return place


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _keys(model: type[BaseModel], tables: list[Any]) -> list[str]:
    """Return the keys that the table at this path knows."""
    for part in tables:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue
        candidates = [field.annotation, *get_args(field.annotation)]
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return list(model.model_fields)
