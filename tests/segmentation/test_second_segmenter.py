"""A benchmark's second segmenter: what its file may say, its training, and its scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from click.testing import Result
from conftest import evaluated

from hdbench.cli.options import OWN_SEGMENTER, SECOND_SEGMENTER
from hdbench.data.labels import VOID
from hdbench.data.scene import Batch
from hdbench.errors import CheckpointError, LibraryError, UsageError
from hdbench.library import Library
from hdbench.runtime.devices import Machine
from hdbench.schema.benchmark import OWN, SECOND, Benchmark
from hdbench.segmentation.segmenter import load_segmenter, read_card
from hdbench.segmentation.training import segmenter_identity, segmenter_trainer, train_segmenter
from hdbench.streets.files import SPLITS
from hdbench.streets.scene import draw_scene
from hdbench.workflows.train_segmenter import train_own_segmenter
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace
from hdbench.workspace.results import result_path
from hdbench.workspace.segmenters import open_segmenter, require_second, segmenter_folder

Cli = Callable[..., Result]
CPU = torch.device("cpu")
MACHINE = Machine(CPU, workers=0, checkpoint_minutes=60)
TABLE = """
[second_segmenter]
name = "own"

[second_segmenter.training]
split            = "train"
architecture     = "unet"
encoder          = "tu-resnet10t"
encoder_weights  = "none"
depth            = 3
enlarge          = 1
epochs           = 2
batch_size       = 4
optimizer        = "adamw"
schedule         = "one-cycle"
learning_rate    = 2e-3
weight_decay     = 1e-2
scale_min        = 0.75
scale_max        = 1.75
flip             = true
jitter           = 0.0
noise            = 0.0
precision        = "fp32"
storage          = "fp16"
"""


@pytest.fixture
def two(tiny: Path, trained: Bench) -> Bench:
    """The small benchmark, whose segmenter is trained, with a second segmenter that is not."""
    tiny.write_text(tiny.read_text() + TABLE)
    workspace = trained.workspace
    return open_bench(Workspace(workspace.root, workspace.data_root, str(tiny)))


def recipe_of(bench: Bench) -> Benchmark:
    return bench.benchmark.with_recipe(require_second(bench).training)


# -- what a file may say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"unet"', '"pspnet"\nauxiliary_weight = 0.4', "architecture = 'pspnet'"),
        ('"tu-resnet10t"', '"resnet18"', "encoder = 'resnet18'"),
        ('"train"', '"val[:3]"', "split = 'val[:3]' and [data] test = 'val'"),
        ("enlarge          = 1", "enlarge = 2", "architecture = 'unet'"),
        ("noise            = 0.0", "", "key 'noise'"),
        ('"unet"', '"unett"', "architecture = 'unett'"),
    ],
)
def test_a_second_segmenter_that_cannot_be_is_an_error_with_table_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    head = 'extends = "camvid"\nname = "x"\ntitle = "X"\n'
    assert old in TABLE
    (tmp_path / "x.toml").write_text(head + TABLE.replace(old, new, 1))
    with pytest.raises(LibraryError) as error:
        Library().benchmark(str(tmp_path / "x.toml"))
    assert f"[second_segmenter.training] {message}" in str(error.value)


def test_the_second_segmenter_is_never_the_first(tmp_path: Path) -> None:
    head = 'extends = "camvid"\nname = "x"\ntitle = "X"\n[segmenter]\nname = "streets-pspnet-v1"\n'
    text = head + TABLE.replace('"own"', '"streets-pspnet-v1"')
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(LibraryError, match=r"\[second_segmenter\] name = 'streets-pspnet-v1'"):
        Library().benchmark(str(tmp_path / "x.toml"))


def test_a_pspnet_states_the_weight_of_its_auxiliary_loss(tmp_path: Path) -> None:
    text = (Library().root / "protocols" / "benchmarks" / "camvid.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("auxiliary_weight")]
    (tmp_path / "camvid.toml").write_text("\n".join(lines))
    with pytest.raises(LibraryError, match=r"\[segmenter.training\] .*'auxiliary_weight'"):
        Library().benchmark(str(tmp_path / "camvid.toml"))


def test_one_that_does_not_ship_is_a_problem_of_the_library(tmp_path: Path) -> None:
    head = 'extends = "camvid"\nname = "x"\ntitle = "X"\n'
    path = tmp_path / "x.toml"
    path.write_text(head + TABLE.replace('"own"', '"streets-pspnet-v2"'))
    (problem,) = Library().problems_in([path])
    assert "[second_segmenter] name = 'streets-pspnet-v2': " in problem
    path.write_text(head + TABLE)
    assert Library().problems_in([path]) == []


# -- what ships ------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [False, True])
def test_what_ships_for_streets_was_trained_as_its_file_says(second: bool) -> None:
    bench = open_bench(Workspace(Path("nowhere"), None, "streets"))
    recipe = (
        require_second(bench).training if second else bench.benchmark.required_segmenter.training
    )
    card = read_card(segmenter_folder(bench, second))
    told = {"architecture": card.architecture, **card.training}
    told = {key: value for key, value in told.items() if key not in ("seed", "steps")}
    assert told == recipe.model_dump(exclude_none=True)
    assert card.window == [bench.benchmark.size.width, bench.benchmark.size.height]
    assert card.oracle is not None
    assert card.oracle["scoring"] == bench.benchmark.scoring


@pytest.mark.slow
@pytest.mark.parametrize("second", [False, True])
def test_what_ships_for_streets_knows_its_scenes(second: bool) -> None:
    """Counted here, on scenes drawn here: a card may say anything."""
    bench = open_bench(Workspace(Path("nowhere"), None, "streets"))
    segmenter = load_segmenter(segmenter_folder(bench, second), CPU)
    right = counted = 0
    for index in range(4):
        scene = draw_scene(SPLITS["val"].seed, index, *segmenter.card.window)
        assert scene.image is not None
        truth = bench.space.train_id_table[scene.label.long()]
        seen = segmenter.logits(scene.image[None]).argmax(1)[0]
        right += int(((seen == truth) & (truth != VOID)).sum())
        counted += int((truth != VOID).sum())
    assert right / counted > 0.93


def test_the_verbs_and_the_pipeline_call_it_the_same() -> None:
    assert (OWN_SEGMENTER, SECOND_SEGMENTER) == (OWN, SECOND)


# -- training --------------------------------------------------------------------------------------


def test_a_weight_that_no_u_net_reads_is_not_in_its_identity(two: Bench) -> None:
    spec = require_second(two).training
    unread = spec.model_copy(update={"auxiliary_weight": 0.4})
    ours = segmenter_identity(two.benchmark.with_recipe(spec), 0, [])
    assert segmenter_identity(two.benchmark.with_recipe(unread), 0, []) == ours
    assert ours["segmenter"]["architecture"] == "unet"


def test_a_step_lowers_the_loss_of_the_one_network_that_there_is(two: Bench) -> None:
    torch.manual_seed(0)
    label = torch.randint(1, 12, (2, 1, 1), dtype=torch.uint8).expand(2, 32, 32)
    batch = Batch(
        names=["a", "b"],
        label=label,
        instance=None,
        image=torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8),
    )
    trainer = segmenter_trainer(recipe_of(two), 8, 0, CPU)
    losses = [trainer.step(batch) for _ in range(8)]
    assert losses[0].keys() == {"main"}
    assert losses[-1]["main"] < losses[0]["main"]


def test_sides_that_do_not_fit_are_refused_with_some_that_do(two: Bench, tmp_path: Path) -> None:
    size = two.benchmark.size.model_copy(update={"width": 60})
    benchmark = recipe_of(two).model_copy(update={"size": size})
    with pytest.raises(UsageError, match=r"unet .* 8; use 64x48"):
        train_segmenter(benchmark, 0, None, tmp_path, MACHINE, False)  # pyright: ignore


@pytest.mark.slow
def test_a_second_segmenter_is_trained_and_its_scores_are_stored_apart(two: Bench) -> None:
    segmenter = open_segmenter(two, None, CPU)
    with pytest.raises(CheckpointError, match="'hdbench segmenter train --second'"):
        open_segmenter(two, SECOND, CPU)

    second = train_own_segmenter(two, MACHINE, second=True)
    folder = two.segmenter_folder(second=True)
    assert folder == two.segmenter_folder().parent / "second" / "seed0"
    card = second.card
    assert (card.architecture, card.encoder, card.sides) == ("unet", "tu-resnet10t", [8, 0])
    assert card.oracle is not None
    assert card.training["steps"] == 4
    assert open_segmenter(two, SECOND, CPU).card == card
    assert open_segmenter(two, None, CPU).card == segmenter.card

    mine, theirs = (evaluated(two, [], 0, one, CPU)[0] for one in (segmenter, second))
    assert theirs.scores.mean_iou == card.oracle["mean_iou"]
    assert mine.fingerprint != theirs.fingerprint
    assert result_path(two, "oracle", 0).is_file()
    assert result_path(two, "oracle", 0, foreign=card.weights[:8]).is_file()

    images = torch.randint(0, 256, (1, 3, 48, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (card.mean, card.std))
    expected = smp.from_pretrained(str(folder)).eval()((images / 255.0 - mean) / std)
    assert torch.allclose(load_segmenter(folder, CPU).logits(images), expected, atol=1e-5)

    spec = require_second(two)
    longer = spec.model_copy(update={"training": spec.training.model_copy(update={"epochs": 9})})
    benchmark = two.benchmark.model_copy(update={"second_segmenter": longer})
    with pytest.raises(CheckpointError, match=r"segmenter\.epochs: 2 -> 9"):
        open_segmenter(Bench(two.library, two.workspace, benchmark), SECOND, CPU)


# -- the verbs -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("with_figures")
def test_the_verbs_know_it_as_second(cli: Cli, two: Bench) -> None:
    done = cli("segmenter", "train", "--second", "--workers", "0")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"trained: {two.segmenter_folder(second=True)}\n")
    words = ("evaluate", "--segmenter", "own", "--segmenter", "second", "--json")
    record = json.loads(cli(*words).stdout)
    assert [entry["segmenter"].split()[0] for entry in record["judges"]] == ["own", "second"]
    checked = cli("segmenter", "check", "--segmenter", "second", "--json")
    declared = json.loads(checked.stdout)["declared"]["mean_iou"]
    assert declared == record["judges"][1]["results"][0]["mean_iou"]
    again = cli("evaluate", "--segmenter", "second", "--segmenter", two.segmenter_folder(True))
    assert "--segmenter second" in again.stderr


def test_a_benchmark_without_a_second_one_says_so(cli: Cli, trained: Bench) -> None:
    for words in (
        ("segmenter", "train", "--second"),
        ("segmenter", "check", "--segmenter", "second"),
        ("evaluate", "--segmenter", "second"),
    ):
        result = cli(*words)
        assert result.exit_code == 2
        assert "benchmark 'tiny'" in result.stderr
    assert cli("evaluate", "--segmenter", "./second").exit_code == 1  # a folder, which is not there


def test_image_value_uses_the_recipe_of_the_segmenter(cli: Cli, two: Bench) -> None:
    result = cli("segmenter", "train", "--second", "--on", "oracle")
    assert result.exit_code == 2
    assert "--second and --on METHOD" in result.stderr
