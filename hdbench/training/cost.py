"""What a training step and a synthesis need: parameters, operations and memory, without computing.

The trainer's own step runs on tensors that have shapes and no values (PyTorch's fake tensors), at
the full size, in about a second. So the estimate holds for whatever the trainer does.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from hdbench.data.scene import Batch
from hdbench.networks.perceptual import PerceptualNetwork
from hdbench.networks.placement import planned_for_gpu
from hdbench.runtime.devices import AS_USUAL, Execution
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.schema.method import Pix2PixHD
from hdbench.training.trainer import Pix2PixHDTrainer

#: What a process on the CPU holds for each byte of live tensors: its heap keeps freed blocks, and
#: convolutions copy their operands. ``tests/performance/memory.py`` measures it.
CPU_OVERHEAD = 1.15
#: Instances that a scene is taken to have, where the shape of a result depends on their number.
INSTANCES = 64
#: Channels and convolutions of the blocks of a perceptual network.
Blocks = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Cost:
    """What one step of a stage, and the synthesis of one batch with its generator, need."""

    #: Parameters of each network of the trainer, by its name there.
    parameters: dict[str, int]
    #: Those of the generator that learn.
    learning: int
    #: Floating-point operations of convolutions and products, a multiplication and an addition
    #: being two.
    step_flops: int
    synthesis_flops: int
    #: Peak bytes, all that stays between steps included. On a GPU those of the tensors alone.
    step_bytes: int
    synthesis_bytes: int


def stage_cost(
    method: Pix2PixHD,
    benchmark: Benchmark,
    blocks: Blocks | None,
    stage: int,
    size: Size,
    gpu: bool,
    count: bool = True,
    execution: Execution = AS_USUAL,
) -> Cost:
    """Return what a stage needs.

    Args:
        method: the resolved method.
        benchmark: its budget and label space.
        blocks: of the perceptual network; None without one.
        stage: the stage's number, from 0.
        size: of the images of this stage.
        gpu: whether layers take the forms for a GPU, or those for a CPU.
        count: whether operations are counted, which takes longer than memory alone.
        execution: how a step is computed.
    """
    with _without_values(gpu):
        memory = LiveMemory()
        with memory:
            perceptual = None if blocks is None else PerceptualNetwork(*blocks)
            cpu = torch.device("cpu")
            trainer = Pix2PixHDTrainer(method, benchmark, 0, perceptual, cpu, execution)
            trainer.enter(stage)
            batch = _batch(benchmark, size)
            _first_updates(trainer)
            memory.peak = memory.live
            step_flops = FlopCounterMode(display=False)
            with step_flops if count else contextlib.nullcontext():
                trainer.step(batch, 0.0)
            step_bytes = memory.peak
            before = memory.peak = memory.live
            synthesis_flops = FlopCounterMode(display=False)
            with synthesis_flops if count else contextlib.nullcontext():
                trainer.synthesize(batch)
            synthesis_bytes = memory.peak - before + _bytes(trainer.generator, trainer.encoder)
        networks = {k: part for k, part in vars(trainer).items() if isinstance(part, nn.Module)}
    factor = 1.0 if gpu else CPU_OVERHEAD
    return Cost(
        {name: _count(part.parameters()) for name, part in networks.items()},
        _count(part for part in trainer.generator.parameters() if part.requires_grad),
        step_flops.get_total_flops(),
        synthesis_flops.get_total_flops(),
        round(factor * step_bytes),
        round(factor * synthesis_bytes),
    )


def _first_updates(trainer: Pix2PixHDTrainer) -> None:
    """Make the gradients and the optimisers' state that a first step leaves behind."""
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        if optimizer is None:
            continue
        for group in optimizer.param_groups:
            for weights in group["params"]:
                weights.grad = torch.empty_like(weights)
        optimizer.step()


class LiveMemory(TorchDispatchMode):
    """Adds up the bytes of all tensors that operators made and that are still in use.

    Operators whose result's shape depends on values are answered here where tensors have none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._storages: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator, and count what it made."""
        result = _assumed(func, args, kwargs or {})
        if result is None:
            result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        self.peak = max(self.peak, self.live)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        address = storage._cdata
        if address not in self._storages:
            self._storages[address] = storage.nbytes()
            self.live += storage.nbytes()
            weakref.finalize(storage, self._drop, address)

    def _drop(self, address: int) -> None:
        self.live -= self._storages.pop(address, 0)


def _assumed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return a result whose shape or value depends on values that fake tensors lack, else None."""
    x = args[0] if args else None
    if not isinstance(x, FakeTensor):
        return None
    name = func.overloadpacket._qualified_op_name
    if name == "aten::nonzero":
        return x.new_empty((x.numel(), x.dim()), dtype=torch.int64)
    if name == "aten::_local_scalar_dense":
        return INSTANCES if not x.is_floating_point() else 1.0
    if name == "aten::segment_reduce":
        return torch.empty_like(kwargs["lengths"], dtype=x.dtype)
    if name == "aten::_unique2":
        values = x.new_empty(min(INSTANCES, x.numel()))
        counts = x.new_empty(values.shape, dtype=torch.int64)
        return values, x.new_empty(x.shape, dtype=torch.int64), counts
    return None


class _Values(FakeTensorMode):
    """Fake tensors whose networks can be copied, as the moving average does."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Values:
        return self


@contextlib.contextmanager
def _pads_like_gpu() -> Iterator[None]:
    """Pad in the precision of the input: autocast for a CPU alone pads in fp32."""
    pad = F.pad

    def in_its_precision(*args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return pad(*args, **kwargs)

    setattr(F, "pad", in_its_precision)  # noqa: B010
    try:
        yield
    finally:
        setattr(F, "pad", pad)  # noqa: B010


@contextlib.contextmanager
def _without_values(gpu: bool) -> Iterator[None]:
    """Make tensors that have no values, and leave the random state as it is."""
    moved = nn.Module.to
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        stack.enter_context(_Values())
        if gpu:
            stack.enter_context(planned_for_gpu())
            stack.enter_context(_pads_like_gpu())
        # PyTorch refuses to move fake networks, even to where they are.
        setattr(nn.Module, "to", lambda self, *_, **__: self)  # noqa: B010
        try:
            yield
        finally:
            setattr(nn.Module, "to", moved)  # noqa: B010


def _batch(benchmark: Benchmark, size: Size) -> Batch:
    """Return scenes without values."""
    shape = (benchmark.budget.batch_size, size.height, size.width)
    spec = benchmark.input
    given = None if spec is None else torch.empty((shape[0], spec.channels, *shape[1:]))
    return Batch(
        [f"scene {n}" for n in range(shape[0])],
        torch.empty(shape, dtype=torch.uint8),
        torch.empty(shape, dtype=torch.int32),
        torch.empty((shape[0], 3, *shape[1:]), dtype=torch.uint8),
        given,
    )


def _count(parameters: Iterator[nn.Parameter]) -> int:
    return sum(part.numel() for part in parameters)


def _bytes(*networks: nn.Module | None) -> int:
    parameters = (part for network in networks if network for part in network.parameters())
    return sum(part.numel() * part.element_size() for part in parameters)
