"""Training and synthesis over ranks: killed, stopped, resumed, refused, and always the same."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import two_ranks
from conftest import trainable, write_tiny
from safetensors import safe_open

from hdbench.data.layouts import SceneFiles
from hdbench.errors import CheckpointError
from hdbench.runtime.devices import Execution, Machine
from hdbench.runtime.metrics import read_metrics
from hdbench.runtime.ranks import Ranks
from hdbench.schema.generator import GENERATOR_WEIGHTS
from hdbench.schema.method import Floor
from hdbench.synthesis import floor_synthesizer, made_images
from hdbench.workflows import synthesize as workflow
from hdbench.workflows.synthesize import synthesize_method
from hdbench.workflows.train import train_method, train_own_perceptual
from hdbench.workspace.bench import Bench, open_bench
from hdbench.workspace.paths import Workspace

CPU = torch.device("cpu")
METHOD = "ours-no-vgg"


def opened(root: str, data: str, benchmark: str) -> Bench:
    return open_bench(Workspace(Path(root), Path(data), benchmark))


def _train(ranks: Ranks, root: str, data: str, benchmark: str, minutes: float) -> None:
    bench = opened(root, data, benchmark)
    machine = Machine(CPU, 0, minutes, Execution(ranks))
    train_method(bench, trainable(bench, METHOD), 0, machine)


def _perceptual(ranks: Ranks, root: str, data: str, benchmark: str) -> None:
    train_own_perceptual(opened(root, data, benchmark), Machine(CPU, 0, 5, Execution(ranks)))


def weights(run: Path) -> str:
    with safe_open(run / GENERATOR_WEIGHTS, framework="pt") as file:
        return file.metadata()["weights"]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The file of a benchmark whose batches two ranks can share: 4 steps an epoch."""
    path = write_tiny(tmp_path / "shared", epochs=3, decay_epochs=3)
    path.write_text(path.read_text().replace("[budget]", "[budget]\nbatch_size = 2"))
    return path


@pytest.mark.slow
def test_a_killed_rank_ends_all_and_the_same_ranks_go_on_to_the_same_weights(
    tmp_path: Path, camvid_folder: Path, shared: Path
) -> None:
    """As often as it is done, too: the weights of two ranks are always the same."""

    def start(name: str, minutes: float):
        arguments = (str(tmp_path / name), str(camvid_folder), str(shared), minutes)
        return two_ranks.started(_train, tmp_path / f"{name}-said", *arguments)

    assert two_ranks.ended(start("whole", 60)) == [0, 0]
    run = Workspace(tmp_path / "killed", camvid_folder, str(shared)).run("tiny", METHOD, 0)
    for victim in (1, 0):
        goal = len(read_metrics(run / "metrics.jsonl")) + 3
        ranks = start("killed", 0)
        while ranks[0].is_alive() and len(read_metrics(run / "metrics.jsonl")) < goal:
            ranks[0].join(timeout=0.02)
        pid = ranks[victim].pid
        assert pid is not None
        assert ranks[victim].is_alive()
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        ranks[1 - victim].join(timeout=60)
        print(f"rank {victim} killed; the other ended after {time.monotonic() - began:.2f} s")
        assert ranks[1 - victim].exitcode == 1
        said = (tmp_path / "killed-said" / f"rank{1 - victim}.txt").read_text()
        assert said.startswith(f"RankError: rank {1 - victim} ")

    bench = opened(str(tmp_path / "killed"), str(camvid_folder), str(shared))
    alone = Machine(CPU, 0, 60)
    with pytest.raises(CheckpointError, match=r"2 ranks.* 1 process"):
        train_method(bench, trainable(bench, METHOD), 0, alone)
    assert two_ranks.ended(start("killed", 60)) == [0, 0]
    whole = Workspace(tmp_path / "whole", camvid_folder, str(shared)).run("tiny", METHOD, 0)
    assert weights(run) == weights(whole)
    steps = [row["step"] for row in read_metrics(run / "metrics.jsonl")]
    assert steps == list(range(1, 25))


@pytest.mark.slow
def test_ranks_that_cannot_share_a_batch_all_say_so(
    tmp_path: Path, camvid_folder: Path, tiny: Path
) -> None:
    arguments = (str(tmp_path / "ws"), str(camvid_folder), str(tiny), 60.0)
    said = tmp_path / "said"
    assert two_ranks.ended(two_ranks.started(_train, said, *arguments)) == [2, 2]
    for rank in range(2):
        text = (said / f"rank{rank}.txt").read_text()
        assert re.match(r"UsageError: batch_size = 1 .* 2 ranks", text)


