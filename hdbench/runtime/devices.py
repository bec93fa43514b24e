"""The device that computes, and its arithmetic."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from hdbench.errors import UsageError
from hdbench.provenance import versions
from hdbench.runtime.ranks import ALONE, Ranks
from hdbench.runtime.threads import spin_briefly_beside_other_work

#: Of the arithmetic of networks that make images.
Precision = Literal["fp32", "bf16"]
#: What Linux calls a CPU's instructions for bf16: of x86 (the first or both) and of ARM.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` takes a GPU if there is one, one per torchrun rank.

    Raises:
        UsageError: the name is unknown, or the device is not present.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        local = os.environ.get("LOCAL_RANK")
        if name == "cuda" and local is not None and local.isdigit():
            name = f"cuda:{int(local) % torch.cuda.device_count()}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"--device {name}: PyTorch finds no such GPU here; use --device cpu")
        # fp32 means fp32: results state it, and TF32 would keep ten bits of the mantissa.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    else:
        spin_briefly_beside_other_work()
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which forward passes run: ``fp32``, or ``bf16`` by autocast."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def in_precision(network: nn.Module, precision: Precision) -> nn.Module:
    """Return a network whose arithmetic has a precision; bf16 rounds its weights in place.

    Kernels for bf16 read channels-last maps, without copies of maps and weights in another format.
    """
    if precision == "fp32":
        return network
    return network.to(dtype=torch.bfloat16, memory_format=torch.channels_last)  # pyright: ignore


def require_precision(precision: Precision, device: torch.device) -> None:
    """Raise UsageError if a device has no instructions for a precision, which is slow then."""
    if precision == "fp32":
        return
    if device.type == "cuda":
        known = torch.cuda.get_device_capability(device)[0] >= 8  # Ampere
        name = torch.cuda.get_device_name(device)
    else:
        known, name = bool(_BF16_FLAGS & _cpu_flags()), _processor()
    if not known:
        raise UsageError(
            f"precision bf16: {name} has no instructions for it that hdbench knows of, so that "
            "fp32 is the quicker one here; expected a CPU with AVX512-BF16, AMX or ARM's BF16, "
            "which Linux lists in /proc/cpuinfo, or a GPU of compute capability 8.0.\n"
            "Next: leave the precision out"
        )


def machine_facts(device: torch.device) -> dict[str, Any]:
    """Return the facts that the rounding of a computation depends on, as JSON values."""
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    else:
        processor = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"
    return {
        "device": str(device),
        "processor": processor,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _cpu_flags() -> set[str]:
    """Return the instructions that Linux lists; none elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return set(line.partition(":")[2].split())
    return set()


def _processor() -> str:
    """Return the processor's name, or its architecture where the system gives no name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Execution:
    """How a training step is computed: the same sums, in another order or with less memory."""

    #: The processes that share each batch.
    ranks: Ranks = ALONE
    #: Parts of a rank's scenes, computed one after another; their gradients are added up.
    accumulate: int = 1
    #: Keep no activations inside residual blocks: the backward pass computes them again.
    recompute: bool = False

    @property
    def order(self) -> dict[str, int]:
        """What decides the order in which floats are added, as JSON values."""
        return {"ranks": self.ranks.count, "accumulate": self.accumulate}

    def share_of(self, batch_size: int) -> int:
        """Return the scenes of a batch that one rank computes at a time.

        Raises:
            UsageError: the batch cannot be divided equally.
        """
        parts = self.ranks.count * self.accumulate
        if batch_size % parts:
            each = f"{self.ranks.count} ranks x --accumulate {self.accumulate}"
            raise UsageError(
                f"batch_size = {batch_size} cannot be divided equally among {each}; use a number "
                f"of ranks and of parts whose product divides {batch_size}, or a benchmark whose "
                f"batch_size is a multiple of {parts}"
            )
        return batch_size // parts


#: One process, whole batches, nothing computed twice.
AS_USUAL = Execution()


@dataclass(frozen=True)
class Machine:
    """Resources of a training; not part of a run's identity."""

    device: torch.device
    #: Processes that decode ahead of the network; 0 decodes in the training process.
    workers: int
    #: Minutes between checkpoints; 0 saves after every step.
    checkpoint_minutes: float
    execution: Execution = AS_USUAL

    @property
    def ranks(self) -> Ranks:
        """The processes that train together."""
        return self.execution.ranks
