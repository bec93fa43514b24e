"""What a report needs, in order: shared networks, then each method and seed. Computes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hdbench.errors import UsageError, suggestion
from hdbench.library import METHODS, Library
from hdbench.schema.benchmark import OWN, Benchmark
from hdbench.schema.method import BEST_SUFFIX, Method
from hdbench.schema.report import Report

Phase = Literal["draw", "train", "synthesize", "score"]
#: ``references`` are the oracle and the floors, which are scored once for all seeds.
Kind = Literal["scenes", "segmenter", "second-segmenter", "perceptual", "references", "run"]

#: What messages call the work of each kind but ``run``.
_TITLES: dict[Kind, str] = {
    "scenes": "the scenes",
    "segmenter": "the segmenter that scores",
    "second-segmenter": "the second segmenter",
    "perceptual": "the perceptual network",
    "references": "the oracle and the floors",
}


@dataclass(frozen=True)
class Work:
    """One entry of the queue, which one process carries out from its first phase to its last."""

    kind: Kind
    #: What has to be done, in order. What is done already computes nothing.
    phases: tuple[Phase, ...]
    #: Of a run: its method. Of the references: methods that the rows have beside those that are
    #: always scored. Names or paths.
    methods: tuple[str, ...] = ()
    #: The method's own name, where there is one.
    name: str = ""
    #: 0 where nothing depends on it.
    seed: int = 0
    #: ``key`` of what must have succeeded before.
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in the queue."""
        return f"{self.name}/seed{self.seed}" if self.kind == "run" else self.kind

    @property
    def title(self) -> str:
        """What messages call it."""
        return _TITLES.get(self.kind, f"{self.name}, seed {self.seed}")

    @property
    def method(self) -> str:
        """The method of a run, by name or path."""
        assert self.kind == "run"
        return self.methods[0]


@dataclass(frozen=True)
class Queue:
    """All work of a report; what comes first stands first."""

    works: tuple[Work, ...]
    #: Rows that cannot be reproduced here: title, and why.
    absent: tuple[tuple[str, str], ...]
    #: Whether images are scored; reports of preferences ask people instead.
    scored: bool
    #: Imported methods, whose images may be of a part of the test scenes.
    imports: tuple[str, ...]

    @property
    def steps(self) -> list[tuple[Work, Phase]]:
        """All phases in order."""
        return [(work, phase) for work in self.works for phase in work.phases]

    def generations(self) -> Iterator[list[Work]]:
        """Yield the work that needs nothing, then what needs only that, and so on."""
        done: set[str] = set()
        waiting = list(self.works)
        while waiting:
            ready = [work for work in waiting if done.issuperset(work.needs)]
            assert ready, "needs go in a circle"
            yield ready
            done.update(work.key for work in ready)
            waiting = [work for work in waiting if work.key not in done]


def queue_of(
    report: Report,
    library: Library,
    benchmark: Benchmark,
    seeds: Sequence[int],
    only: Sequence[str] = (),
) -> Queue:
    """Return all that a report needs on a benchmark.

    Args:
        report: of scores, of preferences, or a collection of both.
        library: has the methods of its rows.
        benchmark: says which networks it must train first.
        seeds: of each method that is trained.
        only: methods of the report, by name, that the queue is restricted to.

    Raises:
        UsageError: the report has no method of a name in ``only``, or none that this library has.
        LibraryError: a method's file is wrong.
    """
    parts = [library.report(name) for name in report.reports] or [report]
    chosen, absent = _methods(parts, library)
    if only:
        chosen, absent = _restricted(chosen, absent, only, report.name), []
    if not chosen:
        lines = "".join(f"\n  {title}: {reason}" for title, reason in absent)
        why = f"no row can be reproduced here:{lines}" if lines else "names no method to train"
        raise UsageError(f"report '{report.name}': {why}")
    scored = any(part.shows_scores for part in parts)
    networks = _networks(chosen.values(), benchmark, scored)
    trained = {work.key for work in networks}
    references = [name for name, one in chosen.items() if one.images_from in ("floor", "dataset")]
    works = list(networks)
    if scored:
        works.append(
            Work(
                "references",
                ("score",),
                tuple(references),
                needs=_among(trained, "scenes", "segmenter", "second-segmenter"),
            )
        )
    judged = ("segmenter", "second-segmenter") if scored else ()
    runs: dict[str, Work] = {}
    for n, seed in enumerate(seeds):  # the first seed's table is whole first
        for name, method in chosen.items():
            phases = _phases(method, scored)
            if not phases or (n > 0 and not method.is_trained):
                continue
            needs = ["scenes", *judged]
            if _learns_by_own_perceptual(method, benchmark):
                needs.append("perceptual")
            its_seed = seed if method.is_trained else 0
            run = Work("run", phases, (name,), method.name, its_seed, _among(trained, *needs))
            runs[run.key] = run
    for key, run in runs.items():  # the best generator of a run comes after the run itself
        last = key.replace(f"{BEST_SUFFIX}/", "/")
        if last != key and last in runs:
            runs[key] = replace(run, needs=(*run.needs, last))
    ordered = sorted(runs.values(), key=lambda run: run.name.endswith(BEST_SUFFIX))
    imports = [name for name, one in chosen.items() if one.images_from == "import"]
    return Queue((*works, *ordered), tuple(absent), scored, tuple(imports))


