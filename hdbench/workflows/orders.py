"""A piece of a queue's work for another process: here, or on a cluster's node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hdbench.runtime.devices import Execution, Machine, choose_device
from hdbench.runtime.ranks import joined_ranks
from hdbench.workflows.phases import attempt
from hdbench.workflows.queue import Phase, Work
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace


@dataclass(frozen=True)
class Resources:
    """What a process computes with."""

    #: As ``--device`` has it.
    device: str
    #: Processes that decode ahead of the network.
    workers: int
    checkpoint_minutes: float
    #: torchvision's VGG-19 file, if it is given.
    vgg_weights: Path | None
    #: Threads that compute; None: as many as PyTorch takes.
    threads: int | None = None


@dataclass(frozen=True)
class Order:
    """A piece of work and all that a process needs to carry it out; it can be pickled."""

    workspace: Workspace
    #: ``Bench.subset``.
    subset: tuple[str, ...] | None
    work: Work
    resources: Resources

    def carry_out(self, begin: Callable[[Phase], None]) -> str | None:
        """Do it, and return why it failed, or None; arguments and errors as those of ``attempt``.

        Raises:
            UsageError: the device is not here.
        """
        resources = self.resources
        if resources.threads is not None:
            torch.set_num_threads(resources.threads)
        device = choose_device(resources.device)
        bench = replace(open_bench(self.workspace), subset=self.subset)
        with joined_ranks(device) as ranks:
            machine = Machine(
                device, resources.workers, resources.checkpoint_minutes, Execution(ranks)
            )
            return attempt(bench, self.work, machine, resources.vgg_weights, begin)


def order_for(bench: Bench, work: Work, resources: Resources) -> Order:
    """Return the order for a piece of work, in which every path is whole."""
    here = bench.workspace
    given = here.benchmark
    workspace = Workspace(
        here.root.resolve(),
        None if here.data_root is None else here.data_root.resolve(),
        str(Path(given).resolve()) if "/" in given or given.endswith(".toml") else given,
    )
    vgg = resources.vgg_weights
    resources = replace(resources, vgg_weights=None if vgg is None else vgg.resolve())
    return Order(workspace, bench.subset, work, resources)
