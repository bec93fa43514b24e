"""Every run of a report as one command: whole, killed, stopped, failing, in several processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from conftest import write_tiny
from forks import Forked, forking
from killed import killed_in

from hdbench.cli.main import cli as command
from hdbench.errors import HdbenchError, Interrupted, UsageError
from hdbench.library import Library
from hdbench.runtime.metrics import read_metrics
from hdbench.workflows import parallel, phases
from hdbench.workflows.cluster import ClusterJob
from hdbench.workflows.orders import Order, Resources, order_for
from hdbench.workflows.queue import Work
from hdbench.workflows.reproduce import scaled
from hdbench.workspace.bench import open_bench
from hdbench.workspace.paths import Workspace

Cli = Callable[..., Result]

REPORT = """
name         = "mine"
title        = "Mine"
source       = "made for a test"
published_on = "nothing"
every_method = false

[[columns]]
score  = "mean_iou"
title  = "mean IoU"
factor = 1.0
digits = 4

[[rows]]
title     = "elsewhere"
published = {{ mean_iou = 0.5 }}

{rows}
"""


def write_report(folder: Path, *methods: str) -> str:
    rows = "\n".join(f'[[rows]]\ntitle = "{name}"\nmethod = "{name}"\n' for name in methods)
    (folder / "mine.toml").write_text(REPORT.format(rows=rows))
    return "./mine.toml"


def write_place(folder: Path, data: Path, *methods: str, **budget: int) -> str:
    """Write hdbench.toml and a report into a folder, and return the report's path."""
    benchmark = write_tiny(folder, **budget)
    (folder / "hdbench.toml").write_text(
        f'benchmark = "{benchmark}"\ndata_root = "{data}"\nworkspace = "ws"\n'
    )
    return write_report(folder, *methods)


WORDS = ("--workers", "0", "--device", "cpu", "--checkpoint-minutes", "0")


TRAINER = "hdbench.training.trainer.Pix2PixHDTrainer"


def hdbench(*words: str) -> None:
    """Run a command; an error of its own ends the process otherwise than SIGKILL does."""
    CliRunner().invoke(command, words, catch_exceptions=False)


def begun(result: Result) -> list[str]:
    return re.findall(r"^\d+ of \d+: (.*)$", result.stderr, flags=re.MULTILINE)


def steps_of(folder: Path, method: str = "ours-no-vgg", seed: int = 0) -> list[int]:
    metrics = folder / "ws" / "runs" / "tiny" / method / f"seed{seed}" / "metrics.jsonl"
    return [row["step"] for row in read_metrics(metrics)]


@pytest.fixture(scope="session")
def whole(drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report of one trained method, made without a break; to be read alone."""
    folder = tmp_path_factory.mktemp("whole")
    report = write_place(folder, drawn_once, "ours-no-vgg", "oracle", "floor-nearest")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(command, ["reproduce", report, *WORDS])
    assert result.exit_code == 0, result.stderr
    assert steps_of(folder) == list(range(1, 17))
    (folder / "table.txt").write_text(result.stdout)
    return folder


@pytest.fixture
def whole_table(whole: Path) -> str:
    """That report's table."""
    return (whole / "table.txt").read_text()


@pytest.mark.slow
def test_a_kill_in_each_phase_goes_on_to_the_same_table(
    tmp_path: Path, camvid_folder: Path, whole_table: str, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    words = ("reproduce", write_report(tmp_path, "ours-no-vgg", "oracle", "floor-nearest"), *WORDS)
    killed_in("hdbench.training.segmentation.SegmentationTrainer.step", 3, hdbench, *words)
    killed_in(f"{TRAINER}.step", 6, hdbench, *words)
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5]
    killed_in("hdbench.synthesis.append_line", 2, hdbench, *words, marker="ours-no-vgg")
    generator = tmp_path / "ws/runs/tiny/ours-no-vgg/seed0/generator.safetensors"
    stamp = generator.stat().st_mtime_ns
    killed_in("hdbench.workspace.parts.Parts.add", 2, hdbench, *words, marker="ours-no-vgg")
    calls = []
    real = phases.score_methods
    monkeypatch.setattr(phases, "score_methods", lambda *a, **k: calls.append(a) or real(*a, **k))
    last = cli(*words)
    assert last.exit_code == 0, last.stderr
    assert last.stdout == whole_table
    assert len(calls) == 1
    assert generator.stat().st_mtime_ns == stamp
    assert steps_of(tmp_path) == list(range(1, 17))
    assert all("(done before)" in line for line in begun(last) if "train" in line)


@pytest.mark.slow
def test_ctrl_c_saves_and_names_the_command_that_goes_on(
    tmp_path: Path, camvid_folder: Path, cli: Cli
) -> None:
    words = write_place(tmp_path, camvid_folder, "ours-no-vgg", epochs=400), "--workers", "0"
    process = Forked("reproduce", *words, "--seeds", "4", cwd=tmp_path)
    with process:
        metrics = tmp_path / "ws/runs/tiny/ours-no-vgg/seed4/metrics.jsonl"
        while not read_metrics(metrics):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)
                pytest.fail("it ended before its first step")
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "hdbench reproduce ./mine.toml --workers 0 --seeds 4" in error
    assert list(metrics.parent.glob("checkpoints/step-*.pt"))


