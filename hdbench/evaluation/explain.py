"""The choices behind a fingerprint, in words: one sentence for each, and for each difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: What a choice says that only one of two results states.
NOT_STATED = "not stated"

_COUNTING = "scoring.counting."
_NAMED_IDS = 4  # with more ids that differ, only the sizes of class tables are told
_READINGS = "scoring.readings."


@dataclass(frozen=True)
class Choice:
    """One choice that changes a score."""

    #: Its path in the record, like ``scoring.counting.void_in_iou``.
    field: str
    #: What is chosen, like ``void pixels in the union of IoU``.
    title: str
    #: The choice, like ``left out``.
    words: str

    def sentence(self) -> str:
        """Return it as one line."""
        return f"{self.title}: {self.words}"


@dataclass(frozen=True)
class Difference:
    """One choice that two results made differently."""

    field: str
    title: str
    ours: str
    theirs: str

    def sentence(self, our_name: str = "A", their_name: str = "B") -> str:
        """Return it as one line that names both results."""
        return f"{self.title}: {self.ours} in {our_name}, {self.theirs} in {their_name}"


def explain(choices: Mapping[str, Any]) -> list[Choice]:
    """Return every choice behind a fingerprint, in words."""
    return [Choice(field, _title(field), _words(field, value)) for field, value in leaves(choices)]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """Return every choice in which two results differ, in words; empty if fingerprints agree."""
    left, right = dict(leaves(ours)), dict(leaves(theirs))
    found: list[Difference] = []
    for field in [*left, *(field for field in right if field not in left)]:
        if field in left and field in right and left[field] == right[field]:
            continue
        mine, yours = left.get(field), right.get(field)
        if field == "classes" and isinstance(mine, list) and isinstance(yours, list):
            words = _class_tables(mine, yours)
        else:
            words = tuple(
                _words(field, side[field]) if field in side else NOT_STATED
                for side in (left, right)
            )
        if words[0] == words[1]:  # the words leave out what differs: show the values themselves
            words = tuple(json.dumps(side.get(field)) for side in (left, right))
        found.append(Difference(field, _title(field), *words))
    return found


def leaves(choices: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of nested choices; a list is one value, save a list of tables."""
    for key, value in choices.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from leaves(value, where)
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            for n, entry in enumerate(value):
                yield from leaves(entry, f"{where}.{entry.get('name', n + 1)}")
        else:
            yield where, value


def _class_tables(ours: list[Any], theirs: list[Any]) -> tuple[str, str]:
    """Say which ids mean different things, or how large the tables are if many do."""
    try:
        return _known_class_tables(ours, theirs)
    except (AttributeError, LookupError, TypeError, ValueError):
        return json.dumps(ours), json.dumps(theirs)  # another version's record


def _known_class_tables(ours: list[Any], theirs: list[Any]) -> tuple[str, str]:
    left, right = ({entry[0]: entry for entry in table} for table in (ours, theirs))
    ids = [n for n in sorted({*left, *right}) if left.get(n) != right.get(n)]
    if not ids or len(ids) > _NAMED_IDS:
        return _class_count(ours), _class_count(theirs)
    return _class_entries(left, ids), _class_entries(right, ids)


def _class_entries(table: Mapping[int, Any], ids: list[int]) -> str:
    parts = []
    for n in ids:
        if n in table:
            _, name, train_id = table[n]
            parts.append(f"id {n} is '{name}' ({'void' if train_id is None else 'scored'})")
        else:
            parts.append(f"no id {n}")
    return " and ".join(parts)


def _class_count(table: list[Any]) -> str:
    scored = {entry[2] for entry in table if entry[2] is not None}
    return f"{len(scored)} scored classes, {len(table)} ids"


def _title(field: str) -> str:
    if field in _FIELDS:
        return _FIELDS[field][0]
    if field.startswith(_READINGS):
        name, _, policy = field.removeprefix(_READINGS).partition(".")
        return f"reading '{name}', {_title(_COUNTING + policy)}"
    return field.replace("_", " ").replace(".", ": ")


def _words(field: str, value: Any) -> str:
    if field.startswith(_READINGS):
        field = _COUNTING + field.rpartition(".")[2]
        if value is None:
            return "as in the headline"
    said = _FIELDS.get(field, ("", None))[1]
    if callable(said):
        try:
            return said(value)
        except (AttributeError, IndexError, TypeError, ValueError):
            return json.dumps(value, ensure_ascii=False)  # another version's record
    if said is not None and not isinstance(value, list | dict) and value in said:
        return said[value]
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _size(value: list[Any]) -> str:
    if isinstance(value[0], list):  # photographs at their own sizes, which differ
        return ", ".join(map(_size, value))
    return "x".join(map(str, value))


