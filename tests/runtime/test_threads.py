"""OpenMP's threads spin briefly while, and only while, they wait for a core."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from hdbench.runtime.devices import choose_device
from hdbench.runtime.threads import USERS_CHOICE, SpinPolicy, seconds_waited

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libgomp, and how long tasks wait")


def test_threads_spin_briefly_from_the_first_crowded_look_to_the_last_of_some_quiet_ones() -> None:
    policy = SpinPolicy()
    quiet = [policy.QUIET / 2] * policy.PATIENCE
    assert not any(policy.update(waited) for waited in quiet)
    assert policy.update(policy.CROWDED * 1.1)
    between = (policy.CROWDED + policy.QUIET) / 2
    assert all(policy.update(waited) for waited in [*quiet[1:], between, *quiet[1:]])
    assert not policy.update(0.0)
    assert not policy.update(between)


def test_the_time_that_threads_waited_is_the_systems() -> None:
    tasks = Path("/proc/self/task")
    before = sum(int((task / "schedstat").read_text().split()[1]) for task in tasks.iterdir())
    measured = round(seconds_waited() * 1e9)
    after = sum(int((task / "schedstat").read_text().split()[1]) for task in tasks.iterdir())
    assert before <= measured <= after


#: First what held threads do; then how many threads watch with each choice of the user, and with
#: none.
PROGRAM = """
import os, threading, torch
from hdbench.runtime.devices import choose_device
from hdbench.runtime.threads import HeldThreads

def computed():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(16, 32, 3)
    layer(torch.randn(4, 16, 64, 64)).square().sum().backward()
    return layer.weight.grad

before, threads = computed(), len(os.listdir("/proc/self/task"))
held = HeldThreads()
print(len(os.listdir("/proc/self/task")) - threads > len(os.sched_getaffinity(0)) - 2)
print(torch.equal(before, computed()))
held.release()
while len(os.listdir("/proc/self/task")) > threads:
    pass
print(torch.equal(before, computed()))

for choice in ("GOMP_SPINCOUNT=0", "OMP_WAIT_POLICY=passive", None):
    if choice is not None:
        name, value = choice.split("=")
        os.environ[name] = value
    for _ in range(2):
        choose_device("cpu")
    print(sum(thread.name == "spin-watch" for thread in threading.enumerate()))
    if choice is not None:
        del os.environ[name]
"""


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """What a process with two OpenMP threads prints."""
    kept = {k: v for k, v in os.environ.items() if k not in USERS_CHOICE}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**kept, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_held_threads_outnumber_the_cores_change_no_bit_and_end(printed: list[str]) -> None:
    assert printed[:3] == ["True"] * 3


def test_one_thread_of_a_process_watches_unless_the_user_chose(printed: list[str]) -> None:
    assert printed[3:] == ["0", "0", "1"]


def test_nothing_is_watched_with_one_thread() -> None:
    """As in the tests' own process."""
    assert torch.get_num_threads() == 1
    choose_device("cpu")
    assert "spin-watch" not in {thread.name for thread in threading.enumerate()}
