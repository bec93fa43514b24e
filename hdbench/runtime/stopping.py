"""SIGINT and SIGTERM, which ask a command to save and end, whoever started it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt, which names the signal if it is no ctrl-C.

    A process inherits that SIGINT is ignored from a shell that started it in the background, from
    nohup and from some CI systems; then Python raises nothing, and neither do the processes that it
    starts. Outside the main thread, nothing can be changed and nothing is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in _ASKING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}; everything is saved")
