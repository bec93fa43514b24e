"""A batch that is divided: among ranks, in parts one after another, with blocks computed again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import two_ranks
from test_step import features
from test_switches import benchmark
from torch import Tensor, nn

from hdbench.data.scene import Batch, to_network_range
from hdbench.errors import UsageError
from hdbench.library import Library
from hdbench.networks.synchronised import statistics_over, synchronised
from hdbench.runtime.devices import Execution
from hdbench.runtime.ranks import Ranks
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.method import Pix2PixHD
from hdbench.segmentation.training import segmenter_trainer
from hdbench.training import trainer as trainer_module
from hdbench.training.config import require_execution
from hdbench.training.trainer import Pix2PixHDTrainer

CPU = torch.device("cpu")
SCENES, WIDTH, HEIGHT = 4, 64, 32
METHODS = ["ours", "ours-styles", "ours-full", "ours-gan-only", "pix2pix", "crn", "crn-generator"]
Gradients = dict[str, Tensor]


def method(name: str) -> Pix2PixHD:
    found = Library().method(name)
    assert isinstance(found, Pix2PixHD)
    return found


def shared_benchmark() -> Benchmark:
    found = benchmark(WIDTH, HEIGHT)
    budget = found.budget.model_copy(update={"batch_size": SCENES, "ema": 0.0})
    return found.model_copy(update={"budget": budget})


def noise(scenes: int = SCENES) -> Batch:
    """Scenes of four quarters, each an instance of its own; labels differ from scene to scene."""
    random = torch.Generator().manual_seed(3)
    label = torch.randint(0, 30, (scenes, 2, 2), dtype=torch.uint8, generator=random)
    label = label.repeat_interleave(HEIGHT // 2, 1).repeat_interleave(WIDTH // 2, 2)
    image = torch.randint(0, 256, (scenes, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=random)
    names = [f"noise {n}" for n in range(scenes)]
    return Batch(names, label.contiguous(), label.int().contiguous(), image)


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Build networks and read scenes in fp64."""
    read, condition = trainer_module.to_network_range, trainer_module.conditioning

    def conditioning(*arguments: Any) -> Callable[[Batch], Tensor]:
        found = condition(*arguments)

        class Doubled:
            channels = found.channels

            def __call__(self, batch: Batch) -> Tensor:
                return found(batch).double()

        return Doubled()

    torch.set_default_dtype(torch.float64)
    trainer_module.to_network_range = lambda images: to_network_range(images).double()
    trainer_module.conditioning = conditioning  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        trainer_module.to_network_range, trainer_module.conditioning = read, condition


def gradients_of(
    name: str, execution: Execution, batch: Batch, steps: int = 1
) -> tuple[Gradients, Gradients]:
    """Return the losses of the last of some steps in fp64, and its gradients."""
    with double_precision():
        network = features() if method(name).loss.perceptual else None
        ours = Pix2PixHDTrainer(method(name), shared_benchmark(), 0, network, CPU, execution)
        ours.enter(len(ours.stages) - 1)
        losses: Gradients = {}
        for _ in range(steps):
            losses = ours.step(batch, 2e-4)
    parts = {"g": ours.generator, "e": ours.encoder, "d": ours.discriminator}
    return losses, {
        f"{part}.{where}": weights.grad
        for part, network in parts.items()
        if network is not None
        for where, weights in network.named_parameters()
        if weights.grad is not None
    }


def require_equal(found: Gradients, expected: Gradients, tolerance: float) -> None:
    """Each tensor, by its own norm; a bias before instance norm has a gradient of 0 and noise."""
    assert found.keys() == expected.keys()
    assert expected
    for name, value in expected.items():
        error = (found[name] - value).norm() / value.norm().clamp(min=1e-3)
        assert error <= tolerance, f"{name}: {error:.1e}"


# -- one process ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ours-styles", "ours-gan-only"])
def test_parts_of_a_batch_add_up_to_its_gradients(name: str) -> None:
    whole = gradients_of(name, Execution(), noise())
    for mine, all_at_once in zip(
        gradients_of(name, Execution(accumulate=4), noise()), whole, strict=True
    ):
        require_equal(mine, all_at_once, 1e-9)


@pytest.mark.slow
def test_blocks_that_are_computed_again_give_the_same_bits() -> None:
    found = gradients_of("ours", Execution(recompute=True), noise(), steps=2)
    expected = gradients_of("ours", Execution(), noise(), steps=2)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_noise_does_not_depend_on_how_a_batch_is_divided() -> None:
    ours = Pix2PixHDTrainer(method("pix2pix"), shared_benchmark(), 0, None, CPU)
    dropped = next(module for module in ours.generator.modules() if "Dropout" in str(type(module)))
    x = torch.ones(4, 2, 3, 3)
    with ours.noise.drawn(0, 4):
        whole = dropped(x)
    for first in range(4):
        with ours.noise.drawn(first, 4):
            torch.testing.assert_close(dropped(x[first : first + 1]), whole[first : first + 1])
    ours.noise.advance()
    with ours.noise.drawn(0, 4):
        assert not torch.equal(dropped(x), whole)


