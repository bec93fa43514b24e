"""Work in threads ahead of the one that needs it, and behind it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def overlapped(
    function: Callable[[Item], Made], items: Iterable[Item], workers: int
) -> Generator[Made]:
    """Yield ``function`` of each item, in order, computed by threads ahead of the consumer.

    At most ``workers + 1`` items are in progress or wait; with 0 workers, each is computed on
    demand.
    """
    if workers == 0:
        yield from map(function, items)
        return
    pending: collections.deque[Future[Made]] = collections.deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class Background:
    """Calls functions in threads behind the one that hands them over, as a context.

    What was handed over is carried out also when the context ends by an error or by ctrl-C. The
    first error of a call is raised to whoever hands over more, or else at the end.
    """

    def __init__(self, workers: int) -> None:
        """Start nothing yet; ``workers`` is the number of threads."""
        self._workers, self._pool = workers, ThreadPoolExecutor(workers)
        self._pending: collections.deque[Future[None]] = collections.deque()

    def submit(self, function: Callable[..., None], *arguments: object) -> None:
        """Hand over a call; wait until at most ``workers`` are unfinished, or raise what failed."""
        self._pending.append(self._pool.submit(function, *arguments))
        while len(self._pending) > self._workers or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
        if error is None:
            for future in self._pending:
                future.result()
