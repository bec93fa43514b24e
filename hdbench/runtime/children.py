"""Work in child processes, ahead of the one that needs it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from hdbench.errors import HdbenchError, WorkerError

Item = TypeVar("Item")
Made = TypeVar("Made")

# They must be children of this process: they end when it does, also after kill -9. Those of a
# fork server (Python 3.14's default) would outlive it.
_CONTEXT = "fork" if sys.platform == "linux" else "spawn"


@dataclass(frozen=True)
class _Failure:
    error: HdbenchError


class _Calls(Dataset[Any], Generic[Item, Made]):
    def __init__(self, function: Callable[[Item], Made]) -> None:
        self._function = function

    def __getitem__(self, item: Item) -> Made | _Failure:
        try:
            return self._function(item)
        except HdbenchError as error:  # raised here, it would arrive wrapped in a traceback
            return _Failure(error)


def in_children(
    function: Callable[[Item], Made], items: Iterable[Item], workers: int
) -> Generator[Made, None, None]:
    """Yield ``function`` of each item, in order, computed by child processes ahead of the consumer.

    Each child works on up to four items that nobody has asked for yet. With 0 ``workers`` each
    is computed in this process, on demand. Children compute with one thread, and leave ctrl-C and
    SIGTERM to this process. An HdbenchError of ``function`` is raised here, at its item. Children
    end with the iterator, after what they work on, and at the latest with this process.

    Raises:
        WorkerError: a child was killed; raised where an item is awaited, so that whoever asks can
            save what was done before.
    """
    if workers == 0:
        yield from map(function, items)
        return
    loader: DataLoader[Any] = DataLoader(
        _Calls(function),
        batch_size=None,
        sampler=items,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # its own, so that the global stream stays the networks'
        num_workers=workers,
        prefetch_factor=4,
        multiprocessing_context=_CONTEXT,
        worker_init_fn=_leave_signals_to_the_parent,
    )
    source, children = _started(loader)
    kill = partial(_kill, children)
    atexit.register(kill)  # an exit waits for children, and SIGTERM does not end these
    try:
        yield from _in_order(source, kill)
    finally:
        source._shutdown_workers()  # now: the traceback of an error may keep the iterator
        kill()
        atexit.unregister(kill)


def _in_order(source: Iterator[Any], kill: Callable[[], None]) -> Iterator[Any]:
    while True:
        try:
            made = next(source)
        except StopIteration:
            return
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            kill()  # what one held when it was killed, the others wait for
            raise WorkerError(
                f"a process that works ahead has ended: {error}.\n"
                "Most often the machine has too little memory, or too little in /dev/shm.\n"
                "Next: the same command goes on; a verb with --workers needs less with a lower one"
            ) from None
        if isinstance(made, _Failure):
            raise made.error
        yield made


def _started(loader: DataLoader[Any]) -> tuple[Any, list[BaseProcess]]:
    """Start the children, without the handler that raises an error in the middle of any line.

    A child that has ended is noticed all the same when what it should have made is awaited.
    """
    others = set(multiprocessing.active_children())
    handler = signal.getsignal(signal.SIGCHLD)
    source = iter(loader)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, handler)
    return source, [one for one in multiprocessing.active_children() if one not in others]


def _kill(children: list[BaseProcess]) -> None:
    for child in children:
        child.kill()


def usable_cores() -> int:
    """Return how many children may compute beside each other.

    0 where starting one is slow, and in a process that may have none (``daemon``), such as a
    worker of somebody's DataLoader.
    """
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 0
    return len(os.sched_getaffinity(0))


def _as_it_is(made: Made) -> Made:
    return made


def _leave_signals_to_the_parent(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # both reach the whole process group
        signal.signal(number, signal.SIG_IGN)
