"""Progress of a long loop: a bar on a terminal, occasional lines in a log or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, Generic, Self, TypeVar

from tqdm import tqdm

from hdbench.text import duration

Item = TypeVar("Item")

_PARTS = 20  # a line for each 5 %
_LATEST = 30.0  # seconds between lines at most
_APART = 2.0  # seconds between lines at least, and before the first


def progress(
    iterable: Iterable[Item] | None = None,
    *,
    desc: str,
    unit: str,
    total: int | None = None,
    initial: int = 0,
    delay: float = 0,
    disable: bool = False,
) -> tqdm[Item] | LogLines[Item]:
    """Return an iterable that reports its progress on standard error.

    Without an iterable it is a counter: a context manager with ``update``. On a terminal it is a
    tqdm bar that appears after ``delay`` seconds; elsewhere it has the same interface. ``unit`` is
    singular; ``total`` defaults to the iterable's length; ``initial`` counts what was done before.
    """
    if disable or sys.stderr.isatty():
        items: Any = iterable
        return tqdm(
            items,
            desc=desc,
            unit=unit,
            total=total,
            initial=initial,
            delay=delay,
            disable=disable,
        )
    return LogLines(iterable, desc=desc, unit=unit, total=total, initial=initial)


class LogLines(Generic[Item]):
    """Reports progress in whole lines: one for each 5 % or each 30 seconds, whichever is sooner.

    Lines are at least two seconds apart. The last one reports where the loop ended; a loop that
    took less than two seconds prints nothing. Arguments are those of ``progress``; ``clock``
    returns seconds.
    """

    def __init__(
        self,
        iterable: Iterable[Item] | None = None,
        *,
        desc: str,
        unit: str,
        total: int | None = None,
        initial: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        self.n = initial
        self.total: Any = total  # as tqdm's: a number or None
        self._iterable, self._desc, self._unit = iterable, desc, unit
        self._values: dict[str, Any] = {}
        self._initial, self._clock = initial, clock
        self._began = self._last = clock()
        self._reported = initial
        self._closed = False

    def __iter__(self) -> Iterator[Item]:
        assert self._iterable is not None, "a counter has nothing to go through"
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Count ``n`` more, and print a line if one is due."""
        self.n += n
        since = self._clock() - self._last
        moved = self._part(self.n) > self._part(self._reported)
        if since >= _LATEST or (since >= _APART and moved):
            self._print()

    def set_postfix(self, values: Mapping[str, Any]) -> None:
        """Set the values at the end of the next lines."""
        self._values = dict(values)

    def close(self) -> None:
        """Report where the loop ended, unless a line already did or it was quick."""
        if not self._closed and self.n > self._reported and self._clock() - self._began >= _APART:
            self._print()
        self._closed = True

    def _part(self, n: int) -> int:
        return 0 if not self.total else _PARTS * n // self.total

    def _print(self) -> None:
        self._last, self._reported = self._clock(), self.n
        elapsed, done = self._last - self._began, self.n - self._initial
        pace = elapsed / done
        parts = [f"{self._desc}: {_counted(self.n, self._unit)}", _speed(pace, self._unit)]
        if self.total:
            count = f"{self.n} of {_counted(self.total, self._unit)}"
            parts[0] = f"{self._desc}: {count} ({100 * self.n // self.total} %)"
            left = (self.total - self.n) * pace
            parts.append(f"{duration(left)} left" if left else f"took {duration(elapsed)}")
        parts += [f"{name} {value}" for name, value in self._values.items()]
        print(", ".join(parts), file=sys.stderr, flush=True)


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _speed(pace: float, unit: str) -> str:
    """Return seconds per unit as ``0.17 s/step`` or, where they are few, ``35 steps/s``."""
    if pace < 0.1:
        return f"{1 / max(pace, 1e-6):.0f} {unit}s/s"
    return f"{pace:.2f} s/{unit}" if pace < 10 else f"{pace:.0f} s/{unit}"
