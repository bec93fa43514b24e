"""Which device computes, and in which arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hdbench.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` prefers a GPU.

    Raises:
        UsageError: the device is not present.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: PyTorch finds no GPU here; use --device cpu")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which forward passes run: ``fp32``, or ``bf16`` where it is safe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@dataclass(frozen=True)
class Machine:
    """What a training may use; none of it changes what is learnt."""

    device: torch.device
    #: Processes that decode ahead of the network; 0 decodes in between.
    workers: int
    #: Minutes between checkpoints; 0 saves after every step.
    checkpoint_minutes: float
