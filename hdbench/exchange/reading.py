"""A bundle read and held against itself: every file in it that can speak against another does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from hdbench.errors import DataError, HdbenchError, UsageError, counted
from hdbench.evaluation import explain, stored
from hdbench.exchange.belonging import (
    Card,
    Common,
    card_problems,
    image_problems,
    method_of,
    read_card,
    read_common,
    result_problems,
)
from hdbench.exchange.learning import only_the_lab_knows, trained_on
from hdbench.exchange.packing import manifest_bytes
from hdbench.exchange.sample import sampled_scenes
from hdbench.runtime.archives import Archive, Limits
from hdbench.schema.bundle import (
    BUNDLE_SCHEMA,
    MANIFEST,
    Bundle,
    BundledRun,
    BundleEntry,
    Check,
    Manifest,
    ResultMembers,
    TrainedOn,
)
from hdbench.schema.generator import GeneratorCard
from hdbench.schema.method import Method
from hdbench.schema.record import first_problem, parse_json
from hdbench.schema.result import Result
from hdbench.text import first_of, inert

#: What a bundle may ask for; one of a hundred runs on COCO-Stuff stays below it.
LIMITS = Limits(members=20_000, member=256 << 20, total=1 << 30, ratio=200)
_MOST_MANIFEST = 16 << 20
#: Bytes of all matrices of a bundle in memory.
_MOST_MATRICES = 4 << 30
_AGAIN = "pack the bundle again in the workspace that measured it"


@dataclass
class _Found:
    """What was found so far."""

    where: str
    checks: list[Check] = field(default_factory=list)
    #: By name of member.
    contents: dict[str, bytes] = field(default_factory=dict)
    matrices_left: int = _MOST_MATRICES

    def check(self, claim: str, measured: str, wrong: Iterator[str] | list[str]) -> bool:
        """Add a check, and return whether it holds."""
        lines = [f"{self.where}: {line}" for line in wrong]
        self.checks.append(Check(claim=claim, measured=measured, wrong=lines))
        return not lines


@dataclass(frozen=True)
class _Run:
    """A run of the manifest with what was read of it."""

    listed: BundledRun
    method: Method
    result: Result
    second: Result | None


def open_bundle(path: Path) -> Bundle:
    """Return a bundle that holds together (``examine``).

    Raises:
        UsageError: there is no such file.
        DataError: anything in it is wrong; all of it is named.
    """
    bundle, checks = examine(path)
    wrong = [line for check in checks for line in check.wrong]
    if bundle is None or wrong:
        raise DataError("\n".join(wrong))
    return bundle


def examine(path: Path) -> tuple[Bundle | None, list[Check]]:
    """Return what was read of a bundle, and each claim about it with all violations.

    Only the archive is read, and nothing in it is believed. Where a file that others depend on is
    wrong there is no bundle, and the claims about the others are missing.

    Raises:
        UsageError: there is no such file.
    """
    found = _Found(inert(path.name))
    try:
        sha256, manifest = _read(path, found)
    except DataError as error:
        wrong = str(error).splitlines()
        found.checks.append(Check(claim="the archive can be read", measured="", wrong=wrong))
        return None, found.checks
    if manifest is None:
        return None, found.checks
    common = _common(manifest, found)
    if common is None:
        return None, found.checks
    runs = _runs(manifest, common, found)
    if runs is None:
        return None, found.checks
    cards = _cards(runs, common, found)
    _images(manifest, list(zip(runs, cards, strict=True)), common, found)
    _together(manifest, runs, found)
    if any(check.wrong for check in found.checks):
        return None, found.checks
    name = path.name.removesuffix(".zip")
    entries = [
        _entry(run, card, name, manifest, found) for run, card in zip(runs, cards, strict=True)
    ]
    bundle = Bundle(
        name=name,
        sha256=sha256,
        contact=manifest.contact,
        hdbench=manifest.hdbench,
        benchmark=manifest.benchmark,
        title=common.benchmark.title,
        scoring=manifest.scoring,
        sample=manifest.sample,
        results=entries,
    )
    return bundle, found.checks


def _read(path: Path, found: _Found) -> tuple[str, Manifest | None]:
    """Return the archive's SHA-256 and its manifest, if the members are those that it lists."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a bundle of 'hdbench bundle pack'")
    size, most = path.stat().st_size, LIMITS.total
    if size > most:
        raise DataError(f"{found.where}: {size:,} bytes; at most {most:,} are read")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        archive = Archive(file, found.where, LIMITS)
        found.check("the archive is plain", counted(len(archive.names), "member"), [])
        manifest = _manifest(archive, found)
        whole = found.check(
            "the members are those that the manifest lists, byte for byte",
            counted(len(manifest.members), "member"),
            _members(archive, manifest, found),
        )
    return sha256, manifest if whole else None


