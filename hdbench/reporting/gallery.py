"""A page with every image of a method, worst score first, with predictions and errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdbench.data.labels import VOID, LabelClass
from hdbench.data.sheets import encode_jpeg, png_bytes, to_pil
from hdbench.storage import write_atomically
from hdbench.text import SHARE, template

_RECORD = "drawn.json"
_SAVED_EVERY = 20  # scenes that a killed process redraws at most
#: Of the error map: right, wrong, not counted.
RIGHT, WRONG, UNCOUNTED = (222, 226, 232), (206, 32, 41), (96, 103, 114)


@dataclass(frozen=True)
class Drawing:
    """The pictures of one scene."""

    #: By name, in the order of the page: uint8 3 x H x W. ``.jpg`` names are photographic.
    pictures: dict[str, Tensor]
    #: Pixels of the shown prediction that differ from the scored one (0 on the same machine).
    moved: int


@dataclass(frozen=True)
class Entry:
    """One scene of a gallery."""

    name: str
    #: From 0 to 1; None if no pixel counts.
    mean_iou: float | None
    pixel_accuracy: float | None
    #: By class; None if a class is in neither labels nor prediction.
    class_iou: dict[str, float | None]
    #: Digest of everything that the pictures depend on.
    source: str
    #: Draws the pictures; called only if they are missing or stale.
    draw: Callable[[], Drawing]


@dataclass(frozen=True)
class _Drawn:
    source: str
    #: Width and height of each picture, by file name.
    sizes: dict[str, list[int]]
    moved: int


def error_map(truth: Tensor, prediction: Tensor, counted: Tensor | None) -> Tensor:
    """Return a uint8 3 x H x W image: where the prediction is right, wrong, or not counted.

    ``truth`` and ``prediction`` are uint8 H x W train ids; ``counted`` is a bool H x W mask, None
    for all.
    """
    kind = torch.where(truth == prediction, 0, 1)
    kind[truth == VOID] = 2
    if counted is not None:
        kind[~counted] = 2
    return torch.tensor([RIGHT, WRONG, UNCOUNTED], dtype=torch.uint8)[kind].permute(2, 0, 1)


def write_gallery(
    folder: Path,
    entries: Sequence[Entry],
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    captions: Mapping[str, str],
    legend: Sequence[LabelClass],
) -> Path:
    """Write the page and the pictures beside it, and return the page's path.

    Current pictures (of the same source) are not drawn again. ``captions`` are by the pictures'
    names, ``facts`` are the provenance by name.
    """
    drawn = _drawn(folder, entries)
    cards = [
        _card(number, entry, drawn[entry.name], captions)
        for number, entry in enumerate(entries, start=1)
    ]
    cards.sort(key=lambda card: (card["undefined"], card["order"], card["name"]))
    page = template(__file__, "gallery.html").render(
        title=title,
        subtitle=subtitle,
        cards=cards,
        facts=list(facts.items()),
        legend=legend,
        errors=[("right", RIGHT), ("wrong", WRONG), ("not counted", UNCOUNTED)],
    )
    path = folder / "index.html"
    write_atomically(path, page.encode())
    return path


def _drawn(folder: Path, entries: Sequence[Entry]) -> dict[str, _Drawn]:
    """Draw the missing and stale pictures, and return the record of every scene."""
    record = folder / _RECORD
    drawn = _read(record)
    unsaved = 0

    def save() -> None:
        content = {name: asdict(one) for name, one in drawn.items()}
        write_atomically(record, json.dumps(content).encode())

    try:
        for number, entry in enumerate(entries, start=1):
            known = drawn.get(entry.name)
            if known is not None and known.source == entry.source and _all_there(folder, known):
                continue
            drawn[entry.name] = _draw(folder, number, entry)
            unsaved += 1
            if unsaved == _SAVED_EVERY:
                save()
                unsaved = 0
    finally:
        if unsaved:
            save()
    return drawn


def _draw(folder: Path, number: int, entry: Entry) -> _Drawn:
    drawing = entry.draw()
    sizes: dict[str, list[int]] = {}
    for name, pixels in drawing.pictures.items():
        place = f"scenes/{number:05d}-{name}"  # scene names may hold anything; numbers do not
        write_atomically(folder / place, _encoded(name, pixels))
        sizes[place] = [pixels.shape[2], pixels.shape[1]]
    return _Drawn(entry.source, sizes, drawing.moved)


def _encoded(name: str, pixels: Tensor) -> bytes:
    if not name.endswith(".jpg"):
        return png_bytes(pixels)
    return encode_jpeg(to_pil(pixels))


def _card(number: int, entry: Entry, drawn: _Drawn, captions: Mapping[str, str]) -> dict[str, Any]:
    seen = [(value, name) for name, value in entry.class_iou.items() if value is not None]
    return {
        "number": number,
        "name": entry.name,
        "undefined": entry.mean_iou is None,
        "order": entry.mean_iou or 0.0,
        "score": SHARE.text(entry.mean_iou),
        "hue": round(120 * (entry.mean_iou or 0.0)),
        "accuracy": SHARE.text(entry.pixel_accuracy),
        "lowest": [f"{name} {SHARE.text(value)}" for value, name in sorted(seen)[:4]],
        "moved": drawn.moved,
        "pictures": [
            {
                "file": place,
                "caption": captions[place.split("-", 1)[1]],
                "width": width,
                "height": height,
            }
            for place, (width, height) in drawn.sizes.items()
        ],
    }


def _all_there(folder: Path, drawn: _Drawn) -> bool:
    return all((folder / place).is_file() for place in drawn.sizes)


def _read(path: Path) -> dict[str, _Drawn]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: _Drawn(**one) for name, one in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}  # damaged: everything is drawn again