@pytest.mark.parametrize(
    ("name", "execution", "named"),
    [
        ("ours", Execution(accumulate=3), r"batch_size = 4 .*--accumulate 3"),
        ("ours", Execution(Ranks(0, 8)), "batch_size = 4 .*8 ranks"),
        ("pix2pix", Execution(accumulate=2), "--accumulate 2: batch norm of 'pix2pix'"),
        ("crn", Execution(accumulate=2), "--accumulate 2: the balance .*'crn'"),
        ("crn", Execution(recompute=True), "--recompute: .*'crn'"),
    ],
)
def test_what_cannot_be_divided_is_refused(name: str, execution: Execution, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        require_execution(method(name), shared_benchmark(), execution)


# -- two ranks ------------------------------------------------------------------------------------


def _every_method(ranks: Ranks) -> dict[str, Any]:
    share = noise().parts(2)[ranks.rank]
    return {name: gradients_of(name, Execution(ranks), share, steps=2) for name in METHODS}


@pytest.mark.slow
def test_two_ranks_have_the_gradients_of_one_with_the_double_batch(tmp_path: Path) -> None:
    """After two steps, so that the first step's weights were the same too."""
    first, second = two_ranks.results(_every_method, tmp_path)
    for name in METHODS:
        expected = gradients_of(name, Execution(), noise(), steps=2)
        for found in (first[name], second[name]):
            for mine, theirs in zip(found, expected, strict=True):
                require_equal(mine, theirs, 1e-9)


def _parts_on_ranks(ranks: Ranks) -> dict[str, Any]:
    share = noise().parts(2)[ranks.rank]
    return {"found": gradients_of("ours", Execution(ranks, accumulate=2, recompute=True), share)}


@pytest.mark.slow
def test_ranks_may_divide_their_share_further(tmp_path: Path) -> None:
    expected = gradients_of("ours", Execution(), noise())
    for one in two_ranks.results(_parts_on_ranks, tmp_path):
        for mine, theirs in zip(one["found"], expected, strict=True):
            require_equal(mine, theirs, 1e-9)


class _Normed(nn.Module):
    """A batch norm of each kind, after a convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(3, 4, 3)
        self.norms = nn.Sequential(
            nn.BatchNorm2d(4),
            nn.BatchNorm2d(4, momentum=None),
            nn.BatchNorm2d(4, affine=False),
            nn.BatchNorm2d(4, track_running_stats=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.norms(self.first(x))


def _normed_twice(ranks: Ranks) -> dict[str, Any]:
    torch.set_default_dtype(torch.float64)
    network = synchronised(_Normed(), ranks)
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    mine = x[ranks.rank * (4 // ranks.count) :][: 4 // ranks.count].requires_grad_()
    parallel = ranks.parallel(network)
    with statistics_over(ranks):
        for _ in range(2):
            output = parallel(mine)
            output.pow(3).mean().backward()
    found = {name: part.grad for name, part in network.named_parameters()}
    found["x"], found["y"] = mine.grad, output.detach()
    network.eval()
    with torch.no_grad():
        found["later"] = network(x[:1])
    torch.set_default_dtype(torch.float32)
    return {**found, **dict(network.named_buffers())}


@pytest.mark.slow
def test_batch_norm_over_ranks_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    expected = _normed_twice(Ranks(0, 1))
    whole = {name: expected.pop(name) for name in ("x", "y")}
    for rank, found in enumerate(two_ranks.results(_normed_twice, tmp_path)):
        share = slice(2 * rank, 2 * rank + 2)
        torch.testing.assert_close(found.pop("y"), whole["y"][share])
        # The mean over a rank's own images has half as many elements.
        torch.testing.assert_close(found.pop("x"), 2 * whole["x"][share])
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, msg=name)


def _segmenter(ranks: Ranks) -> dict[str, Any]:
    found = shared_benchmark()
    recipe = found.required_segmenter.training
    recipe = recipe.model_copy(update={"precision": "fp32", "batch_size": SCENES})
    trainer = segmenter_trainer(found.with_recipe(recipe), 10, 0, CPU, None, ranks)
    for module in trainer.network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0  # drawn by each rank for its own images
    batch = noise()
    batch.label[0] = 0  # void: the ranks' shares have different numbers of pixels that count
    losses = trainer.step(batch.parts(ranks.count)[ranks.rank])
    parts = trainer.network.named_parameters()
    return {**losses, **{name: part.grad for name, part in parts if part.grad is not None}}


@pytest.mark.slow
def test_a_segmenter_learns_alike_on_two_ranks(tmp_path: Path) -> None:
    expected = _segmenter(Ranks(0, 1))
    for found in two_ranks.results(_segmenter, tmp_path):
        require_equal(found, expected, 1e-3)
