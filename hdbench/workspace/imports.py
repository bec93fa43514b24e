"""What was imported, as the workspace remembers it, and the images of each scene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from hdbench.data.loading import photograph_digest
from hdbench.errors import CheckpointError, DataError, UsageError, counted, listing
from hdbench.schema.imported import Import
from hdbench.schema.method import Images, Method
from hdbench.schema.record import first_problem
from hdbench.schema.result import ImportFacts
from hdbench.storage import write_atomically
from hdbench.synthesis import image_paths
from hdbench.workspace.bench import Bench

#: What a run's folder says about images that were imported.
MANIFEST_FILE = "import.json"


def load_import(bench: Bench, method: Images) -> Import:
    """Return what was imported as a method for a benchmark; CheckpointError if nothing is."""
    path = bench.run_folder(method.name, 0) / MANIFEST_FILE
    command = f"'hdbench import-images {method.name} PATH'"
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent}: '{method.name}' has no images for '{bench.benchmark.name}' yet.\n"
            f"Next: {command}"
        )
    record = read_import(path)
    size = [bench.benchmark.size.width, bench.benchmark.size.height]
    if record.size != size:
        raise CheckpointError(
            "{}: images of {}x{}, ".format(path, *record.size)
            + "benchmark '{}' is of {}x{} now.\n".format(bench.benchmark.name, *size)
            + f"Next: {command} --restart"
        )
    return record


def scenes_of(bench: Bench, methods: Sequence[Method]) -> Bench:
    """Return the benchmark with the scenes that all of the methods have images of.

    Only methods that were imported with ``allow_subset`` narrow it; everything that is scored
    beside them, oracle and floors included, is scored on the same scenes. Raises UsageError if two
    methods have images of different parts of the split.
    """
    records = [load_import(bench, method) for method in methods if method.images_from == "import"]
    subsets = {
        record.method: tuple(image.scene for image in record.images)
        for record in records
        if record.subset
    }
    if len(set(subsets.values())) > 1:
        counts = ", ".join(f"'{name}' {len(scenes)}" for name, scenes in subsets.items())
        raise UsageError(
            f"these methods have images of different scenes ({counts}), so their scores cannot "
            "stand in one table; evaluate them one by one"
        )
    subset = next(iter(subsets.values()), bench.subset)
    return bench if subset == bench.subset else replace(bench, subset=subset)


def imported_paths(bench: Bench, method: Images) -> list[Path]:
    """Return the imported image of each test scene, its pixels checked against the record.

    Raises:
        CheckpointError: as ``load_import``.
        DataError: images are missing, or are not those that were imported.
    """
    record = load_import(bench, method)
    expected = {image.scene: image.pixels for image in record.images}
    again = f"Next: 'hdbench import-images {method.name} PATH --restart'"
    scenes = bench.dataset.test_scenes
    paths = image_paths(bench.image_folder(method.name, 0), scenes)
    lost = [
        entry.name
        for entry, path in zip(scenes, paths, strict=True)
        if entry.name not in expected or not path.is_file()
    ]
    if lost:
        raise DataError(
            f"'{method.name}' has no images of {len(lost)} of {counted(len(scenes), 'scene')} of "
            f"'{bench.benchmark.name}':\n{listing(lost)}\n{again}"
        )
    found = bench.file_digests.of(paths, photograph_digest)
    changed = [
        str(path)
        for entry, path, pixels in zip(scenes, paths, found, strict=True)
        if expected[entry.name] != pixels
    ]
    if changed:
        raise DataError(
            f"{counted(len(changed), 'image')} of '{method.name}' changed after the import:\n"
            f"{listing(changed)}\n{again}"
        )
    return paths


def import_facts(bench: Bench, method: str, seed: int) -> ImportFacts | None:
    """Return what a result records of imported images; None if hdbench made them."""
    path = bench.run_folder(method, seed) / MANIFEST_FILE
    return read_import(path).facts if path.is_file() else None


def save_import(path: Path, record: Import) -> None:
    """Write what was imported, whole or not at all."""
    content = json.dumps(record.model_dump(by_alias=True), indent=1) + "\n"
    write_atomically(path, content.encode())


def read_import(path: Path) -> Import:
    """Return what a manifest says; raises CheckpointError if it is missing or damaged."""
    try:
        return Import.model_validate_json(path.read_bytes())
    except OSError as error:
        problem = error.strerror
    except ValidationError as error:
        problem = first_problem(error)
    method = path.parent.parent.name
    raise CheckpointError(
        f"{path}: {problem}.\nNext: 'hdbench import-images {method} PATH --restart'"
    )