def _manifest(archive: Archive, found: _Found) -> Manifest:
    content = archive.read(MANIFEST, _MOST_MANIFEST)
    place = f"{found.where}: {MANIFEST}"
    try:
        value = parse_json(content)
        version = value.get("schema") if isinstance(value, dict) else None
        if version != BUNDLE_SCHEMA:
            raise DataError(
                f"{place}: schema = {inert(repr(version))}; this version of hdbench reads "
                f"bundles of schema {BUNDLE_SCHEMA}"
            )
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        raise DataError(f"{place}: {inert(first_problem(error), 300)}") from None
    except ValueError as error:
        raise DataError(f"{place}: not JSON ({inert(str(error))})") from None
    if manifest_bytes(manifest) != content:
        raise DataError(f"{place}: is not written as 'hdbench bundle pack' writes it; {_AGAIN}")
    return manifest


def _members(archive: Archive, manifest: Manifest, found: _Found) -> Iterator[str]:
    listed = {member.name: member for member in manifest.members}
    if len(listed) < len(manifest.members):
        yield f"{MANIFEST}: members: a name stands twice"
    named = set(_named(manifest))
    for name in sorted({*archive.names, *listed, *named} - {MANIFEST}):
        shown = inert(name)
        if name not in listed:
            yield f"{shown}: {MANIFEST} does not list it"
        elif name not in archive.names:
            yield f"{shown}: is listed in {MANIFEST} and missing"
        elif name not in named:
            yield f"{shown}: {MANIFEST} does not say what it is"
        else:
            content = archive.read(name)
            if len(content) != listed[name].size:
                yield f"{shown}: size = {len(content)}; {MANIFEST} says {listed[name].size}"
            if hashlib.sha256(content).hexdigest() != listed[name].sha256:
                yield f"{shown}: its SHA-256 is not the sha256 that {MANIFEST} says"
            found.contents[name] = content


def _named(manifest: Manifest) -> Iterator[str]:
    """Yield the names of members that the manifest gives a part to play."""
    yield from (manifest.benchmark_file, manifest.scoring_file, manifest.segmenter)
    if manifest.second_segmenter is not None:
        yield manifest.second_segmenter
    for run in manifest.runs:
        yield run.method_file
        if run.card is not None:
            yield run.card
        for members in (run.result, run.second):
            if members is not None:
                yield from (members.record, members.matrices)
        yield from (image.member for image in run.images)


def _common(manifest: Manifest, found: _Found) -> Common | None:
    common, wrong = None, []
    try:
        common = read_common(manifest, found.contents)
    except HdbenchError as error:
        wrong = [inert(line, 300) for line in str(error).splitlines()]
    found.check("benchmark, convention and segmenters can be read", manifest.benchmark, wrong)
    return common


def _runs(manifest: Manifest, common: Common, found: _Found) -> list[_Run] | None:
    """Return the runs whose methods and results can be read, if all can."""
    runs, wrong = [], []
    for listed in manifest.runs:
        try:
            method = method_of(listed, found.contents)
            result, *others = [
                _result(members, found)
                for members in (listed.result, listed.second)
                if members is not None
            ]
            runs.append(_Run(listed, method, result, others[0] if others else None))
        except HdbenchError as error:
            wrong += [inert(line, 400) for line in str(error).splitlines()]
    matrices = sum(len(run.result.matrices) + len(_second_matrices(run)) for run in runs)
    claim = "every score and interval follows from the matrices, every fingerprint from the choices"
    if not found.check(claim, f"{matrices} matrices", wrong):
        return None
    found.check(
        "the results are of this benchmark, convention, segmenter, method and seed",
        counted(sum(1 + (run.second is not None) for run in runs), "result"),
        [line for run in runs for line in _result_problems(run, common)],
    )
    return runs


def _second_matrices(run: _Run) -> tuple[int, ...] | np.ndarray:
    return () if run.second is None else run.second.matrices


def _result(members: ResultMembers, found: _Found) -> Result:
    record, matrices = found.contents[members.record], found.contents[members.matrices]
    most = min(found.matrices_left, stored.MOST_MATRICES)
    result = stored.read(record, matrices, members.record, _AGAIN, most)
    found.matrices_left -= result.matrices.nbytes
    return result


def _result_problems(run: _Run, common: Common) -> Iterator[str]:
    listed = run.listed
    yield from result_problems(run.result, listed, listed.result.record, common, common.segmenter)
    if run.second is not None and listed.second is not None:
        place = listed.second.record
        if common.second is None:
            yield f"{place}: {MANIFEST} names no card of a second segmenter"
            return
        yield from result_problems(run.second, listed, place, common, common.second)
        for key in ("run", "scenes", "images"):
            if getattr(run.second, key) != getattr(run.result, key):
                yield f"{place}: {key} is not that of {listed.result.record}"