def _methods(
    reports: Sequence[Report], library: Library
) -> tuple[dict[str, Method], list[tuple[str, str]]]:
    """Return the methods of reports by what these call them, and rows without one that is here."""
    chosen: dict[str, Method] = {}
    absent: list[tuple[str, str]] = []
    known: set[str] = set()
    for title, names in (entry for report in reports for entry in _rows(report)):
        if not names:
            absent.append((title, "the row names no method"))
        for name in names:
            if not _is_here(library, name):
                absent.append((title, f"the library has no method '{name}'"))
                continue
            method = library.method(name)
            if method.name not in known:
                known.add(method.name)
                chosen[name] = method
    return chosen, absent


def _rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Yield the title of each row, comparison or column of pictures, and its methods."""
    for row in report.rows:
        yield row.title, [] if row.method is None else [row.method]
    for one in report.comparisons:
        yield one.title, [name for name in (one.method, one.over) if name is not None]
    for name in report.pictures.methods if report.pictures else ():
        yield name, [name]


def _is_here(library: Library, name: str) -> bool:
    base = name.removesuffix(BEST_SUFFIX)
    return base in library.entries(METHODS) or Path(base).is_file()


def _restricted(
    chosen: Mapping[str, Method],
    absent: Sequence[tuple[str, str]],
    only: Sequence[str],
    report: str,
) -> dict[str, Method]:
    found: dict[str, Method] = {}
    for wanted in only:
        matching = [name for name, one in chosen.items() if wanted in (name, one.name)]
        if not matching:
            known = [method.name for method in chosen.values()]
            reasons = [reason for _, reason in absent if f"'{wanted}'" in reason]
            raise UsageError(
                f"--method {wanted}: "
                + (reasons[0] if reasons else f"report '{report}' has no row of that method")
                + suggestion(wanted, known)
            )
        found[matching[0]] = chosen[matching[0]]
    return found


def _networks(methods: Iterable[Method], benchmark: Benchmark, scored: bool) -> list[Work]:
    """Return what all runs share: scenes to draw, and networks that the benchmark must train."""
    works: list[Work] = []
    if benchmark.data.built_in:
        works.append(Work("scenes", ("draw",)))
    needs = tuple(work.key for work in works)
    second = benchmark.second_segmenter
    if scored and benchmark.required_segmenter.name == OWN:
        works.append(Work("segmenter", ("train",), needs=needs))
    if scored and second is not None and second.name == OWN:
        works.append(Work("second-segmenter", ("train",), needs=needs))
    if any(_learns_by_own_perceptual(method, benchmark) for method in methods):
        works.append(Work("perceptual", ("train",), needs=needs))
    return works


def _learns_by_own_perceptual(method: Method, benchmark: Benchmark) -> bool:
    if method.images_from != "generator" or benchmark.perceptual.name != OWN:
        return False
    return method.loss.perceptual > 0


def _phases(method: Method, scored: bool) -> tuple[Phase, ...]:
    """Return what a run consists of; nothing for what the references have, or what is there."""
    score: tuple[Phase, ...] = ("score",) if scored else ()
    if method.images_from == "generator":
        return ("train", "synthesize", *score)
    if method.images_from == "weights":
        return ("synthesize", *score)
    if method.images_from == "import":
        return score
    return () if scored or method.images_from == "dataset" else ("synthesize",)


def _among(known: Collection[str], *keys: str) -> tuple[str, ...]:
    return tuple(key for key in keys if key in known)


def seconds_left(
    rest: Sequence[tuple[Work, Phase]], took: Mapping[tuple[Work, Phase], float]
) -> tuple[float, int]:
    """Return how long the rest takes, by what took how long, and how many phases nothing tells of.

    A phase takes as long as that of the same method with another seed; without one, as long as
    those of other methods on average.
    """
    total, unknown = 0.0, 0
    for work, phase in rest:
        alike = {
            one: seconds
            for (one, its), seconds in took.items()
            if (one.kind, its) == (work.kind, phase)
        }
        same = [seconds for one, seconds in alike.items() if one.name == work.name]
        values = same or list(alike.values())
        if values:
            total += sum(values) / len(values)
        else:
            unknown += 1
    return total, unknown
