"""Running out of memory becomes an error that says what was tried and what to lower."""

from __future__ import annotations

import itertools
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import trainable
from torch._subclasses.fake_tensor import FakeTensor

from hdbench.errors import MemoryShortage
from hdbench.runtime.devices import Machine
from hdbench.runtime.shortage import is_shortage, lower, shortage_explained
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.synthesis import write_images
from hdbench.training import levers
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench

MACHINE = Machine(torch.device("cpu"), workers=0, checkpoint_minutes=0)


def test_a_process_that_gets_no_memory_says_what_was_tried() -> None:
    """What a CPU's allocator says while the process's address space is limited."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, limits[1]))
    try:
        with (
            pytest.raises(MemoryShortage) as caught,
            shortage_explained("a huge tensor", lower("its size")),
        ):
            torch.zeros(2**32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    said = str(caught.value)
    assert said.startswith("out of memory: a huge tensor")
    assert "1. its size" in said
    assert str(2**34) in said  # bytes that were asked for, in PyTorch's words


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (MemoryError(), True),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), False),
        (KeyError("can't allocate memory"), False),
    ],
)
def test_only_a_shortage_is_one(error: Exception, short: bool) -> None:
    assert is_shortage(error) is short


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="invalid"), shortage_explained("x", lower("y")):
        raise RuntimeError("invalid")


def short_of_memory(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words")


@pytest.mark.slow
def test_a_training_keeps_its_checkpoint_and_says_what_to_lower(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = Pix2PixHDTrainer.step, iter(range(3))

    def step(self, batch, rate):
        if not isinstance(batch.label, FakeTensor) and next(left, None) is None:
            short_of_memory()
        return real(self, batch, rate)

    method = trainable(bench)
    shallow = method.generator.model_copy(update={"residual_blocks": 1})
    method = method.model_copy(update={"generator": shallow})
    falling = itertools.count(10**9, -1)  # what a step needs is added up in a test of its own
    monkeypatch.setattr(levers, "peak_bytes", lambda *_, **__: next(falling))
    with monkeypatch.context() as patched:
        patched.setattr(Pix2PixHDTrainer, "step", step)
        with pytest.raises(MemoryShortage) as caught:
            train_method(bench, method, 0, MACHINE)
    said, folder = str(caught.value), bench.run_folder(method.name, 0)
    size = bench.benchmark.size
    for words in (
        f"{method.name} on {bench.benchmark.name} at {size.width}x{size.height}, fp32, batch",
        "Tried to allocate 2.00 GiB",
        'precision = "bf16"',
        str(folder / "checkpoints" / "step-00000003.pt"),
        "--plan",
    ):
        assert words in said
    assert caught.value.exit_code == 1
    rarely = replace(MACHINE, checkpoint_minutes=60)
    assert train_method(bench, method, 0, rarely) == folder / GENERATOR_WEIGHTS


def test_advice_that_finds_no_memory_either_does_not_hide_the_error() -> None:
    explained = shortage_explained("a huge step", short_of_memory)  # pyright: ignore
    with pytest.raises(MemoryShortage, match="a huge step"), explained:
        short_of_memory()


def test_a_synthesis_says_what_to_lower(bench: Bench) -> None:
    scenes = bench.dataset.test_scenes
    with pytest.raises(MemoryShortage, match="--device cpu"):
        write_images(
            lambda: short_of_memory,  # pyright: ignore[reportArgumentType]
            scenes,
            bench.space,
            bench.benchmark,
            bench.workspace.root / "images",
            ["" for _ in scenes],
            "synthesizing",
        )
