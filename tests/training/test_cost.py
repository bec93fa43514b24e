"""What a step needs, added up from shapes, against real steps and the facts of the method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hdbench.data.scene import Batch
from hdbench.library import Library
from hdbench.networks import placement
from hdbench.networks.perceptual import VGG19_CHANNELS, VGG19_CONVOLUTIONS
from hdbench.schema.benchmark import Benchmark, Size
from hdbench.schema.method import Pix2PixHD
from hdbench.training.cost import CPU_OVERHEAD, LiveMemory, stage_cost
from hdbench.training.levers import Variant, advice, applied, changed, peak_bytes
from hdbench.training.plan import MEMORIES, Timing, fitting, plan_training, sized
from hdbench.training.stages import planned_stages
from hdbench.training.trainer import Pix2PixHDTrainer

SMALL = Size(width=64, height=64)
CPU = torch.device("cpu")


def method(name: str = "ours-no-vgg") -> Pix2PixHD:
    found = Library().method(name)
    assert isinstance(found, Pix2PixHD)
    return found


def shallow(name: str) -> Pix2PixHD:
    """With one residual block, which is added up sooner."""
    found = method(name)
    spec = found.generator.model_copy(update={"residual_blocks": 1, "enhancer_blocks": 1})
    return found.model_copy(update={"generator": spec})


def benchmark(size: Size = SMALL, **budget: object) -> Benchmark:
    found = Library().benchmark("cityscapes")
    budgeted = found.budget.model_copy(update=budget)
    return found.model_copy(update={"size": size, "budget": budgeted})


def narrow(**budget: Any) -> Benchmark:
    return benchmark(width=0.0625, downsamplings=2, **budget)


def scene(labels: int = 35) -> Batch:
    """A scene in which no class is missing, so that no channel is left out."""
    label = (torch.arange(64 * 64) % labels).view(1, 64, 64).to(torch.uint8)
    return Batch(["a"], label, label.int(), torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def operations(trainer: Pix2PixHDTrainer) -> int:
    """The operations of a real step that is not the first."""
    trainer.step(scene(), 0.0)
    counted = FlopCounterMode(display=False)
    with counted:
        trainer.step(scene(), 0.0)
    return counted.get_total_flops()


@pytest.mark.slow
def test_the_papers_networks_at_2048x1024_are_those_of_the_facts() -> None:
    size, vgg = Size(width=2048, height=1024), (VGG19_CHANNELS, VGG19_CONVOLUTIONS)
    full, at = method("ours-full"), benchmark(size)
    cost = stage_cost(full, at, vgg, 2, size, gpu=True)
    assert cost.parameters["generator"] == cost.learning == 182_857_059
    assert cost.parameters["discriminator"] == 8_404_803
    assert cost.synthesis_flops == pytest.approx(2 * 748e9, rel=0.001)
    first = planned_stages(full, at, 1)[0]
    assert stage_cost(full, at, vgg, 0, first.size, True, False).parameters["generator"] == (
        182_546_755
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ours-no-vgg", "ours-full", "ours-styles"])
def test_operations_and_memory_are_those_of_a_real_step(name: str) -> None:
    chosen = method(name)
    chosen = chosen.model_copy(update={"stage": chosen.stage[-1:]})
    at = narrow()
    cost = stage_cost(chosen, at, None, 0, SMALL, gpu=False)
    memory = LiveMemory()
    with memory:
        trainer = Pix2PixHDTrainer(chosen, at, 0, None, CPU)
        flops = operations(trainer)
        memory.peak = memory.live
        trainer.step(scene(), 0.0)
    assert cost.step_flops == pytest.approx(flops, rel=0.02)
    assert cost.step_bytes / CPU_OVERHEAD == pytest.approx(memory.peak, rel=0.05)
    networks = (trainer.generator, trainer.discriminator, trainer.encoder)
    real = [sum(p.numel() for p in net.parameters()) for net in networks if net is not None]
    assert sorted(cost.parameters.values()) == sorted(real)


def test_memory_is_that_of_the_tensors_in_use() -> None:
    memory = LiveMemory()
    with memory:
        a = torch.zeros(1000)
        b = a.view(10, 100)  # no memory of its own
        c = a + 1
        assert memory.live == 8000
        del c
        assert memory.live == 4000
        del a
        assert memory.live == 4000  # a view keeps it
        del b
    assert memory.live == 0
    assert memory.peak == 8000


@pytest.mark.slow
def test_adding_up_leaves_random_numbers_and_networks_as_they_are() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    moved = torch.nn.Module.to
    stage_cost(method(), narrow(ema=0.9), None, 0, SMALL, gpu=True, count=False)
    assert torch.equal(torch.rand(4), expected)
    assert torch.nn.Module.to is moved
    assert placement.on_cpu(torch.zeros(1))


@pytest.mark.slow
def test_each_change_lowers_memory_and_does_so_once() -> None:
    start = Variant(
        "as it is", shallow("ours-full"), narrow(batch_size=2, ema=0.9), ((4,) * 5, (1,) * 5)
    )
    most = peak_bytes(start, gpu=True)
    singles = list(changed(start))
    names = [one.change for one in singles]
    assert [name.partition(" =")[0] for name in names][:5] == [
        "--recompute",
        "--accumulate 2",
        "[budget] batch_size",
        "[budget] precision",
        "[budget] ema",
    ]
    assert peak_bytes(singles[3], gpu=True) < most
    together = list(applied(start))
    assert len(together) == len(singles) - 1  # a batch that is divided need not be smaller
    needed = [peak_bytes(one, gpu=True) for one in together]
    assert needed == sorted(needed, reverse=True)
    last = together[-1]
    assert last.execution.recompute
    assert last.execution.accumulate == last.benchmark.budget.batch_size == 2
    assert last.benchmark.budget.precision == "bf16"
    assert last.method.discriminator is not None
    assert last.method.discriminator.scales == 2
    assert last.blocks is None
    assert [stage.trains for stage in last.method.stage] == ["all", "newest-enhancer"]


@pytest.mark.slow
def test_a_plan_covers_all_stages_and_says_what_it_did_not_measure() -> None:
    start = Variant("as it is", shallow("ours-4k"), narrow(precision="bf16"), None)
    plan = plan_training(start, None, CPU, timed=False)
    assert [cost.parameters["generator"] for cost in plan.costs] == sorted(
        cost.parameters["generator"] for cost in plan.costs
    )
    assert [(one.size.width, one.size.height) for one in plan.stages] == [
        (16, 16),
        *[(32, 32)] * 2,
        *[(64, 64)] * 2,
    ]
    found = plan.as_json
    assert found["scenes"] is None
    assert {one["steps"] for one in found["stages"]} == {None}
    assert found["timing"] is None
    assert found["stages"][1]["learning"] < found["stages"][2]["learning"]
    assert found["peak_bytes"]["gpu"] == max(cost.step_bytes for cost in plan.costs)
    counts = [len(found["lowered"][kind]) for kind in ("alone", "together")]
    assert counts == [len(list(changed(start)))] * 2


@pytest.mark.slow
def test_blocks_computed_again_and_divided_batches_need_less_and_come_first() -> None:
    """Both leave the outcome as it is; on a GPU in bf16 too, where pads have the input's type."""
    start = Variant("as it is", method("ours"), narrow(precision="bf16", batch_size=2), None)
    most, variants = peak_bytes(start, gpu=True), list(changed(start))
    assert [one.change for one in variants[:3]] == [
        "--recompute",
        "--accumulate 2",
        "[budget] batch_size = 1",
    ]
    assert all(peak_bytes(one, gpu=True) < most for one in variants[:2])
    names = [one.change for one in applied(start)]
    assert "[budget] batch_size = 1" not in names  # a batch that is divided need not be smaller
    assert len(names) == len(set(names)) == len(variants) - 1
    pix2pix = Variant("as it is", method("pix2pix"), narrow(batch_size=2), None)
    assert next(changed(pix2pix)).change == "[budget] batch_size = 1"


