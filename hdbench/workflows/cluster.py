"""A queue on a cluster: each piece of work is a job that ``submitit`` hands to SLURM."""

from __future__ import annotations

import importlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from hdbench.errors import HdbenchError, Interrupted, UsageError, counted
from hdbench.runtime.devices import Machine
from hdbench.workflows.orders import Order, Resources, order_for
from hdbench.workflows.queue import Phase, Queue, Work
from hdbench.workflows.reproduce import Outcome
from hdbench.workflows.standing import standings
from hdbench.workspace.bench import Bench

#: Seconds between two looks at the jobs.
_LOOK = {"slurm": 15.0, "local": 0.2}


@dataclass(frozen=True)
class Cluster:
    """Where jobs run and what each of them may use."""

    #: ``local`` runs them as processes of this machine.
    kind: Literal["slurm", "local"]
    partition: str | None
    account: str | None
    #: GPUs of each job; each computes for a rank of its own.
    gpus: int
    #: The longest time of each job; one that needs longer is queued again and goes on.
    hours: float
    #: Jobs at the same time at most; None: as many as the cluster runs.
    array: int | None
    #: Of what each job prints.
    logs: Path

    @property
    def tasks(self) -> int:
        """The processes of each job."""
        return max(1, self.gpus)

    @property
    def parameters(self) -> dict[str, Any]:
        """What ``submitit.AutoExecutor`` is told."""
        return {
            "name": "hdbench",
            "timeout_min": max(1, round(60 * self.hours)),
            "gpus_per_node": self.gpus,
            "tasks_per_node": self.tasks,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_array_parallelism": self.array,
        }


@dataclass(frozen=True)
class ClusterJob:
    """What a job calls: one order, which goes on where it stopped when the job is queued again."""

    order: Order

    def __call__(self) -> str | None:
        """Carry out the order, and return why it failed, or None.

        The signal that tells of preemption or of the end of the job's time lets a training save
        after its step; then the job is queued again. Other phases have all on disk at any time.

        Raises:
            Interrupted: the job was told to end for good; everything is saved.
        """
        submitit = _submitit()
        if submitit.JobEnvironment().num_tasks > 1:  # the variables that torchrun sets
            submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        preempted = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
        requeue, idle = signal.getsignal(preempted), signal.getsignal(signal.SIGTERM)
        asked: list[int] = []

        def save_first(number: int, frame: FrameType | None) -> None:
            asked.append(number)
            if signal.getsignal(signal.SIGTERM) == idle:
                assert callable(requeue)
                requeue(number, frame)
            else:  # a training is at work, which saves when it is asked to end
                signal.raise_signal(signal.SIGTERM)

        signal.signal(preempted, save_first)
        try:
            return self.order.carry_out(_say(self.order.work))
        except Interrupted:
            if asked and callable(requeue):
                requeue(preempted, None)
            raise
        finally:
            signal.signal(preempted, requeue)

    def checkpoint(self) -> Any:
        """Return what is submitted when the job is queued again: the same."""
        return _submitit().helpers.DelayedSubmission(self)


def _say(work: Work) -> Callable[[Phase], None]:
    return lambda phase: print(f"{phase} {work.title}", flush=True)


@dataclass(frozen=True)
class Submitted:
    """Jobs by the key of their work, and the work that had nothing to do."""

    jobs: Mapping[str, Any]
    done: frozenset[str]

    def lines(self, queue: Queue) -> list[str]:
        """Return a line for each piece of work."""
        return [
            f"{work.title}: "
            + ("done before" if work.key in self.done else f"job {self.jobs[work.key].job_id}")
            for work in queue.works
        ]


