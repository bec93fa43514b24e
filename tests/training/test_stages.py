"""Coarse-to-fine training: the plan, the growth of networks, and crashes in any stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import trainable
from killed import killed_in
from test_loop import RARELY, crash, elsewhere, train, weights
from torch import nn

from hdbench.errors import CheckpointError, LibraryError, UsageError
from hdbench.library import Library
from hdbench.networks.builder import build_discriminator, build_generator, limits_of
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer
from hdbench.networks.growth import grow_discriminator, grow_generator, newest_enhancer
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.benchmark import Benchmark
from hdbench.schema.method import Pix2PixHD, Stage
from hdbench.training.config import RunConfig, require_fitting_size, run_identity
from hdbench.training.plan import sized
from hdbench.training.stages import at_stage, planned_stages, stages_of
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workspace.bench import Bench

TRAINER = "hdbench.training.trainer.Pix2PixHDTrainer"
STAGES = [
    Stage(enhancers=0, trains="all", epochs=1, decay_epochs=1, rate=1.0),
    Stage(enhancers=1, trains="newest-enhancer", epochs=1, decay_epochs=0, rate=0.5),
    Stage(enhancers=1, trains="all", epochs=1, decay_epochs=0, rate=1.0),
]


def benchmark(**budget: object) -> Benchmark:
    found = Library().benchmark("cityscapes")
    return found.model_copy(update={"budget": found.budget.model_copy(update=budget)})


def coarse_to_fine(name: str = "ours-full") -> Pix2PixHD:
    method = Library().method(name)
    assert isinstance(method, Pix2PixHD)
    return method


@pytest.fixture
def staged(bench: Bench) -> tuple[Bench, Pix2PixHD]:
    """Small networks with one enhancer in three stages of 8, 4 and 4 steps, and their benchmark."""
    budget = bench.benchmark.budget.model_copy(update={"downsamplings": 2})
    small = Bench(
        bench.library, bench.workspace, bench.benchmark.model_copy(update={"budget": budget})
    )
    method = trainable(bench)
    generator = method.generator.model_copy(update={"enhancers": 1})
    return small, method.model_copy(update={"generator": generator, "stage": STAGES})


def test_the_papers_epochs_are_those_of_a_budget_of_300() -> None:
    plans = planned_stages(coarse_to_fine(), benchmark(epochs=190, decay_epochs=110), 2975)
    assert [(plan.constant / 2975, plan.decay / 2975) for plan in plans] == [
        (100, 100),
        (10, 0),
        (40, 50),
    ]
    sizes = [(plan.size.width, plan.size.height) for plan in plans]
    full = benchmark().size
    assert sizes == [
        (full.width // 2, full.height // 2),
        *[(full.width, full.height)] * 2,
    ]
    assert plans[0].learning_rate(199 * 2975) == pytest.approx(2e-4 * 0.01)
    assert plans[1].learning_rate(200 * 2975) == 2e-4


@pytest.mark.parametrize("name", ["ours-full", "ours-4k", "ours-full-at-once", "ours"])
@pytest.mark.parametrize(("epochs", "decay", "per_epoch"), [(18, 12, 600), (1, 0, 7), (0, 1, 3)])
def test_stages_share_the_budgets_steps_without_gaps(
    name: str, epochs: int, decay: int, per_epoch: int
) -> None:
    planned = benchmark(epochs=epochs, decay_epochs=decay)
    plans = planned_stages(coarse_to_fine(name), planned, per_epoch)
    assert [plan.start for plan in plans] == [0, *(plan.stop for plan in plans[:-1])]
    assert plans[-1].stop == (epochs + decay) * per_epoch
    assert all(plan.constant >= 0 and plan.decay >= 0 for plan in plans)


def test_a_discriminator_is_added_with_each_enhancer() -> None:
    for name, scales in (("ours-full", [2, 3, 3]), ("ours-4k", [1, 2, 2, 3, 3])):
        method = coarse_to_fine(name)
        stages = stages_of(method, benchmark().budget)
        judges = [at_stage(method, stage).discriminator for stage in stages]
        assert [judge.scales for judge in judges if judge is not None] == scales


def noise(method: Pix2PixHD) -> torch.Tensor:
    side = 2 ** (2 + method.generator.enhancers)
    return torch.randn(1, 5, 4 * side, 8 * side)


def narrow(method: Pix2PixHD) -> nn.Module:
    return build_generator(method, 5, limits_of(benchmark(width=0.0625, downsamplings=2)))


def test_a_grown_generator_makes_the_same_coarse_features() -> None:
    method = coarse_to_fine("ours-4k")
    one, two, three = (
        narrow(at_stage(method, stage)) for stage in (method.stage[n] for n in (0, 2, 4))
    )
    grow_generator(one, two)
    grow_generator(two, three)
    assert isinstance(one, GlobalGenerator)
    assert isinstance(two, LocalEnhancer)
    assert isinstance(three, LocalEnhancer)
    condition = noise(at_stage(method, method.stage[0]))
    assert torch.equal(one.body(condition), three.global_body(condition))
    first, same = two.enhancers[0].state_dict(), three.enhancers[0].state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    again = narrow(at_stage(method, method.stage[2]))
    grow_generator(two, again)
    condition = noise(at_stage(method, method.stage[2]))
    assert torch.equal(two(condition), again(condition))


def test_the_coarser_discriminators_are_kept() -> None:
    method = coarse_to_fine()
    limits = limits_of(benchmark(width=0.0625))
    few, more = (
        build_discriminator(at_stage(method, stage), 8, limits) for stage in method.stage[:2]
    )
    fresh = more.scales[0].state_dict()
    grow_discriminator(few, more)
    for old, new in zip(few.scales, list(more.scales)[1:], strict=True):
        assert all(torch.equal(old.state_dict()[k], new.state_dict()[k]) for k in old.state_dict())
    assert all(torch.equal(fresh[k], more.scales[0].state_dict()[k]) for k in fresh)


@pytest.mark.slow
def test_only_the_newest_enhancer_learns_while_the_rest_is_fixed(
    staged: tuple[Bench, Pix2PixHD], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, method = staged
    real, seen = Pix2PixHDTrainer.step, []

    def step(self: Pix2PixHDTrainer, batch, rate: float):
        before = {name: p.detach().clone() for name, p in self.generator.named_parameters()}
        losses = real(self, batch, rate)
        after = dict(self.generator.named_parameters())
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        seen.append((self.stage, tuple(batch.image.shape[-2:]), rate, moved))
        return losses

    monkeypatch.setattr(Pix2PixHDTrainer, "step", step)
    output = train(bench, method, RARELY)
    assert [stage for stage, *_ in seen] == [0] * 8 + [1] * 4 + [2] * 4
    assert {size for stage, size, *_ in seen if stage == 0} == {(24, 32)}
    assert {size for stage, size, *_ in seen if stage > 0} == {(48, 64)}
    assert [rate for _, _, rate, _ in seen[8:]] == [1e-4] * 4 + [2e-4] * 4
    generator = build_generator(method, 13, limits_of(bench.benchmark))
    newest = {id(p) for p in newest_enhancer(generator)}
    names = {name for name, p in generator.named_parameters() if id(p) in newest}
    assert names
    for stage, _, _, moved in seen:
        if stage == 1:
            assert moved <= names
    assert any(name.startswith("global_body") for name in seen[-1][3])
    rows = read_metrics(output.parent / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 17))
    assert len(list((output.parent / "samples").glob("*.png"))) == 2


@pytest.mark.slow
def test_a_crash_in_any_stage_does_not_change_the_weights(
    staged: tuple[Bench, Pix2PixHD], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first stage, before and in the second (from step 8), before and in the third (12)."""
    bench, method = staged
    expected = weights(train(elsewhere(bench, "uninterrupted"), method, RARELY))
    metrics = bench.run_folder(method.name, 0) / "metrics.jsonl"
    reached, saves = [], {4, 8, 10, 12, 13}
    for after in (5, 4, 3, 2, 2):
        crash(bench, method, monkeypatch, after, saves)
        reached.append(max(path.stem for path in (metrics.parent / "checkpoints").iterdir()))
    assert [int(name.partition("-")[2]) for name in reached] == sorted(saves)
    assert weights(train(bench, method)) == expected
    assert [row["step"] for row in read_metrics(metrics)] == list(range(1, 17))


