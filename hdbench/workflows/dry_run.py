"""``hdbench reproduce --dry-run``: what is to be done and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tabulate import tabulate

from hdbench.data.loading import steps_per_epoch
from hdbench.runtime.devices import Machine
from hdbench.text import NOTHING, duration
from hdbench.workflows.estimates import Estimate
from hdbench.workflows.queue import Phase, Queue
from hdbench.workflows.standing import Standing
from hdbench.workspace.bench import Bench


@dataclass(frozen=True)
class DryRun:
    """A queue, how far it is, and how long the rest takes."""

    bench: Bench
    queue: Queue
    standing: Mapping[str, Mapping[Phase, Standing]]
    estimate: Estimate
    machine: Machine

    @property
    def images_seen(self) -> int:
        """Images of a whole training, which is the same for each method: steps times batch."""
        benchmark = self.bench.benchmark
        budget, scenes = benchmark.budget, self.bench.dataset.count(benchmark.data.train)
        epochs = budget.epochs + budget.decay_epochs
        return epochs * steps_per_epoch(scenes, budget.batch_size) * budget.batch_size

    @property
    def computes_on(self) -> str:
        """The device, and the threads of a CPU."""
        device = self.machine.device
        if device.type == "cuda":
            return torch.cuda.get_device_name(device)
        return f"CPU, threads: {torch.get_num_threads()}"

    @property
    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "benchmark": self.bench.benchmark.name,
            "device": str(self.machine.device),
            "threads": torch.get_num_threads() if self.machine.device.type == "cpu" else None,
            "work": [
                {
                    "key": work.key,
                    "kind": work.kind,
                    "method": work.name or None,
                    "seed": work.seed,
                    "needs": list(work.needs),
                    "images_seen": self.images_seen if _learns(work.kind, work.phases) else None,
                    "phases": [
                        {
                            "phase": phase,
                            **asdict(self.standing[work.key][phase]),
                            "seconds": self.estimate.seconds.get((work.key, phase)),
                        }
                        for phase in work.phases
                    ],
                }
                for work in self.queue.works
            ],
            "report_seconds": self.estimate.report,
            "seconds": self.estimate.total,
            "not_estimated": self.estimate.problems,
            "not_reproducible": [
                {"row": title, "reason": reason} for title, reason in self.queue.absent
            ],
        }

    @property
    def text(self) -> str:
        """The plan as a table, and notes."""
        benchmark = self.bench.benchmark
        rows: list[Sequence[str]] = []
        for work in self.queue.works:
            for n, phase in enumerate(work.phases):
                one = self.standing[work.key][phase]
                seconds = self.estimate.seconds.get((work.key, phase))
                seen = phase == "train" and _learns(work.kind, work.phases)
                rows.append(
                    (
                        work.title if n == 0 else "",
                        phase,
                        one.words,
                        f"{self.images_seen:,}" if seen else "",
                        NOTHING if seconds is None else duration(seconds),
                    )
                )
        if self.queue.scored:
            report = self.estimate.report
            rows.append(
                ("the report", "write", "", "", NOTHING if report is None else duration(report))
            )
        rows.append(("total", "", "", "", duration(self.estimate.total)))
        heads = ("", "phase", "standing", "images seen", "estimated")
        table = tabulate(rows, heads, "simple", colalign=("left", "left", "left", "right", "right"))
        lines = [f"{benchmark.title} ({benchmark.name}), on {self.computes_on}", "", table]
        refused = [
            f"refused: {phase} {work.title}: {self.standing[work.key][phase].reason}"
            for work in self.queue.works
            for phase in work.phases
            if self.standing[work.key][phase].state == "refused"
        ]
        lines += [f"not reproducible here: {row}: {reason}" for row, reason in self.queue.absent]
        lines += [f"not estimated: {problem}" for problem in self.estimate.problems]
        return "\n".join([*lines, *refused])


def _learns(kind: str, phases: Sequence[Phase]) -> bool:
    return kind == "run" and "train" in phases
