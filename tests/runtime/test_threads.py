"""OpenMP's threads spin briefly while, and only while, they wait for a core."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

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
    measured = seconds_waited() * 1e9
    after = sum(int((task / "schedstat").read_text().split()[1]) for task in tasks.iterdir())
    assert before <= measured <= after


def in_a_process(code: str, **environment: str) -> str:
    """Return what Python code prints that runs with two OpenMP threads."""
    kept = {k: v for k, v in os.environ.items() if k not in USERS_CHOICE}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "OMP_NUM_THREADS": "2", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_held_threads_outnumber_the_cores_change_no_bit_and_end() -> None:
    printed = in_a_process(
        """
import os, torch
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
"""
    )
    assert printed.split() == ["True"] * 3


WATCHED = """
import threading
from hdbench.runtime.devices import choose_device

for _ in range(2):
    choose_device("cpu")
print(sum(thread.name == "spin-watch" for thread in threading.enumerate()))
"""


def test_one_thread_of_a_process_watches() -> None:
    assert in_a_process(WATCHED).strip() == "1"


@pytest.mark.parametrize(
    "choice", [("GOMP_SPINCOUNT", "0"), ("OMP_WAIT_POLICY", "passive"), ("OMP_NUM_THREADS", "1")]
)
def test_nothing_is_watched_where_the_user_chose(choice: tuple[str, str]) -> None:
    name, value = choice
    assert in_a_process(WATCHED, **{name: value}).strip() == "0"


def test_the_tests_own_process_is_not_watched() -> None:
    assert torch.get_num_threads() == 1
    assert "spin-watch" not in {thread.name for thread in threading.enumerate()}