def submit(
    bench: Bench,
    queue: Queue,
    machine: Machine,
    resources: Resources,
    cluster: Cluster,
    announce: Callable[[str], None],
) -> Submitted:
    """Submit a job for each piece of work that is not done; one begins after those that it needs.

    SLURM keeps the order by dependencies. Jobs on this machine are submitted when those before them
    have ended, so this returns only then.

    Raises:
        UsageError: submitit is not installed, or there is no SLURM here.
    """
    executor = _executor(cluster)
    jobs: dict[str, Any] = {}
    done: set[str] = set()
    for generation in queue.generations():
        here = []
        for work in generation:
            found = standings(bench, work, machine)
            if all(one.state == "done" for one in found.values()):
                done.add(work.key)
            else:
                here.append(work)
        before = [jobs[key] for key in _needs(here) if key in jobs]
        if cluster.kind == "local":
            for job in before:
                job.wait()
        after = ":".join(job.job_id for job in before)
        more = {"dependency": f"afterany:{after}"} if after else {}
        executor.update_parameters(slurm_additional_parameters=more)
        orders = [ClusterJob(order_for(bench, work, resources)) for work in here]
        for work, job in zip(here, _submitted(executor, orders), strict=True):
            jobs[work.key] = job
            announce(f"submitted: {work.title}, job {job.job_id}")
    return Submitted(jobs, frozenset(done))


def wait_for(
    queue: Queue, submitted: Submitted, cluster: Cluster, announce: Callable[[str], None]
) -> Outcome:
    """Wait for jobs, tell each change of their states, and return what became of the queue.

    Raises:
        Interrupted: the user does not want to wait any longer; the jobs go on.
    """
    known: dict[str, str] = {}
    waiting = dict(submitted.jobs)
    titles = {work.key: work.title for work in queue.works}
    try:
        while waiting:
            for key, job in list(waiting.items()):
                ended = job.done()
                state = job.state
                if known.get(key) != state:
                    announce(f"{titles[key]}: job {job.job_id} is {state.lower()}")
                    known[key] = state
                if ended:
                    del waiting[key]
            if waiting:
                time.sleep(_LOOK[cluster.kind])
    except KeyboardInterrupt:
        names = " ".join(job.job_id for job in waiting.values())
        raise Interrupted(
            f"{counted(len(waiting), 'job')} go on without this command: {names}\n"
            "Next: 'squeue' shows them, 'scancel' ends them; the same command when they have "
            "ended does what is left and writes the report"
        ) from None
    outcome = Outcome()
    failed: dict[str, Work] = {}
    for work in queue.works:
        if work.key in submitted.done:
            continue
        reason = _failure(submitted.jobs[work.key])
        if reason is not None:
            missing = [failed[key].title for key in work.needs if key in failed]
            if missing:
                reason = f"needs {' and '.join(missing)}, which failed; {reason}"
            failed[work.key] = work
            outcome.failures.append((work, reason))
    return outcome


def _needs(works: Sequence[Work]) -> list[str]:
    return list(dict.fromkeys(key for work in works for key in work.needs))


def _submitted(executor: Any, orders: Sequence[ClusterJob]) -> list[Any]:
    """Submit orders as one array."""
    if not orders:
        return []
    try:
        with executor.batch():
            return [executor.submit(order) for order in orders]
    except _submitit().core.utils.FailedJobError as error:
        raise HdbenchError(f"SLURM did not take the jobs: {error}") from None


def _failure(job: Any) -> str | None:
    try:
        said = [reason for reason in job.results() if reason is not None]  # by its ranks
        return said[0] if said else None
    except _submitit().core.utils.UncompletedJobError as error:
        last = str(error).strip().splitlines()[-1]
        return f"job {job.job_id} did not come to its end: {last}\n  its log: {job.paths.stderr}"


def _executor(cluster: Cluster) -> Any:
    submitit = _submitit()
    try:
        executor = submitit.AutoExecutor(folder=cluster.logs / "%j", cluster=cluster.kind)
    except RuntimeError as error:
        raise UsageError(
            f"--submitit: {error}.\n"
            "Next: run it on a machine that has SLURM's sbatch, or use --jobs instead"
        ) from None
    executor.update_parameters(**cluster.parameters)
    return executor


def _submitit() -> Any:
    """Return the package; raises UsageError if it is not installed."""
    try:
        return importlib.import_module("submitit")
    except ImportError:
        raise UsageError(
            "--submitit needs the package submitit, which is not installed.\n"
            "Next: pip install 'hdbench[cluster]'"
        ) from None
