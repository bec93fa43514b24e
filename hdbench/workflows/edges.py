"""``hdbench data edges``: a benchmark of edges to photographs, and its edge maps."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomlkit

from hdbench.data.decoding import photograph_size
from hdbench.data.layouts import SceneFiles
from hdbench.errors import UsageError
from hdbench.library import Library
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.schema.image_input import Edges, ImageInput
from hdbench.schema.scoring import parse_size
from hdbench.storage import write_atomically
from hdbench.workspace.bench import Bench

#: The library's benchmark for any folder of photographs, whose settings are the default.
EDGES_BENCHMARK = "edges"
_LONGEST_SIDE = 256
_DIVISOR = 32  # fits every method of the library but the largest


def default_input(library: Library) -> ImageInput:
    """Return the input of the library's benchmark of edges."""
    spec = library.benchmark(EDGES_BENCHMARK).input
    assert spec is not None
    return spec


def size_of_photographs(files: Sequence[SceneFiles]) -> Size:
    """Return an image size like that of most photographs, its longer side 256 pixels.

    Raises:
        DataError: a photograph is damaged.
    """
    sizes = Counter(photograph_size(entry.image) for entry in files)
    width, height = reversed(parse_size(sizes.most_common(1)[0][0]))
    scale = _LONGEST_SIDE / max(width, height)
    sides = (max(2, round(side * scale / _DIVISOR)) * _DIVISOR for side in (width, height))
    return Size(width=next(sides), height=next(sides))


def write_edge_benchmark(
    library: Library, base: str, path: Path, settings: Edges, title: str, size: Size
) -> Benchmark:
    """Write the file of a benchmark like ``base`` whose inputs are edge maps, and return it.

    Args:
        library: holds the base.
        base: a name in the library, or a path.
        path: the new file, which may exist with the same content.
        settings: the edge detector's.
        title: the new benchmark's.
        size: of its images.

    Raises:
        UsageError: there is another file already.
        LibraryError: the base is wrong.
    """
    known = library.benchmark(base)
    spec = known.input or default_input(library)
    spec = default_input(library).model_copy(
        update={"edges": settings, "resize": spec.resize if known.input else "maximum"}
    )
    changed = {
        "name": path.stem,
        "title": title,
        "input": spec.model_dump(),
        "size": size.model_dump(),
    }
    content: dict[str, Any] = {"extends": known.name, **changed}
    if not _can_be_extended(library, base):
        content = {**known.model_dump(exclude_none=True), **changed}
    document = tomlkit.document()
    document.add(tomlkit.comment("Written by 'hdbench data edges'; a file to edit."))
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    document.update({key: value for key, value in content.items() if key not in tables})
    for key, table in tables.items():  # after the keys, which would belong to them else
        document.add(tomlkit.nl())
        document.add(key, tomlkit.item(table))
    text = tomlkit.dumps(document)
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{path}: exists with another content; delete it, or give --output another name"
        )
    write_atomically(path, text.encode())
    return library.benchmark(str(path) if path.parent != Path() else f"./{path}")


def make_edge_maps(bench: Bench) -> dict[str, tuple[int, Path]]:
    """Make a benchmark's missing edge maps; return how many each split has, and where.

    Raises:
        DataError: the dataset is not as its layout says, or a photograph is damaged.
    """
    data = bench.benchmark.data
    counts = {data.train: bench.dataset.train_scenes, data.test: bench.dataset.test_scenes}
    return {
        split: (len(scenes), bench.dataset.edge_folder(split)) for split, scenes in counts.items()
    }


def _can_be_extended(library: Library, base: str) -> bool:
    """Return whether a benchmark is one of the library's that extends no other."""
    _, path = library.find(base)
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return "extends" not in content and base == content.get("name")
