"""A queue in several processes of this machine, one piece of work in each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from hdbench.errors import HdbenchError, Interrupted
from hdbench.runtime.devices import Machine
from hdbench.runtime.stopping import stoppable
from hdbench.workflows.orders import Order, Resources, order_for
from hdbench.workflows.queue import Queue, Work
from hdbench.workflows.reproduce import Outcome, Tracker
from hdbench.workflows.standing import standings
from hdbench.workspace.bench import Bench


@dataclass
class _Running:
    """A process at work."""

    work: Work
    process: BaseProcess
    #: What it tells: each phase as it begins, then how it ended.
    told: Connection
    log: Path
    #: Why it failed, once it has said how it ended.
    failure: str | None = "ended without a word"


def reproduce_in_processes(
    bench: Bench,
    queue: Queue,
    machine: Machine,
    resources: Resources,
    jobs: int,
    announce: Callable[[str], None],
) -> Outcome:
    """Carry out a queue in ``jobs`` processes at a time; each writes what it says into a log.

    Job n computes on GPU n if the machine has any (``device_of``); on a CPU the jobs divide the
    threads. A job whose process is killed fails alone; when this process ends, the jobs save what
    they have and end too.

    Raises:
        Interrupted: the user stopped it; everything is saved.
    """
    tracker = Tracker(queue, announce, jobs)
    waiting, running = list(queue.works), dict[int, _Running]()
    done: set[str] = set()
    logs = bench.workspace.root / "logs" / "reproduce"
    announce(f"{jobs} jobs; what each says: {logs}")
    try:
        while waiting or running:
            for work in [one for one in waiting if done.issuperset(one.needs)]:
                if len(running) == jobs:
                    break
                waiting.remove(work)
                reason = tracker.blocked(work)
                if reason is not None:
                    done.add(work.key)
                    tracker.end(work, reason)
                    continue
                found = standings(bench, work, machine)
                tracker.stand(work, found)
                if all(one.state == "done" for one in found.values()):  # no process for nothing
                    done.add(work.key)
                    for _ in work.phases:
                        tracker.begin(work)
                    tracker.end(work, None)
                    continue
                slot = min(set(range(jobs)) - running.keys())
                running[slot] = _started(bench, work, _share(resources, slot, jobs), logs)
            for slot in [n for n, one in running.items() if not _listen(one, tracker)]:
                ended = running.pop(slot)
                done.add(ended.work.key)
                tracker.end(ended.work, ended.failure)
            if running:
                wait([end for one in running.values() for end in (one.told, one.process.sentinel)])
    except (KeyboardInterrupt, Interrupted) as error:
        _stop(running.values())
        raise Interrupted(str(error) or "stopped by ctrl-C; everything is saved") from None
    return tracker.outcome


def device_of(device: str, slot: int) -> str:
    """Return the device of a job: GPU n for job n where ``auto`` or ``cuda`` leaves it open."""
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return f"cuda:{slot % count}" if count else device


def _share(resources: Resources, slot: int, jobs: int) -> Resources:
    device = device_of(resources.device, slot)
    threads = None if device.startswith("cuda") else max(1, torch.get_num_threads() // jobs)
    return replace(resources, device=device, threads=threads)


def _started(bench: Bench, work: Work, resources: Resources, logs: Path) -> _Running:
    context = multiprocessing.get_context("spawn")
    told, tells = context.Pipe(duplex=False)
    log = logs / f"{work.key.replace('/', '.')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    order = order_for(bench, work, resources)
    process = context.Process(target=_work, args=(order, log, tells), name=work.key)
    process.start()
    tells.close()
    return _Running(work, process, told, log)


def _listen(one: _Running, tracker: Tracker) -> bool:
    """Hear what a job has to say; return whether it is still at work."""
    alive = one.process.is_alive()  # before the pipe is read, so that nothing is missed
    with contextlib.suppress(EOFError):
        while one.told.poll():
            kind, text = one.told.recv()
            if kind == "begin":
                tracker.begin(one.work)
            elif kind == "stopped":
                raise Interrupted(text)
            else:
                one.failure = text
    if alive:
        one.process.join(timeout=0.05)
        return True
    if one.process.exitcode:
        one.failure = f"its process ended with {_how(one.process.exitcode)}; see {one.log}"
    return False


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def _stop(running: object) -> None:
    """Ask jobs to save and end, and wait until they did."""
    assert isinstance(running, type({}.values()))
    for one in running:
        if one.process.is_alive():
            os.kill(one.process.pid, signal.SIGTERM)  # no shell has it ignored, as SIGINT may be
    for one in running:
        one.process.join()


def _work(order: Order, log: Path, tells: Connection) -> None:
    """Carry out an order in a process of its own."""
    os.setsid()  # ctrl-C in the terminal reaches the queue, which asks each job once
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with stoppable():
            failure = order.carry_out(lambda phase: tells.send(("begin", phase)))
    except Interrupted as error:
        tells.send(("stopped", str(error)))
        return
    except KeyboardInterrupt:
        return
    except HdbenchError as error:
        failure = str(error)
    with contextlib.suppress(BrokenPipeError):
        tells.send(("ended", failure))


def _end_with_parent() -> None:
    """End this process, saving what it has, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
