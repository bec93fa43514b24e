"""``hdbench bundle verify``: a bundle held against itself, and its sampled images scored again.

What scores again is this installation's: its benchmark, segmenter and label maps. From the bundle
come the images alone, and only where the choices behind both scores are the same.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hdbench.errors import HdbenchError, UsageError, counted
from hdbench.evaluation import explain
from hdbench.evaluation.confusion import Matrix
from hdbench.exchange.reading import examine
from hdbench.library import BENCHMARKS
from hdbench.provenance import file_digest
from hdbench.runtime.progress import progress
from hdbench.schema.bundle import Bundle, BundleEntry, Check
from hdbench.schema.result import Result
from hdbench.segmentation.passes import count_images
from hdbench.segmentation.segmenter import Segmenter
from hdbench.text import inert
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.fingerprint import choices_under
from hdbench.workspace.paths import open_workspace
from hdbench.workspace.segmenters import open_second, open_segmenter

#: By index of the scene, the image's file.
_Images = dict[int, Path]
#: Choices in which two scores may differ before the rest of them is only counted.
_NAMED = 3


@dataclass(frozen=True)
class Here:
    """Where this installation looks for what it scores with; None leaves it to hdbench.toml."""

    start: Path
    benchmark: str | None = None
    data_root: Path | None = None
    workspace: Path | None = None


@dataclass(frozen=True)
class Verified:
    """What is known of a bundle."""

    path: Path
    #: None where anything in it is wrong.
    bundle: Bundle | None
    checks: list[Check]
    #: How many images of a run were scored again with equal matrices, by the entry's name.
    rescored: dict[str, int]

    @property
    def wrong(self) -> list[str]:
        """Every violation."""
        return [line for check in self.checks for line in check.wrong]


@dataclass(frozen=True)
class _Again:
    """Results of one segmenter, each with the images that are scored again."""

    segmenter: Segmenter
    #: Entry, its result, and the images of it.
    runs: list[tuple[BundleEntry, Result, _Images]]


def verify(
    path: Path, here: Here, device: torch.device, rescore: bool = True, tolerance: float = 0.0
) -> Verified:
    """Return every claim about a bundle, with violations and with what could not be checked.

    Images are scored again if ``rescore`` is set and benchmark, labels and segmenter are at hand.
    ``tolerance`` is the share of an image's pixels that may be predicted otherwise: another
    processor may round a logit otherwise.

    Raises:
        UsageError: there is no such file.
    """
    bundle, checks = examine(path)
    if bundle is None or not rescore:
        return Verified(path, bundle, checks, {})
    with tempfile.TemporaryDirectory(prefix="hdbench-bundle-") as scratch:
        claim, rescored = _rescored(bundle, here, device, tolerance, Path(scratch))
    checks.append(claim)
    return Verified(path, None if claim.wrong else bundle, checks, rescored)


def _rescored(
    bundle: Bundle, here: Here, device: torch.device, tolerance: float, scratch: Path
) -> tuple[Check, dict[str, int]]:
    """Score the sampled images again, and compare each matrix."""
    unchecked: list[str] = []
    wrong: list[str] = []
    equal: dict[str, int] = {}
    compared = 0
    try:
        bench = _bench_here(bundle, here, scratch)
        parts = list(_again(bundle, bench, device, scratch, unchecked))
        total = sum(len(images) for part in parts for _, _, images in part.runs)
        with progress(total=total, desc="scoring again", unit="image") as bar:
            for segmenter, entry, result, images in _runs(parts):
                place, problems = _place(bundle, entry, segmenter), []
                for scene, problem in _differences(bench, segmenter, result, images, tolerance):
                    bar.update()
                    if problem is not None:
                        problems.append(inert(f"{place}: {scene}: {problem}", 300))
                found = len(images) - len(problems)
                equal[entry.name] = min(found, equal.get(entry.name, found))
                compared += len(images)
                wrong += problems
    except HdbenchError as error:
        unchecked.append(f"images were not scored again: {_line(error)}")
    claim = "images that are scored again here have the matrices of their results"
    check = Check(
        claim=claim,
        measured=f"{compared} matrices",
        wrong=wrong,
        unchecked=unchecked,
        checked=compared > 0,
    )
    return check, equal


def _place(bundle: Bundle, entry: BundleEntry, segmenter: Segmenter) -> str:
    return f"{bundle.name}.zip: {entry.method}, seed {entry.seed}, by {segmenter.card.architecture}"


def _runs(parts: Sequence[_Again]) -> Iterator[tuple[Segmenter, BundleEntry, Result, _Images]]:
    return ((part.segmenter, *run) for part in parts for run in part.runs)


def _line(error: HdbenchError) -> str:
    return inert(" ".join(str(error).splitlines()), 400)


def _bench_here(bundle: Bundle, here: Here, scratch: Path) -> Bench:
    """Return this installation's benchmark of a bundle's name, with the scenes of its results.

    Without a workspace, scenes that hdbench draws are drawn into ``scratch``.

    Raises:
        HdbenchError: there is no such benchmark, or not these scenes.
    """
    workspace = open_workspace(here.start, here.benchmark, here.data_root, here.workspace)
    if not workspace.root.is_dir():
        workspace = replace(workspace, root=scratch / "workspace")
    bench = open_bench(workspace)
    if bench.benchmark.name != bundle.benchmark:
        if here.benchmark is not None or bundle.benchmark not in bench.library.entries(BENCHMARKS):
            raise UsageError(
                f"they are of benchmark '{bundle.benchmark}', not of '{bench.benchmark.name}'; "
                "name its file with --benchmark"
            )
        bench = bench.with_benchmark(bench.library.benchmark(bundle.benchmark))
    scenes = bundle.results[0].result.scenes
    names = [entry.name for entry in bench.dataset.test_scenes]
    if scenes != names and set(scenes) < set(names):
        bench = replace(bench, subset=tuple(scenes))
    return bench


def _again(
    bundle: Bundle, bench: Bench, device: torch.device, scratch: Path, unchecked: list[str]
) -> Iterator[_Again]:
    """Yield what is scored again by each segmenter; why the rest is not goes to ``unchecked``."""
    for slot in ("segmenter", "second segmenter"):
        results = [
            (entry, result)
            for entry in bundle.results
            if (result := entry.result if slot == "segmenter" else entry.second) is not None
        ]
        if not results:
            unchecked.append(f"no result is by a {slot}")
            continue
        try:
            segmenter = _opened(bench, slot, device)
            _require_same_choices(bench, segmenter, results[0][1])
        except HdbenchError as error:
            unchecked.append(f"by the {slot}, nothing was scored again: {_line(error)}")
            continue
        runs = []
        for entry, result in results:
            images = _image_files(bundle, entry, result, bench, scratch)
            if images:
                runs.append((entry, result, images))
            elif slot == "segmenter":
                unchecked.append(
                    inert(f"{entry.name}: no image was scored again: {entry.withheld}", 300)
                )
        yield _Again(segmenter, runs)


def _opened(bench: Bench, slot: str, device: torch.device) -> Segmenter:
    if slot == "segmenter":
        return open_segmenter(bench, None, device)
    second = open_second(bench, device)
    if second is None:
        raise UsageError(f"benchmark '{bench.benchmark.name}' has none that is trained here")
    return second


def _require_same_choices(bench: Bench, segmenter: Segmenter, result: Result) -> None:
    """Raise UsageError, with choices that differ, unless a score here is of the same choices."""
    ours = choices_under(bench, bench.scoring, segmenter.card)
    found = explain.differences(result.choices, ours)
    if found:
        some = "; ".join(one.sentence("the bundle", "here") for one in found[:_NAMED])
        raise UsageError(f"{counted(len(found), 'choice')} differ: {some}")


def _image_files(
    bundle: Bundle, entry: BundleEntry, result: Result, bench: Bench, scratch: Path
) -> _Images:
    """Return the image of each sampled scene, by its number; the file names are chosen here.

    Photographs that do not travel are those of the dataset here, where they are the same files.
    """
    numbers = [result.scenes.index(scene) for scene in bundle.sample]
    if entry.images:
        files = {}
        for number in numbers:
            path = scratch / f"{bundle.results.index(entry)}-{number}.png"
            path.write_bytes(entry.images[result.scenes[number]])
            files[number] = path
        return files
    if entry.role != "oracle":
        return {}
    photographs = {number: bench.dataset.photographs[number] for number in numbers}
    same = [file_digest(path) == result.images[number] for number, path in photographs.items()]
    return photographs if all(same) else {}


def _differences(
    bench: Bench,
    segmenter: Segmenter,
    result: Result,
    images: _Images,
    tolerance: float,
) -> Iterator[tuple[str, str | None]]:
    """Yield each scene's name, and how its matrix differs from the result's, or None."""
    scenes = bench.dataset.test_scenes
    paths: Sequence[Path] = [images.get(number, Path()) for number in range(len(scenes))]
    again = count_images(
        segmenter,
        scenes,
        paths,
        list(images),
        bench.space,
        bench.benchmark,
        [bench.scoring],
        photographs=result.run is None,
        workers=0,
    )
    with contextlib.closing(again):
        for one in again:
            [matrix] = one.matrices
            yield result.scenes[one.index], _problem(matrix, result.matrices[one.index], tolerance)


def _problem(ours: Matrix, theirs: Matrix, tolerance: float) -> str | None:
    """Return how the matrix of a result differs from the one counted here, or None."""
    if np.array_equal(ours, theirs):
        return None
    if not np.array_equal(ours.sum(axis=1), theirs.sum(axis=1)):
        return "its matrix counts other pixels of some class than the label map has"
    moved, pixels = int(np.abs(ours - theirs).sum()) // 2, int(ours.sum())
    if moved <= tolerance * pixels:
        return None
    return (
        f"its matrix differs in {moved:,} of {pixels:,} pixels; where it is few, another processor "
        "may have rounded otherwise (--tolerance)"
    )