def two_enhancers(bench: Bench) -> tuple[Bench, Pix2PixHD]:
    """The stages of ours-4k, at 64x48 from networks of few channels, in 16 steps together."""
    budget = bench.benchmark.budget.model_copy(update={"downsamplings": 2})
    small = Bench(
        bench.library, bench.workspace, bench.benchmark.model_copy(update={"budget": budget})
    )
    shipped = coarse_to_fine("ours-4k")
    loss = shipped.loss.model_copy(update={"perceptual": 0.0})
    epochs = [(1, 1), (1, 0), (1, 1), (1, 0), (1, 1)]
    stages = [
        stage.model_copy(update={"epochs": flat, "decay_epochs": decay})
        for stage, (flat, decay) in zip(shipped.stage, epochs, strict=True)
    ]
    return small, shipped.model_copy(update={"loss": loss, "stage": stages})


@pytest.mark.slow
def test_two_enhancers_survive_kill_9_in_a_stage_and_between_stages(bench: Bench) -> None:
    """Stages begin at steps 0, 4, 6, 10 and 12; checkpoints are after 2, 6, 11 and 12 steps."""
    small, method = two_enhancers(bench)
    plans = planned_stages(method, small.benchmark, 8)
    assert [plan.start for plan in plans] == [0, 4, 6, 10, 12]
    assert [(plan.size.width, plan.size.height) for plan in plans] == [
        (16, 12),
        *[(32, 24)] * 2,
        *[(64, 48)] * 2,
    ]
    whole = train(elsewhere(small, "uninterrupted"), method, RARELY)
    folder = small.run_folder(method.name, 0)
    for steps, reached in ((2, 2), (4, 6), (5, 11), (1, 12)):
        killed_in(
            f"{Pix2PixHDTrainer.__module__}.Pix2PixHDTrainer.step", steps + 1, train, small, method
        )
        newest = max(path.stem for path in (folder / "checkpoints").glob("*.pt"))
        assert newest == f"step-{reached:08d}"
    assert weights(train(small, method)) == weights(whole)


