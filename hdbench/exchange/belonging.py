"""What the files of a bundle say about each other: each problem names member and field."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hdbench.data.labels import LabelSpace, label_space_of
from hdbench.data.loading import read_photograph
from hdbench.errors import DataError, LibraryError
from hdbench.exchange.sample import why_withheld
from hdbench.library import METHODS
from hdbench.provenance import differing_fields, digest, tensors_digest
from hdbench.schema.base import identity_of, parse
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.bundle import BundledRun, Manifest
from hdbench.schema.generator import GeneratorCard
from hdbench.schema.imported import Import
from hdbench.schema.label_space import OwnLabelSpace
from hdbench.schema.method import Method
from hdbench.schema.record import first_problem, parse_json
from hdbench.schema.result import Result
from hdbench.schema.scoring import Scoring
from hdbench.segmentation.segmenter import SegmenterCard, card_of
from hdbench.workspace.fingerprint import choices_of
from hdbench.workspace.weights import weights_identity

Contents = Mapping[str, bytes]
#: None for methods that have neither.
Card = GeneratorCard | Import | None

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_MOST_PIXELS = 1 << 25  # 8192 x 4096
#: Choices that follow from label maps, which are not in a bundle.
_OF_LABELS = ("labels", "scenes")


@dataclass(frozen=True)
class Common:
    """What all runs of a bundle share."""

    benchmark: Benchmark
    scoring: Scoring
    segmenter: SegmenterCard
    second: SegmenterCard | None

    @property
    def space(self) -> LabelSpace:
        """The label space of the benchmark."""
        return label_space_of(self.benchmark.data.label_space)


def read_common(manifest: Manifest, contents: Contents) -> Common:
    """Return benchmark, convention and the segmenters' cards.

    Raises:
        HdbenchError: one of them cannot be read, or has another name than in the manifest.
    """
    benchmark = benchmark_of(contents[manifest.benchmark_file], manifest.benchmark_file)
    scoring = parse(
        Scoring,
        _table(contents[manifest.scoring_file], manifest.scoring_file),
        manifest.scoring_file,
    )
    for name, file, place in (
        (manifest.benchmark, benchmark, manifest.benchmark_file),
        (manifest.scoring, scoring, manifest.scoring_file),
    ):
        if file.name != name:
            raise DataError(f"{place}: name = {file.name!r}; the manifest says {name!r}")
    cards = [
        None if name is None else card_of(contents[name], name)
        for name in (manifest.segmenter, manifest.second_segmenter)
    ]
    assert cards[0] is not None
    return Common(benchmark, scoring, cards[0], cards[1])


def benchmark_of(content: bytes, member: str) -> Benchmark:
    """Return the benchmark of a member (``resolved_bytes``); raises LibraryError if it is none."""
    table = _table(content, member)
    data = table.get("data")
    space = data.get("label_space") if isinstance(data, dict) else None
    if isinstance(data, dict) and isinstance(space, dict) and "path" in space:
        own = parse(OwnLabelSpace, space, f"{member}: [data] label_space")
        table = {**table, "data": {**data, "label_space": own}}
    return parse(Benchmark, table, member)


def method_of(run: BundledRun, contents: Contents) -> Method:
    """Return the method of a run; raises LibraryError or DataError if its file is wrong."""
    method = METHODS.parse(_table(contents[run.method_file], run.method_file), run.method_file)
    if method.name != run.method:
        raise DataError(f"{run.method_file}: name = {method.name!r}; expected {run.method!r}")
    return method


def result_problems(
    result: Result, run: BundledRun, place: str, common: Common, card: SegmenterCard
) -> Iterator[str]:
    """Yield where a result is not of the run, benchmark, convention and segmenter of a bundle."""
    expected: dict[str, Any] = {
        "method": run.method,
        "seed": run.seed,
        "benchmark": common.benchmark.name,
        "scoring": common.scoring.name,
        "classes": [entry.name for entry in common.space.scored],
    }
    for key, value in expected.items():
        if getattr(result, key) != value:
            yield f"{place}: {key} = {getattr(result, key)!r}; expected {value!r}"
    if result.choices.get("scenes") != len(result.scenes):
        yield f"{place}: choices.scenes = {result.choices.get('scenes')!r} for another number"
    try:
        choices = choices_of(common.benchmark, common.scoring, common.space, card, ())
    except (TypeError, ValueError) as error:
        yield f"{place}: the segmenter's card has no choices ({error})"
        return
    theirs = {key: value for key, value in result.choices.items() if key not in _OF_LABELS}
    ours = {key: value for key, value in choices.items() if key not in _OF_LABELS}
    for line in differing_fields(theirs, ours):
        yield f"{place}: choices.{line} by the bundle's other files"


def read_card(run: BundledRun, method: Method, contents: Contents) -> Card:
    """Return the card of a generator, the record of an import, or None where there is neither.

    Raises:
        DataError: it is missing, damaged, or there must be none.
    """
    wanted = {"generator": GeneratorCard, "import": Import}.get(method.images_from)
    if (run.card is None) != (wanted is None):
        what = "no card" if wanted is None else "a card"
        raise DataError(f"a method of kind '{method.kind}' has {what}")
    if wanted is None or run.card is None:
        return None
    try:
        return wanted.model_validate(parse_json(contents[run.card]))
    except ValidationError as error:
        raise DataError(first_problem(error)) from None
    except ValueError as error:
        raise DataError(f"not JSON ({error})") from None


def card_problems(
    run: BundledRun, method: Method, card: Card, result: Result, common: Common
) -> Iterator[str]:
    """Yield where the run that a result names is not that of its card and method."""
    place = run.card or run.result.record
    facts = result.provenance
    expected: dict[str, tuple[Any, Any]] = {}
    if isinstance(card, GeneratorCard) and method.images_from == "generator":
        training = facts.training
        its_method = identity_of(method.at_last(), exclude={"title", "source"})
        benchmark = common.benchmark
        tables = {"data": benchmark.data, "size": benchmark.size, "budget": benchmark.budget}
        expected = {
            "identity": (digest(card.identity), result.run),
            "identity.method": (card.identity.get("method"), its_method),
            **{
                f"identity.{key}": (card.identity.get(key), identity_of(table))
                for key, table in tables.items()
            },
            "method": (card.method, method.at_last().name),
            "seed": (card.seed, result.seed),
            "weights": (card.weights, training and training.weights),
            "steps": (card.steps, training and training.steps),
        }
    elif isinstance(card, Import):
        expected = {
            "images": (digest(card.identity), result.run),
            "method": (card.method, result.method),
            "benchmark": (card.benchmark, result.benchmark),
            "size": (card.size, [common.benchmark.size.width, common.benchmark.size.height]),
            "images.scene": ([image.scene for image in card.images], result.scenes),
            "facts": (card.facts, facts.imported),
        }
    elif method.images_from == "weights":
        identity = weights_identity(common.benchmark.size, method)
        expected = {
            "run": (result.run, digest(identity)),
            "weights": (facts.weights and facts.weights.weights, method.digests.generator),
        }
    elif method.images_from == "dataset":
        expected = {"run": (result.run, None)}
    for key, (found, other) in expected.items():
        if found != other:
            yield f"{place}: {key} is not that of {run.result.record}, method and benchmark"


def image_problems(
    run: BundledRun,
    method: Method,
    card: Card,
    result: Result,
    sample: list[str],
    common: Common,
    contents: Contents,
) -> Iterator[str]:
    """Yield where images are not of the sample, or not those of a result and of its import."""
    reason = why_withheld(method, common.benchmark.data.built_in)
    if run.withheld != reason:
        yield f"manifest.json: runs: withheld of '{run.method}' is {run.withheld!r}, not {reason!r}"
    expected = [] if reason is not None else sample
    if [image.scene for image in run.images] != expected:
        yield f"manifest.json: runs: images of '{run.method}' are not of the sampled scenes"
        return
    pixels = {one.scene: one.pixels for one in card.images} if isinstance(card, Import) else {}
    for image in run.images:
        content = contents[image.member]
        if image.scene not in result.scenes:
            yield f"{image.member}: scene {image.scene!r} is not in {run.result.record}"
        elif hashlib.sha256(content).hexdigest() != result.images[result.scenes.index(image.scene)]:
            yield f"{image.member}: is not the image of {image.scene!r} in {run.result.record}"
        else:
            known = pixels.get(image.scene)
            problem = _png_problem(content, image.member, method, common, known)
            if problem is not None:
                yield f"{image.member}: {problem}"


def _png_problem(
    content: bytes, member: str, method: Method, common: Common, pixels: str | None
) -> str | None:
    """Return why a file is no image as it should be, or None; its size is read first.

    ``pixels`` is the digest of the pixels that were imported.
    """
    if not content.startswith(_PNG) or len(content) < len(_PNG) + 8:
        return "not a PNG file"
    width, height = struct.unpack(">II", content[len(_PNG) : len(_PNG) + 8])
    size = common.benchmark.size
    if not method.shows_photographs and (width, height) != (size.width, size.height):
        return f"{width}x{height} pixels; the benchmark's images are {size.width}x{size.height}"
    if width * height > _MOST_PIXELS:
        return f"{width}x{height} pixels; at most {_MOST_PIXELS:,} are decoded"
    try:
        image = read_photograph(Path(member), content)
    except DataError as error:
        return str(error)
    if pixels is not None and tensors_digest({"photograph": image}) != pixels:
        return "its pixels are not those that were imported"
    return None


def _table(content: bytes, member: str) -> dict[str, Any]:
    try:
        value = parse_json(content)
    except ValueError as error:
        raise LibraryError(f"{member}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise LibraryError(f"{member}: not a table")
    return value