def _cards(runs: list[_Run], common: Common, found: _Found) -> list[Card]:
    wrong: list[str] = []
    cards: list[Card] = []
    for run in runs:
        card, lines = None, []
        try:
            card = read_card(run.listed, run.method, found.contents)
            for result in (run.result, run.second):
                if result is not None:
                    lines += card_problems(run.listed, run.method, card, result, common)
            if run.listed.trained_on is not None and not only_the_lab_knows(run.method):
                lines.append(f"{MANIFEST}: runs: trained_on of '{run.method.name}' is on its card")
            _trained_on(run, card)
        except DataError as error:
            lines.append(f"{run.listed.card}: {error}")
        cards.append(card)
        wrong += [inert(line, 300) for line in dict.fromkeys(lines)]
    number = sum(run.listed.card is not None for run in runs)
    found.check("every card belongs to its result", counted(number, "card"), wrong)
    return cards


def _images(
    manifest: Manifest, runs: list[tuple[_Run, Card]], common: Common, found: _Found
) -> None:
    wrong = []
    for run, card in runs:
        lines = image_problems(
            run.listed, run.method, card, run.result, manifest.sample, common, found.contents
        )
        wrong += [inert(line, 300) for line in lines]
    number = sum(len(run.listed.images) for run, _ in runs)
    found.check(
        "every image that travels is the one that its results are of",
        counted(number, "image"),
        wrong,
    )
    withheld = [
        f"{inert(run.listed.method)}: its images do not travel: {inert(run.listed.withheld)}"
        for run, _ in runs
        if run.listed.withheld is not None
    ]
    found.checks[-1] = found.checks[-1].model_copy(update={"unchecked": withheld})


def _together(manifest: Manifest, runs: list[_Run], found: _Found) -> None:
    """Check the runs against each other."""
    wrong = []
    keys = [(run.listed.method, run.listed.seed) for run in runs]
    for method, seed in sorted({key for key in keys if keys.count(key) > 1}):
        wrong.append(f"{MANIFEST}: runs: '{inert(method)}', seed {seed}, stands there twice")
    firsts = [(run.listed.result.record, run.result) for run in runs]
    seconds = [
        (run.listed.second.record, run.second)
        for run in runs
        if run.second is not None and run.listed.second is not None
    ]
    for results in (firsts, seconds):
        wrong += _unlike(results)
    first, *_ = runs
    digests = [hashlib.sha256(found.contents[record]).hexdigest() for record, _ in firsts + seconds]
    expected = sampled_scenes(first.result.scenes, len(manifest.sample), digests)
    if manifest.sample != expected:
        scenes = inert(first_of(expected))
        wrong.append(f"{MANIFEST}: sample: these results ask for other scenes, {scenes}")
    found.check(
        "all results are of the same scenes, labels and choices, and their sample is theirs",
        f"fingerprint {first.result.fingerprint[:16]}",
        wrong,
    )


def _unlike(results: list[tuple[str, Result]]) -> Iterator[str]:
    """Yield where results differ from the first in what results of one table share."""
    for place, result in results[1:]:
        first_place, first = results[0]
        for one in explain.differences(first.choices, result.choices):
            yield inert(f"{place}: choices.{one.field}: {one.sentence(first_place, 'it')}", 300)
        if result.scenes != first.scenes:
            yield f"{place}: scenes are not those of {first_place}"
        elif not same_labels(first, result):
            yield f"{place}: its matrices count other pixels of some class than {first_place}"


def same_labels(ours: Result, theirs: Result) -> bool:
    """Return whether two results count the same pixels of each class in every image."""
    rows = ours.matrices.sum(axis=2), theirs.matrices.sum(axis=2)
    return np.array_equal(*rows)


def _trained_on(run: _Run, card: Card) -> TrainedOn:
    own = card if isinstance(card, GeneratorCard) else None
    return trained_on(run.method, own, run.listed.trained_on)


def _entry(run: _Run, card: Card, bundle: str, manifest: Manifest, found: _Found) -> BundleEntry:
    listed, method = run.listed, run.method
    several = len([one for one in manifest.runs if one.method == listed.method]) > 1
    seed = f", seed {listed.seed}" if several or listed.seed else ""
    roles = {"dataset": "oracle", "floor": "floor"}
    return BundleEntry(
        name=f"{listed.method}{seed} ({bundle})",
        method=listed.method,
        title=method.title,
        bundle=bundle,
        role=roles.get(method.images_from, "method"),  # pyright: ignore[reportArgumentType]
        seed=listed.seed,
        result=run.result,
        second=run.second,
        trained_on=_trained_on(run, card),
        images={image.scene: found.contents[image.member] for image in listed.images},
        withheld=listed.withheld,
    )