def _hash(value: str) -> str:
    return f"SHA-256 {value[:16]}"


def _classes(value: list[list[Any]]) -> str:
    scored = ", ".join(f"{entry[0]} {entry[1]}" for entry in value if entry[2] is not None)
    return f"{_class_count(value)}; scored: {scored}"


def _edge_band(value: int) -> str:
    return "every pixel" if value == 0 else f"only the {value} pixels on each side of an edge"


_Words = Callable[[Any], str] | dict[Any, str] | None

#: What each choice is called, and what its values mean; None prints a value as it is.
_FIELDS: dict[str, tuple[str, _Words]] = {
    "schema": ("version of the record", None),
    "dataset": ("dataset", None),
    "split": ("split", None),
    "scenes": ("number of scenes", None),
    "labels": ("scenes, in order, and the pixels of their label maps", _hash),
    "scene_names": ("names of the scenes, in order", _hash),
    "classes": ("class table", _classes),
    "image_size": ("size of the images that are scored, in pixels", _size),
    "photographs": ("how photographs are brought to that size", None),
    "decode": ("how image files are read", None),
    "scoring.name": ("scoring convention", None),
    "scoring.label_space": ("label space", None),
    "scoring.segmenter.image_size": (
        "what the segmenter is given",
        {
            "generator": "images at the benchmark's size",
            "native": "images resized to the size of the label map on disk",
        },
    ),
    "scoring.segmenter.image_resize": ("how images are brought to that size", None),
    "scoring.segmenter.window": (
        "what the segmenter sees at once",
        {
            "whole": "the whole image, no sliding window",
            "training": "windows of the size that it was trained at",
        },
    ),
    "scoring.segmenter.stride": ("from window to window, as a share of its side", None),
    "scoring.segmenter.scales": ("scales at which the image is seen", None),
    "scoring.segmenter.average": ("what is averaged over windows, mirror images, scales", None),
    "scoring.segmenter.logits": (
        "how logits come to the label map's size",
        {
            "bilinear": "bilinear, before the arg max",
            "bilinear-aligned": "bilinear with aligned corners, before the arg max",
            "nearest": "nearest, after the arg max",
        },
    ),
    "scoring.segmenter.flip": (
        "mirrored images",
        {True: "averaged with the image's own answer", False: "not used"},
    ),
    "scoring.labels.size": (
        "size of the label maps",
        {"native": "as on disk, never resized"},
    ),
    "scoring.labels.resize": ("how label maps are brought to that size", None),
    "scoring.labels.edge_band": ("pixels that count", _edge_band),
    "scoring.counting.void_in_accuracy": (
        "void pixels in pixel accuracy",
        {"ignored": "left out", "errors": "counted as errors"},
    ),
    "scoring.counting.void_in_iou": (
        "void pixels in the union of IoU",
        {"ignored": "left out", "false-positives": "counted as false positives"},
    ),
    "scoring.counting.void_class": (
        "void as one more class of the mean IoU",
        {"left-out": "left out", "counted": "counted, with an IoU of 0"},
    ),
    "scoring.counting.absent_class": (
        "a class in neither truth nor prediction",
        {
            "left-out": "left out of the mean IoU",
            "zero": "an IoU of 0 in the mean",
            "one": "an IoU of 1 in the mean",
        },
    ),
    "scoring.counting.predicted_only": (
        "a class that is predicted but in no label map",
        {"zero": "an IoU of 0 in the mean", "left-out": "left out of the mean IoU"},
    ),
    "scoring.counting.accumulation": (
        "what ratios are taken of",
        {
            "dataset": "matrices summed over all images",
            "images": "each image's matrix; its scores are averaged",
        },
    ),
    "segmenter.architecture": ("segmenter's architecture", None),
    "segmenter.encoder": ("segmenter's encoder", None),
    "segmenter.depth": ("stages of the encoder that are used", None),
    "segmenter.enlarge": ("how much the segmenter enlarges images", lambda value: f"{value} times"),
    "segmenter.weights": ("segmenter's weights", _hash),
    "segmenter.config": ("configuration of the segmenter's network", _hash),
    "segmenter.mean": ("mean that is subtracted", None),
    "segmenter.std": ("standard deviation that is divided by", None),
    "segmenter.window": ("size that the segmenter was trained at, in pixels", _size),
    "segmenter.input": ("order and range of the segmenter's input", None),
    "segmenter.classes": ("classes that the segmenter predicts", ", ".join),
    "segmenter.batch": ("images that the segmenter sees together", None),
    "segmenter.dtype": ("precision of the segmenter", None),
}