def test_a_checkpoint_with_another_number_of_enhancers_is_refused_by_that_number(
    staged: tuple[Bench, Pix2PixHD],
) -> None:
    bench, method = staged
    other = method.generator.model_copy(update={"enhancers": 2})
    twice = [*STAGES, Stage(enhancers=2, trains="all", epochs=1, decay_epochs=0, rate=1.0)]
    more = method.model_copy(update={"generator": other, "stage": twice})
    trainers = {
        name: Pix2PixHDTrainer(one, bench.benchmark, 0, None, torch.device("cpu"))
        for name, one in (("one", method), ("two", more))
    }
    for name, stage in (("one", 2), ("two", 3)):
        trainers[name].enter(stage)
    for name, asked, has in (("one", "two", 2), ("two", "one", 1)):
        into = Pix2PixHDTrainer(
            method if name == "one" else more, bench.benchmark, 0, None, torch.device("cpu")
        )
        state = {**trainers[asked].state(), "stage": trainers[asked].stage if name == "one" else 3}
        with pytest.raises(CheckpointError, match=f"{has} enhancer"):
            into.load_state(state)


@pytest.mark.parametrize(
    ("name", "size", "key", "near"),
    [
        ("ours", (1000, 512), "width", "992 or 1008"),
        ("ours-full", (2048, 1000), "height", "992 or 1024"),
        ("ours-4k", (2048, 1023), "height", "960 or 1024"),
        ("ours-4k", (4097, 2048), "width", "4096 or 4160"),
        ("ours-4k", (64, 2048), "width", "128"),
    ],
)
def test_sides_that_do_not_divide_get_the_nearest_that_do(
    name: str, size: tuple[int, int], key: str, near: str
) -> None:
    asked = sized(benchmark(), size, None)
    with pytest.raises(UsageError) as caught:
        require_fitting_size(coarse_to_fine(name), asked)
    assert f"{key} = {size[key == 'height']}" in str(caught.value)
    assert near in str(caught.value)
    for side in map(int, near.split(" or ")):
        fits = (side, size[1]) if key == "width" else (size[0], side)
        require_fitting_size(coarse_to_fine(name), sized(benchmark(), fits, None))


def test_the_identity_covers_all_stages(staged: tuple[Bench, Pix2PixHD]) -> None:
    bench, method = staged
    at_once = method.model_copy(update={"stage": []})
    identities = [
        run_identity(RunConfig(one, bench.benchmark, 0, None), [])["method"]
        for one in (method, at_once)
    ]
    assert [one["enhancers"] for one in identities[0]["stage"]] == [0, 1, 1]
    assert "stage" not in identities[1]


@pytest.mark.parametrize(
    ("stages", "named"),
    [
        ([(1, "all"), (0, "all"), (1, "all")], "1, 0, 1"),
        ([(0, "all")], "0"),
        ([(1, "newest-enhancer"), (1, "all")], "newest-enhancer"),
        ([(0, "newest-enhancer"), (1, "all")], "enhancers = 1"),
        ([(0, "all", 0, 0), (1, "all")], "decay_epochs"),
    ],
)
def test_stages_that_cannot_be_are_refused_by_name(
    tmp_path: Path, stages: list[tuple], named: str
) -> None:
    tables = "".join(
        f"[[stage]]\nenhancers = {stage[0]}\ntrains = '{stage[1]}'\nepochs = {(*stage, 1)[2]}\n"
        f"decay_epochs = {(*stage, 1, 0)[3]}\nrate = 1.0\n"
        for stage in stages
    )
    path = tmp_path / "mine.toml"
    head = "extends = 'ours'\nname = 'mine'\ntitle = 'Mine'\nsource = 'me'\n"
    path.write_text(f"{head}[generator]\nenhancers = 1\n{tables}")
    with pytest.raises(LibraryError) as caught:
        Library().method(str(path))
    assert "stage" in str(caught.value)
    assert named in str(caught.value)
