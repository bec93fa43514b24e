"""Signals that ask for a stop are heard, whatever the process inherited."""

from __future__ import annotations

import signal
import threading

import pytest

from hdbench.runtime.stopping import stoppable


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "^$"), (signal.SIGTERM, "SIGTERM")])
def test_an_ignored_signal_stops_and_is_ignored_afterwards(
    number: signal.Signals, said: str
) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt, match=said), stoppable():
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_another_thread_changes_nothing() -> None:
    handlers = []

    def work() -> None:
        with stoppable():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