@pytest.mark.slow
def test_one_failing_method_does_not_lose_the_others(
    tmp_path: Path, camvid_folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cannot make images of this size, another learns by a network whose training fails."""
    wide = 'extends = "ours"\nname = "wide"\ntitle = "Wide"\n[generator]\nenhancers = 3\n'
    wide += "[loss]\nperceptual = 0.0\n"
    (tmp_path / "wide.toml").write_text(wide)
    report = write_report(tmp_path, "./wide.toml", "ours", "ours-no-vgg", "oracle")

    def fails(*_: object) -> None:
        raise HdbenchError("no such luck")

    monkeypatch.setattr(phases, "train_own_perceptual", fails)
    first = cli("reproduce", report, *WORDS)
    assert first.exit_code == 1
    [row] = [line for line in first.stdout.splitlines() if line.startswith("ours-no-vgg  ")]
    assert re.search(r"0\.\d{4}", row)
    said = first.stderr.partition("wrote")[2]
    for failed, reason in (
        ("the perceptual network", "no such luck"),
        ("wide, seed 0", "needs at least"),
        ("ours, seed 0", "the perceptual network"),
    ):
        assert re.search(rf"^failed: {failed}: .*{reason}", said, flags=re.MULTILINE)
    [again] = [line for line in said.splitlines() if "--method ./wide.toml" in line]
    assert "hdbench reproduce ./mine.toml --device cpu" in again
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    alone = cli("reproduce", report, *WORDS, "--method", "ours")
    assert alone.exit_code == 0, alone.stderr
    assert "train ours, seed 0" in " ".join(begun(alone))


@pytest.mark.slow
def test_several_processes_make_the_same_table_and_a_killed_one_fails_alone(
    tmp_path: Path, camvid_folder: Path, whole_table: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = write_report(tmp_path, "ours-no-vgg", "oracle", "floor-nearest")
    words = ("reproduce", report, *WORDS, "--jobs", "2")
    real = parallel._started

    def started(*arguments):
        running = real(*arguments)
        if running.work.kind == "run":
            os.kill(running.process.pid or 0, signal.SIGKILL)
        return running

    monkeypatch.setattr(parallel, "_started", started)
    first = cli(*words)
    assert first.exit_code == 1
    assert re.search(r"^failed: ours-no-vgg, seed 0: .*SIGKILL", first.stderr, flags=re.MULTILINE)
    monkeypatch.setattr(parallel, "_started", real)
    second = cli(*words)
    assert second.exit_code == 0, second.stderr
    assert second.stdout == whole_table


def ignore_ctrl_c() -> None:
    """As a shell has it for what it starts in the background; jobs inherit it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_jobs_save_and_end_with_the_command(
    tmp_path: Path, camvid_folder: Path, trained_once: Path, end: signal.Signals
) -> None:
    shutil.copytree(trained_once, tmp_path / "ws")  # it has a segmenter
    report = write_place(tmp_path, camvid_folder, "ours-no-vgg", epochs=400)
    words = ("reproduce", report, "--workers", "0", "--jobs", "2", "--seeds", "5")
    metrics = tmp_path / "ws/runs/tiny/ours-no-vgg/seed5/metrics.jsonl"
    with Forked(*words, cwd=tmp_path, prepare=ignore_ctrl_c) as process:
        while not read_metrics(metrics):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)
                pytest.fail("it ended before its first step")
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        jobs = [os.pidfd_open(int(child)) for child in listed.split()]
        os.kill(process.pid, end)
        process.communicate(timeout=100)
        for job in jobs:  # a handle is readable once its process has ended
            assert select.select([job], [], [], 100)[0]
            os.close(job)
    assert process.returncode == (130 if end == signal.SIGINT else -end)
    assert list(metrics.parent.glob("checkpoints/step-*.pt"))


