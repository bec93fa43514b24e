from __future__ import annotations

import contextlib
import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import trainable, write_tiny
from forks import Forked, forking
from safetensors import safe_open
from torch.overrides import TorchFunctionMode

from hdbench.data.loading import ResizeAndFlip
from hdbench.errors import CheckpointError, DataError, DivergedError, Interrupted, UsageError
from hdbench.perceptual.files import read_perceptual_card
from hdbench.runtime.claims import claimed
from hdbench.runtime.devices import Machine
from hdbench.runtime.job import Job
from hdbench.runtime.metrics import read_metrics
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.schema.method import Pix2PixHD
from hdbench.training import samples, trainer
from hdbench.training.config import RESOLVED_METHOD
from hdbench.training.data import TrainingData
from hdbench.training.trainer import Pix2PixHDTrainer
from hdbench.workflows.train import train_method, train_own_perceptual
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

Start = Callable[..., Forked]
MACHINE = Machine(torch.device("cpu"), workers=0, checkpoint_minutes=0)
#: Saves at the end alone: a training of a few steps takes half as long.
RARELY = replace(MACHINE, checkpoint_minutes=60)


def ours(bench: Bench, **loss: object) -> Pix2PixHD:
    method = trainable(bench)
    return method.model_copy(update={"loss": method.loss.model_copy(update=loss)})


def weights(path: Path) -> str:
    """The digest of the generator's tensors, as its own header states it."""
    with safe_open(path, framework="pt") as file:
        return file.metadata()["weights"]


def train(
    bench: Bench, method: Pix2PixHD | None = None, machine: Machine = MACHINE, **options
) -> Path:
    return train_method(bench, method or ours(bench), 0, machine, **options)


def elsewhere(bench: Bench, name: str) -> Bench:
    """The same benchmark in another workspace."""
    return Bench(
        bench.library, replace(bench.workspace, root=bench.workspace.root / name), bench.benchmark
    )


@pytest.fixture
def uninterrupted(trained: Bench) -> str:
    """The digest of the weights of a training that nothing disturbed."""
    return weights(trained.run_folder("ours-no-vgg", 0) / GENERATOR_WEIGHTS)


def test_training_logs_every_step_and_draws_every_epoch(trained: Bench) -> None:
    run = trained.run_folder("ours-no-vgg", 0)
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 17))
    assert [row["rate"] for row in rows[:9]] == pytest.approx([2e-4] * 9)
    assert rows[-1]["rate"] == pytest.approx(2e-4 / 8)
    assert {"g_gan", "g_features", "d_real", "d_fake"} < rows[0].keys()
    assert [row["step"] for row in rows if "spots" in row] == [8, 16]
    assert all(0 <= row["spot_area"] <= 1 for row in rows if "spots" in row)
    sheets = sorted(path.name for path in (run / "samples").iterdir())
    assert sheets == ["step-00000008.png", "step-00000016.png"]


@pytest.mark.slow
def test_a_rise_of_light_spots_is_printed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = iter([0.5, 0.25])
    monkeypatch.setattr(
        samples, "spot_metrics", lambda *images: {"spots": next(counts), "spot_area": 0.0}
    )
    train(bench, machine=RARELY)
    lines = [line for line in capsys.readouterr().err.splitlines() if "light spots" in line]
    assert [line.split(" per image")[0] for line in lines] == ["step 8: 0.5 light spots"]


def test_a_rise_is_one_over_all_sheets_before() -> None:
    watch = samples.SpotWatch([{"step": 1}, {"step": 8, "spots": 0.5}, {"step": 16, "spots": 0.0}])
    said = [watch.rise(spots, 24) for spots in (0.25, 0.5, 0.75, 0.75, 1.0)]
    assert [line is not None for line in said] == [False, False, True, False, True]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    trained: Bench, uninterrupted: str
) -> None:
    second = train(elsewhere(trained, "again"), machine=RARELY)
    other = train_method(trained, ours(trained), 1, RARELY)
    assert uninterrupted == weights(second) != weights(other)


class PowerCut(BaseException):
    """Stands for a process that ends without warning."""


