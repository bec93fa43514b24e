"""Two processes as ranks of one job, forked from a server that has imported everything."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch
from forks import forking

from hdbench.errors import HdbenchError
from hdbench.runtime.ranks import joined_ranks

#: What a rank does; a function of a module, with arguments that can be pickled.
Work = Callable[..., object]


def _in_rank(rank: int, port: int, folder: Path, work: Work, arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        with joined_ranks() as ranks:
            torch.save(work(ranks, *arguments), folder / f"rank{rank}.pt")
    except HdbenchError as error:
        (folder / f"rank{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        os._exit(error.exit_code)


def started(work: Work, folder: Path, *arguments: object) -> list[ForkServerProcess]:
    """Start two ranks; their errors are in ``rank0.txt`` and ``rank1.txt`` of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = forking()
    ranks = [
        context.Process(target=_in_rank, args=(rank, port, folder, work, arguments))
        for rank in range(2)
    ]
    for one in ranks:
        one.start()
    return ranks


def ended(ranks: list[ForkServerProcess]) -> list[int | None]:
    """Wait for ranks and return their exit codes."""
    for one in ranks:
        one.join(timeout=300)
    return [one.exitcode for one in ranks]


def results(work: Work, folder: Path, *arguments: object) -> list[dict[str, Any]]:
    """Return what each of two ranks returns."""
    assert ended(started(work, folder, *arguments)) == [0, 0]
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]
