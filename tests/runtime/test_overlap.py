"""Work ahead of a thread and behind it: order, errors, and what is carried out after one."""

from __future__ import annotations

import threading

import pytest

from hdbench.runtime.overlap import Background, overlapped


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_is_made_ahead_comes_in_order(workers: int) -> None:
    assert list(overlapped(lambda n: n * n, range(20), workers)) == [n * n for n in range(20)]


def test_an_error_ahead_comes_at_its_turn() -> None:
    made = overlapped(lambda n: 6 // (2 - n), range(5), 1)
    assert [next(made), next(made)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(made)


def test_one_thread_behind_keeps_the_order_and_one_call_is_unfinished_at_most() -> None:
    done: list[int] = []
    after_second: list[list[int]] = []
    first = threading.Event()
    waiting = threading.Event()

    def call(n: int) -> None:
        first.wait()
        done.append(n)

    def hand_over() -> None:
        with Background(1) as behind:
            behind.submit(call, 0)
            waiting.set()
            behind.submit(call, 1)  # waits for the first
            after_second.append(list(done))
            behind.submit(call, 2)

    thread = threading.Thread(target=hand_over)
    thread.start()
    assert waiting.wait(timeout=60)
    assert not done
    first.set()
    thread.join()
    assert done == [0, 1, 2]
    assert after_second[0][0] == 0


def handed_over(done: list[int], error: type[BaseException]) -> None:
    with Background(3) as behind:
        for n in range(3):
            behind.submit(done.append, n)
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_handed_over_is_carried_out_after_an_error(error: type[BaseException]) -> None:
    done: list[int] = []
    with pytest.raises(error):
        handed_over(done, error)
    assert sorted(done) == [0, 1, 2]


def fail(handed: list[int], n: int) -> None:
    handed.append(n)
    raise OSError(f"call {n}")


def failing(handed: list[int], calls: int) -> None:
    with Background(2) as behind:
        for n in range(calls):
            behind.submit(fail, handed, n)


@pytest.mark.parametrize("calls", [1, 100])
def test_the_first_error_behind_stops_who_hands_over(calls: int) -> None:
    handed: list[int] = []
    with pytest.raises(OSError, match="call 0"):
        failing(handed, calls)
    assert len(handed) <= 3
