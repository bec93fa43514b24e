"""``hdbench bundle pack``: the measured results of a workspace in one archive for other labs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hdbench import __version__
from hdbench.errors import DataError, HdbenchError, UsageError
from hdbench.exchange.learning import only_the_lab_knows
from hdbench.exchange.packing import (
    BENCHMARK_MEMBER,
    SCORING_MEMBER,
    SECOND_SEGMENTER_MEMBER,
    SEGMENTER_MEMBER,
    method_folder,
    resolved_bytes,
    with_manifest,
)
from hdbench.exchange.reading import open_bundle
from hdbench.exchange.sample import sampled_scenes, why_withheld
from hdbench.library import CARD_FILE
from hdbench.runtime.archives import archive_bytes
from hdbench.runtime.progress import progress
from hdbench.schema.bundle import (
    BUNDLE_SCHEMA,
    Bundle,
    BundledRun,
    ResultMembers,
    SampledImage,
)
from hdbench.schema.generator import GENERATOR_CARD
from hdbench.schema.method import Method
from hdbench.schema.record import first_problem
from hdbench.schema.result import ORACLE, Result
from hdbench.segmentation.segmenter import SegmenterCard
from hdbench.storage import read_bytes, write_atomically
from hdbench.workflows.evaluate import with_floors
from hdbench.workspace.bench import Bench
from hdbench.workspace.imports import MANIFEST_FILE, scenes_of
from hdbench.workspace.results import (
    evaluate_command,
    load_if_current,
    matrices_path,
    path_under,
)
from hdbench.workspace.runs import folder_of_run, image_files, seed_of
from hdbench.workspace.segmenters import (
    second_segmenter_card,
    segmenter_card,
    segmenter_folder,
)
from hdbench.workspace.stale import Stale


@dataclass(frozen=True)
class _Measured:
    """A run with its current results."""

    method: Method
    seed: int
    #: The JSON file of each result, and the result.
    first: tuple[Path, Result]
    second: tuple[Path, Result] | None


def pack(
    bench: Bench,
    methods: Sequence[str],
    seeds: Sequence[int],
    path: Path,
    images: int,
    contact: str = "",
    statements: Mapping[str, str] | None = None,
) -> Bundle:
    """Pack the results of methods, the oracle and the floors into an archive, and read it again.

    The same workspace gives the same bytes. ``methods`` are names or paths; what is not trained has
    seed 0 alone. ``images`` scenes have their images in it; ``contact`` says who packs. What was
    imported was trained on what ``statements`` say, by method.

    Raises:
        HdbenchError: a result is missing or stale; all of them are named.
        UsageError: a statement is about a method whose card says it, or about none; ``path`` holds
            another file; a text is too long.
    """
    statements = statements or {}
    chosen = with_floors(bench, methods, ORACLE)
    bench = scenes_of(bench, list(chosen.values()))
    _require_needed(chosen, statements)
    card, second = segmenter_card(bench), second_segmenter_card(bench)
    runs = _current(bench, chosen, seeds, card, second)
    contents = {
        BENCHMARK_MEMBER: resolved_bytes(bench.benchmark),
        SCORING_MEMBER: resolved_bytes(bench.scoring),
        SEGMENTER_MEMBER: read_bytes(segmenter_folder(bench) / CARD_FILE),
    }
    has_second = any(run.second is not None for run in runs)
    if has_second:
        folder = segmenter_folder(bench, second=True)
        contents[SECOND_SEGMENTER_MEMBER] = read_bytes(folder / CARD_FILE)
    sample = _sample(runs, images)
    names = list(dict.fromkeys(run.method.name for run in runs))
    listed = []
    for run in progress(runs, desc="packing", unit="run"):
        folder = method_folder(names.index(run.method.name), run.method.name)
        members, entry = _run_members(bench, run, folder, sample, statements)
        contents |= members
        listed.append(entry)
    facts: dict[str, Any] = {
        "version": BUNDLE_SCHEMA,
        "hdbench": __version__,
        "contact": contact,
        "benchmark": bench.benchmark.name,
        "benchmark_file": BENCHMARK_MEMBER,
        "scoring": bench.scoring.name,
        "scoring_file": SCORING_MEMBER,
        "segmenter": SEGMENTER_MEMBER,
        "second_segmenter": SECOND_SEGMENTER_MEMBER if has_second else None,
        "sample": sample,
        "runs": listed,
    }
    try:
        archive = archive_bytes(with_manifest(contents, facts))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_problem(error)}") from None
    return _write(path, archive)


def _require_needed(chosen: Mapping[str, Method], statements: Mapping[str, str]) -> None:
    for name in statements:
        method = chosen.get(name)
        if method is None or not only_the_lab_knows(method):
            raise UsageError(
                f"--trained-on {name}: expected a --method whose images or weights were imported; "
                "what hdbench trained has a card that says it"
            )


def _current(
    bench: Bench,
    chosen: Mapping[str, Method],
    seeds: Sequence[int],
    card: SegmenterCard,
    second: SegmenterCard | None,
) -> list[_Measured]:
    """Return the runs with their results; HdbenchError names each that is missing or stale."""
    wanted = {
        (method.name, seed_of(method, seed)): (name, method, seed_of(method, seed))
        for name, method in chosen.items()
        for seed in seeds
    }
    runs, refused = [], []
    for name, method, seed in progress(list(wanted.values()), desc="checking", unit="run"):
        found: list[tuple[Path, Result] | None] = []
        for one in (card, second):
            loaded = one and load_if_current(bench, method, seed, bench.scoring, one)
            if one is not None and isinstance(loaded, Result):
                found.append((path_under(bench, method, seed, bench.scoring, one), loaded))
                continue
            found.append(None)
            # What the second segmenter has not scored is left out; what is stale is not.
            if isinstance(loaded, Stale) and (one is card or not loaded.missing):
                refused.append(str(loaded.error(_command(bench, name, seed, one is not card))))
        if found[0] is not None:
            runs.append(_Measured(method, seed, found[0], found[1]))
    if refused:
        raise HdbenchError("\n".join(["nothing is packed:", *refused]))
    return runs


def _command(bench: Bench, name: str, seed: int, second: bool) -> str:
    """Return the command that measures a result again."""
    command = evaluate_command(bench, name) + (f" --seed {seed}" if seed else "")
    return command + (" --segmenter second" if second else "")


def _sample(runs: Sequence[_Measured], images: int) -> list[str]:
    """Return the scenes whose images travel, as ``sampled_scenes`` chooses them."""
    results = [one for run in runs for one in (run.first, run.second) if one is not None]
    digests = [hashlib.sha256(read_bytes(path)).hexdigest() for path, _ in results]
    return sampled_scenes(runs[0].first[1].scenes, images, digests)


def _run_members(
    bench: Bench,
    run: _Measured,
    folder: str,
    sample: Sequence[str],
    statements: Mapping[str, str],
) -> tuple[dict[str, bytes], BundledRun]:
    """Return the members of a run by name, and what the manifest says of them."""
    method, (path, result) = run.method, run.first
    place = f"{folder}/seed{run.seed}"
    contents = {f"{folder}/method.json": resolved_bytes(method)}

    def added(name: str, path: Path) -> ResultMembers:
        members = ResultMembers(record=f"{place}/{name}.json", matrices=f"{place}/{name}.npz")
        contents[members.record] = read_bytes(path)
        contents[members.matrices] = read_bytes(matrices_path(path))
        return members

    first = added("result", path)
    second = None if run.second is None else added("second", run.second[0])
    card = _card_file(bench, method, run.seed, result)
    if card is not None:
        contents[f"{place}/{card.name}"] = read_bytes(card)
    withheld = why_withheld(method, bench.benchmark.data.built_in)
    images = []
    files = dict(zip(result.scenes, image_files(bench, method, run.seed), strict=True))
    for scene in sample if withheld is None else ():
        number = result.scenes.index(scene)
        member = f"{place}/images/{number:05}.png"  # scene names may hold anything
        contents[member] = read_bytes(files[scene])
        if hashlib.sha256(contents[member]).hexdigest() != result.images[number]:
            raise DataError(f"{files[scene]}: changed while it was packed; repeat the command")
        images.append(SampledImage(scene=scene, member=member))
    return contents, BundledRun(
        method=result.method,
        seed=run.seed,
        method_file=f"{folder}/method.json",
        result=first,
        second=second,
        card=None if card is None else f"{place}/{card.name}",
        trained_on=statements.get(method.name),
        images=images,
        withheld=withheld,
    )


def _card_file(bench: Bench, method: Method, seed: int, result: Result) -> Path | None:
    """Return the card that says where a method's images come from, if it has one."""
    if method.images_from == "import":
        return bench.run_folder(method.name, seed) / MANIFEST_FILE
    if method.images_from != "generator":
        return None
    folder = folder_of_run(bench, method.name, seed, result.run)
    if folder is None:
        raise HdbenchError(
            f"'{method.name}', seed {seed}: the card of its generator is gone, so nothing says "
            f"what it was trained on.\nNext: 'hdbench train {method.name}'"
        )
    return folder / GENERATOR_CARD


def _write(path: Path, archive: bytes) -> Bundle:
    """Write an archive that can be read, and return what others will read of it."""
    if path.is_dir() or (path.is_file() and read_bytes(path) != archive):
        raise UsageError(f"{path}: exists and is another; delete it, or name another --out")
    scratch = path.with_name(f".{path.name}.unread")
    write_atomically(scratch, archive)
    try:
        open_bundle(scratch)
    finally:
        scratch.unlink(missing_ok=True)
    write_atomically(path, archive)
    return open_bundle(path)
