"""Two results side by side: which choices differ, and what each of them is worth.

What is counted differently is recomputed from the stored matrices. What the segmenter was given
differently cannot be: its predictions would have been others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hdbench.errors import HdbenchError, counted
from hdbench.evaluation import explain
from hdbench.evaluation.confusion import Matrix
from hdbench.evaluation.recounting import counting_of, rescored
from hdbench.evaluation.significance import holm
from hdbench.evaluation.uncertainty import Difference, paired_differences
from hdbench.schema.result import OVERALL, Result
from hdbench.schema.scoring import Counting
from hdbench.text import first_of

_COUNTING = "scoring.counting."
#: Differ between any two conventions that differ at all; by themselves they move no number.
_NAMES = ("scoring.name",)
#: Other numbers of the same matrices: they do not move the two scores that are compared.
_READINGS = "scoring.readings."
#: Follow from the list of scenes and their maps, which ``_scene_sentences`` describes better.
_SCENES = ("scenes", "labels")


@dataclass(frozen=True)
class Step:
    """What one choice of B, made in A instead of A's own, does to A's scores."""

    #: ``scenes``, or the path of a counting policy; ``all`` for all of them together.
    field: str
    title: str
    #: The score of A with this choice, minus the score of A; None where undefined.
    change: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """What makes the scores of two results differ."""

    #: Sentences, one for each choice in which they differ; empty if they may be ranked.
    differences: list[str]
    #: What the choices that can be recomputed are worth, each alone and then all together.
    steps: list[Step]
    #: What differs and cannot be recomputed: the segmenter's predictions, or the pixels that are
    #: counted, would be others.
    not_recomputed: list[str]
    #: B's score minus A's with all choices that could be recomputed made as in B.
    rest: dict[str, float | None]


@dataclass(frozen=True)
class Pair:
    """Two methods on the same images under the same choices."""

    ours: str
    theirs: str
    difference: Difference
    #: The p-value, corrected over all tests of the family by Holm's method.
    corrected: float


def compare(ours: Result, theirs: Result, letter: str = "B") -> Comparison:
    """Return in words which choices of A and B (called ``letter``) differ, and their worth."""
    found = explain.differences(ours.choices, theirs.choices)
    if not found:
        return Comparison([], [], [], {})
    sentences = [entry.sentence("A", letter) for entry in found if entry.field not in _SCENES]
    about_scenes, common = _scene_sentences(ours, theirs, letter)
    if any(entry.field in _SCENES for entry in found):
        sentences += about_scenes
    fields = [
        entry.field
        for entry in found
        if entry.field not in (*_NAMES, *_SCENES) and not entry.field.startswith(_READINGS)
    ]
    policies = [field for field in fields if field.startswith(_COUNTING)]
    reasons = [
        entry.title for entry in found if entry.field in fields and entry.field not in policies
    ]
    if about_scenes and not common:
        reasons.append("the scenes, none of which both have")
    try:
        counting, other = counting_of(ours), counting_of(theirs)
    except HdbenchError as error:
        return Comparison(sentences, [], [*reasons, str(error).splitlines()[0]], {})
    steps = list(_steps(ours, counting, other, policies, common if about_scenes else None))
    combined = steps[-1].change if steps else dict.fromkeys(OVERALL, 0.0)
    rest = {
        score: _minus(
            _minus(theirs.scores.overall(score), ours.scores.overall(score)), combined[score]
        )
        for score in OVERALL
    }
    return Comparison(sentences, steps, reasons, rest)


def _steps(
    ours: Result,
    counting: Counting,
    other: Counting,
    policies: Sequence[str],
    common: Sequence[int] | None,
) -> Iterator[Step]:
    """Yield what each recomputable choice of B is worth in A, and then all of them together.

    ``counting`` is A's policy and ``other`` B's; ``policies`` are the paths of their fields that
    differ. ``common`` are places in A of the scenes that B has too, or None if the scenes are the
    same.
    """
    before = rescored(ours.matrices, counting)
    titles = {entry.field: entry.title for entry in explain.explain(ours.choices)}

    def step(field: str, title: str, matrices: Matrix, policy: Counting) -> Step:
        after = rescored(matrices, policy)
        return Step(field, title, {s: _minus(after[s], before[s]) for s in OVERALL})

    fewer = ours.matrices
    if common:
        fewer = ours.matrices[list(common)]
        if len(fewer) < len(ours.matrices):
            title = f"only the {counted(len(fewer), 'scene')} that both have"
            yield step("scenes", title, fewer, counting)
    for field in policies:
        name = field.removeprefix(_COUNTING)
        if hasattr(other, name):
            policy = counting.model_copy(update={name: getattr(other, name)})
            yield step(field, titles.get(field, name), ours.matrices, policy)
    if policies or len(fewer) < len(ours.matrices):
        yield step("all", "all of these together", fewer, other)


def _scene_sentences(ours: Result, theirs: Result, letter: str) -> tuple[list[str], list[int]]:
    """Return what differs in the scenes, and the places in A of those that B has too.

    Scenes go by name. That a label map is another shows in the pixels of each class, which are
    the sums of a matrix's rows; where the classes are others too, nothing can be said of it.
    """
    place = {name: n for n, name in enumerate(theirs.scenes)}
    common = [n for n, name in enumerate(ours.scenes) if name in place]
    sentences = []
    for whose, mine, yours in (("A", ours, theirs), (letter, theirs, ours)):
        lacking = [name for name in mine.scenes if name not in set(yours.scenes)]
        if lacking:
            many = counted(len(lacking), "scene")
            sentences.append(f"scenes: {many} only in {whose}, {first_of(lacking)}")
    if ours.choices.get("labels") == theirs.choices.get("labels"):
        return sentences, common
    if ours.classes == theirs.classes:
        other = [
            ours.scenes[n]
            for n in common
            if not np.array_equal(
                ours.matrices[n].sum(axis=1),
                theirs.matrices[place[ours.scenes[n]]].sum(axis=1),
            )
        ]
        if other:
            sentences.append(
                f"label maps: {counted(len(other), 'scene')} of the {len(common)} in common "
                f"{'has' if len(other) == 1 else 'have'} other pixels of some class, "
                f"{first_of(other)}"
            )
    if not sentences and [ours.scenes[n] for n in common] != theirs.scenes:
        sentences.append("scenes: the same ones in another order")
    if not sentences:
        sentences.append(
            "label maps: the hash over them differs, though no class has more or fewer pixels in "
            "any scene that both have; pixels were moved, or another map is counted"
        )
    return sentences, common


def compare_all(results: Sequence[Result], names: Sequence[str]) -> list[Pair]:
    """Return every pair of results that share a fingerprint, p-values corrected over all tests.

    Raises:
        UsageError: images are no pairs.
    """
    rows: list[tuple[str, str, Difference]] = []
    counting = counting_of(results[0])
    for (our_name, ours), (their_name, theirs) in combinations(zip(names, results, strict=True), 2):
        for difference in paired_differences(ours.matrices, theirs.matrices, counting):
            rows.append((our_name, their_name, difference))
    corrected = holm([difference.p_value for _, _, difference in rows])
    return [Pair(*row, p_value) for row, p_value in zip(rows, corrected, strict=True)]


def require_one_fingerprint(results: Sequence[Result]) -> None:
    """Check that results may stand in one table.

    Raises:
        HdbenchError: they may not; every choice that differs from the first one's is named.
    """
    first, *others = results
    for result in others:
        found = explain.differences(first.choices, result.choices)
        if found:
            lines = "\n".join(f"  {entry.sentence(first.method, result.method)}" for entry in found)
            raise HdbenchError(
                f"'{first.method}' and '{result.method}' are not ranked: their fingerprints "
                f"differ ({first.fingerprint[:16]}, {result.fingerprint[:16]})\n{lines}\n"
                "Next: 'hdbench evaluate' both of them again, or 'hdbench compare' to see what "
                "each choice is worth"
            )


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