@pytest.mark.slow
def test_the_plan_knows_what_is_done_what_resumes_and_how_long_the_rest_takes(
    tmp_path: Path, whole: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = write_report(tmp_path, "ours-no-vgg", "oracle")
    dry = ("reproduce", report, "--workers", "0", "--device", "cpu", "--dry-run", "--json")
    fresh = json.loads(cli(*dry).stdout)
    assert not (tmp_path / "ws" / "runs").exists()
    phases_of = {one["key"]: one["phases"] for one in fresh["work"]}
    assert list(phases_of) == ["segmenter", "references", "ours-no-vgg/seed0"]
    everything = [one for its in phases_of.values() for one in its]
    assert {one["state"] for one in everything} == {"to do"}
    assert all(one["seconds"] > 0 for one in everything)
    parts = [*(one["seconds"] for one in everything), fresh["report_seconds"]]
    assert fresh["seconds"] == pytest.approx(sum(parts))
    assert fresh["threads"] == 1
    assert fresh["not_estimated"] == []
    [run] = [one for one in fresh["work"] if one["kind"] == "run"]
    assert run["images_seen"] == 16
    killed_in(f"{TRAINER}.step", 6, hdbench, "reproduce", report, *WORDS)
    stopped = json.loads(cli(*dry).stdout)
    states = [one for work in stopped["work"] for one in work["phases"]]
    assert [one["state"] for one in states] == ["done", "done", "resumes", "to do", "to do"]
    assert states[2]["there"] == 5
    assert states[2]["seconds"] > 0
    assert states[0]["seconds"] is None
    monkeypatch.chdir(whole)
    text = cli("reproduce", report, "--dry-run").stdout
    assert "to do" not in text
    assert "elsewhere" in text


def test_a_smoke_run_is_another_benchmark_so_it_never_passes_for_the_full_one() -> None:
    full = open_bench(Workspace(Path("ws"), None, "streets"))
    small = scaled(full, "smoke")
    assert (small.benchmark.name, small.workspace.benchmark) == ("streets-smoke", "streets-smoke")
    assert "smoke" in small.benchmark.title
    assert small.run_folder("ours", 0) != full.run_folder("ours", 0)
    assert small.benchmark.budget != full.benchmark.budget
    assert scaled(full, "full") is full
    assert scaled(small, "smoke") is small
    assert scaled(full, "quick").benchmark.name == "streets-quick"


def test_a_scale_that_no_benchmark_has_names_those_that_exist(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(UsageError, match="streets-smoke"):
        scaled(open_bench(Workspace(tmp_path, None, "cityscapes")), "smoke")
    own = open_bench(Workspace(tmp_path, None, str(tiny)))
    with pytest.raises(UsageError, match="tiny-smoke"):
        scaled(own, "smoke")
    text = tiny.read_text().replace('"tiny"', '"tiny-smoke"')
    tiny.with_name("tiny-smoke.toml").write_text(text)
    assert scaled(own, "smoke").benchmark.name == "tiny-smoke"


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--json",), "--json"),
        (("--partition", "gpu"), "--partition"),
        (("--no-wait",), "--no-wait"),
        (("--submitit", "--jobs", "2"), "--array"),
        (("--seeds", "0,x"), "--seeds"),
        (("--method", "pix2pics"), "pix2pix"),
    ],
)
def test_what_does_not_go_together_is_refused(
    cli: Cli, words: tuple[str, ...], option: str
) -> None:
    result = cli("reproduce", "table1", *words)
    assert result.exit_code == 2
    assert option in result.stderr


def test_a_cluster_without_the_package_names_the_extra(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    result = cli("reproduce", "table1", "--submitit", "--method", "ours")
    assert result.exit_code == 2
    assert "hdbench[cluster]" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_job_of_a_cluster_that_is_preempted_saves_and_goes_on(
    tmp_path: Path, camvid_folder: Path, trained_once: Path
) -> None:
    """By submitit's local executor; the training gets the signal that tells of preemption."""
    shutil.copytree(trained_once, tmp_path / "ws")  # it has a segmenter
    report = write_place(tmp_path, camvid_folder, "ours-no-vgg", "oracle", epochs=8)
    local = ("--submitit", "--cluster", "local", "--gpus", "0", "--seeds", "5")
    metrics = tmp_path / "ws/runs/tiny/ours-no-vgg/seed5/metrics.jsonl"
    with Forked("reproduce", report, "--workers", "0", *local, cwd=tmp_path) as process:
        while not read_metrics(metrics):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.01)
                pytest.fail("it ended before its first step")
        [task] = training_tasks(metrics.parent)
        os.kill(task, signal.SIGUSR2)
        output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert re.search(r"^ours-no-vgg .*0\.\d{4}", output, flags=re.MULTILINE)
    assert steps_of(tmp_path, seed=5) == list(range(1, 9 * 8 + 1))
    logs = list((tmp_path / "ws/logs/cluster").rglob("*_log.*"))
    assert sum("Requeued job" in path.read_text() for path in logs) == 1


