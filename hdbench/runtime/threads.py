"""OpenMP's threads beside other work.

PyTorch divides an operator among the threads of OpenMP. A thread that has done its part spins for
some milliseconds before it sleeps, which is fast on an idle machine. Where other processes use the
cores too, it keeps a core from the thread that it waits for, and a step takes many times as long.

libgomp, the OpenMP of PyTorch's Linux packages, spins briefly while a process has more OpenMP
threads than the machine has cores. So while threads of this process wait for a core, a few more
are held, which sleep. The threads that compute stay the same, and so does every sum they add.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import torch

#: Variables with which users say how threads wait; then nothing is changed.
USERS_CHOICE = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_PERIOD = 0.5  # seconds between two looks
_TASKS = Path("/proc/self/task")
_WATCHING = threading.Lock()


class SpinPolicy:
    """Decides whether threads should spin briefly, from how long they wait for a core."""

    #: Of the wall time, summed over threads. About 0.01 on an idle machine, 0.5 to 1 if one of
    #: two cores has other work.
    CROWDED, QUIET = 0.15, 0.05
    #: Quiet looks, one after another, after which threads spin long again.
    PATIENCE = 4

    def __init__(self) -> None:
        """Begin with threads that spin long."""
        self.brief = False
        self._quiet = 0

    def update(self, waited: float) -> bool:
        """Return whether threads should spin briefly after a period.

        Args:
            waited: seconds that threads waited for a core, per second.
        """
        self._quiet = self._quiet + 1 if waited < self.QUIET else 0
        if waited > self.CROWDED:
            self.brief = True
        elif self._quiet >= self.PATIENCE:
            self.brief = False
        return self.brief


class HeldThreads:
    """OpenMP threads that sleep; they make libgomp count more threads than cores."""

    def __init__(self) -> None:
        """Start them."""
        self._release = threading.Event()
        self._holders: list[threading.Thread] = []
        each = torch.get_num_threads() - 1  # a holder is no OpenMP thread, the rest of its team is
        more_than = len(os.sched_getaffinity(0)) - torch.get_num_threads()
        for _ in range(max(0, more_than) // each + 1 if each else 0):
            ready = threading.Event()
            holder = threading.Thread(target=self._hold, args=(ready,), daemon=True)
            holder.start()
            ready.wait()
            self._holders.append(holder)

    def _hold(self, ready: threading.Event) -> None:
        torch.ones(1 << 20).add_(1.0)  # large enough to be divided: starts this thread's team
        ready.set()
        self._release.wait()

    def release(self) -> None:
        """End them."""
        self._release.set()
        for holder in self._holders:
            holder.join()


def seconds_waited() -> float:
    """Return the seconds that this process's threads were ready to run and had no core.

    Raises:
        OSError: the system does not count them.
    """
    waited = 0
    for task in _TASKS.iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            waited += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return waited / 1e9


def spin_briefly_beside_other_work() -> None:
    """Let this process's OpenMP threads spin briefly whenever they wait for a core.

    Nothing is changed if the user set one of ``USERS_CHOICE``, with one thread, or where the
    system does not say how long threads wait. A second call does nothing.
    """
    users = any(name in os.environ for name in USERS_CHOICE)
    counted = sys.platform == "linux" and (_TASKS / str(os.getpid()) / "schedstat").exists()
    if (
        users
        or not counted
        or torch.get_num_threads() == 1
        or not _WATCHING.acquire(blocking=False)
    ):
        return
    threading.Thread(target=_watch, name="spin-watch", daemon=True).start()


def _watch() -> None:
    """Look twice a second for as long as the process lives."""
    policy, held = SpinPolicy(), None
    now, waited = time.monotonic(), seconds_waited()
    while True:
        time.sleep(_PERIOD)
        before, waited_before = now, waited
        now, waited = time.monotonic(), seconds_waited()
        # The sum falls when a thread ends that had waited.
        brief = policy.update(max(0.0, waited - waited_before) / (now - before))
        if brief and held is None:
            held = HeldThreads()
        elif not brief and held is not None:
            held.release()
            held = None