def crash(
    bench: Bench, method: Pix2PixHD, monkeypatch: pytest.MonkeyPatch, after: int, saves: set[int]
) -> None:
    """Train for some steps, of which only some are saved, until the power is cut."""
    real, real_save, done = Pix2PixHDTrainer.step, Job.save, iter(range(after))

    def step(self, batch, rate):
        if next(done, None) is None:
            raise PowerCut
        return real(self, batch, rate)

    with monkeypatch.context() as patched:
        patched.setattr(Job, "save", lambda job: real_save(job) if job.step in saves else None)
        patched.setattr(Pix2PixHDTrainer, "step", step)
        with pytest.raises(PowerCut):
            train(bench, method)


@pytest.mark.slow
def test_a_crash_at_any_step_does_not_change_the_weights(
    trained: Bench, uninterrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = elsewhere(trained, "crashed")
    for after in (2, 6, 5):
        crash(bench, ours(bench), monkeypatch, after, {1, 4, 7, 10, 13})
    output = train(bench)
    assert weights(output) == uninterrupted
    rows = read_metrics(output.parent / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 17))
    assert len(list((output.parent / "checkpoints").iterdir())) == 2


def test_a_finished_run_is_not_trained_again(
    trained: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Pix2PixHDTrainer, "step")
    assert train(trained) == trained.run_folder("ours-no-vgg", 0) / GENERATOR_WEIGHTS


