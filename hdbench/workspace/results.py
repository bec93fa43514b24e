"""Results on disk: one JSON file each, its matrices beside it, and whether it is current."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape
from pathlib import Path

from hdbench.errors import HdbenchError, counted
from hdbench.evaluation import stored
from hdbench.provenance import differing_fields
from hdbench.schema.method import Method
from hdbench.schema.result import NATIVE_ORACLE, Result
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.segmenter import SegmenterCard
from hdbench.storage import write_atomically
from hdbench.workspace.bench import Bench
from hdbench.workspace.fingerprint import choices_under, native_scoring
from hdbench.workspace.runs import foreign_images, image_files, run_digest, seed_of
from hdbench.workspace.segmenters import foreign_segmenter
from hdbench.workspace.stale import Stale


def recorded_name(method: Method, scoring: Scoring) -> str:
    """Return what a result calls its method."""
    native = method.shows_photographs and scoring.photographs == "native"
    return NATIVE_ORACLE if native else method.name


def result_path(
    bench: Bench, method: str, seed: int, scoring: str | None = None, foreign: str | None = None
) -> Path:
    """Return where a result lies under a convention, None for the benchmark's own.

    ``method`` is what the result calls it (``recorded_name``); ``foreign`` is the short name of
    another segmenter than the benchmark's (``foreign_segmenter``).
    """
    name = scoring or bench.scoring.name
    if foreign is not None:
        name += f".judge-{foreign}"
    return bench.record_path(method, seed, name)


def path_under(
    bench: Bench, method: Method, seed: int, scoring: Scoring, card: SegmenterCard
) -> Path:
    """Return where the result of a method under a convention and a segmenter lies."""
    name, foreign = recorded_name(method, scoring), foreign_segmenter(bench, card)
    return result_path(bench, name, seed_of(method, seed), scoring.name, foreign)


def load_if_current(
    bench: Bench, method: Method, seed: int, scoring: Scoring, card: SegmenterCard
) -> Result | Stale:
    """Return the stored result of a method if it is of today's choices, run and images.

    Raises:
        CheckpointError: imported images have no readable record.
        DataError: a label map or photograph is damaged.
    """
    path = path_under(bench, method, seed, scoring, card)
    if not path.is_file():
        return Stale(path)
    try:
        result = load_result(path)
    except HdbenchError as error:
        return Stale(path, (str(error),))
    reasons = differing_fields(result.choices, choices_under(bench, scoring, card))
    seed = seed_of(method, seed)
    if result.run != run_digest(bench, method, seed):
        reasons.append(f"the run of '{method.name}', seed {seed}, is another")
    images = image_files(bench, method, seed)
    foreign = foreign_images(bench, method, seed)
    if foreign:
        reasons.append(f"{counted(len(foreign), 'image')} in {foreign[0].parent} were replaced")
    missing = sum(not image.is_file() for image in images)
    if missing:
        reasons.append(f"{missing} of {len(images)} images are gone from {images[0].parent}")
    elif bench.file_digests.of(images) != result.images:
        reasons.append(f"the images in {images[0].parent} are others")
    return Stale(path, tuple(reasons)) if reasons else result


def current_results(
    bench: Bench, methods: Sequence[str], seed: int, card: SegmenterCard
) -> dict[str, Result]:
    """Return the results that exist under the benchmark's convention, by method.

    Results of one table so share every choice, and with it their fingerprint. ``methods`` are names
    or paths. Raises HdbenchError if a result is stale.
    """
    found: dict[str, Result] = {}
    for name in methods:
        method = bench.library.method(name)
        loaded = load_if_current(bench, method, seed, bench.scoring, card)
        if isinstance(loaded, Result):
            found[method.name] = loaded
        elif not loaded.missing:
            raise loaded.error(evaluate_command(bench, name))
    return found


def current_runs(
    bench: Bench, methods: Sequence[str], seeds: Sequence[int] | None, card: SegmenterCard
) -> dict[str, list[Result]]:
    """Return the results of several seeds under the benchmark's convention, by method.

    They are those of ``seeds`` that exist, or of all seeds; methods without any are left out.
    ``methods`` are names or paths. Raises HdbenchError if a result is stale.
    """
    found: dict[str, list[Result]] = {}
    for name in methods:
        method = bench.library.method(name)
        stored = _stored_seeds(bench, method, card)
        # A floor has one run, whose seed is 0, whichever seeds are asked for.
        asked = stored if seeds is None else [*dict.fromkeys(seed_of(method, s) for s in seeds)]
        for seed in sorted(asked):
            loaded = load_if_current(bench, method, seed, bench.scoring, card)
            if isinstance(loaded, Result):
                found.setdefault(method.name, []).append(loaded)
            elif not loaded.missing:
                raise loaded.error(evaluate_command(bench, name, seed))
    return found


def _stored_seeds(bench: Bench, method: Method, card: SegmenterCard) -> list[int]:
    """Return the seeds of which a result lies on disk, current or not."""
    one = path_under(bench, method, 0, bench.scoring, card)
    rest = one.name.removeprefix("seed0")
    names = (path.name.removesuffix(rest) for path in one.parent.glob(f"seed*{escape(rest)}"))
    return [int(name[4:]) for name in names if name[4:].isdecimal()]


def require_results(
    bench: Bench, methods: Sequence[str], seed: int, card: SegmenterCard
) -> dict[str, Result]:
    """Return ``current_results`` by the names asked for; HdbenchError if one is missing."""
    found = current_results(bench, methods, seed, card)
    results: dict[str, Result] = {}
    for name in methods:
        method = bench.library.method(name)
        if method.name not in found:
            raise HdbenchError(
                f"'{name}' is not scored on '{bench.benchmark.name}' by this segmenter under "
                f"'{bench.scoring.name}' yet.\nNext: '{evaluate_command(bench, name)}'"
            )
        results[name] = found[method.name]
    return results


def current_native_oracle(bench: Bench, card: SegmenterCard) -> Result | None:
    """Return the current oracle at native size under the benchmark's convention, if scored.

    Raises:
        HdbenchError: its result is stale.
    """
    scoring = native_scoring(bench, bench.scoring, card)
    if isinstance(scoring, str):
        return None
    loaded = load_if_current(bench, bench.library.method("oracle"), 0, scoring, card)
    if isinstance(loaded, Result):
        return loaded
    if loaded.missing:
        return None
    raise loaded.error(evaluate_command(bench))


def evaluate_command(bench: Bench, method: str | None = None, seed: int = 0) -> str:
    """Return the command that scores a method, or the oracle and the floors alone."""
    words = f"hdbench evaluate{benchmark_words(bench)}"
    words += "" if method is None else f" --method {method}"
    return words + (f" --seed {seed}" if seed else "")


def benchmark_words(bench: Bench) -> str:
    """Return the option that a command needs for this benchmark, if it is not the workspace's."""
    here = Path(bench.workspace.benchmark).stem  # the option may name a file
    return "" if here == bench.benchmark.name else f" --benchmark {bench.benchmark.name}"


def matrices_path(path: Path) -> Path:
    """Return the file beside a result that holds its matrices."""
    return path.with_suffix(".matrices.npz")


def save_result(path: Path, result: Result) -> None:
    """Write a result and, before it, its matrices; each whole or not at all."""
    record, matrices = stored.written(result)
    write_atomically(matrices_path(path), matrices)
    write_atomically(path, record)


def load_result(path: Path) -> Result:
    """Return a stored result, if its files are whole and its scores those of its matrices.

    Raises:
        HdbenchError: a file is missing or damaged, or was edited by hand.
    """
    again = "delete it and run 'hdbench evaluate' again"
    try:
        record, matrices = path.read_bytes(), matrices_path(path).read_bytes()
    except FileNotFoundError as error:
        raise HdbenchError(f"{error.filename}: no such result; run 'hdbench evaluate'") from None
    except OSError as error:
        raise HdbenchError(f"{path}: not a readable result ({error}); {again}") from None
    return stored.read(record, matrices, str(path), again)
