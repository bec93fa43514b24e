"""Work in child processes: order, errors, randomness, and who ends with whom."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hdbench.errors import StorageError, WorkerError
from hdbench.runtime.children import in_children


def halved(n: int) -> tuple[int, int]:
    if n % 2:
        raise StorageError(f"scene {n}: cannot be written")
    return n // 2, os.getpid()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_is_made_comes_in_order(workers: int) -> None:
    made = list(in_children(halved, range(0, 40, 2), workers))
    assert [value for value, _ in made] == list(range(20))
    assert len({process for _, process in made} - {os.getpid()}) == workers


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_at_its_item_as_it_was(workers: int) -> None:
    others = set(multiprocessing.active_children())
    made = in_children(halved, [0, 2, 4, 5, 6], workers)
    assert [next(made)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StorageError) as raised:
        next(made)
    assert str(raised.value) == "scene 5: cannot be written"  # no traceback of the child
    assert set(multiprocessing.active_children()) <= others  # though the error is kept


@pytest.mark.parametrize("workers", [1, 2])
def test_children_end_with_the_iterator(workers: int) -> None:
    others = set(multiprocessing.active_children())
    made = in_children(halved, range(0, 40, 2), workers)
    next(made)
    assert len(set(multiprocessing.active_children()) - others) == workers
    made.close()
    assert set(multiprocessing.active_children()) <= others


FORGETFUL = """
from hdbench.runtime.children import in_children

class Kept: pass

made = in_children(abs, range(100), 2)
next(made)
kept = Kept()
kept.itself, kept.made = kept, made
"""


@pytest.mark.slow
def test_a_process_ends_though_it_has_not_closed_an_iterator() -> None:
    subprocess.run([sys.executable, "-c", FORGETFUL], check=True, timeout=60)


def killed_at_three(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_child_that_is_killed_is_an_error_where_its_item_is_awaited(workers: int) -> None:
    before, others = signal.getsignal(signal.SIGCHLD), set(multiprocessing.active_children())
    made = in_children(killed_at_three, range(5), workers)
    found = []
    with pytest.raises(WorkerError, match=r"/dev/shm.*\n.*--workers"):
        found.extend(iter(made))
    assert signal.getsignal(signal.SIGCHLD) == before
    assert found == list(range(len(found)))  # what was on its way from the child is lost with it
    assert len(found) <= 3
    assert set(multiprocessing.active_children()) <= others


def test_the_global_random_stream_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(in_children(halved, [0, 2], 1))
    assert torch.equal(torch.get_rng_state(), before)


def interrupted_by_the_terminal(path: Path) -> Path:
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGINT)
    return path


def test_signals_to_the_whole_group_are_left_to_the_parent(tmp_path: Path) -> None:
    paths = [tmp_path / str(n) for n in range(3)]
    assert list(in_children(interrupted_by_the_terminal, paths, 1)) == paths
