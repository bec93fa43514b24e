"""Fine-tuning: what a training takes over from another, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from conftest import trainable
from test_loop import RARELY
from torch import Tensor, nn

from hdbench.data.labels import LabelClass, LabelSpace, shipped_space
from hdbench.data.loading import ResizeAndFlip
from hdbench.data.scene import Batch
from hdbench.errors import CheckpointError, UsageError
from hdbench.library import Library
from hdbench.networks.builder import build_discriminator, build_generator, conditioning, limits_of
from hdbench.networks.discriminator import MultiscaleDiscriminator
from hdbench.networks.generator import GlobalGenerator, LocalEnhancer
from hdbench.runtime.checkpoint import Checkpoints
from hdbench.runtime.weights import load_weights, save_weights
from hdbench.schema.generator import GENERATOR_CARD, GENERATOR_WEIGHTS
from hdbench.schema.method import Pix2PixHD
from hdbench.training.config import RunConfig, run_identity
from hdbench.training.data import TrainingData
from hdbench.training.start import StartingWeights, channels_of, matching, plain
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workflows.train import train_method
from hdbench.workspace.bench import Bench
from hdbench.workspace.start import fine_tuned, starting_weights, write_fine_tuned

CPU = torch.device("cpu")
SOURCE = "ours-no-vgg"


def tuned(bench: Bench, source: str = SOURCE, **update: object) -> Pix2PixHD:
    method = trainable(bench).model_copy(update=update)
    return fine_tuned(bench, method, source, "tuned", ()).method


def trainer_of(bench: Bench, method: Pix2PixHD) -> Pix2PixHDTrainer:
    return Pix2PixHDTrainer(method, bench.benchmark, 3, None, CPU)


def first_batch(bench: Bench) -> Batch:
    data = TrainingData(bench.dataset.train_scenes, [], "train")
    augment = ResizeAndFlip(48, 64, flip=False)
    return next(data.batches(bench.space, augment, batch_size=1, seed=0, machine=RARELY)(0, 1))


@pytest.mark.slow
def test_it_begins_where_the_source_ended(trained: Bench) -> None:
    """As if the networks were loaded by hand."""
    method, run = tuned(trained), trained.run_folder(SOURCE, 0)
    assert method.start is not None
    ours = trainer_of(trained, method)
    ours.begin_from(starting_weights(method.start))
    by_hand = trainer_of(trained, method)
    load_weights(run / GENERATOR_WEIGHTS, by_hand.generator)
    state = Checkpoints(run / "checkpoints").load_latest()
    assert state is not None
    assert by_hand.discriminator is not None
    by_hand.discriminator.load_state_dict(state["trainee"]["discriminator"])
    batch = first_batch(trained)
    assert torch.equal(ours.synthesize(batch), by_hand.synthesize(batch))
    for _ in range(2):
        losses, expected = (one.step(batch, 1e-4) for one in (ours, by_hand))
        assert all(torch.equal(losses[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_a_tuned_method_is_a_file_and_trains_in_a_folder_of_its_own(trained: Bench) -> None:
    method = tuned(trained)
    path = write_fine_tuned(trained, method)
    library = Library(methods=path.parent)
    assert library.method("tuned") == method
    assert write_fine_tuned(replace(trained, library=library), method) == path  # the same again
    source = trained.run_folder(SOURCE, 0)
    before = (source / GENERATOR_WEIGHTS).read_bytes()
    output = train_method(trained, method, 0, RARELY, validate_every=0)
    assert output.parent == trained.run_folder("tuned", 0)
    assert (source / GENERATOR_WEIGHTS).read_bytes() == before
    output.unlink()
    shutil.rmtree(source)  # what has begun needs its source no more
    assert train_method(trained, method, 0, RARELY, validate_every=0) == output


def test_identities_have_the_weights_and_not_their_place(trained: Bench) -> None:
    def identity(method: Pix2PixHD) -> dict:
        return run_identity(RunConfig(method, trained.benchmark, 0, None), [])["method"]

    method = tuned(trained)
    assert method.start is not None
    assert "start" not in identity(trainable(trained))
    moved = method.model_copy(
        update={"start": method.start.model_copy(update={"folder": "/elsewhere"})}
    )
    other = method.model_copy(
        update={"start": method.start.model_copy(update={"weights": "0" * 64})}
    )
    assert identity(moved) == identity(method) != identity(other)


# -- other labels ---------------------------------------------------------------------------------


def space(name: str, *classes: str) -> LabelSpace:
    """A label space whose classes have the ids 0, 1, ...; those in capitals are not scored."""
    entries = [
        LabelClass(n, entry, (0, 0, 0), None if entry.isupper() else n)
        for n, entry in enumerate(classes)
    ]
    return LabelSpace(name, len(classes), tuple(entries))


THERE = space("there", "sky", "Road-Surface", "tree", "car", "VOID")
HERE = space("here", "car", "vegetation", "road surface", "bench", "sky")


def weights_of(bench: Bench, method: Pix2PixHD, there: LabelSpace) -> StartingWeights:
    """Random networks that know another label space."""
    torch.manual_seed(0)
    count = conditioning(method, there.channels).channels
    generator = build_generator(method, count, limits_of(bench.benchmark))
    discriminator = build_discriminator(method, count + 3, limits_of(bench.benchmark))
    return StartingWeights(
        "there",
        generator.state_dict(),
        None,
        discriminator.state_dict(),
        channels_of(there, method.input, 0),
        {"vegetation": "tree"},
    )


def networks_here(
    bench: Bench, method: Pix2PixHD
) -> tuple[nn.Module, None, MultiscaleDiscriminator]:
    count = conditioning(method, HERE.channels).channels
    return (
        build_generator(method, count, limits_of(bench.benchmark)),
        None,
        build_discriminator(method, count + 3, limits_of(bench.benchmark)),
    )


def street(car: int, tree: int, road: int, sky: int) -> Tensor:
    label = torch.full((1, 48, 64), sky, dtype=torch.uint8)
    label[:, 24:], label[:, 20:30, 5:25], label[:, 10:30, 40:] = road, car, tree
    return label


@pytest.mark.parametrize("name", ["ours-no-vgg", "ours-no-vgg-labels-only"])
def test_scenes_whose_classes_match_look_the_same(bench: Bench, name: str) -> None:
    method = trainable(bench, name)
    start = weights_of(bench, method, THERE)
    networks = networks_here(bench, method)
    matched = start.into(method, bench.benchmark, HERE, *networks)
    assert matched.matched == ["car", "vegetation", "road surface", "sky"]
    assert matched.unmatched == ["bench"]
    here = Batch(["a"], street(0, 1, 2, 4), None, None)
    there = Batch(["a"], street(3, 2, 1, 0), None, None)
    conditions = [
        conditioning(method, space.channels)(batch)
        for space, batch in ((HERE, here), (THERE, there))
    ]
    old = build_generator(method, conditions[1].shape[1], limits_of(bench.benchmark))
    old.load_state_dict(dict(start.generator))
    found, expected = networks[0](conditions[0]), old(conditions[1])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    judge = build_discriminator(method, conditions[1].shape[1] + 3, limits_of(bench.benchmark))
    assert start.discriminator is not None
    judge.load_state_dict(dict(start.discriminator))
    fresh = networks[2]
    assert isinstance(fresh, MultiscaleDiscriminator)
    for mine, theirs in zip(
        fresh(fresh.read(conditions[0]), expected),
        judge(judge.read(conditions[1]), expected),
        strict=True,
    ):
        torch.testing.assert_close(mine[-1], theirs[-1], atol=1e-5, rtol=0)


def test_a_class_without_partner_starts_as_the_mean_of_the_scored_ones(bench: Bench) -> None:
    method = trainable(bench)
    channels = [channels_of(one, method.input, 0) for one in (HERE, THERE)]
    found = matching(channels[0], channels[1], {})
    weight = torch.randn(2, 6, 3, 3)  # five labels and the boundary map
    columns = found.columns(weight)
    assert torch.equal(columns[:, 0], weight[:, 3])  # car
    assert torch.equal(columns[:, 5], weight[:, 5])  # boundary
    torch.testing.assert_close(columns[:, 3], weight[:, :4].mean(dim=1))  # bench; void left out
    bare = channels_of(THERE, method.input.model_copy(update={"boundaries": "none"}), 0)
    assert torch.equal(matching(channels[0], bare, {}).columns(weight)[:, 5], torch.zeros(2, 3, 3))


def test_spellings_of_a_name_are_one_name() -> None:
    assert plain("Traffic-Light ") == plain("traffic_light") == "traffic light"


def test_labels_of_cityscapes_for_camvid(trained: Bench) -> None:
    """The real label spaces: partners by name, and one that is named."""
    given = trainable(trained).input
    here, there = (channels_of(shipped_space(n), given, 0) for n in ("camvid", "cityscapes"))
    found = matching(here, there, {"pavement": "sidewalk"})
    assert found.matched == ["sky", "building", "pole", "road", "pavement", "fence", "car"]
    assert [found.partners[n] for n in (0, 3, 4, 12)] == [23, 7, 8, 35]


# -- other networks -------------------------------------------------------------------------------


def with_enhancers(method: Pix2PixHD, count: int) -> Pix2PixHD:
    generator = method.generator.model_copy(update={"enhancers": count})
    return method.model_copy(update={"generator": generator})


def test_a_generator_may_get_enhancers(trained: Bench) -> None:
    budget = trained.benchmark.budget.model_copy(update={"downsamplings": 2})
    small = replace(trained, benchmark=trained.benchmark.model_copy(update={"budget": budget}))
    method = trainable(small)
    start = weights_of(small, method, THERE)
    networks = networks_here(small, with_enhancers(method, 1))
    start.into(with_enhancers(method, 1), small.benchmark, HERE, *networks)
    grown = networks[0]
    assert isinstance(grown, LocalEnhancer)
    smaller = build_generator(method, 6, limits_of(small.benchmark))
    assert isinstance(smaller, GlobalGenerator)
    same = {**smaller.body.state_dict()}
    found = grown.global_body.state_dict()
    for name in same:
        if name != "1.weight":  # its channels are in another order
            assert torch.equal(found[name], start.generator[f"body.{name}"])


def test_a_generator_never_loses_enhancers(bench: Bench) -> None:
    method = trainable(bench)
    start = weights_of(bench, with_enhancers(method, 2), THERE)
    with pytest.raises(CheckpointError, match=r"there: .*2 enhancers.*begins with 0"):
        start.into(method, bench.benchmark, HERE, *networks_here(bench, method))


def test_another_width_is_refused_with_the_tensors_that_differ(trained: Bench) -> None:
    budget = trained.benchmark.budget.model_copy(update={"width": 0.125})
    wider = replace(trained, benchmark=trained.benchmark.model_copy(update={"budget": budget}))
    with pytest.raises(CheckpointError, match=r"generator: (.|\n)*body\.1\.bias: file 4, .* 8"):
        tuned(wider)


def test_discriminators_of_another_kind_are_fresh(trained: Bench) -> None:
    method = trainable(trained)
    assert method.discriminator is not None
    fewer = method.discriminator.model_copy(update={"scales": method.discriminator.scales - 1})
    found = tuned(trained, discriminator=fewer)
    assert found.start is not None
    assert found.start.discriminator is None
    assert starting_weights(found.start).discriminator is None


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sources_are_found_by_name_place_and_folder(trained: Bench) -> None:
    run = trained.run_folder(SOURCE, 0)
    starts = [
        tuned(trained, text).start
        for text in (SOURCE, f"{SOURCE}/seed0", f"tiny/{SOURCE}/seed0", str(run))
    ]
    assert all(start == starts[0] for start in starts)


def test_bad_sources_and_names_are_refused(trained: Bench) -> None:
    method = trainable(trained)
    with pytest.raises(UsageError, match=f"--from ours-no-vg: (.|\n)*tiny/{SOURCE}/seed0"):
        tuned(trained, "ours-no-vg")
    with pytest.raises(UsageError, match=r"'roads'.*'road'"):
        fine_tuned(trained, method, SOURCE, None, ["roads=road"])
    with pytest.raises(UsageError, match="--class road: "):
        fine_tuned(trained, method, SOURCE, None, ["road"])
    for name in ("a/b", method.name, ""):
        with pytest.raises(UsageError, match="--as "):
            fine_tuned(trained, method, SOURCE, name or " ", ())
    taken = tuned(trained).model_copy(update={"name": "ours"})
    with pytest.raises(UsageError, match=r"ours\.toml"):
        write_fine_tuned(trained, taken)


def test_weights_that_were_replaced_are_named(trained: Bench) -> None:
    method = tuned(trained)
    path = trained.run_folder(SOURCE, 0) / GENERATOR_WEIGHTS
    count = conditioning(method, trained.space.channels).channels
    save_weights(path, build_generator(method, count, limits_of(trained.benchmark)), {})
    with pytest.raises(CheckpointError) as caught:
        train_method(trained, method, 0, RARELY)
    assert str(caught.value).startswith(f"{path}: ")
    assert not trained.run_folder("tuned", 0).exists()


def test_a_source_that_is_still_trained_is_refused(trained: Bench) -> None:
    run = trained.run_folder(SOURCE, 0)
    (run / GENERATOR_CARD).unlink()
    with pytest.raises(CheckpointError, match=f"{run}: "):
        tuned(trained)
