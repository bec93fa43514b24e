"""How much memory a process has needed."""

from __future__ import annotations

import resource
import sys

import torch


def peak_memory() -> int:
    """Return the most bytes that this process has held at once.

    Where it computes on a GPU these are what PyTorch allocated there, on the GPU that holds most;
    else the resident memory of the process, without that of its decoding workers.
    """
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        count = torch.cuda.device_count()
        return max(torch.cuda.max_memory_allocated(device) for device in range(count))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