@pytest.mark.slow
def test_a_damaged_scene_of_one_rank_ends_both_and_keeps_what_was_done(
    tmp_path: Path, camvid_folder: Path, shared: Path
) -> None:
    """The second rank's photograph is cut short after the scenes were looked through."""
    arguments = (str(tmp_path / "ws"), str(camvid_folder), str(shared), 60.0)
    said = tmp_path / "said"
    assert two_ranks.ended(two_ranks.started(_train_damaged, said, *arguments)) == [1, 1]
    texts = [(said / f"rank{rank}.txt").read_text() for rank in range(2)]
    assert [text.split(":")[0] for text in texts] == ["RankError", "DataError"]
    run = Workspace(tmp_path / "ws", camvid_folder, str(shared)).run("tiny", METHOD, 0)
    saved = sorted((run / "checkpoints").glob("*.pt"))
    assert [path.name for path in saved] == ["step-00000002.pt"]


def _train_damaged(ranks: Ranks, root: str, data: str, benchmark: str, minutes: float) -> None:
    from hdbench.data import loading
    from hdbench.errors import DataError

    read, calls = loading.read_scene, []

    def damaged(files: SceneFiles, *more: object):
        calls.append(files)
        if ranks.rank == 1 and len(calls) == 3:
            raise DataError(f"{files.image}: damaged")
        return read(files, *more)  # pyright: ignore[reportArgumentType]

    loading.read_scene = damaged  # pyright: ignore[reportAttributeAccessIssue]
    _train(ranks, root, data, benchmark, minutes)


@pytest.mark.slow
def test_ctrl_c_of_torchrun_saves_and_the_same_command_goes_on(
    tmp_path: Path, camvid_folder: Path, shared: Path
) -> None:
    """The real launcher, which passes the signal on; then it reports which rank ended how."""
    where = ["--benchmark", shared, "--data-root", camvid_folder, "--workspace", "ws"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--standalone", "-m", "hdbench"]
    command = [*launcher, "train", METHOD, *where, "--checkpoint-minutes", "60", "--workers", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = Workspace(tmp_path / "ws", camvid_folder, str(shared)).run("tiny", METHOD, 0)

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    process = start()
    while not read_metrics(run / "metrics.jsonl"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            raise AssertionError(f"ended before its first step: {process.communicate()}")
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0
    assert len(re.findall("the same command resumes", error)) == 2
    assert "hdbench, rank 1: stopped" in error
    assert list((run / "checkpoints").glob("*.pt"))
    process = start()
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert output.count("trained: ") == 1
    assert [row["step"] for row in read_metrics(run / "metrics.jsonl")] == list(range(1, 25))


@pytest.mark.slow
def test_two_ranks_train_a_perceptual_network(
    tmp_path: Path, camvid_folder: Path, shared: Path
) -> None:
    arguments = (str(tmp_path / "ws"), str(camvid_folder), str(shared))
    ranks = two_ranks.started(_perceptual, tmp_path / "said", *arguments)
    assert two_ranks.ended(ranks) == [0, 0]
    assert (opened(*arguments).perceptual_folder() / "perceptual.json").is_file()


# -- synthesis ------------------------------------------------------------------------------------


def _synthesize(ranks: Ranks, root: str, data: str, benchmark: str, kill: int) -> None:
    """Make a floor's images of the training split; rank 1 kills itself before its third."""
    bench = opened(root, data, benchmark)
    method = bench.library.method("floor-nearest")
    assert isinstance(method, Floor)
    calls = []

    def floor(*arguments: object):
        make = floor_synthesizer(*arguments)  # pyright: ignore[reportArgumentType]

        def counted(scene: object):
            calls.append(scene)
            if kill and ranks.rank == 1 and len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return make(scene)  # pyright: ignore[reportArgumentType]

        return counted

    workflow.floor_synthesizer = floor  # pyright: ignore[reportAttributeAccessIssue]
    synthesize_method(bench, method, 0, CPU, training=True, ranks=ranks)


@pytest.mark.slow
def test_images_of_two_ranks_are_those_of_one_also_after_a_kill(
    tmp_path: Path, camvid_folder: Path, tiny: Path
) -> None:
    alone = opened(str(tmp_path / "alone"), str(camvid_folder), str(tiny))
    floor = alone.library.method("floor-nearest")
    expected = synthesize_method(alone, floor, 0, CPU, training=True)

    arguments = (str(tmp_path / "ws"), str(camvid_folder), str(tiny))
    said = tmp_path / "said"
    codes = two_ranks.ended(two_ranks.started(_synthesize, said, *arguments, 1))
    assert codes == [1, -signal.SIGKILL]
    assert (said / "rank0.txt").read_text().startswith("RankError: rank 0 ")
    folder = opened(*arguments).image_folder("floor-nearest", 0, True)
    # The first rank's half; the last of the other's may not have been written or recorded.
    before = {name: (folder / name).stat().st_mtime_ns for name in made_images(folder)}
    assert len(expected) // 2 <= len(before) <= len(expected) // 2 + 2

    assert two_ranks.ended(two_ranks.started(_synthesize, said, *arguments, 0)) == [0, 0]
    assert made_images(folder).keys() == {path.name for path in expected}
    for path in expected:
        assert (folder / path.name).read_bytes() == path.read_bytes()
    for name, changed in before.items():
        assert (folder / name).stat().st_mtime_ns == changed, f"{name} was made twice"