def test_time_grows_in_proportion_to_pixels() -> None:
    sizes = [Size(width=100, height=10), Size(width=100, height=30)]
    timing = Timing(sizes, [3.0, 5.0], "CPU", 0.0, 1, {})
    assert timing.at(Size(width=100, height=100)) == pytest.approx(12.0)
    disturbed = Timing(sizes, [6.0, 5.0], "CPU", 9.0, 1, {})
    assert disturbed.at(Size(width=100, height=100)) > 5.0


def test_what_fits_leaves_room_for_the_gpu_itself() -> None:
    assert fitting(int(7e9)) == [True] * len(MEMORIES)
    assert fitting(int(7.5e9)) == [False, True, True, True]
    assert fitting(int(30e9)) == [False] * 4


@pytest.mark.slow
def test_the_advice_names_the_estimate_and_what_to_lower_in_order() -> None:
    text = advice(Variant("as it is", shallow("ours-no-vgg"), narrow(), None), gpu=False)
    places = [text.index(word) for word in ("GB", 'precision = "bf16"', "scales = 2", "[size]")]
    assert places == sorted(places)
    assert "hdbench train ours-no-vgg --benchmark cityscapes --plan" in text


def test_size_and_batch_replace_those_of_the_benchmark() -> None:
    at = sized(benchmark(), (128, 96), 3)
    assert (at.size.width, at.size.height, at.budget.batch_size) == (128, 96, 3)
    assert sized(benchmark(), None, None) == benchmark()