@pytest.mark.slow
def test_a_damaged_checkpoint_falls_back_on_the_one_before(
    trained: Bench, uninterrupted: str
) -> None:
    bench = elsewhere(trained, "damaged")
    output = train(bench)
    output.unlink()
    newest = max((output.parent / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    assert weights(train(bench)) == uninterrupted


def test_all_checkpoints_damaged_is_an_error_that_keeps_them(trained: Bench) -> None:
    output = train(trained)
    output.unlink()
    for path in (output.parent / "checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"checkpoints: (.|\n)*\.pt(.|\n)*--restart"):
        train(trained)


@pytest.mark.slow
def test_another_configuration_never_passes_for_this_one(trained: Bench, tmp_path: Path) -> None:
    longer = write_tiny(tmp_path / "more", epochs=2)
    changed = open_bench(replace(trained.workspace, benchmark=str(longer)))
    with pytest.raises(CheckpointError, match=r"budget\.epochs: 1 -> 2"):
        train(changed)
    output = train(changed, machine=RARELY, restart=True)
    assert len(read_metrics(output.parent / "metrics.jsonl")) == 24
    (aside,) = output.parent.parent.glob("seed0.before-*")
    assert (aside / "generator.safetensors").is_file()


def test_one_changed_photograph_is_another_run(trained: Bench) -> None:
    path = trained.dataset.train_scenes[0].image
    path.write_bytes(trained.dataset.train_scenes[1].image.read_bytes())
    with pytest.raises(CheckpointError, match="scenes_digest"):
        train(Bench(trained.library, trained.workspace, trained.benchmark))


def test_a_checkpoint_of_another_width_names_the_shapes(bench: Bench) -> None:
    """Somebody edits the benchmark and copies the identity along."""
    trainer = Pix2PixHDTrainer(ours(bench), bench.benchmark, 0, None, torch.device("cpu"))
    budget = bench.benchmark.budget.model_copy(update={"width": 0.125})
    wider = bench.benchmark.model_copy(update={"budget": budget})
    other = Pix2PixHDTrainer(ours(bench), wider, 0, None, torch.device("cpu"))
    with pytest.raises(CheckpointError) as error:
        trainer.load_state(other.state())
    assert re.search("8x13x7x7.*4x13x7x7", str(error.value))


@pytest.mark.slow
@pytest.mark.parametrize("loss", [{"gan": "log"}, {"feature_matching": 0.0}])
def test_variants_of_the_objective_train(bench: Bench, loss: dict[str, object]) -> None:
    assert train(bench, ours(bench, **loss), RARELY).is_file()


@pytest.mark.slow
def test_the_perceptual_loss_trains_with_the_benchmarks_own_network(bench: Bench) -> None:
    train_own_perceptual(bench, RARELY, restart=False)
    output = train(bench, ours(bench, perceptual=10.0), RARELY)
    assert "g_perceptual" in read_metrics(output.parent / "metrics.jsonl")[0]
    identity = json.loads((output.parent / "identity.json").read_text())
    card = read_perceptual_card(bench.perceptual_folder())
    assert identity["perceptual"] == {"name": "own", "weights": card.weights}


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(
    trained: Bench, uninterrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = elsewhere(trained, "poisoned")
    real, calls = trainer.gan_loss, iter(range(10**6))

    def poisoned(*args, **options):
        loss = real(*args, **options)
        return loss * float("nan") if next(calls) >= 3 * 5 else loss

    monkeypatch.setattr(trainer, "gan_loss", poisoned)
    with pytest.raises(
        DivergedError, match=r"step 6: .*g_gan = nan.* train_0\d.*step-00000005\.pt"
    ):
        train(bench)
    folder = bench.run_folder("ours-no-vgg", 0)
    kept = torch.load(max((folder / "checkpoints").iterdir()), weights_only=True)
    assert all(torch.isfinite(value).all() for value in kept["trainee"]["generator"].values())
    monkeypatch.setattr(trainer, "gan_loss", real)
    assert weights(train(bench)) == uninterrupted


@pytest.mark.slow
def test_weights_that_are_not_finite_are_never_saved(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses of a step may be finite and the weights after it not."""
    real, calls = Pix2PixHDTrainer.step, iter(range(10**6))

    def step(self, batch, rate):
        losses = real(self, batch, rate)
        if next(calls) == 4:
            next(self.generator.parameters()).data[0] = float("inf")
        return losses

    monkeypatch.setattr(Pix2PixHDTrainer, "step", step)
    with pytest.raises(DivergedError, match=r"step 5: (.|\n)*generator\."):
        train(bench)
    folder = bench.run_folder("ours-no-vgg", 0) / "checkpoints"
    assert max(path.name for path in folder.iterdir()) == "step-00000004.pt"


@pytest.mark.parametrize(("width", "height"), [(72, 48), (64, 40), (64, 16)])
def test_sides_that_do_not_divide_are_refused_before_anything_is_written(
    bench: Bench, width: int, height: int
) -> None:
    size = bench.benchmark.size.model_copy(update={"width": width, "height": height})
    odd = bench.benchmark.model_copy(update={"size": size})
    side = f"width = {width}" if width != 64 else f"height = {height}"
    with pytest.raises(UsageError, match=rf"\[size\] {side}"):
        train(Bench(bench.library, bench.workspace, odd))
    assert not bench.run_folder("ours-no-vgg", 0).exists()


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(
    trained: Bench, uninterrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = elsewhere(trained, "terminated")
    real, calls = Pix2PixHDTrainer.step, iter(range(10**6))

    def step(self, batch, rate):
        if next(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, batch, rate)

    monkeypatch.setattr(Pix2PixHDTrainer, "step", step)
    with pytest.raises(Interrupted, match=r"SIGTERM .*5 of 16"):
        train(bench, machine=RARELY)
    assert weights(train(bench, machine=RARELY)) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_damaged_meanwhile_stops_with_its_name_and_loses_no_step(
    bench: Bench, workers: int
) -> None:
    assert bench.dataset.train_digests  # read and hashed before the damage
    path = bench.dataset.train_scenes[3].image
    path.write_bytes(path.read_bytes()[:500])
    rarely = Machine(torch.device("cpu"), workers, checkpoint_minutes=60)
    with pytest.raises(DataError) as error:
        train_method(bench, ours(bench), 0, rarely)
    assert re.match(f"{path}: .* 500 bytes", str(error.value))
    folder = bench.run_folder("ours-no-vgg", 0)
    done = len(read_metrics(folder / "metrics.jsonl"))
    saved = [item.name for item in (folder / "checkpoints").glob("*.pt")]
    assert saved == ([f"step-{done:08}.pt"] if done else [])


def test_a_damaged_file_is_named_before_the_first_step(bench: Bench) -> None:
    path = bench.dataset.train_scenes[3].image
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError) as error:
        train(bench)
    assert str(error.value).startswith(f"{path}: ")
    assert not bench.run_folder("ours-no-vgg", 0).exists()


@pytest.mark.slow
def test_the_resolved_method_is_stored_and_the_run_summarised(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    output = train(bench, machine=RARELY)
    path = output.parent / RESOLVED_METHOD
    method = Pix2PixHD.model_validate(tomllib.loads(path.read_text()))
    assert method == ours(bench)
    printed = capsys.readouterr()
    assert printed.out == ""
    for value in ("ours-no-vgg", "tiny", "64x48", "8 scenes", "0.0002", "8 steps", str(path)):
        assert value in printed.err
    assert train(bench) == output
    assert capsys.readouterr().err == ""  # nothing is trained


@pytest.mark.slow
def test_a_redirected_training_writes_whole_lines(bench: Bench, tmp_path: Path) -> None:
    words = ["train", "ours-no-vgg", "--workers", "0", "--device", "cpu", "--workspace", "ws"]
    words += ["--benchmark", bench.workspace.benchmark]
    words += ["--data-root", str(bench.workspace.data_root)]
    code = (
        "import itertools, time\n"
        "seconds = itertools.count()\n"
        "time.monotonic = lambda: next(seconds)\n"  # every look at the clock finds it later
        "from hdbench.cli.main import cli\n"
        f"cli({words!r})\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=120
    )
    assert found.returncode == 0, found.stderr.decode()
    assert b"\r" not in found.stderr
    lines = found.stderr.decode().splitlines()
    (last,) = [line for line in lines if line.startswith("ours-no-vgg on tiny: 16 of 16 steps")]
    assert "g_gan" in last


# -- what makes a GPU wait -------------------------------------------------------------------------


class Reads(TorchFunctionMode):
    """Counts what copies a tensor's values to Python, for which a GPU must finish its work."""

    NAMES = frozenset(
        ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__")
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func.__name__ in self.NAMES
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_the_losses_of_each_step_are_read_together_once_a_second(
    bench: Bench, tmp_path: Path
) -> None:
    seconds, counts, expected = [0.0], [], []
    budget = bench.benchmark.budget.model_copy(update={"ema": 0.9})
    benchmark = bench.benchmark.model_copy(update={"budget": budget})
    trainer = Pix2PixHDTrainer(ours(bench), benchmark, 0, None, torch.device("cpu"))
    data = TrainingData(bench.dataset.train_scenes, bench.dataset.train_digests, "tiny/train")
    augment = ResizeAndFlip(48, 64, flip=True)
    batches = data.batches(bench.space, augment, batch_size=1, seed=0, machine=MACHINE)
    with (
        claimed(tmp_path / "run", {}, restart=False),
        Job(tmp_path / "run", "ours", 8, checkpoint_minutes=60, clock=lambda: seconds[0]) as job,
    ):
        job.resume(trainer)
        for step, batch in job.follow(batches):
            with Reads() as reads:
                losses = trainer.step(batch, 2e-4)
                job.record(step, {}, losses, batch.names)
            counts.append(reads.count)
            expected.append({name: value.item() for name, value in losses.items()})
            seconds[0] += 0.25
    assert counts == [1, 0, 0, 0, 1, 0, 0, 0]
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert rows == [{"step": n + 1, **values} for n, values in enumerate(expected)]


def test_a_stop_after_the_last_step_is_not_lost(tmp_path: Path) -> None:
    """What follows a training must not begin when the user asked for a stop meanwhile."""
    handler = signal.getsignal(signal.SIGINT)

    def train() -> None:
        with (
            claimed(tmp_path / "run", {}, restart=False),
            Job(tmp_path / "run", "ours", 0, checkpoint_minutes=60) as job,
        ):
            assert list(job.follow(lambda *_: [])) == []
            signal.raise_signal(signal.SIGINT)
            (tmp_path / "stored").touch()

    with pytest.raises(Interrupted, match="ctrl-C"):
        train()
    assert (tmp_path / "stored").exists()
    assert signal.getsignal(signal.SIGINT) is handler


# -- real signals on real processes ---------------------------------------------------------------


@pytest.fixture
def start(tmp_path: Path, bench: Bench) -> Start:
    """Start a training of 192 steps as a user would; it is the same one every time."""
    long = write_tiny(tmp_path / "long", epochs=12, decay_epochs=12)
    where = ["--benchmark", long, "--data-root", bench.workspace.data_root, "--workspace", "ws"]

    def process(*more: str) -> Forked:
        return Forked("train", "ours-no-vgg", *where, *more, cwd=tmp_path)

    return process


def wait_for_a_step(process: Forked, workspace: Path) -> None:
    metrics = Workspace(workspace, None, "tiny").run("tiny", "ours-no-vgg", 0) / "metrics.jsonl"
    while not read_metrics(metrics):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            raise AssertionError("the training ended before its first step")


@pytest.mark.slow
def test_sigterm_to_the_whole_group_saves(tmp_path: Path, start: Start) -> None:
    """As a batch system or a closing terminal sends it: to the decoding workers too."""
    process = start()
    wait_for_a_step(process, tmp_path / "ws")
    os.killpg(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "SIGTERM" in error
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--restart",)])
def test_two_processes_never_train_in_one_folder(
    tmp_path: Path, start: Start, more: tuple[str, ...]
) -> None:
    first = start()
    wait_for_a_step(first, tmp_path / "ws")
    os.kill(first.pid, signal.SIGSTOP)
    second = start(*more)
    _, error = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "--workspace or --seed" in error
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


@pytest.mark.slow
def test_ctrl_c_in_the_terminal_saves_and_goes_on(tmp_path: Path, start: Start) -> None:
    process = start("--checkpoint-minutes", "60")
    wait_for_a_step(process, tmp_path / "ws")
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ctrl-C" in error
    again = start("--checkpoint-minutes", "60")
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0
    generator = tmp_path / output.splitlines()[0].removeprefix("trained: ")
    rows = read_metrics(generator.parent / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 8 * 24 + 1))


def _train_in_child(root: str, data: str, benchmark: str, minutes: float) -> None:
    torch.set_num_threads(1)
    bench = open_bench(Workspace(Path(root), Path(data), benchmark))
    train_method(bench, ours(bench), 0, Machine(torch.device("cpu"), 1, minutes))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_training_leaves_no_process_behind(tmp_path: Path, start: Start) -> None:
    process = start("--workers", "2")
    wait_for_a_step(process, tmp_path / "ws")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    handles = [os.pidfd_open(int(child)) for child in children]
    process.kill()
    process.communicate()
    for handle in handles:
        assert select.select([handle], [], [], 60)[0], "a decoding worker outlived its training"
        os.close(handle)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_training_whose_decoding_worker_is_killed_saves_and_goes_on(
    tmp_path: Path, start: Start
) -> None:
    """As the kernel kills where memory is short."""
    minutes = ("--checkpoint-minutes", "60")
    process = start("--workers", "2", *minutes)
    wait_for_a_step(process, tmp_path / "ws")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert children[0] in error
    assert "--workers" in error
    assert "Traceback" not in error
    again = start("--workers", "0", *minutes)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0
    generator = tmp_path / output.splitlines()[0].removeprefix("trained: ")
    rows = read_metrics(generator.parent / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 8 * 24 + 1))  # none was made twice


@pytest.mark.slow
def test_twenty_kills_do_not_change_the_weights(bench: Bench, tmp_path: Path) -> None:
    """SIGKILL after a random number of steps and milliseconds, flips on, a decoding worker."""
    long = write_tiny(tmp_path / "long", epochs=10, decay_epochs=10)
    data = str(bench.workspace.data_root)
    context = forking()

    def start(root: Path, minutes: float = 60):
        arguments = (str(root), data, str(long), minutes)
        child = context.Process(target=_train_in_child, args=arguments)
        child.start()
        return child

    whole = start(tmp_path / "whole")
    whole.join(timeout=120)
    assert whole.exitcode == 0

    chance = random.Random(20)
    run = Workspace(tmp_path / "killed", Path(data), str(long)).run("tiny", "ours-no-vgg", 0)
    reached = []
    for _ in range(20):
        child = start(tmp_path / "killed", chance.choice([0, 0.001]))  # each step, or every 60 ms
        goal = (reached[-1] if reached else 0) + chance.randrange(0, 8)
        while child.is_alive() and len(read_metrics(run / "metrics.jsonl")) < goal:
            child.join(timeout=0.02)
        child.join(timeout=chance.uniform(0, 0.2))
        assert child.is_alive(), f"training ended before the 20th kill, at {reached}"
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert child.exitcode == -signal.SIGKILL
        reached.append(len(read_metrics(run / "metrics.jsonl")))
    last = start(tmp_path / "killed")
    last.join(timeout=120)
    assert last.exitcode == 0
    expected = Workspace(tmp_path / "whole", Path(data), str(long)).run("tiny", "ours-no-vgg", 0)
    print(f"20 kills, steps reached {reached}, then {json.dumps(reached[-1])} to the end")
    assert weights(run / GENERATOR_WEIGHTS) == weights(expected / GENERATOR_WEIGHTS)
    assert max(reached) > 20