def _task(rank: int, order: Order, out: Path) -> None:
    """What submitit's local executor starts twice for a job with two tasks."""
    torch.set_num_threads(1)
    os.environ |= {"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": str(os.getppid())}
    os.environ |= {"SUBMITIT_LOCAL_NTASKS": "2", "SUBMITIT_LOCAL_NNODES": "1"}
    os.environ |= {"SUBMITIT_LOCAL_GLOBALID": str(rank), "SUBMITIT_LOCAL_LOCALID": str(rank)}
    os.environ |= {"SUBMITIT_LOCAL_NODEID": "0"}
    out.write_text(str(ClusterJob(order)()))


@pytest.mark.slow
def test_a_job_with_two_gpus_has_two_ranks(
    tmp_path: Path, camvid_folder: Path, trained_once: Path
) -> None:
    """Each task of the job gets its rank from submitit; they compute on the CPU."""
    shutil.copytree(trained_once, tmp_path / "ws")  # it has a segmenter
    shared = write_tiny(tmp_path)
    shared.write_text(shared.read_text().replace("[budget]", "[budget]\nbatch_size = 2"))
    bench = open_bench(Workspace(tmp_path / "ws", camvid_folder, str(shared)))
    work = Work("run", ("train", "synthesize", "score"), ("ours-no-vgg",), "ours-no-vgg", 6)
    order = order_for(bench, work, Resources("cpu", 0, 5.0, None))
    context = forking()
    outs = [tmp_path / f"task{rank}.txt" for rank in range(2)]
    tasks = [context.Process(target=_task, args=(n, order, out)) for n, out in enumerate(outs)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(timeout=200)
    assert [out.read_text() for out in outs] == ["None", "None"]
    run = bench.run_folder("ours-no-vgg", 6)
    assert json.loads((run / "generator.json").read_text())["machine"]["ranks"] == 2
    assert list((tmp_path / "ws/results/tiny/ours-no-vgg").glob("seed6.*.json"))


def training_tasks(run: Path) -> Iterator[int]:
    """Yield the process that holds the lock of a run's folder."""
    inode = run.with_name(f".{run.name}.lock").stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[5].endswith(f":{inode}"):
            yield int(words[4])


def test_without_waiting_the_jobs_are_named(
    tmp_path: Path, camvid_folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dependencies go to SLURM, in the order of the queue, one array for each generation."""
    from hdbench.workflows import cluster

    given: list[dict[str, object]] = []

    class Job:
        def __init__(self, number: int) -> None:
            self.job_id = f"7_{number}"

    class Executor:
        submitted = 0

        def update_parameters(self, **parameters: object) -> None:
            given.append(parameters)

        @contextlib.contextmanager
        def batch(self) -> Iterator[None]:
            yield

        def submit(self, order: cluster.ClusterJob) -> Job:
            assert order.order.resources.device == "auto"
            Executor.submitted += 1
            return Job(Executor.submitted)

    monkeypatch.setattr(cluster, "_executor", lambda _: Executor())
    report = write_report(tmp_path, "ours", "ours-no-vgg")
    words = ("--submitit", "--no-wait", "--partition", "gpu", "--array", "2", "--seeds", "0,1")
    result = cli("reproduce", report, *words)
    assert result.exit_code == 0, result.stderr
    assert [one["slurm_additional_parameters"] for one in given] == [
        {},
        {"dependency": "afterany:7_1:7_2"},
    ]
    assert Executor.submitted == 2 + 1 + 4
    assert "ours, seed 1: job 7_" in result.stdout
    assert "hdbench reproduce ./mine.toml" in result.stderr


def test_a_queue_that_is_stopped_says_how_to_go_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(phases, "train_own_segmenter", stops)
    result = cli("reproduce", "table1", "--method", "ours", "--workspace", tmp_path / "w s")
    assert result.exit_code == 130
    assert f"hdbench reproduce table1 --workspace '{tmp_path}/w s' --method ours" in result.stderr


def test_preferences_make_images_and_name_the_study(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("train_method", "synthesize_method", "train_own_perceptual"):
        monkeypatch.setattr(phases, name, lambda *_, name=name, **__: done.append(name))
    result = cli("reproduce", "discriminator-preference")
    assert result.exit_code == 0, result.stderr
    assert done == ["train_own_perceptual", *["train_method", "synthesize_method"] * 2]
    assert "hdbench study build --methods ours,ours-single-discriminator" in result.stderr


def test_interrupted_is_never_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object) -> None:
        raise Interrupted("stopped")

    monkeypatch.setattr(phases, "carry_out", stops)
    with pytest.raises(Interrupted):
        phases.attempt(None, None, None, None, None)  # pyright: ignore[reportArgumentType]


def test_every_report_of_the_library_has_something_to_reproduce() -> None:
    from hdbench.library import REPORTS
    from hdbench.workflows.queue import queue_of

    library = Library()
    for name in library.entries(REPORTS):
        if name not in ("editing", "nyu-preference", "preferences", "segmenters"):  # no method
            queue = queue_of(library.report(name), library, library.benchmark("streets"), [0])
            assert queue.steps
